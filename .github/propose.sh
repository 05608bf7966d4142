#!/usr/bin/env bash
# propose.sh PATCH [BRANCH TITLE BODY]: opens a pull request with the patch from the
# branch (`renew` by default), and starts the tests for it. An open pull request is
# updated; after a closed or merged one, a new one is opened.
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
    echo "::error::cannot create a pull request for the branch \`$branch\`, which is pushed%0Ahint: under Settings, Actions, General, enable \"Allow GitHub Actions to create and approve pull requests\"; see docs/releasing.md"
    exit 1
  }
fi
# Actions of a job's token start no workflow, except through this event.
gh workflow run test.yml --ref "$branch"
