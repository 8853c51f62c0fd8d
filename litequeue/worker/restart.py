"""Starting a worker anew, in the same process: with the code as it is by now."""

from __future__ import annotations

import os
import sys


def start_anew() -> None:
    """Become the program that this process was started as.  Does not return.

    The process stays the same for who started it; every job was settled or given back before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
