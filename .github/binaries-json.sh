#!/usr/bin/env bash
# binaries-json.sh FOLDER URL VERSION: prints actions/binaries.json for the
# released files ACTION-TARGET in FOLDER, to be downloaded from URL/ACTION-TARGET.
# One entry is one line: actions/launch.sh reads it so.
set -euo pipefail

actions=(setup-nix build-wheel verify-dist publish)
targets=(
  aarch64-apple-darwin aarch64-unknown-linux-musl
  x86_64-apple-darwin x86_64-unknown-linux-musl
)
[ $# -eq 3 ] || { echo "usage: binaries-json.sh FOLDER URL VERSION" >&2; exit 2; }

entries=()
for action in "${actions[@]}"; do
  for target in "${targets[@]}"; do
    file="$1/$action-$target"
    [ -s "$file" ] || { echo "binaries-json.sh: $file is not there: a platform's build is missing" >&2; exit 1; }
    sha256=$(sha256sum <"$file" | cut -d ' ' -f 1)
    entries+=("    \"$action $target\": {\"url\": \"$2/$action-$target\", \"sha256\": \"$sha256\"}")
  done
done
printf '{\n  "schema": 1,\n  "version": "%s",\n  "binaries": {\n' "$3"
printf '%s,\n' "${entries[@]:0:${#entries[@]}-1}"
printf '%s\n  }\n}\n' "${entries[-1]}"
