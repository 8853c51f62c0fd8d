"""`crontab` when clocks are put: the named cases, and a slice of the sweep (`make sweep`)."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from litequeue.schedules import crontab
from tests.differential.crontab_sweep import EXPRESSIONS, compare, histories

# Half an hour, three quarters past, two hours, a change every Ramadan, winter as the exception,
# midnight that does not exist, Thursday midnight, and one that has stopped.
ZONES = (
    *("Australia/Lord_Howe", "Pacific/Chatham", "Antarctica/Troll", "Africa/Casablanca"),
    *("Europe/Dublin", "America/Havana", "Africa/Cairo", "Asia/Tehran", "America/New_York"),
)


def ticks(schedule: crontab, start: str, count: int) -> list[str]:
    """Return what the clocks of the zone show at the next ticks."""
    zone = ZoneInfo(schedule.zone or "UTC")
    moment, found = datetime.fromisoformat(start).astimezone(UTC).timestamp(), []
    for _ in range(count):
        tick = schedule.after(moment)
        assert tick is not None
        moment = tick.at
        found.append(datetime.fromtimestamp(moment, zone).strftime("%d %H:%M%z"))
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_a_slice_of_the_sweep_differs_nowhere(zone: str) -> None:
    middles = random.sample(histories([zone])[zone], 2)
    tally = compare(zone, middles, random.sample(EXPRESSIONS, 10))
    assert tally.minutes > 80_000
    assert tally.differences == []


def test_a_fixed_hour_comes_once_when_the_hour_comes_twice() -> None:
    schedule = crontab("30 1 * * *", tz="Europe/London")
    found = ticks(schedule, "2026-10-24T12:00+00:00", 2)
    assert found == ["25 01:30+0100", "26 01:30+0000"]


def test_croniter_alone_would_send_it_twice() -> None:
    start = datetime(2026, 10, 24, 12, tzinfo=ZoneInfo("Europe/London"))
    alone = croniter("30 1 * * *", start)
    shown = [alone.get_next(datetime).strftime("%d %H:%M%z") for _ in range(2)]
    assert shown == ["25 01:30+0100", "25 01:30+0000"]


def test_in_the_second_hour_what_the_first_had_is_over() -> None:
    # 01:10 for the second time
    schedule = crontab("*/15 1 * * *", tz="Europe/London")
    assert ticks(schedule, "2026-10-25T01:10+00:00", 1) == ["26 01:00+0000"]


def test_a_fixed_hour_that_does_not_exist_comes_as_soon_as_it_is_over() -> None:
    schedule = crontab("30 2 * * *", tz="Europe/Berlin")
    found = ticks(schedule, "2026-03-28T12:00+00:00", 2)
    assert found == ["29 03:00+0200", "30 02:30+0200"]


@pytest.mark.parametrize("before", [1, 0.5, 0.001])
def test_it_comes_for_one_who_asks_in_the_last_second_before_the_gap(before: float) -> None:
    gap = datetime.fromisoformat("2026-03-29T01:00+00:00").timestamp()
    tick = crontab("30 2 * * *", tz="Europe/Berlin").after(gap - before)
    assert tick is not None
    assert (tick.key, tick.at) == ("2026-03-29T03:00[Europe/Berlin]", gap)


def test_all_that_a_gap_swallows_is_one_tick_and_no_more() -> None:
    schedule = crontab("*/10 2,3 * * *", tz="Europe/Berlin")
    found = ticks(schedule, "2026-03-29T00:00+00:00", 3)
    assert found == ["29 03:00+0200", "29 03:10+0200", "29 03:20+0200"]


def test_every_so_often_goes_on_through_both_hours_and_leaves_out_none() -> None:
    schedule = crontab("*/30 * * * *", tz="Europe/Berlin")
    found = ticks(schedule, "2026-10-25T01:45+02:00", 5)
    assert found == [
        *("25 02:00+0200", "25 02:30+0200"),
        *("25 02:00+0100", "25 02:30+0100", "25 03:00+0100"),
    ]
    assert ticks(schedule, "2026-03-29T01:45+01:00", 2) == ["29 03:00+0200", "29 03:30+0200"]


def test_the_two_hours_have_two_keys_in_utc_and_one_on_the_wall() -> None:
    first, second = (
        datetime.fromisoformat(f"2026-10-25T01:59:59{offset}").timestamp()
        for offset in ("+02:00", "+01:00")
    )
    often = crontab("0 * * * *", tz="Europe/Berlin")
    keys = [tick.key for moment in (first, second) if (tick := often.after(moment))]
    assert keys == ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"]
    fixed = crontab("0 2 * * *", tz="Europe/Berlin")
    tick = fixed.after(first)
    assert tick is not None
    assert tick.key == "2026-10-25T02:00[Europe/Berlin]"
    assert tick.at == first + 1


def test_a_key_has_seconds_where_there_are_some() -> None:
    schedule = crontab("15 30 2 * * *", tz="Europe/Berlin")
    tick = schedule.after(0)
    assert tick is not None
    assert tick.key == "1970-01-01T02:30:15[Europe/Berlin]"


def test_celery_1604_daily_jobs_neither_stop_nor_shift_at_a_change() -> None:
    # https://github.com/celery/celery/issues/1604
    schedule = crontab(hour=4, minute=0, tz="America/New_York")
    found = ticks(schedule, "2013-11-02T00:00+00:00", 4)
    assert found == ["02 04:00-0400", "03 04:00-0500", "04 04:00-0500", "05 04:00-0500"]


def test_celery_6438_an_hour_that_exists_twice_is_one_day_not_two() -> None:
    # https://github.com/celery/celery/issues/6438
    schedule = crontab(minute="0", hour="2", tz="Europe/Amsterdam")
    found = ticks(schedule, "2020-10-24T12:00+00:00", 3)
    assert found == ["25 02:00+0200", "26 02:00+0100", "27 02:00+0100"]


def test_lord_howe_puts_its_clocks_by_half_an_hour() -> None:
    fixed = crontab("45 1 * * *", tz="Australia/Lord_Howe")
    assert ticks(fixed, "2026-04-04T00:00+00:00", 2) == ["05 01:45+1100", "06 01:45+1030"]
    gone = crontab("15 2 * * *", tz="Australia/Lord_Howe")
    assert ticks(gone, "2026-10-03T00:00+00:00", 2) == ["04 02:30+1100", "05 02:15+1100"]
    often = crontab("*/15 * * * *", tz="Australia/Lord_Howe")
    found = ticks(often, "2026-04-05T01:40+11:00", 4)
    assert found == ["05 01:45+1100", "05 01:30+1030", "05 01:45+1030", "05 02:00+1030"]


def test_chatham_puts_them_at_a_quarter_to_three() -> None:
    gone = crontab("0 3 * * *", tz="Pacific/Chatham")
    assert ticks(gone, "2026-09-26T00:00+00:00", 2) == ["27 03:45+1345", "28 03:00+1345"]
    twice = crontab("50 2 * * *", tz="Pacific/Chatham")
    assert ticks(twice, "2026-04-04T00:00+00:00", 2) == ["05 02:50+1345", "06 02:50+1245"]


def test_troll_puts_them_by_two_hours() -> None:
    gone = crontab("30 1,2 * * *", tz="Antarctica/Troll")
    found = ticks(gone, "2026-03-28T12:00+00:00", 3)
    assert found == ["29 03:00+0200", "30 01:30+0200", "30 02:30+0200"]


def test_casablanca_goes_back_for_ramadan() -> None:
    schedule = crontab("30 2 * * *", tz="Africa/Casablanca")
    found = ticks(schedule, "2026-02-14T12:00+00:00", 2)
    assert found == ["15 02:30+0100", "16 02:30+0000"]
    assert ticks(schedule, "2026-03-21T12:00+00:00", 2) == ["22 03:00+0100", "23 02:30+0100"]


def test_dublin_has_its_saving_time_in_winter() -> None:
    schedule = crontab("30 1 * * *", tz="Europe/Dublin")
    assert ticks(schedule, "2026-03-28T12:00+00:00", 2) == ["29 02:00+0100", "30 01:30+0100"]
    assert ticks(schedule, "2026-10-24T12:00+00:00", 2) == ["25 01:30+0100", "26 01:30+0000"]


def test_apia_had_no_30_december_2011() -> None:
    daily = crontab("0 12 * * *", tz="Pacific/Apia")
    found = ticks(daily, "2011-12-29T00:00+00:00", 4)
    assert found == ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400", "01 12:00+1400"]
    often = crontab("0 */12 * * *", tz="Pacific/Apia")
    found = ticks(often, "2011-12-29T00:00-10:00", 3)
    assert found == ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"]
