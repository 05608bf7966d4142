"""last_success.py WORKFLOW BRANCH: prints the newest commit that the workflow has passed on.

Only a commit before HEAD counts, because a commit of a rewritten branch cannot be
compared. Prints nothing if there is none, or if GitHub does not answer; everything
then counts as changed.
"""

import subprocess
import sys
from typing import Any

from github_api import ApiError, GitHub

PAGES = 5


def is_before_head(commit: str) -> bool:
    git = ["git", "-c", "safe.directory=*"]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    if commit == head.stdout.strip():
        # A rerun of a passed run tests everything again.
        return False
    known = subprocess.run(
        [*git, "merge-base", "--is-ancestor", commit, "HEAD"], stderr=subprocess.DEVNULL
    )
    return known.returncode == 0


def last_success(github: GitHub, workflow: str, branch: str) -> str:
    for page in range(1, PAGES + 1):
        query = f"branch={branch}&event=push&status=success&per_page=100&page={page}"
        answer = github.get(f"actions/workflows/{workflow}/runs?{query}")
        runs: list[dict[str, Any]] = answer["workflow_runs"] if answer else []
        for run in runs:
            if is_before_head(run["head_sha"]):
                return run["head_sha"]
        if len(runs) < 100:
            break
    return ""


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: last_success.py WORKFLOW BRANCH")
    try:
        print(last_success(GitHub(), sys.argv[1], sys.argv[2]))
    except ApiError as error:
        print(f"::warning::everything counts as changed: {error}", file=sys.stderr)
