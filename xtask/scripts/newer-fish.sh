#!/usr/bin/env bash
# newer-fish.sh DIRECTORY: the fish of Debian 13 (fish 4) in DIRECTORY/bin, started
# with its own libraries. Nothing is installed on the machine.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: newer-fish.sh DIRECTORY" >&2; exit 2; }
directory=$1
# shellcheck source=xtask/scripts/trixie.sh
source "$(dirname "${BASH_SOURCE[0]}")/trixie.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trixie fish "$work/root"

mkdir -p "$work/bin"
cat >"$work/bin/fish" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)/root
libraries=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
exec "$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --argv0 fish \
  --library-path "$libraries" "$root/usr/bin/fish" "$@"
WRAPPER
chmod 755 "$work/bin/fish"
rm -rf "$directory"
mkdir -p "$directory"
mv "$work/bin" "$work/root" "$directory"
"$directory/bin/fish" --version
