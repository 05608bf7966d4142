#!/usr/bin/env bash
# test-windows.sh [OPTION…]: runs the Rust tests that work on Windows and need no tools.
# The options are passed to `cargo test`. setup-nix, squashfs and xtask need Unix.
set -euo pipefail
cargo test --locked --workspace --exclude setup-nix --exclude squashfs --exclude xtask --lib --no-fail-fast "$@"
