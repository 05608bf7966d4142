#!/usr/bin/env bash
# test-windows.sh [OPTION…]: the Rust tests that run on Windows, without tools; the
# options go to `cargo test`. setup-nix, squashfs and xtask are for Unix.
set -euo pipefail
cargo test --locked --workspace --exclude setup-nix --exclude squashfs --exclude xtask --lib "$@"
