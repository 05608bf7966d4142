#!/usr/bin/env bash
# scan.sh dependencies|workflows|support [DATE]: fails on known vulnerabilities and on
# pins that are no longer supported.
# dependencies: RustSec's advisories for each Cargo.lock, PyPI's for the pinned
# requirements. workflows: zizmor with its online audits, which compare each pin
# with its repository (needs GH_TOKEN). support: pins that are no longer supported on
# DATE (today by default).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# FILE TEXT DATE: a pin, its file, and the last day of its support.
ends="flake.nix nixpkgs-26.05-darwin 2026-12-31
tests/consumers/bin-wheel/flake.nix nixpkgs-26.05-darwin 2026-12-31
.github/workflows/actions-release.yml macos-15-intel 2027-08-31"

support() {
  local file text end late=0
  while read -r file text end; do
    if grep -qF "$text" "$file" && [[ $1 > $end ]]; then
      echo "::error file=$file::support of \`$text\` ended on $end%0Ahint: replace it in $file, or remove it and the jobs that need it"
      late=1
    fi
  done <<<"$ends"
  return "$late"
}

if [ "${1-}" = support ]; then
  support "${2:-$(date -u +%F)}"
  exit
fi

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --require-hashes --only-binary=:all: -r xtask/requirements/scan.txt

case "${1-}" in
  dependencies)
    cargo install --quiet --locked cargo-audit@0.22.2
    git ls-files '*Cargo.lock' | grep -v '^tests/' | while read -r lock; do
      echo "== $lock"
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
    echo "usage: scan.sh dependencies|workflows|support [DATE]" >&2
    exit 2
    ;;
esac
