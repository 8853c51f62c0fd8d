"""What is promised of pools: each promise is a test, run against every pool, and a row of a table.

Where a pool breaks a promise, the test says why, and sees that it does.  The table stands in
docs/explanation/pools.md; `python -m tests.pools.promises` writes it anew.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from typing import Final

import pytest

from litequeue.worker.pools import BUILT_IN, OPTIONS, find_pool
from tests.docs.pages import DOCS

POOLS: Final = tuple(BUILT_IN)
PAGE: Final = DOCS / "explanation" / "pools.md"
BEGIN: Final = "<!-- {} of tests/pools -->\n"
END: Final = "<!-- end of {} -->\n"


@dataclass(frozen=True, slots=True)
class Promise:
    """``breaks``: the pools that do not keep it, and why."""

    words: str
    breaks: dict[str, str] = field(default_factory=dict)


PROMISES: Final[list[Promise]] = []


def promise(words: str, /, **breaks: str) -> pytest.MarkDecorator:
    """Run a test in every pool; in those that break the promise it must fail."""
    PROMISES.append(Promise(words, breaks))
    return pytest.mark.parametrize(
        "shop", [_parameter(pool, breaks) for pool in POOLS], indirect=True
    )


def _parameter(pool: str, breaks: dict[str, str]) -> object:
    if pool not in breaks:
        return pytest.param(pool)
    return pytest.param(pool, marks=pytest.mark.xfail(reason=breaks[pool], strict=True))


def promises_table() -> str:
    """Return the table of the promises, with a note for each that is broken."""
    notes: list[str] = []
    rows = [["", *POOLS], ["---"] * (len(POOLS) + 1)]
    for each in PROMISES:
        cells = [each.words]
        for pool in POOLS:
            if pool not in each.breaks:
                cells.append("yes")
                continue
            if each.breaks[pool] not in notes:
                notes.append(each.breaks[pool])
            cells.append(f"no [^{notes.index(each.breaks[pool]) + 1}]")
        rows.append(cells)
    told = [f"[^{number}]: {note}" for number, note in enumerate(notes, 1)]
    return "\n".join([*map(_row, rows), "", *told, ""])


def options_table() -> str:
    """Return the table of what a worker may be asked for, by pool."""
    rows = [["", *POOLS], ["---"] * (len(POOLS) + 1)]
    for option, words in OPTIONS.items():
        rows.append(
            [words, *("yes" if option in find_pool(p).honours else "refused" for p in POOLS)]
        )
    starts = ["how its children start", *(", ".join(find_pool(p).start_methods) for p in POOLS)]
    return "\n".join([*map(_row, [*rows, starts]), ""])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def generated(text: str) -> str:
    """Return a page with its tables as they should be."""
    for name, table in (("promises", promises_table()), ("options", options_table())):
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = text.split(begin)
        text = before + begin + table + end + rest.split(end)[1]
    return text


if __name__ == "__main__":
    importlib.import_module("tests.pools.test_promises")
    promises = sys.modules["tests.pools.promises"]
    PAGE.write_text(promises.generated(PAGE.read_text()))
