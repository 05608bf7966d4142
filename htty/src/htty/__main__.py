"""`python -m htty` is the command `htty`."""

import sys

from htty.cli import main

if __name__ == "__main__":
    sys.exit(main())
