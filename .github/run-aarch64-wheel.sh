#!/usr/bin/env bash
# run-aarch64-wheel.sh WHEEL: installs htty-core's wheel for aarch64 Linux and
# starts its program; on another machine, where a workflow is tried out, under
# QEMU's emulation.
set -euo pipefail
[ $# -eq 1 ] && [ -f "$1" ] || { echo "usage: run-aarch64-wheel.sh WHEEL (one file), not: $*" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

machine=$(uname -m)
if [ "$machine" = aarch64 ]; then
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet --no-index --no-deps "$1"
  "$folder/venv/bin/ht" --version
  "$folder/venv/bin/python" -c 'import htty_core; print(htty_core.find_ht_binary())'
else
  echo "::warning::this machine is $machine, not aarch64: the wheel runs under QEMU"
  python3 -m zipfile -e "$1" "$folder"
  program=$(find "$folder" -path '*/scripts/ht')
  chmod 755 "$program"
  qemu-aarch64-static -L /usr/aarch64-linux-gnu "$program" --version
fi
