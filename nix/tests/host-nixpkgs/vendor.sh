# shellcheck shell=bash disable=SC2154
# vendor.sh LOCK_FILE CARGO_HOME: makes $out from `crates`, NAME-VERSION=SHA256
# each.
mkdir -p "$out"
cp "$1" "$out/Cargo.lock"
# shellcheck disable=SC2154
for crate in $crates; do
  name=${crate%=*}
  for archive in "$2"/registry/cache/*/"$name.crate"; do
    [ -f "$archive" ] || continue
    echo "${crate#*=}  $archive" | sha256sum --check --quiet
    tar -xf "$archive" -C "$out"
    printf '{"files":{},"package":"%s"}' "${crate#*=}" >"$out/$name/.cargo-checksum.json"
    break
  done
  [ -d "$out/$name" ] || { echo "$name is not in Cargo's cache: run cargo fetch" >&2; exit 1; }
done
