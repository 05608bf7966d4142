#!/usr/bin/env bash
# ./steps.sh [STEP…]: runs the steps of continuous integration that use Nix, in order;
# without arguments, all steps. The run stops at the first step that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

steps=(
  nix-analysis rust-analysis python-analysis generic-analysis
  cargo-test
  pytest-empty pytest-core pytest-wheel pytest-sdist pytest-htty pytest-cli
  python-docs
)

step() {
  case "$1" in
    *-analysis | python-docs) nix run ".#$1" ;;
    cargo-test)
      for manifest in Cargo.toml htty-core/Cargo.toml; do
        nix develop .#default --command cargo test --manifest-path "$manifest" --workspace --locked
      done
      ;;
    pytest-core) nix develop .#pytest-core --command pytest tests/lib_tests ;;
    pytest-*) nix develop ".#$1" --command pytest -m "${1#pytest-}" tests/env_tests ;;
  esac
}

[ $# -gt 0 ] || set -- "${steps[@]}"
for name in "$@"; do
  [[ " ${steps[*]} " == *" $name "* ]] || {
    printf 'steps.sh: unknown step %s; expected one of: %s\n' "$name" "${steps[*]}" >&2
    exit 2
  }
done
command -v nix >/dev/null || {
  echo "steps.sh: Nix is not on PATH" >&2
  echo "hint: install Nix, or run \`cargo xtask test\`, which does not need it" >&2
  exit 2
}
for name in "$@"; do
  printf '\n== %s\n' "$name"
  step "$name"
done
