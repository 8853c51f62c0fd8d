"""What an entry remembers of ticks whose rows are gone: up to when, and but for which gaps.

A gap is a time whose ticks were not sent although later ones were: the machine was off, or its
clock was ahead for a while.  When the clock comes back to it, its ticks are due.  All time before
an entry was made is its first gap.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Final

KEPT: Final = 8
"""Gaps, the first one aside; of more, the oldest that has passed is forgotten too."""

Gaps = list[list[float]]
"""Each from its first moment to the one after its last, in epoch seconds."""


def read(text: str | None, created: float) -> tuple[float, Gaps]:
    """Return up to when all rows may be gone, and the gaps; of text that is not ours, nothing."""
    try:
        until, pairs = json.loads(text or "null")
        found = [[float(start), float(end)] for start, end in pairs[: 1 + KEPT]]
        return float(until), found or [[0.0, created]]
    except (ArithmeticError, TypeError, ValueError, RecursionError):
        return 0.0, [[0.0, created]]


def _write(until: float, gaps: Gaps) -> str:
    return json.dumps([until, gaps], separators=(",", ":"))


def holds(text: str | None, created: float, moment: float) -> bool:
    """Tell whether a tick was dealt with, and its row is gone."""
    if text is None:
        return False
    until, gaps = read(text, created)
    return moment <= until and not _is_in(gaps, moment)


def _is_in(gaps: Gaps, moment: float) -> bool:
    return any(start <= moment < end for start, end in gaps)


def extended(text: str | None, created: float, moments: Iterable[float]) -> str | None:
    """Return the text when the rows of these ticks are gone, too."""
    until, gaps = read(text, created)
    last = max(moments, default=0.0)
    return _write(last, gaps) if last > until else text


def closed(text: str | None, created: float, moment: float) -> str | None:
    """Return the text when a tick is dealt with, and with it all that is before it in its gap."""
    if text is None and moment >= created:
        return None  # as nearly always
    until, gaps = read(text, created)
    if not _is_in(gaps, moment):
        return text
    after = math.nextafter(moment, math.inf)
    left = [[after, end] if start <= moment < end else [start, end] for start, end in gaps]
    return _write(until, left)


def opened(text: str | None, created: float, gap: tuple[float, float], now: float) -> str:
    """Return the text when the ticks of a ``gap`` (from, to) are not sent."""
    until, (first, *rest) = read(text, created)
    if rest and rest[-1][1] == gap[0]:
        rest[-1] = [rest[-1][0], gap[1]]
    else:
        rest.append(list(gap))
    if len(rest) > KEPT:
        passed = (each for each in rest if each[1] <= now)
        rest.remove(next(passed, rest[0]))
    return _write(until, [first, *rest])
