"""Write pydist's policy data from the pinned packages that contain it.

Each file names its source, with its version. Run by ``cargo xtask gen``
with ``--policies``, inside the test tools' environment, so that the versions are those of
``xtask/requirements/test.txt``.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any


def write(directory: Path, name: str, content: dict[str, Any]) -> None:
    path = directory / name
    old: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # The date is that of the last change, so that running twice changes nothing.
    kept = old.pop("date", None)
    content["date"] = kept if kept and old == content else date.today().isoformat()
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    # One line for each innermost list or object keeps diffs short and files small.
    text = re.sub(
        r"[\[{][^\[\]{}]*[\]}]", lambda match: re.sub(r"\s*\n\s*", " ", match.group(0)), text
    )
    path.write_text(text + "\n", encoding="utf-8")


def linux(directory: Path) -> None:
    package = Path(str(importlib.import_module("auditwheel").__file__)).parent
    policies: list[dict[str, Any]] = []
    for family in ("manylinux", "musllinux"):
        file = package / "policy" / f"{family}-policy.json"
        for policy in json.loads(file.read_text(encoding="utf-8")):
            parts = re.fullmatch(rf"{family}_(\d+)_(\d+)", policy["name"])
            if parts is None:
                continue
            policies.append(
                {
                    "family": family,
                    "version": [int(parts[1]), int(parts[2])],
                    "symbol_versions": policy["symbol_versions"],
                    "libraries": sorted(policy["lib_whitelist"]),
                    "forbidden_symbols": policy["blacklist"],
                }
            )
    write(
        directory,
        "linux.json",
        {"source": f"auditwheel {version('auditwheel')}, auditwheel/policy", "policies": policies},
    )


def stable_abi(directory: Path) -> None:
    info = importlib.import_module("abi3info")
    symbols: dict[str, list[int]] = {}
    for table in (info.FUNCTIONS, info.DATAS):
        for symbol, item in table.items():
            symbols[symbol.name] = [item.added.major, item.added.minor]
    write(
        directory,
        "stable_abi.json",
        {
            "source": f"abi3info {version('abi3info')}, from CPython's stable_abi.toml",
            "symbols": symbols,
        },
    )


def classifiers(directory: Path) -> None:
    trove = importlib.import_module("trove_classifiers")
    write(
        directory,
        "classifiers.json",
        {
            "source": f"trove-classifiers {version('trove-classifiers')}",
            "valid": trove.sorted_classifiers,
            "deprecated": trove.deprecated_classifiers,
        },
    )


def main() -> None:
    directory = Path(sys.argv[1])
    linux(directory)
    stable_abi(directory)
    classifiers(directory)


if __name__ == "__main__":
    main()
