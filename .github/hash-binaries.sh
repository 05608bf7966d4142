#!/usr/bin/env bash
# hash-binaries.sh TARGET FOLDER: prints TARGET={"ACTION": "SHA-256", …} for the
# binaries FOLDER/ACTION-TARGET, for Windows with `.exe`: a job's output, which no artifact can change.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: hash-binaries.sh TARGET FOLDER" >&2; exit 2; }

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
