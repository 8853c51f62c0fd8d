"""`crontab` against Celery's own: the same fields mean the same, and so do both days together."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab as celerys

from litequeue.schedules import crontab

FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_week": (0, 6),
    "day_of_month": (1, 31),
    "month_of_year": (1, 12),
}
SOME: tuple[dict[str, Any], ...] = (
    {},
    {"minute": 0},
    {"minute": "*/15", "hour": "*"},
    {"minute": "0, 30", "hour": 7},
    {"minute": [0, 20, 40], "hour": (1, 2)},
    {"minute": {5}, "hour": range(8, 18)},
    {"minute": "*/90", "hour": "*/24"},
    {"minute": "1,13,30-45,50-59/2"},
    {"minute": "50-10/5", "hour": "22-3"},
    {"hour": "0,8-17/2", "minute": 0},
    {"day_of_week": "sun"},
    {"day_of_week": "sunday"},
    {"day_of_week": "mon-fri"},
    {"day_of_week": "Fri-Mon"},
    {"day_of_week": "thu,tue,wednesday"},
    {"day_of_week": "*/2"},
    {"day_of_week": 6},
    {"day_of_week": "5-1/2"},
    {"month_of_year": "jan-mar"},
    {"month_of_year": "november-february"},
    {"month_of_year": "*/3"},
    {"month_of_year": "2-12/2"},
    {"month_of_year": [1, 12]},
    {"day_of_month": "*/3"},
    {"day_of_month": "2-30/2"},
    {"day_of_month": "1-7,15-21"},
    {"day_of_month": 31},
    {"day_of_month": "28-3"},
)


def field(low: int, high: int) -> Any:
    """Return some field of the language that both share."""
    first, last, step = random.randint(low, high), random.randint(low, high), random.randint(1, 9)
    forms: list[Callable[[], Any]] = [
        lambda: "*",
        lambda: first,
        lambda: str(first),
        lambda: f"*/{step}",
        lambda: f"{first}-{last}",
        lambda: f"{first}-{last}/{step}",
        lambda: f"{first},{last}",
        lambda: f"*/{step * 3},{first}-{last}",
        lambda: [first, last],
        lambda: {first},
    ]
    return random.choice(forms)()


def spec() -> dict[str, Any]:
    chosen = random.sample(sorted(FIELDS), random.randint(1, 5))
    return {name: field(*FIELDS[name]) for name in chosen}


def both(fields: dict[str, Any]) -> tuple[crontab, Any]:
    return crontab(**fields), celerys(**fields)


@pytest.mark.parametrize("fields", SOME, ids=range(len(SOME)))
def test_fields_mean_the_same(fields: dict[str, Any]) -> None:
    ours, theirs = both(fields)
    assert {name: getattr(ours, name) for name in FIELDS} == {
        name: getattr(theirs, name) for name in FIELDS
    }


def test_so_do_a_few_hundred_others() -> None:
    for _ in range(400):
        fields = spec()
        theirs = made_by(celerys, fields)
        ours = made_by(crontab, fields)
        assert (ours is None) == (theirs is None), fields
        for name in FIELDS:
            assert ours is None or getattr(ours, name) == getattr(theirs, name), fields


def made_by(kind: Callable[..., Any], fields: dict[str, Any]) -> Any:
    """Return the schedule, None where it says that no such day ever comes."""
    try:
        return kind(**fields)
    except ValueError as error:
        if not re.search(r"never (comes|occurs)", str(error)):
            raise
        return None


@pytest.mark.parametrize(
    "line", ["0 3 * * *", "*/5 0-6 1,15 jan-mar mon-fri", "0 0 13 * 5", "15 14 1 */2 sun"]
)
def test_from_string_has_the_order_of_a_line_and_means_both_days(line: str) -> None:
    ours, theirs = crontab.from_string(line), celerys.from_string(line)
    for name in FIELDS:
        assert getattr(ours, name) == getattr(theirs, name)
    minute, hour, day, month, weekday = line.split()
    assert ours == crontab(minute, hour, weekday, day, month)


def test_the_next_runs_are_celerys_in_utc() -> None:
    app = Celery(set_as_current=False, broker="memory://")
    compared = 0
    while compared < 150:
        fields = spec()
        ours = made_by(crontab, fields)
        if ours is None:
            continue
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(1_000_000))
        theirs = celerys(**fields, app=app, nowfun=lambda now=now: now)
        tick = ours.after(now.timestamp())
        assert tick is not None
        expected = now + theirs.remaining_estimate(now)
        assert datetime.fromtimestamp(tick.at, UTC) == expected, (fields, now)
        compared += 1


def test_both_days_are_meant_in_fields_and_either_in_a_line() -> None:
    friday_13 = crontab(0, 0, day_of_month=13, day_of_week=5)
    assert friday_13 != crontab("0 0 13 * 5")
    assert friday_13 == crontab("0 0 13 * 5", day_or=False)
    assert crontab(0, 0, day_of_month=13, day_of_week=5, day_or=True) == crontab("0 0 13 * 5")
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    found = [friday_13.after(start), crontab("0 0 13 * 5").after(start)]
    assert [tick.key for tick in found if tick] == [
        "2026-02-13T00:00[UTC]",
        "2026-01-02T00:00[UTC]",
    ]
