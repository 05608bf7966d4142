"""Import the modules of a wheel, and print the result of each import.

It runs on Python 3.6 and newer. The standard input is a JSON object: the wheel's
`distribution`, its top-level `modules`, its `extensions` ([path below
site-packages, is known to be a module]), whether it has `entry_points`, whether
it `requires` distributions that may be missing, and the `site` directory, if it
is not the interpreter's own.
Each line of output is a mark and a JSON list: kind, name, outcome, reason. `start`
precedes each import, so that the name is known after a crash; `end` follows the last
result, since a module may end Python with the exit code 0.
"""

import importlib
import importlib.machinery
import json
import os
import sys
import sysconfig
import traceback

try:
    from importlib import metadata
except ImportError:
    metadata = None  # before Python 3.8

task = json.loads(sys.stdin.buffer.read().decode("utf-8"))
own = set(task["modules"])
if task["site"]:
    sys.path.insert(0, task["site"])
# Redirect the output of the modules.
out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def report(kind, name, outcome, reason=""):
    out.write("build-wheel-check:" + json.dumps([kind, name, outcome, reason]) + "\n")
    out.flush()


def missing(error):
    """Name the module of another distribution that is not installed."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            top = error.name.partition(".")[0]
            if top not in own:
                return top
        error = error.__cause__ or error.__context__
    return None


def judge(kind, name, error, optional=False):
    absent = missing(error)
    if absent and (task["requires"] or optional):
        report(kind, name, "not run", f"`{absent}` is not installed")
    else:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        report(kind, name, "failed", "".join(lines).strip())


def load(path, error, is_module):
    """Load a library as the dynamic loader does."""
    try:
        # A small build of Python may lack it.
        import ctypes
    except ImportError as failure:
        if error is None:
            return "not run", f"this Python has no ctypes: {failure}"
        return "failed", f"{error}"
    try:
        # Windows has no such modes.
        mode = getattr(os, "RTLD_NOW" if is_module else "RTLD_LAZY", 0)
        ctypes.CDLL(path, mode=mode)
    except OSError as failure:
        # A plugin uses symbols of the program that loads it.
        if not is_module and "undefined symbol" in str(failure):
            return "not run", str(failure)
        return "failed", f"{failure}" if error is None else f"{error}; {failure}"
    return "ok", "loaded"


def module_name(path):
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        if path.endswith(suffix) and all(
            part.isidentifier() for part in path[: -len(suffix)].split("/")
        ):
            return path[: -len(suffix)].replace("/", ".")
    return None


def check_extension(site, path, is_module):
    full = os.path.normpath(os.path.join(site, path))
    name = module_name(path)
    file = os.path.basename(path)
    if name is None:
        if any(mark in file for mark in (".cpython-", ".pypy", ".cp3")):
            return report("load", path, "not run", "it is for another Python")
        return report("load", path, *load(full, None, is_module))
    error = None
    report("start", name, "")
    try:
        importlib.import_module(name)
    except BaseException as failure:
        error = failure
    if error is None:
        return report("import", name, "ok")
    # The module itself, or a library that it needs.
    own = isinstance(error, ImportError) and getattr(error, "path", None) == full
    if own and (is_module or "does not define module export function" not in str(error)):
        return report("import", name, "failed", str(error))
    outcome, reason = load(full, error, is_module)
    return report("load", path, outcome, reason if outcome != "ok" else "loaded")


for name in task["modules"]:
    report("start", name, "")
    try:
        importlib.import_module(name)
        report("import", name, "ok")
    except BaseException as error:
        judge("import", name, error)

paths = (
    dict.fromkeys(("platlib", "purelib"), task["site"]) if task["site"] else sysconfig.get_paths()
)
for path, is_module in task["extensions"]:
    report("start", path, "")
    site = next(
        (
            paths[key]
            for key in ("platlib", "purelib")
            if os.path.exists(os.path.join(paths[key], path))
        ),
        None,
    )
    if site is None:
        report("load", path, "failed", "it was not installed")
    else:
        check_extension(site, path, is_module)

if task["entry_points"] and metadata is None:
    report("entry point", "entry_points.txt", "not run", "this Python has no importlib.metadata")
elif task["entry_points"]:
    for entry in metadata.distribution(task["distribution"]).entry_points:
        name = f"{entry.group}: {entry.name}"
        report("start", name, "")
        if entry.extras:
            report("entry point", name, "not run", f"it needs the extra `{entry.extras[0]}`")
            continue
        try:
            entry.load()
            report("entry point", name, "ok")
        except BaseException as error:
            # The program that loads a plugin need not be installed.
            judge(
                "entry point",
                name,
                error,
                optional=entry.group not in ("console_scripts", "gui_scripts"),
            )

report("end", "", "")
