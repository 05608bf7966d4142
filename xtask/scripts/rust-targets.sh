#!/usr/bin/env bash
# rust-targets.sh FOLDER: a toolchain of rustup in FOLDER, of the version that is
# installed here, with the standard libraries of the targets that build-wheel's tests
# build for and that rust-cross.sh does not make. The user's own toolchains stay as they are.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: rust-targets.sh FOLDER" >&2; exit 2; }
folder=$1
! cmp --silent "$0" "$folder/made-by.sh" || exit 0
command -v rustup >/dev/null || { echo "rustup is missing: install it from https://rustup.rs" >&2; exit 1; }

targets=(i686-unknown-linux-gnu armv7-unknown-linux-gnueabihf s390x-unknown-linux-gnu
  x86_64-apple-darwin aarch64-apple-darwin)
version=$(rustc --version | cut -d ' ' -f 2)
mkdir -p "$folder"
RUSTUP_HOME=$(cd "$folder" && pwd)
export RUSTUP_HOME
rustup toolchain install "$version" --no-self-update --profile minimal \
  "${targets[@]/#/--target=}"
cp "$0" "$folder/made-by.sh"
