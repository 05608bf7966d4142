#!/usr/bin/env bash
# scan.sh dependencies|workflows: fails on what is known to be vulnerable.
# dependencies: RustSec's advisories for both Cargo.lock, PyPI's for the pinned
# requirements. workflows: zizmor with its online audits, which compare each pin
# with the repository that it names (needs GH_TOKEN).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --require-hashes --only-binary=:all: -r xtask/requirements/scan.txt

case "${1-}" in
  dependencies)
    cargo install --quiet --locked cargo-audit@0.22.2
    for lock in Cargo.lock htty-core/Cargo.lock; do
      cargo audit --deny warnings --file "$lock"
    done
    for list in xtask/requirements/*.txt; do
      echo "== $list"
      "$tools/bin/pip-audit" --require-hashes --disable-pip --progress-spinner off -r "$list"
    done
    ;;
  workflows)
    "$tools/bin/zizmor" --pedantic --no-progress .github actions
    ;;
  *)
    echo "usage: scan.sh dependencies|workflows" >&2
    exit 2
    ;;
esac
