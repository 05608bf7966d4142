#!/usr/bin/env bash
# propose.sh PATCH [BRANCH TITLE BODY]: proposes the patch as a pull request from the
# branch (`renew` by default), and starts the tests for it. An open proposal is
# replaced, a closed or merged one is followed by a new one.
set -euo pipefail
[ $# -eq 1 ] || [ $# -eq 4 ] || { echo "usage: propose.sh PATCH [BRANCH TITLE BODY]" >&2; exit 2; }
branch=${2:-renew} title=${3:-Renew the pins} body=${4:-Found by the weekly run.}

git switch --create "$branch"
git apply --index "$1"
git -c user.name='github-actions[bot]' \
  -c user.email='41898282+github-actions[bot]@users.noreply.github.com' \
  commit --quiet --message "$title"
gh auth setup-git
git push --force origin "$branch"

if [ -z "$(gh pr list --head "$branch" --state open --json number --jq '.[].number')" ]; then
  gh pr create --head "$branch" --title "$title" --body "$body" || {
    echo "::error::no pull request for the branch $branch, which is pushed%0Ahint: allow it under Settings, Actions, General, \"Allow GitHub Actions to create and approve pull requests\"; see docs/releasing.md"
    exit 1
  }
fi
# What a job's token does starts no workflow, but by this event.
gh workflow run test.yml --ref "$branch"
