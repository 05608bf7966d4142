#!/usr/bin/env bash
# stand-ins.sh DIRECTORY: bundles the actions in tests/act/stand-ins, which replace
# GitHub's own in tests, into DIRECTORY with the pinned npm packages.
# @actions/artifact stays at 6.1.0, with an Azure client of the same date: act 0.2.89
# rejects a field that 6.2 sends, and newer clients remove the padding from act's
# signature.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: stand-ins.sh DIRECTORY" >&2; exit 2; }
directory=$1
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../tests/act/stand-ins" && pwd)

expected=$(cd "$source" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
[ "$(cat "$directory/stamp" 2>/dev/null)" != "$expected" ] || exit 0

rm -rf "$directory"
mkdir -p "$directory"
cp -a "$source/." "$directory"
cd "$directory"
npm ci --quiet >&2
for program in */*.mjs; do
  # Parts of the bundled libraries still call `require`.
  npx --no esbuild "$program" --bundle --platform=node --format=esm --keep-names --log-level=warning \
    --banner:js='import { createRequire as requireFor } from "node:module"; const require = requireFor(import.meta.url);' \
    --outfile="$(dirname "$program")/dist/$(basename "$program")"
done
rm -rf node_modules
printf '%s' "$expected" >stamp
