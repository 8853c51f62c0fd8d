"""`app.worker_main` and `app.Worker`: the command line's worker, started from a program."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from litequeue.app import LiteQueue
from litequeue.exceptions import ImproperlyConfigured


class Worker:
    """A worker with the options of the command line; `start` runs it until it is stopped."""

    def __init__(self, app: LiteQueue, options: Mapping[str, Any]) -> None:
        self.app = app
        self.argv: list[str] = ["worker", *_words(options)]
        self.exitcode: int | None = None

    def start(self) -> None:
        """Work until stopped; ``exitcode`` then says how it went."""
        try:
            worker_main(self.app, self.argv)
        except SystemExit as leaving:
            self.exitcode = leaving.code if isinstance(leaving.code, int) else 0


def worker_main(app: LiteQueue, argv: Sequence[str] | None) -> None:
    """Run `litequeue worker` on the app's file, with the app found by its name."""
    from litequeue.cli import main

    given = sys.argv if argv is None else list(argv)
    if "worker" not in given:
        raise ValueError(
            f"worker_main() takes the command line of a worker, not {given!r}; "
            'say worker_main(["worker", "--loglevel=INFO"])'
        )
    name = app.facts().name
    if name is None:
        raise ImproperlyConfigured(
            "worker_main() needs an app that its children can import: make it a global of a module"
        )
    main(["worker", app.path, "-A", name, *given[given.index("worker") + 1 :]])


def _words(options: Mapping[str, Any]) -> list[str]:
    """Return options as they are typed: ``log_level="INFO"`` is ``--log-level=INFO``."""
    words = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, list | tuple):
            words.append(f"{option}={','.join(map(str, value))}")
        elif value is not None and value is not False:
            words.append(f"{option}={value}")
    return words
