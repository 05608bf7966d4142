#!/usr/bin/env bash
# deploy-book.sh BOOK VERSION: commits the directory BOOK as VERSION to the branch
# `pages` of `origin`, beside the existing versions, and pushes it. The site's start
# page is the newest release, or `main` until there is one.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: deploy-book.sh BOOK VERSION" >&2; exit 2; }
book=$(cd "$1" && pwd)
version=$2
[[ "$version" =~ ^(main|v[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.-]*)$ ]] || {
  echo "deploy-book.sh: \`$version\` is not a version: expected \`main\` or \`v1.2.3\`" >&2
  exit 2
}
[ -f "$book/index.html" ] || { echo "deploy-book.sh: \`$book\` has no index.html" >&2; exit 2; }

site=$(mktemp -d)
trap 'git worktree remove --force "$site"' EXIT
if git fetch --quiet --depth 1 origin pages; then
  git worktree add --quiet --detach "$site" FETCH_HEAD
else
  git worktree add --quiet --detach --no-checkout "$site"
  git -C "$site" switch --quiet --orphan pages-new
fi
rm -rf "${site:?}/$version"
cp -R "$book" "$site/$version"
cd "$site"
# main first, then the newest release.
versions=$(for name in main v*; do [ ! -d "$name" ] || echo "$name"; done)
releases=$(grep '^v' <<<"$versions" | sort --reverse --version-sort || true)
first=${releases%%$'\n'*}
list=$(printf '%s\n' "$versions" | grep -x main || true)
{
  printf '['
  printf '%s\n' "$list" "$releases" | sed '/^$/d; s/.*/"&"/' | paste -sd , - | tr -d '\n'
  printf ']\n'
} >versions.json
cat >index.html <<END
<!doctype html>
<meta charset="utf-8">
<title>Documentation</title>
<meta http-equiv="refresh" content="0; url=${first:-main}/">
<a href="${first:-main}/">Documentation</a>
END
# Without this file, GitHub would run Jekyll, which omits some files.
touch .nojekyll
git add --all
if git diff --cached --quiet; then
  echo "nothing changed"
  exit
fi
git -c user.name='github-actions[bot]' \
  -c user.email='41898282+github-actions[bot]@users.noreply.github.com' \
  commit --quiet --message "Deploy the book of $version"
git push --quiet origin HEAD:refs/heads/pages
