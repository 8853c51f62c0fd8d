"""What the commands print: text that cannot harm a terminal, tables, moments, JSON.

Names, arguments and results come from whoever may write to the file, so nothing of theirs
reaches the terminal as it is: what is not printable is shown as an escape.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

import click

COLOURS: Final = {
    "SUCCESS": "green", "FAILURE": "red", "RETRY": "yellow", "STARTED": "cyan", "RECEIVED": "cyan",
    "REVOKED": "magenta", "REJECTED": "magenta", "alive": "green", "dead": "red",
}  # fmt: skip
MOST_CELL: Final = 200
"""Characters of the longest cell of a table on a terminal."""
LEAST_CELL: Final = 12
"""Characters that are left of the cells of a column that shrinks."""
GAP: Final = 2
"""Columns of the terminal between two of a table."""


def clean(text: object) -> str:
    """Return the text with everything that is not printable as an escape, in one line."""
    words = str(text)
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def say(text: object) -> None:
    """Print one line of data."""
    click.echo(clean(text), color=False)


def note(text: object) -> None:
    """Print one line that is no data."""
    click.echo(clean(text), err=True, color=False)


def is_terminal(stream: TextIO | None = None) -> bool:
    """Tell whether people read this."""
    return (stream or sys.stdout).isatty()


# JSON


def print_json(**document: Any) -> None:
    """Print one document; ``v`` is the version of its form."""
    click.echo(json.dumps({"v": 1, **document}, indent=2, allow_nan=False), color=False)


def iso(moment: float | None) -> str | None:
    """Return a moment (epoch seconds) in ISO 8601, UTC; None for what is no moment."""
    from datetime import UTC, datetime

    if moment is None:
        return None
    try:
        text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
    return text.replace("+00:00", "Z")


def number(value: float | None) -> float | None:
    """Return seconds to the microsecond, None for what JSON does not know."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def decoded(text: str | None) -> tuple[Any, bool]:
    """Return the value of stored JSON, and whether it is one: else the text itself."""
    from litequeue import serialization

    if text is None:
        return None, True
    try:
        value = serialization.loads(text)
        serialization.dumps(value)  # refuses NaN, half a surrogate pair, and what is too deep
    except (TypeError, ValueError):
        return text, False
    return value, True


# For people


def when(moment: float | None, now: float) -> str:
    """Say when something was or will be: "3 s ago" on a terminal, ISO 8601 elsewhere."""
    if moment is None:
        return ""
    if not is_terminal():
        return iso(moment) or str(moment)
    passed = now - moment
    return f"{span(passed)} ago" if passed >= 0 else f"in {span(-passed)}"


def span(seconds: float | None) -> str:
    """Return a duration as people say it."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for least, unit, letter in ((172_800, 86_400, "d"), (7200, 3600, "h"), (120, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:,.0f} {letter}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def counted(count: int, noun: str = "job") -> str:
    """Return "1 job" or "2 jobs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def breakdown(counts: Mapping[str, int]) -> str:
    """Return "3 FAILURE, 1 REVOKED"."""
    return ", ".join(f"{count:,} {clean(name)}" for name, count in sorted(counts.items()))


Cell = str | int | None


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    empty: str = "nothing",
    spare: Sequence[str] = (),
    shrinks: Sequence[str] | None = None,
) -> None:
    """Print rows below the names of their columns; on a terminal one line each, made to fit.

    What is too wide loses the columns in ``spare``, the first of them first; then those in
    ``shrinks`` are cut (None: all of them), and no other.
    """
    cells = [["" if cell is None else clean(cell) for cell in row] for row in rows]
    if not cells:
        note(empty)
    elif is_terminal():
        _print_rich(*_fitted(columns, cells, spare, columns if shrinks is None else shrinks))
    else:
        _print_plain(columns, cells)


def print_pairs(pairs: Iterable[tuple[str, Cell]]) -> None:
    """Print what is known, a line per fact; facts without a value are left out."""
    known = [(name, clean(value)) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        say(f"{name:<{width}}  {value}")


def print_block(text: str) -> None:
    """Print text of several lines, set in."""
    for line in text.rstrip("\n").split("\n"):
        say(f"    {line}")


def _print_plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = [[name.upper() for name in columns], *rows]
    widths = [max(_width(row[at]) for row in table) for at in range(len(columns))]
    for row in table:
        padded = [
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        say("  ".join(padded).rstrip())


def _width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _fitted(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    spare: Sequence[str],
    shrinks: Sequence[str],
) -> tuple[dict[str, int], list[list[str]]]:
    """Return the columns that stay, each with its width, and their cells."""
    from shutil import get_terminal_size

    table = [list(columns), *([_cut(cell) for cell in row] for row in rows)]
    widths = {name: max(_width(row[at]) for row in table) for at, name in enumerate(columns)}

    def excess() -> int:
        return sum(widths.values()) + GAP * (len(widths) - 1) - get_terminal_size().columns

    for name in spare:
        if excess() > 0:
            del widths[name]
    for name in shrinks:
        if name in widths:
            least = max(LEAST_CELL, len(name))
            widths[name] = min(widths[name], max(least, widths[name] - max(0, excess())))
    kept = [at for at, name in enumerate(columns) if name in widths]
    return widths, [[row[at] for at in kept] for row in table[1:]]


def _print_rich(widths: Mapping[str, int], rows: Sequence[Sequence[str]]) -> None:
    """Print through rich; `Text` is never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for name, width in widths.items():
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    console = Console(
        file=sys.stdout, color_system="standard" if _wants_colour() else None, highlight=False,
        width=sum(widths.values()) + GAP * len(widths),
    )  # fmt: skip
    console.print(table)


def _wants_colour() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CELL else text[: MOST_CELL - 1] + "…"
