"""Programs packed by PyInstaller and its like, which bring no interpreter to start.

A worker starts some of its processes as programs: ``python -m litequeue.…``.  In a frozen program
`sys.executable` is that program itself, so it is started again with the same arguments, and
`freeze_support` makes it the part that was wanted.
"""

from __future__ import annotations

import sys


def freeze_support() -> None:
    """Be a part of a worker, and exit, where a frozen program was started again for that.

    The first call of the program's main module, before its window.  It does nothing in all other
    programs.
    """
    if is_frozen() and sys.argv[1:2] == ["-m"] and _is_ours("".join(sys.argv[2:3])):
        _become(sys.argv[2], sys.argv[3:])


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of litequeue as a program, frozen or not."""
    return [sys.executable, "-m", module, *arguments]


def is_frozen() -> bool:
    """Tell whether this program was packed together with its interpreter."""
    return bool(getattr(sys, "frozen", False))


def hook_directories() -> list[str]:
    """Return where PyInstaller finds what to pack beside what it sees by itself."""
    import os

    return [os.path.join(os.path.dirname(__file__), "packing")]  # noqa: PTH118, PTH120 - as above


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "litequeue"


def _become(module: str, arguments: list[str]) -> None:
    import runpy

    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()
