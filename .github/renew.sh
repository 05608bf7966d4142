#!/usr/bin/env bash
# renew.sh: updates all pins: the flake's inputs, each Cargo.lock that scan.sh audits, the
# requirements of tests and releases, the stand-ins' packages, the policy data that
# pydist takes from pinned packages, and the versions of Nix that have security
# advisories (by `gh`, with GH_TOKEN).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

nix flake update
git ls-files '*Cargo.lock' | grep -v '^tests/' | while read -r lock; do
  cargo update --manifest-path "${lock%.lock}.toml"
done

# Still with the old pins: this creates the environment that contains uv.
cargo xtask gen --policies
tools="${CARGO_TARGET_DIR:-target}/tools"
for list in xtask/requirements/*.in; do
  "$tools/test/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.10 \
    --generate-hashes --no-header --output-file "${list%.in}.txt" "$list" >/dev/null
done
cargo xtask gen --policies

(cd tests/act/stand-ins && npm update --package-lock-only --quiet)

gh api --paginate repos/NixOS/nix/security-advisories |
  "$tools/test/bin/python" xtask/scripts/nix_advisories.py actions/setup-nix/data/nix-advisories.json
