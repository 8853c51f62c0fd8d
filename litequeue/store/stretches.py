"""What an entry remembers of ticks whose rows are gone: when all of them have been dealt with.

A few stretches of time, as text.  One high-water mark would not do: a clock that was ahead for a
while leaves ticks of its future behind, and the ticks between the present and those are still to
come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

MOST: Final = 4
"""Stretches; of more, the two that are closest become one: what a wrong clock left stays apart."""


def read(text: str | None) -> list[list[float]]:
    """Return the stretches (from, to), the first one first, in epoch seconds.

    None for a text that is not ours: then only the rows that are kept say what was sent.
    """
    try:
        return [[float(start), float(end)] for start, end in json.loads(text or "[]")]
    except (TypeError, ValueError, RecursionError):
        return []


def holds(text: str | None, moment: float) -> bool:
    """Tell whether ``moment`` is in one of the stretches."""
    return any(start <= moment <= end for start, end in read(text))


def extended(text: str | None, moments: Iterable[float]) -> str | None:
    """Return the stretches with more ``moments`` in them, None for none at all."""
    known = read(text)
    for moment in sorted(moments):
        if not any(start <= moment <= end for start, end in known):
            known.append([moment, moment])
    known.sort()
    while len(known) > MOST:
        gaps = [after[0] - before[1] for before, after in pairwise(known)]
        place = gaps.index(min(gaps))
        known[place : place + 2] = [[known[place][0], known[place + 1][1]]]
    return json.dumps(known, separators=(",", ":")) if known else None
