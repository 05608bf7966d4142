"""Serves directories as a package index on loopback until standard input ends.

Arguments: the directory for uploads, another directory to serve, the port. Standard
input is a pipe from the parent: when it closes, the parent has exited, and the server
exits too.
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
    # Without --disable-fallback, it would redirect requests for missing projects to the
    # public index, which has its own htty.
    serve = ["run", "--disable-fallback", "--interface", "127.0.0.1", "--port", port]
    main([*serve, "--passwords", ".", "--authenticate", ".", uploads, beside])
