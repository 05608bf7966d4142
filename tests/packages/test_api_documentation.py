"""All public items that pdoc lists have a docstring."""

import subprocess
import sys
from pathlib import Path

import pytest

MODULES = {"htty": "htty/src", "htty_core": "htty-core/python"}


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_is_documented(module: str, root: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", UNDOCUMENTED, module, *(str(root / p) for p in MODULES.values())],
        check=True,
        capture_output=True,
        text=True,
    )
    names, _, without = told.stdout.partition("\n")
    assert int(names) > 5, "the public names are not seen"
    assert without == ""


UNDOCUMENTED = """
import sys
sys.path[:0] = sys.argv[2:]
import importlib
import pdoc.doc
seen, without = 0, []
def visit(item):
    global seen
    for member in item.members.values():
        if member.name.startswith("_") or not member.taken_from[0].startswith("htty"):
            continue
        seen += 1
        # Members of enumerations and fields need no docstring.
        if member.kind != "variable" and not member.docstring:
            without.append(member.fullname)
        if member.kind == "class":
            visit(member)
visit(pdoc.doc.Module(importlib.import_module(sys.argv[1])))
print(seen)
print(*without, sep="\\n", end="")
"""
