#!/usr/bin/env bash
# act.sh [--artifacts DIR] EVENT [ARGUMENT…]: runs the workflows of the current directory
# with act, directly on this machine. act does not support GitHub's own actions for
# artifacts and caches: each of their pins is replaced by a stand-in that uses the same
# official library. `<owner>/<repo>/actions/…@<sha>`, and the forty zeros that
# `build-wheel init` writes, resolve to this checkout. Each artifact is unpacked into a
# directory in DIR. ARGUMENTs are passed to act. `cargo xtask setup-test-tools` installs
# act and the stand-ins.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=${XTASK_TOOLS:-${CARGO_TARGET_DIR:-$here/target}/tools}
artifacts=
if [ "${1-}" = --artifacts ] && [ $# -ge 2 ]; then
  artifacts=$2
  shift 2
fi
[ $# -ge 1 ] || { echo "usage: act.sh [--artifacts DIR] EVENT [ARGUMENT…], such as act.sh push -W .github/workflows/release.yml" >&2; exit 2; }
[ -x "$tools/test/bin/act" ] || {
  echo "act.sh: act is not in $tools" >&2
  echo "hint: run \`cargo xtask setup-test-tools\` in $here" >&2
  exit 2
}

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
# act's server panics when it lists the artifacts of a run without any (`overwrite`).
mkdir -p "$state/artifacts/1"
port() {
  "$tools/test/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
arguments=(
  -P ubuntu-latest=-self-hosted
  # By default, act's servers listen on the external address.
  --cache-server-addr 127.0.0.1 --cache-server-port "$(port)" --cache-server-path "$state/caches"
  --artifact-server-addr 127.0.0.1 --artifact-server-port "$(port)" --artifact-server-path "$state/artifacts"
)
# The pins of these workflows, and of the actions that they use.
pins=$(grep -rhoE 'uses: actions/[a-z-]+[a-z/-]*@[0-9a-f]{40}' .github/workflows "$here/actions" | sort -u || true)
while read -r _ pin; do
  name=${pin#actions/}
  name=${name%%[/@]*}
  if [ -n "$name" ] && [ -d "$tools/stand-ins/$name" ]; then
    arguments+=(--local-repository "actions/$name@${pin##*@}=$tools/stand-ins/$name")
  fi
done <<<"$pins"
# The placeholder in the documentation resolves to this checkout.
arguments+=(--local-repository "<owner>/<repo>@<sha>=$here")
# So do the pins of a workflow that was generated before the first release.
zeros=$(printf '0%.0s' {1..40})
repositories=$(grep -rhoE "uses: [A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/actions/[a-z-]+(/[a-z]+)?@$zeros" .github/workflows | cut -d/ -f1,2 | sort -u || true)
while read -r _ repository; do
  [ -z "$repository" ] || arguments+=(--local-repository "$repository@$zeros=$here")
done <<<"$repositories"
# act starts these actions with the node on PATH.
status=0
PATH="$tools/bin:$PATH" "$tools/test/bin/act" "$1" "${arguments[@]}" "${@:2}" || status=$?
if [ -n "$artifacts" ]; then
  for archive in "$state"/artifacts/1/*/*.zip; do
    [ -f "$archive" ] || continue
    place=$artifacts/$(basename "${archive%.zip}")
    "$tools/test/bin/python" -m zipfile --extract "$archive" "$place"
    echo "act.sh: artifact in $place"
  done
fi
exit "$status"
