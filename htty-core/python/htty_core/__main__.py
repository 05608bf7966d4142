"""`python -m htty_core` is `ht`."""

import os
import sys

from htty_core import find_ht_binary

if __name__ == "__main__":
    ht = find_ht_binary()
    os.execv(ht, [ht, *sys.argv[1:]])
