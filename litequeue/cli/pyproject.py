"""``[tool.litequeue]`` of the working directory's pyproject.toml: app, database and settings.

The command line alone reads it, and everything else wins over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from litequeue.config import Settings

FILE: Final = "pyproject.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What the table says; nothing where there is none."""

    app: str | None = None
    database: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def read() -> Table:
    """Return the table; raises `click.UsageError` for one that makes no sense."""
    try:
        with open(FILE, "rb") as file:  # noqa: PTH123 - pathlib takes 5 ms to import
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return Table()
    except OSError as error:
        raise click.UsageError(f"cannot read {FILE}: {error.strerror}") from error
    if b"litequeue" not in text:
        return Table()
    import tomllib

    try:
        found = tomllib.loads(text.decode()).get("tool", {}).get("litequeue", {})
    except ValueError as error:
        raise click.UsageError(f"{FILE} is no TOML: {error}") from error
    if not isinstance(found, dict):
        raise click.UsageError(f"tool.litequeue in {FILE} is no table; write [tool.litequeue]")
    for name in ("app", "database"):
        if not isinstance(found.get(name, ""), str):
            raise click.UsageError(f"{name} of [tool.litequeue] in {FILE} is a text")
    settings = {name: value for name, value in found.items() if name not in ("app", "database")}
    return Table(app=found.get("app"), database=found.get("database"), settings=settings)


def settings() -> Settings:
    """Return the settings for a command without an app: environment over the table.

    Raises `ImproperlyConfigured` for a setting that makes no sense.
    """
    from litequeue.config import load_settings

    return load_settings(read().settings)


def give_to(conf: Settings) -> None:
    """Apply the table to an app's settings, where code and environment say nothing."""
    from litequeue.config import Settings

    defaults = Settings()
    for name, value in read().settings.items():
        if getattr(conf, name) == getattr(defaults, name):
            setattr(conf, name, value)
