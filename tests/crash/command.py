"""A campaign as a command: its `Plan` says which options it has."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol, TypeVar

from tests.crash.table import Findings, show

P = TypeVar("P")


class Campaign(Protocol):
    """What is run once, in a folder of its own."""

    def run(self) -> Findings: ...


def main(
    name: str,
    plan: type[P],
    make: Callable[[P, Path, Callable[[str], None]], Campaign],
    about: str | None,
) -> int:
    """Run the campaign that the command line asks for; return the exit code.

    ``about`` is the docstring of its module, ``plan`` a dataclass with a ``seed``.
    """
    chosen = vars(_parser(name, plan, (about or "").split("\n\n", 1)[1]).parse_args())
    folder: Path | None = chosen.pop("dir")
    made = plan(**chosen)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as temporary:
        if folder is not None:
            folder.mkdir(parents=True)
        findings = make(made, folder or Path(temporary), _say).run()
    show(f"{name}, seed {chosen['seed']}, {time.monotonic() - began:.0f} s", findings)
    return 1 if findings.broken else 0


def _parser(name: str, plan: Any, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.crash.{name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for field in dataclasses.fields(plan):
        default, kind = field.default, type(field.default)
        if field.name == "seed":
            default = SystemRandom().randrange(1 << 32)
        parser.add_argument(f"--{field.name}", type=_words if kind is tuple else kind,
                            default=default, help=field.metadata.get("help"))  # fmt: skip
    parser.add_argument("--dir", type=Path, help="keep everything in this directory")
    return parser


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
