"""Import the modules of a wheel, and print the result of each import.

It runs on Python 3.6 and newer. The standard input is a JSON object: the wheel's
`distribution`, its top-level `modules`, the modules and packages that are its `own`,
its `extensions` ([root, path below the root, is known to be a module]; a root is
`site` or `data`), the file names of its `libraries`, the `external` libraries that
it expects on the user's machine, whether it has `entry_points`, whether it `requires`
distributions that may be missing, and the `site` and `data` directories, if they are
not the interpreter's own.
Each line of output is a mark and a JSON list: kind, name, outcome, reason. `start`
precedes each import, so that the name is known after a crash; `end` follows the last
result, since a module may end Python with the exit code 0.
"""

import importlib
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import sysconfig
import traceback

try:
    from importlib import metadata
except ImportError:
    metadata = None  # before Python 3.8

task = json.loads(sys.stdin.buffer.read().decode("utf-8"))
if task["site"]:
    sys.path.insert(0, task["site"])
# Redirect the output of the modules.
out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

# How glibc, musl and dyld name a library that they do not find.
MISSING_LIBRARY = re.compile(
    r"(\S+): cannot open shared object file"
    r"|Error loading shared library ([^\s:]+): No such file"
    r"|Library not loaded: (\S+)"
)


def report(kind, name, outcome, reason=""):
    out.write("build-wheel-check:" + json.dumps([kind, name, outcome, reason]) + "\n")
    out.flush()


def is_own(module):
    # A parent of an own package, too: without it, nothing is installed there.
    return any(
        (module + ".").startswith(own + ".") or own.startswith(module + ".") for own in task["own"]
    )


def causes(error):
    """Yield the error and its causes.

    A context is only what the module has already handled, unless it has turned an error of an
    import into another one, or into its end.
    """
    while error is not None:
        yield error
        is_turned = isinstance(error, (ImportError, SystemExit))
        context = error.__context__ if is_turned else None
        error = error.__cause__ or context


# How modules name what they lack in an error of their own. The second one is numpy's, for
# extensions that call `import_array`.
MISSING_MODULE = re.compile(r"No module named '([\w.]+)'|([A-Za-z_]\w*(?:\.\w+)*) failed to import")


def missing(error):
    """Name the module of another distribution that is not installed."""
    for cause in causes(error):
        if not isinstance(cause, ImportError):
            continue
        names = [cause.name] if isinstance(cause, ModuleNotFoundError) and cause.name else []
        if not names:
            mentioned = [first or second for first, second in MISSING_MODULE.findall(str(cause))]
            names = [name for name in mentioned if not is_installed(name)]
        for name in names:
            if not is_own(name):
                # Of a namespace package, a part may be installed.
                parts = name.split(".")
                prefixes = (".".join(parts[: n + 1]) for n in range(len(parts)))
                return next(prefix for prefix in prefixes if not is_own(prefix))
    return None


def is_installed(module):
    """Whether the outermost package of a module that only a text names is installed."""
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except Exception:  # a package may replace its spec
        return True


def missing_library(error):
    """Name the library that the user's machine or another distribution provides."""
    for cause in causes(error):
        is_loaders = isinstance(cause, (ImportError, OSError))
        found = MISSING_LIBRARY.search(str(cause)) if is_loaders else None
        if found:
            path = next(filter(None, found.groups()))
            library = os.path.basename(path)
            if path in task["external"] or library in task["external"]:
                return library
            if task["requires"] and library not in task["libraries"]:
                return library
    return None


def judge(kind, name, error, optional=False):
    absent = missing(error)
    library = missing_library(error)
    if absent and (task["requires"] or optional):
        report(kind, name, "not run", f"`{absent}` is not installed")
    elif library:
        report(kind, name, "not run", f"the library `{library}` is not installed")
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
        library = ctypes.CDLL(path, mode=mode)
    except OSError as failure:
        absent = missing_library(failure)
        if absent:
            return "not run", f"the library `{absent}` is not installed"
        # A plugin uses symbols of the program that loads it.
        if not is_module and "undefined symbol" in str(failure):
            return "not run", str(failure)
        return "failed", f"{failure}" if error is None else f"{error}; {failure}"
    # A module whose symbols were not read before: its import has failed.
    stem = os.path.basename(path).partition(".")[0]
    if error is not None and not is_module and hasattr(library, "PyInit_" + stem):
        return "failed", f"{type(error).__name__}: {error}"
    return "ok", "loaded"


def module_name(path):
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        if path.endswith(suffix) and all(
            part.isidentifier() for part in path[: -len(suffix)].split("/")
        ):
            return path[: -len(suffix)].replace("/", ".")
    return None


def origin(name):
    """The file that a module was imported from."""
    try:
        return os.path.realpath(sys.modules[name].__spec__.origin)
    except Exception:  # a package may replace its modules by any object
        return None


def check_extension(full, path, name, is_module):
    if name is None:
        file = os.path.basename(path)
        if any(mark in file for mark in (".cpython-", ".pypy", ".cp3")):
            return report("load", path, "not run", "it is for another Python")
        return report("load", path, *load(full, None, is_module))
    packages = parent_packages(path)
    outermost = packages.index(True) if True in packages else len(packages)
    if not all(packages[outermost:]):
        # Code in a package's directory that is no package is imported in some other way, for
        # which a module that is imported by this name may be in the way.
        return report("load", path, *load(full, None, is_module))
    error = None
    report("start", name, "")
    try:
        importlib.import_module(name)
    except BaseException as failure:
        error = failure
    if error is None:
        if origin(name) == os.path.realpath(full):
            return report("import", name, "ok")
        # Another file has its name, or the package has replaced the module.
        return report("load", path, *load(full, None, is_module))
    if missing(error) and task["requires"]:
        # The package cannot be imported here, but the loader's part can be checked. The errors of
        # Windows name no library, which may be one of the requirement.
        outcome, reason = load(full, None, is_module)
        if outcome == "failed" and os.name != "nt":
            return report("load", path, outcome, reason)
        return judge("import", name, error)
    if packages and True not in packages:
        return report("load", path, *load(full, None, is_module))
    if not is_module or "does not define module export function" in str(error):
        return report("load", path, *load(full, error, False))
    return judge("import", name, error)


def parent_packages(path):
    """For each directory of the path, whether it is a package with a file `__init__.py`."""
    directories = path.split("/")[:-1]
    paths = ["/".join(directories[: n + 1]) for n in range(len(directories))]
    return [
        any(os.path.exists(os.path.join(root, directory, "__init__.py")) for root in roots["site"])
        for directory in paths
    ]


def load_entry_point(entry):
    """Load it as `importlib.metadata` does, or as fsspec: `package.name` without a colon."""
    try:
        entry.load()
    except ModuleNotFoundError as error:
        module, _, name = entry.value.rpartition(".")
        if ":" in entry.value or error.name != entry.value or not module:
            raise
        if not hasattr(importlib.import_module(module), name):
            raise


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
roots = {"site": [paths["platlib"], paths["purelib"]], "data": [task["data"] or sys.prefix]}
for root, path, is_module in task["extensions"]:
    report("start", path, "")
    files = [os.path.normpath(os.path.join(directory, path)) for directory in roots[root]]
    full = next(filter(os.path.exists, files), None)
    if full is None:
        report("load", path, "failed", "it was not installed")
    else:
        name = module_name(path) if root == "site" else None
        check_extension(full, path, name, is_module)

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
            load_entry_point(entry)
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
