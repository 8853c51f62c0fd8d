"""A benchmark that has parts, as a command."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import machine
from benchmarks.probe import prepare_process

Part = Callable[[Path, int, bool], bool]
"""Measures in a folder so many of what is counted; tells whether it kept what is required, which
is not judged where the machine is busy."""


def main(name: str, about: str | None, counted: tuple[str, int], parts: Mapping[str, Part]) -> int:
    """Run the parts that the command line asks for; return the exit code.

    ``counted`` is what a part is about so many of, and how many by default.
    """
    prepare_process()
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what, default = counted
    parser.add_argument(f"--{what}", type=int, default=default)
    parser.add_argument("--only", choices=tuple(parts))
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    count: int = getattr(chosen, what)
    load = machine.load()
    passed = True
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.dir) as folder:
        for part in [chosen.only] if chosen.only else parts:
            passed &= parts[part](Path(folder), count, load <= machine.BUSY)
    print(f"load average {load:.2f} at the start")
    return 0 if passed else 1
