"""What the tests of this directory need, and whether it is here.

``python -m tests.desktop.missing`` says what is missing, and fails if something is.
"""

from __future__ import annotations

import ctypes
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

PROGRAMS = ("Xvfb", "fc-list", "dot")
MODULES = ("PyInstaller", "PySide6", "Xlib", "_tkinter")


def missing() -> list[str]:
    """Return the names of what is not here."""
    names = [name for name in PROGRAMS if shutil.which(name) is None]
    names += [name for name in MODULES if find_spec(name) is None]
    return names if names or load_qt() else ["the libraries of Qt"]


def load_qt() -> bool:
    """Load what Qt needs to speak to a screen: its wheel leaves that to the system."""
    try:
        import PySide6.QtWidgets

        plugins = Path(PySide6.__file__).parent / "Qt" / "plugins" / "platforms"
        ctypes.CDLL(str(plugins / "libqxcb.so"))
    except (ImportError, OSError):
        return False
    return True


if __name__ == "__main__":
    names = missing()
    if names:
        print(f"missing: {', '.join(names)}")  # noqa: T201 - what it is for
        sys.exit(1)
