"""200 expressions in their zones and what comes of them: no upgrade changes that in silence.

The table is a file for people to read.  It is compared with `crontab`, with the oracle, and with
croniter, whose meaning of a field it pins down.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterError, croniter

from litequeue.schedules import crontab
from tests.differential.crontab_oracle import Rule, some_ticks

TABLE = Path(__file__).with_name("golden_crontabs.txt")
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Where croniter is no judge, and why.
NOT_CRONITERS = {
    "0 9 * * monday": "it knows short names only",
    "0 9 1 january,july *": "it knows short names only",
    "0 0 * * Lmon,Lfri": "it wants numbers after L",
    "0 0 1 * fri#2": "it has both days where either is meant, as soon as there is a #",
}


@dataclass(frozen=True)
class Row:
    expression: str
    either: bool
    zone: str
    after: datetime
    ticks: list[str]

    def shown(self, moment: float) -> str:
        local = datetime.fromtimestamp(moment, ZoneInfo(self.zone))
        return local.isoformat(timespec="seconds" if local.second else "minutes")


def row_of(line: str) -> Row:
    expression, days, zone, after, ticks = line.split(" | ")
    return Row(expression, days == "either", zone, datetime.fromisoformat(after), ticks.split())


ROWS = [row_of(line) for line in TABLE.read_text().splitlines() if not line.startswith("#")]


def test_there_are_200_rows_and_all_say_something_else() -> None:
    assert len(ROWS) == len({(row.expression, row.either, row.zone, row.after) for row in ROWS})
    assert len(ROWS) >= 200


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_the_next_ticks_are_those_of_the_table(row: Row) -> None:
    schedule = crontab(row.expression, tz=row.zone, day_or=row.either)
    moment, found = row.after.timestamp(), []
    for _ in row.ticks:
        tick = schedule.after(moment)
        assert tick is not None
        moment = tick.at
        found.append(row.shown(moment))
    assert found == row.ticks


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_the_oracle_finds_what_the_table_says(row: Row) -> None:
    rule = Rule(NICKNAMES.get(row.expression, row.expression), row.either)
    ticks = some_ticks(rule, row.zone, row.after, len(row.ticks))
    assert [row.shown(tick.at) for tick in ticks] == row.ticks


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_croniter_itself_means_the_same_where_no_clock_is_put(row: Row) -> None:
    start = row.after.timestamp()
    schedule = crontab(row.expression, tz=UTC, day_or=row.either)
    ours: list[float] = []
    for _ in range(20):
        tick = schedule.after(ours[-1] if ours else start)
        assert tick is not None
        ours.append(tick.at)
    if row.expression in NOT_CRONITERS:
        with pytest.raises(CroniterError):
            ticks_of_croniter(row, start)
    else:
        assert ours == ticks_of_croniter(row, start)


def ticks_of_croniter(row: Row, start: float) -> list[float]:
    theirs = croniter(row.expression, start, day_or=row.either, second_at_beginning=True)
    return [theirs.get_next(float) for _ in range(20)]
