#!/usr/bin/env bash
# build-binaries.sh TARGET DIRECTORY [ACTION…]: builds the actions' released binaries
# for a Rust target as DIRECTORY/ACTION-TARGET (with `.exe` for Windows), and starts
# each. A binary for musl must be static, so that it runs on any distribution. A binary
# for Windows must not need Visual Studio's runtime. setup-nix is not built for Windows.
# BINARIES_PROFILE sets cargo's profile; the default is `dist`.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: build-binaries.sh TARGET DIRECTORY [ACTION…]" >&2; exit 2; }
target=$1
directory=$2
profile=${BINARIES_PROFILE:-dist}
shift 2
extension=""
case "$target" in
  *-windows-*)
    extension=.exe
    [ $# -gt 0 ] || set -- build-wheel verify-dist publish
    # Use the prebuilt objects in AWS-LC's crate: the runners have no assembler for it.
    export AWS_LC_SYS_PREBUILT_NASM=1
    ;;
esac
[ $# -gt 0 ] || set -- setup-nix build-wheel verify-dist publish

mkdir -p "$directory"

# Packed relative relocations take 13 KB instead of 1 MB, which each start would read and
# keep in memory. musl supports them since 1.2.4, the version in Rust. Debian 12's musl is
# older: programs linked with it would crash at startup.
packed=(-C "link-arg=-Wl,-z,pack-relative-relocs")
starts_packed() {
  echo 'fn main() {}' >"$directory/probe.rs"
  "${RUSTC:-rustc}" --target "$target" "${packed[@]}" -o "$directory/probe" "$directory/probe.rs" && "$directory/probe"
}
flags=()
case "$target" in
  *-musl)
    # A panic aborts, so the tables for unwinding are not needed.
    if [ "$profile" = dist ]; then flags+=(-C force-unwind-tables=no); fi
    if (starts_packed) 2>/dev/null; then flags+=("${packed[@]}"); fi
    ;;
  *-windows-msvc) flags+=(-C target-feature=+crt-static) ;;
esac
rm -f "$directory"/probe*
export "CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUSTFLAGS=${flags[*]-}"

# Build with --workspace: otherwise, each action would enable other features of the
# dependencies, which would then be compiled again for each.
for action in "$@"; do
  cargo build --profile "$profile" --locked --workspace --bin "$action" --target "$target"
  binary="$directory/$action-$target$extension"
  cp "${CARGO_TARGET_DIR:-target}/$target/$profile/$action$extension" "$binary"
  case "$target" in
    *-musl)
      # The unwinding tables of the standard library and of C are a twelfth of the
      # compressed program.
      if [ "$profile" = dist ]; then
        objcopy --remove-section .eh_frame --remove-section .eh_frame_hdr \
          --remove-section .gcc_except_table "$binary"
      fi
      # The binary must need neither a loader nor libraries.
      if readelf --wide --program-headers --dynamic "$binary" | grep -E 'INTERP|NEEDED'; then
        echo "build-binaries.sh: $binary is not static, see the lines above" >&2
        exit 1
      fi
      ;;
  esac
  "$binary" --version
done

# On PyPI they are one download of deflated files. Its limit is 15 MB, of which man pages,
# completions and licences take 0.2 MB.
if [ "$profile" = dist ]; then
  size=$(for action in "$@"; do gzip --best --stdout "$directory/$action-$target$extension"; done | wc -c | tr -d ' ')
  echo "compressed: $size bytes"
  if [ "$size" -gt 14800000 ]; then
    echo "build-binaries.sh: the programs have $size bytes compressed, expected at most 14800000" >&2
    echo "hint: see docs/decisions/0040-small-programs.md" >&2
    exit 1
  fi
fi
