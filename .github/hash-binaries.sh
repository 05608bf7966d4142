#!/usr/bin/env bash
# hash-binaries.sh TARGET DIRECTORY: prints TARGET={"ACTION": "SHA-256", …} for the
# binaries DIRECTORY/ACTION-TARGET (with `.exe` for Windows). The result is a job output,
# which no artifact can change.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: hash-binaries.sh TARGET DIRECTORY" >&2; exit 2; }

hash() {
  if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}
extension=""
case "$1" in *-windows-*) extension=.exe ;; esac
separator=""
printf '%s={' "$1"
for file in "$2"/*-"$1$extension"; do
  action=${file##*/}
  printf '%s"%s": "%s"' "$separator" "${action%"-$1$extension"}" "$(hash "$file")"
  separator=", "
done
printf '}\n'
