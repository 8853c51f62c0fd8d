"""`crontab`: what may be written in its fields, and what is said of the rest."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import UTC, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from litequeue.exceptions import ImproperlyConfigured
from litequeue.schedules import ScheduleError, Tick, crontab, dump, load
from litequeue.schedules.fields import LONGEST


def too_many() -> Iterator[int]:
    for _ in range(1_000):
        yield 1
    raise AssertionError("all of it was asked for")


BAD_LINES = {
    "": "minute '' has an empty part; write values between the commas",
    "60 * * * *": "minute '60' has 60, which is not in 0 to 59",
    "-1 * * * *": "minute '-1' has '-1', which is not a number, a range as 1-5 or a step as */2",
    "0 24 * * *": "hour '24' has 24, which is not in 0 to 23",
    "0 0 0 * *": "day_of_month '0' has 0, which is not in 1 to 31",
    "0 0 32 * *": "day_of_month '32' has 32, which is not in 1 to 31",
    "0 0 * 13 *": "month_of_year '13' has 13, which is not in 1 to 12",
    "0 0 * 0 *": "month_of_year '0' has 0, which is not in 1 to 12",
    "0 0 * * 8": "day_of_week '8' has 8, which is not in 0 to 7",
    "60 0 0 * * *": "second '60' has 60, which is not in 0 to 59",
    "*/0 * * * *": "minute '*/0' has a step of 0; a step is 1 or more",
    "*/ * * * *": "minute '*/' has '*/', which is not a number, a range as 1-5 or a step as */2",
    "1-2-3 * * * *": "minute '1-2-3' has '1-2-3', which is not a number, a range as 1-5 or a step"
    " as */2",
    "1,,2 * * * *": "minute '1,,2' has an empty part; write values between the commas",
    "jan * * * *": "minute 'jan' has 'jan', which is not a number, a range as 1-5 or a step as */2",
    "0 0 * mai *": "month_of_year 'mai' has 'mai', which is not a number, a name as jan, a range as"
    " 1-5 or a step as */2",
    "0 0 * * jan": "day_of_week 'jan' has 'jan', which is not a number, a name as sun, a range as"
    " 1-5 or a step as */2",
    "0 0 * * 5#6": "day_of_week '5#6' has '5#6', which is not a number, a name as sun, a range as"
    " 1-5 or a step as */2",
    "0 0 * * 1,5#2": "day_of_week '1,5#2' mixes days of every week with # or L; make two entries of"
    " it",
    "0 0 15w * *": "day_of_month '15w' has '15w', which is not a number, a range as 1-5 or a step"
    " as */2",
    "0 0 ? * 1": "day_of_month '?' is Quartz's word for any; write *",
    "H * * * *": "minute 'H' asks for a value by hash or by chance, which a crontab here has not;"
    " use jitter= of the entry, on the command line --jitter",
    "R(0-9)/2 * * * *": "minute 'R(0-9)/2' asks for a value by hash or by chance, which a crontab"
    " here has not; use jitter= of the entry, on the command line --jitter",
    "0 0 * * Mon,Foo": "day_of_week 'Mon,Foo' has 'Foo', which is not a number, a name as sun, a"
    " range as 1-5 or a step as */2",
    "0 0 30 2 *": "day_of_month 30 never comes in month_of_year 2, so nothing would ever be due;"
    " change one of them",
    "0 0 31 4,6,9,11 *": "day_of_month 31 never comes in month_of_year 4,6,9,11, so nothing would"
    " ever be due; change one of them",
    "* * * *": "crontab '* * * *' has 4 fields; it takes five (minute, hour, day_of_month,"
    " month_of_year, day_of_week), or six with the second first",
    "0 0 0 1 1 * 2030": "crontab '0 0 0 1 1 * 2030' has 7 fields; it takes five (minute, hour,"
    " day_of_month, month_of_year, day_of_week), or six with the second first",
    "@reboot": "a crontab has no @reboot, since nothing starts with the machine here; send the job"
    " from a receiver of worker_ready, or from the program that starts the worker",
    "@dayly": "a crontab has no @dayly; it has @yearly, @annually, @monthly, @weekly, @daily,"
    " @midnight, @hourly",
    "0 0 " + "1," * 150 + "1 * *": "the expression of a crontab has 309 characters, and 256 are"
    " allowed; write it with ranges and steps",
}
BAD_FIELDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"minute": 60}, "minute '60' has 60, which is not in 0 to 59"),
    ({"hour": -1}, "hour -1 is not a number from 0 to 23"),
    ({"hour": 10**400}, "hour 1000000"),
    ({"hour": 10**5000}, "hour of int is not a number from 0 to 23"),
    ({"hour": [10**5000]}, "hour of int is not a number from 0 to 23"),
    ({"tz": ["UTC"] * 1_000_000}, "tz ['UTC', 'UTC', 'UTC', 'UTC', 'UTC', 'UTC', ...] has no name"),
    ({"tz": "x" * 1_000_000}, "is not a time zone that this machine knows"),
    ({"minute": 1.5}, "minute 1.5 is neither text nor a number nor several numbers"),
    ({"minute": True}, "minute True is neither text nor a number nor several numbers"),
    ({"minute": b"5"}, "minute b'5' is neither text nor a number nor several numbers"),
    ({"day_of_week": []}, "day_of_week names no value, so nothing would ever be due"),
    ({"day_of_week": too_many()}, "day_of_week has too many values"),
    ({"month_of_year": ["jan"]}, "month_of_year 'jan' is not a number from 1 to 12"),
    ({"hour": [1, None]}, "hour None is not a number from 0 to 23"),
    ({"hour": "1 2"}, "hour '1 2' has '1 2', which is not a number, a range as 1-5 or a step"),
    ({"hour": ""}, "hour '' has an empty part; write values between the commas"),
    ({"hour": "1," * 130}, "hour of a crontab has 260 characters, and 256 are allowed"),
    ({"hour": "1," * 10_000}, "hour of a crontab has 20000 characters, and 256 are allowed"),
    ({"minute": "0 3 * * *", "hour": 5}, "crontab '0 3 * * *' is a whole line, so it takes"),
    ({"minute": "0 0 3 * * *", "second": 5}, "second is given twice: in crontab '0 0 3 * * *'"),
    ({"day_of_month": 31, "month_of_year": 2}, "day_of_month 31 never comes in month_of_year 2"),
    ({"day_of_month": 1, "day_of_week": "fri#2"}, "day_of_month 1 never comes in month_of_year *"),
    ({"day_of_month": 20, "day_of_week": "Lfri"}, "day_of_month 20 never comes"),
    ({"day_of_month": "L", "day_of_week": "mon#1"}, "day_of_month L never comes"),
    ({"tz": "Mars/Olympus"}, "tz 'Mars/Olympus' is not a time zone that this machine knows"),
    ({"tz": ""}, "tz '' is not a time zone that this machine knows"),
    ({"tz": "../../etc/passwd"}, "tz '../../etc/passwd' is not a time zone that this machine"),
    ({"tz": "Europe"}, "tz 'Europe' is not a time zone that this machine knows"),
    ({"tz": "x\0y"}, "tz 'x\\x00y' is not a time zone that this machine knows"),
    ({"tz": timezone(timedelta(hours=1))}, "has no name that could be stored; name a zone"),
    ({"tz": 3}, "tz 3 has no name that could be stored; name a zone, as tz='Europe/Berlin'"),
)


@pytest.mark.parametrize(("line", "sentence"), BAD_LINES.items(), ids=range(len(BAD_LINES)))
def test_what_is_no_line_is_told_in_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        crontab(line)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(("fields", "start"), BAD_FIELDS, ids=range(len(BAD_FIELDS)))
def test_what_is_no_field_is_told_with_its_name(fields: dict[str, Any], start: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        crontab(**fields)
    assert start in str(caught.value)
    assert len(str(caught.value)) < 250


def test_the_error_is_one_that_a_user_may_expect() -> None:
    assert issubclass(ScheduleError, ValueError)
    assert issubclass(ScheduleError, ImproperlyConfigured)


def test_one_of_two_days_may_be_impossible_where_either_is_enough() -> None:
    assert keys(crontab("0 0 30 2 mon"), 1) == ["1970-02-02T00:00[UTC]"]
    assert keys(crontab("0 0 31 4 fri#5"), 2) == ["1971-04-30T00:00[UTC]", "1976-04-30T00:00[UTC]"]


TEXTS = st.text("0123456789*/-,#?LlHhRrWw@ \tadefijmnorstuvy", max_size=40) | st.text(max_size=20)
NUMBERS = st.integers() | st.integers(-1, 62)
FIELDS = st.one_of(
    *(st.none(), st.booleans(), st.floats(), st.binary(max_size=3), TEXTS, NUMBERS),
    *(st.lists(NUMBERS | TEXTS | st.none(), max_size=70), st.sets(NUMBERS)),
)
LINES = st.lists(TEXTS.filter(bool), min_size=5, max_size=6).map(" ".join)


@given(TEXTS | LINES)
@settings(max_examples=250, deadline=timedelta(seconds=10))
@example("0 0 29 2 mon#5")
@example("9" * 200 + " * * * *")
@example("*/999999999 * * * *")
@example("\u0661 * * * *")
@example("0\u00a00 * * *")
def test_no_line_raises_anything_else(line: str) -> None:
    try_out(line)


@given(
    st.dictionaries(
        st.sampled_from(
            ["minute", "hour", "day_of_week", "day_of_month", "month_of_year", "second", "tz"]
        ),
        FIELDS,
    )
)
@settings(max_examples=250, deadline=timedelta(seconds=10))
def test_no_field_raises_anything_else(fields: dict[str, Any]) -> None:
    try_out(**fields)


FROM_PARTS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["*", "1", "3-7", "28", "31", "22-2", "L", "5#2", "fri"]),
    st.sampled_from(["", "/2", "/7", "/90"]),
    st.sampled_from(["", ",4", ",29", ",L", ",Lmon"]),
)


@given(st.lists(FROM_PARTS, min_size=5, max_size=6).map(" ".join), st.booleans())
@settings(max_examples=300, deadline=timedelta(seconds=10))
def test_what_is_accepted_is_due_one_day_and_survives_the_file(line: str, either: bool) -> None:
    try_out(line, day_or=either)


def try_out(*args: Any, **fields: Any) -> None:
    try:
        schedule = crontab(*args, **fields)
    except ScheduleError:
        return
    assert load(dump(schedule)) == schedule
    tick = schedule.after(1_700_000_000.5)
    assert tick is not None
    assert tick.at > 1_700_000_000.5
    assert schedule.after(tick.at - 0.25) == tick


def keys(schedule: crontab, number: int, start: float = 0.0) -> list[str]:
    found, moment = [], start
    for _ in range(number):
        tick = schedule.after(moment)
        assert tick is not None
        moment = tick.at
        found.append(tick.key)
    return found


def test_fields_stand_in_celerys_order() -> None:
    schedule = crontab(1, 2, 3, 4, 5)
    assert str(schedule) == "crontab 1 2 4 5 3 (both days)"
    assert schedule.day_of_week == {3}


def test_a_first_argument_with_blanks_or_an_at_is_the_whole() -> None:
    assert crontab("0 3 * * *") == crontab(minute=0, hour=3)
    assert crontab("@daily") == crontab(0, 0)
    assert crontab(" 0,\t30  3 * *\n* ") == crontab(minute="0, 30", hour=3)
    assert crontab("0, 30") == crontab([0, 30])


def test_seconds_come_first_or_by_name() -> None:
    assert crontab("*/10 * * * * *") == crontab(second="*/10")
    assert crontab("5 0 3 * * *") == crontab("0 3 * * *", second=5)
    assert crontab("0 0 3 * * *") == crontab(0, 3, second=0) == crontab("0 3 * * *")
    assert keys(crontab("*/30 59 23 31 12 *"), 2) == [
        *("1970-12-31T23:59[UTC]", "1970-12-31T23:59:30[UTC]"),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * sunday", "0 0 * * sun"),
        ("0 0 * * 5-7", "0 0 * * fri,sat,sun"),
        ("0 0 * * fri-mon", "0 0 * * 0,1,5,6"),
        ("0 0 * * 0-7", "0 0 * * *"),
        ("0 0 * january,2 *", "0 0 * 1-feb *"),
        ("5/20 0 * * *", "5,25,45 0 * * *"),
        ("59/15 0 * * *", "59 0 * * *"),
        ("0 22-2/2 * * *", "0 0,2,22 * * *"),
        ("0 0 * * Lfri", "0 0 * * L5"),
        ("0 0 * * Fri#2", "0 0 * * 5#2"),
        ("0 0 * JAN-Mar SUN", "0 0 * 1-3 0"),
        ("0 0 l * *", "0 0 L * *"),
        ("@Daily", "0 0 * * *"),
        ("0 0 * * 7#1", "0 0 * * sun#1"),
        ("0 0 * * L7", "0 0 * * Lsun"),
        ("*/60 0 * * *", "0 0 * * *"),
    ],
)
def test_two_ways_to_say_one_thing(one: str, other: str) -> None:
    assert keys(crontab(one), 10) == keys(crontab(other), 10)


def test_with_all_hours_it_speaks_of_real_time() -> None:
    assert keys(crontab("0 0-23 * * *"), 1) == ["1970-01-01T01:00:00Z"]
    assert keys(crontab(0, range(24)), 1) == ["1970-01-01T01:00:00Z"]
    assert keys(crontab("0 */12 * * *"), 1) == ["1970-01-01T12:00:00Z"]
    assert keys(crontab("0 0,12 * * *"), 1) == ["1970-01-01T12:00[UTC]"]


def test_the_moment_itself_is_over() -> None:
    schedule = crontab("0 0 * * *")
    assert schedule.after(86_400.0) == Tick("1970-01-03T00:00[UTC]", 172_800.0)
    assert schedule.after(86_399.999) == Tick("1970-01-02T00:00[UTC]", 86_400.0)
    assert schedule.after(-1e9) == Tick("1970-01-01T00:00[UTC]", 0.0)


@pytest.mark.parametrize("moment", [1e12, 1e300, float("inf"), float("nan")])
def test_after_the_end_of_time_nothing_comes(moment: float) -> None:
    assert crontab("* * * * *").after(moment) is None


def test_the_end_of_time_can_be_reached() -> None:
    schedule = crontab("0 0 29 2 *")
    assert schedule.after(249_999_999_999.0) is None
    assert schedule.after(249_000_000_000.0) is not None


def test_a_leap_day_may_be_forty_years_away() -> None:
    assert keys(crontab(0, 0, 1, 29, 2), 1, start=3_300_000_000.0) == ["2112-02-29T00:00[UTC]"]


@pytest.mark.parametrize("zone", ["UTC", UTC, ZoneInfo("UTC")])
def test_zones_are_known_by_name(zone: Any) -> None:
    assert crontab(0, 3, tz=zone).zone == "UTC"
    assert crontab(0, 3, tz=ZoneInfo("Asia/Tokyo")) == crontab(0, 3, tz="Asia/Tokyo")


def test_a_zone_is_given_only_where_none_is() -> None:
    tokyo = crontab(0, 3).in_zone("Asia/Tokyo")
    assert str(tokyo) == "crontab 0 3 * * * Asia/Tokyo"
    assert tokyo.in_zone("UTC") is tokyo
    assert keys(tokyo, 1) == ["1970-01-02T03:00[Asia/Tokyo]"]
    with pytest.raises(ScheduleError, match="tz 'Nowhere'"):
        crontab(0, 3).in_zone("Nowhere")


def test_schedules_are_values() -> None:
    schedule = crontab("0 3 * * 1", tz="Asia/Tokyo")
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert len({schedule, crontab("0 3 * * 1", tz="Asia/Tokyo"), crontab("0 3 * * 1")}) == 2
    with pytest.raises(AttributeError):
        schedule.zone = "UTC"  # type: ignore[misc]  # on purpose


def test_a_field_may_be_as_long_as_a_line() -> None:
    text = ",".join(map(str, range(60)))
    assert len(text) < LONGEST
    schedule = crontab(range(60), range(24), range(7), range(1, 32), range(1, 13), second=range(60))
    assert load(dump(schedule)) == schedule
    assert keys(schedule, 1) == ["1970-01-01T00:00:01Z"]


def test_capitals_make_no_difference_to_what_is_stored() -> None:
    assert crontab("0 0 L JAN Mon", tz="UTC") == crontab("0 0 l jan mon", tz="UTC")
    assert crontab(0, 0, "Fri", month_of_year="DECEMBER").texts[4:] == ("december", "fri")
    assert str(crontab("0 0 * * MON")) == "crontab 0 0 * * mon"


def test_of_celerys_two_words_about_an_app_only_a_clock_is_refused() -> None:
    assert crontab(0, 3, app=object(), nowfun=None) == crontab(0, 3)
    clock: Any = len
    with pytest.raises(ScheduleError, match="nowfun <built-in function len> is code, which cannot"):
        crontab(0, 3, nowfun=clock)
