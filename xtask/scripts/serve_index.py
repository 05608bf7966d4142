"""Serves folders as a package index on loopback until standard input ends.

Arguments: the folder that takes uploads, a folder to serve beside it, the port.
Standard input is the starter's end of a pipe: when it closes, the starter is
gone, and so is the server.
"""

import os
import sys
import threading

from pypiserver.__main__ import main  # pyright: ignore[reportMissingTypeStubs]


def until_starter_ends() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    uploads, beside, port = sys.argv[1:]
    threading.Thread(target=until_starter_ends, daemon=True).start()
    # Without --disable-fallback it would send those who ask for a project that
    # it does not hold to the public index, which has an htty of its own.
    serve = ["run", "--disable-fallback", "--interface", "127.0.0.1", "--port", port]
    main([*serve, "--passwords", ".", "--authenticate", ".", uploads, beside])
