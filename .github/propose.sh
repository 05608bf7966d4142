#!/usr/bin/env bash
# propose.sh PATCH: proposes the patch as a pull request from the branch `renew`,
# and starts the tests for it. An open proposal is replaced, a closed or merged
# one is followed by a new one.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: propose.sh PATCH" >&2; exit 2; }

git switch --create renew
git apply --index "$1"
git -c user.name='github-actions[bot]' \
  -c user.email='41898282+github-actions[bot]@users.noreply.github.com' \
  commit --quiet --message "Renew the pins"
gh auth setup-git
git push --force origin renew

if [ -z "$(gh pr list --head renew --state open --json number --jq '.[].number')" ]; then
  gh pr create --head renew --title "Renew the pins" --body "Found by the weekly run." || {
    echo "::error::no pull request for the branch renew, which is pushed%0Ahint: allow it under Settings, Actions, General, \"Allow GitHub Actions to create and approve pull requests\"; see docs/releasing.md"
    exit 1
  }
fi
# What a job's token does starts no workflow, but by this event.
gh workflow run test.yml --ref renew
