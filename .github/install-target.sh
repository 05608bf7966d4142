#!/usr/bin/env bash
# install-target.sh TARGET: installs the standard library of a Rust target, and musl's
# compiler if the target needs it, unless they are already installed.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: install-target.sh TARGET" >&2; exit 2; }

[ -d "$("${RUSTC:-rustc}" --print target-libdir --target "$1")" ] || rustup target add "$1"
case "$1" in
  *-linux-musl)
    command -v musl-gcc >/dev/null || {
      sudo apt-get update
      sudo apt-get install --yes musl-tools
    }
    ;;
esac
