"""The tags that an installer accepts in given environments, by its own code.

Usage: accepted.py {pip|packaging} PATH < request.json
PATH is put first on Python's path: an unpacked pip, or its wheel; empty for what
is installed. The request: {"digest": bool, "asked": [{"os", "machine", "version",
"platforms", "python": [3, 12], "impl": "cp", "abi": "cp312"}]}. Gives each list, or
its SHA-256. Only the system's own answers are replaced; every tag is made by the
installer's code.
"""

import hashlib
import json
import os
import platform
import struct
import sys
import sysconfig
import tempfile

MACHINES = {
    "x86_64": (2, 62),
    "i686": (1, 3),
    "aarch64": (2, 183),
    "armv7l": (1, 40),
    "ppc64le": (2, 21),
    "s390x": (2, 22),
    "riscv64": (2, 243),
    "loongarch64": (2, 258),
}
DIRECTORY = tempfile.TemporaryDirectory()


def interpreter(machine, musl):
    """An ELF header, with the loader that reports the version of musl."""
    # In the byte order of this machine, which older parsers assume.
    bits, number = MACHINES[machine]
    order = "="
    loader = b""
    if musl:
        path = os.path.join(DIRECTORY.name, f"ld-musl-{machine}-{musl[0]}.{musl[1]}.so.1")
        with open(path, "w") as f:
            version = f"musl libc ({machine})\\nVersion {musl[0]}.{musl[1]}.4\\n"
            f.write(f"#!/bin/sh\nprintf '{version}' >&2\n")
        os.chmod(path, 0o755)
        loader = path.encode() + b"\0"
    ident = b"\x7fELF" + bytes([bits, 1 if sys.byteorder == "little" else 2, 1]) + bytes(9)
    flags = 0x05000400 if machine == "armv7l" else 0
    if bits == 2:
        head = struct.pack(
            order + "HHIQQQIHHHHHH", 3, number, 1, 0, 64, 0, flags, 64, 56, 1, 0, 0, 0
        )
        table = struct.pack(order + "IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1)
    else:
        head = struct.pack(
            order + "HHIIIIIHHHHHH", 3, number, 1, 0, 52, 0, flags, 52, 32, 1, 0, 0, 0
        )
        table = struct.pack(order + "IIIIIIII", 3, 84, 0, 0, len(loader), len(loader), 4, 1)
    path = os.path.join(DIRECTORY.name, f"python-{machine}")
    with open(path, "wb") as f:
        f.write(ident + head + table + loader)
    return path


def pretend(env):
    os_name, machine, version = env["os"], env["machine"], env["version"]
    system = {
        "glibc": "Linux",
        "musl": "Linux",
        "macos": "Darwin",
        "windows": "Windows",
        "pyodide": "Emscripten",
    }[os_name]
    if system == "Linux":
        name = "linux-" + machine
        sys.executable = interpreter(machine, version if os_name == "musl" else None)
    elif system == "Darwin":
        name = "macosx-11.0-" + machine
    elif system == "Windows":
        name = {"x86": "win32", "x86_64": "win-amd64", "arm64": "win-arm64"}[machine]
    else:
        name = env["platforms"][-1].replace("_", "-")
    platform.system = lambda: system
    platform.machine = lambda: machine
    platform.mac_ver = lambda: (".".join(map(str, version)), ("", "", ""), machine)
    sysconfig.get_platform = lambda: name
    try:
        import distutils.util

        distutils.util.get_platform = lambda: name
    except ImportError:
        pass

    def confstr(key):
        if os_name != "glibc":
            raise ValueError(key)
        return "glibc " + ".".join(map(str, version))

    os.confstr = confstr
    import ctypes

    class OtherLibrary:
        def __init__(self, name):
            pass

    if os_name != "glibc":
        ctypes.CDLL = OtherLibrary
    # micropip adds the name that Pyodide's tags had before PEP 783.
    first = env["platforms"][0] if env["platforms"] else ""
    abi = "_".join(first.split("_")[1:3]) if first else None
    sysconfig.get_config_var = lambda key: (
        abi if key == "PYEMSCRIPTEN_PLATFORM_VERSION" else CONFIG(key)
    )


CONFIG = sysconfig.get_config_var


def supported(version, impl, abi):
    """pip's own list; the name and the form of the function differ by version."""
    try:
        from pip._internal.utils.compatibility_tags import get_supported
    except ImportError:
        from pip._internal.pep425tags import get_supported
    try:
        return get_supported(version=version, impl=impl, abis=[abi])
    except TypeError:
        return get_supported(version=version, impl=impl, abi=abi)


def by_packaging(version, impl, abi):
    from packaging import tags

    python = (int(version[0]), int(version[1:]))
    first = (
        tags.cpython_tags(python, [abi])
        if impl == "cp"
        else tags.generic_tags(impl + version, [abi])
    )
    return list(first) + list(tags.compatible_tags(python, impl + version))


def forget():
    """Drops what was remembered of the environment before."""
    for name, module in list(sys.modules.items()):
        if "packaging" in name or "glibc" in name:
            # packaging before 21.0 keeps the version of glibc in a list.
            del getattr(module, "_glibc_version", [])[:]
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def main():
    kind, path = sys.argv[1:3]
    if path:
        sys.path.insert(0, path)
    accepted = supported if kind == "pip" else by_packaging
    # Once before anything is replaced: modules look at the system when imported.
    accepted("39", "cp", "cp39")
    request = json.load(sys.stdin)
    out = []
    for env in request["asked"]:
        forget()
        pretend(env)
        tags = accepted("".join(map(str, env["python"])), env["impl"], env["abi"])
        tags = [str(tag) if not isinstance(tag, tuple) else "-".join(tag) for tag in tags]
        if env["os"] == "pyodide":
            family = env["platforms"][0].split("_")[0]
            tags = [tag.replace("-pyemscripten_", "-" + family + "_") for tag in tags]
        out.append(
            hashlib.sha256("\n".join(tags).encode()).hexdigest() if request["digest"] else tags
        )
    json.dump(out, sys.stdout)


main()
