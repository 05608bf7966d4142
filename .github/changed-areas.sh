#!/usr/bin/env bash
# changed-areas.sh BASE: prints AREA=true or AREA=false for each area of the
# repository that a workflow's jobs depend on, depending on whether it differs
# between the commit BASE and HEAD. Without such a commit (a new branch, a first
# or manual run), everything counts as changed.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: changed-areas.sh BASE" >&2; exit 2; }

# AREA PATHSPEC…: the files that the area's jobs read. Common files are in each area.
area() {
  local name=$1 changed=true
  shift
  if git cat-file -e "$base^{commit}" 2>/dev/null &&
    git diff --quiet "$base" HEAD -- .github/workflows/test.yml "$@"; then
    changed=false
  fi
  echo "$name=$changed"
}

base=$1
# Everything but prose.
area code . ':!docs' ':!*.md'
# The files that the tests of the documents read in addition to code.
area prose docs '*.md'
# Both packages, and the files with which Nix builds and tests them.
area packages htty htty-core nix flake.nix flake.lock Cargo.lock Cargo.toml steps.sh \
  tests/env_tests tests/lib_tests actions/setup-nix actions/launch.sh crates/toolkit
# The files that affect benchmarks.
area measured actions crates htty htty-core Cargo.lock Cargo.toml
# Pins and permissions.
area pins '*Cargo.lock' ':!tests' xtask/requirements tests/act/stand-ins .github actions
