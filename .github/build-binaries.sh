#!/usr/bin/env bash
# build-binaries.sh TARGET FOLDER [ACTION…]: builds the actions' released binaries
# for a Rust target into FOLDER/ACTION-TARGET (for Windows with `.exe`), and starts
# each. One for musl must be static: it is to run on any distribution. One for Windows
# must need no runtime of Visual Studio. Nix, and so setup-nix, does not run there.
# BINARIES_PROFILE is cargo's profile, `dist` if unset.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: build-binaries.sh TARGET FOLDER [ACTION…]" >&2; exit 2; }
target=$1
folder=$2
profile=${BINARIES_PROFILE:-dist}
shift 2
extension=""
case "$target" in
  *-windows-*)
    extension=.exe
    [ $# -gt 0 ] || set -- build-wheel verify-dist publish
    # The objects of AWS-LC that its crate brings: the runners have no assembler for it.
    export AWS_LC_SYS_PREBUILT_NASM=1
    ;;
esac
[ $# -gt 0 ] || set -- setup-nix build-wheel verify-dist publish

mkdir -p "$folder"

# Packed, a program's relative relocations take 13 KB in place of 1 MB, which each
# start reads and keeps in memory. musl reads them since 1.2.4, which Rust's own is;
# Debian 12's is older, and its programs would crash at once.
packed=(-C "link-arg=-Wl,-z,pack-relative-relocs")
starts_packed() {
  echo 'fn main() {}' >"$folder/probe.rs"
  "${RUSTC:-rustc}" --target "$target" "${packed[@]}" -o "$folder/probe" "$folder/probe.rs" && "$folder/probe"
}
flags=()
case "$target" in
  *-musl)
    # A panic aborts, so that nothing reads the tables for unwinding.
    if [ "$profile" = dist ]; then flags+=(-C force-unwind-tables=no); fi
    if (starts_packed) 2>/dev/null; then flags+=("${packed[@]}"); fi
    ;;
  *-windows-msvc) flags+=(-C target-feature=+crt-static) ;;
esac
rm -f "$folder"/probe*
export "CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUSTFLAGS=${flags[*]-}"

# As parts of the workspace: alone, each would have dependencies with other
# features, and those would be compiled for each of them.
for action in "$@"; do
  cargo build --profile "$profile" --locked --workspace --bin "$action" --target "$target"
  binary="$folder/$action-$target$extension"
  cp "${CARGO_TARGET_DIR:-target}/$target/$profile/$action$extension" "$binary"
  case "$target" in
    *-musl)
      # The tables of the standard library and of C, a twelfth of the compressed program.
      if [ "$profile" = dist ]; then
        objcopy --remove-section .eh_frame --remove-section .eh_frame_hdr \
          --remove-section .gcc_except_table "$binary"
      fi
      # Neither a loader nor a library of the machine's.
      if readelf --wide --program-headers --dynamic "$binary" | grep -E 'INTERP|NEEDED'; then
        echo "build-binaries.sh: $binary is not static, see the lines above" >&2
        exit 1
      fi
      ;;
  esac
  "$binary" --version
done

# On PyPI they are one download, in which each is deflated. Of its 15 MB, man pages,
# completions and licences take 0.2.
if [ "$profile" = dist ]; then
  size=$(for action in "$@"; do gzip --best --stdout "$folder/$action-$target$extension"; done | wc -c | tr -d ' ')
  echo "compressed: $size bytes"
  if [ "$size" -gt 14800000 ]; then
    echo "build-binaries.sh: the programs have $size bytes compressed, expected at most 14800000" >&2
    echo "hint: see docs/decisions/0040-small-programs.md" >&2
    exit 1
  fi
fi
