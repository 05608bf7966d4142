#!/usr/bin/env bash
# run-wheel.sh WHEEL [x86_64]: starts the program in one of htty-core's wheels.
# Without x86_64, the wheel is for aarch64 Linux: on such a machine it is installed;
# on other machines, where a workflow is tested, its program runs under QEMU. With
# x86_64, the wheel is for macOS on Intel, and runs under Rosetta if this Mac has it.
set -euo pipefail
[ $# -ge 1 ] && [ -f "$1" ] || { echo "usage: run-wheel.sh WHEEL [x86_64]: no file \`${1-}\`" >&2; exit 2; }
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# Unpacks the wheel and sets $program.
unpack() {
  python3 -m zipfile -e "$1" "$directory"
  program=$(find "$directory" -path '*/scripts/ht')
  chmod 755 "$program"
}

machine=$(uname -m)
if [ "${2-}" = x86_64 ]; then
  if ! arch -x86_64 /usr/bin/true; then
    echo "::warning::this Mac has no Rosetta: the wheel for Intel Macs was not started"
    exit
  fi
  unpack "$1"
  arch -x86_64 "$program" --version
elif [ "$machine" = aarch64 ]; then
  python3 -m venv "$directory/venv"
  "$directory/venv/bin/pip" install --quiet --no-index --no-deps "$1"
  "$directory/venv/bin/ht" --version
  "$directory/venv/bin/python" -c 'import htty_core; print(htty_core.find_ht_binary())'
else
  echo "::warning::this machine is $machine, not aarch64: the wheel runs under QEMU"
  unpack "$1"
  qemu-aarch64-static -L /usr/aarch64-linux-gnu "$program" --version
fi
