"""The exit codes, and the error of a command that is none of the library's."""

from __future__ import annotations

from typing import Final

import click

FAILED: Final = 1
USAGE: Final = 2
DATABASE: Final = 3
APP: Final = 4
NO_SUCH_THING: Final = 5
NO_WORKER: Final = 69
INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141


class Failure(click.ClickException):
    """One sentence, and the exit code of its kind."""

    def __init__(self, message: str, *, code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click has one per class, we one per error
