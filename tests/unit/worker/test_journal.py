from __future__ import annotations

import logging

import pytest

from litequeue.job import Failure, Lease, Outcome
from litequeue.worker.journal import LINES_PER_SECOND, Journal, lines, safe
from tests.conftest import FakeClock

LOGGER = "litequeue.worker"


def lease(seq: int, task: str = "shop.pay", id: str = "the-id") -> Lease:
    return Lease(seq, 1, 1, id, task, "", None, "q", 0, 0, 0, None, None, None)


@pytest.fixture
def journal(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> Journal:
    caplog.set_level(logging.INFO, LOGGER)
    return Journal(clock)


@pytest.mark.parametrize(
    ("outcome", "level", "line"),
    [
        (
            Outcome(1, 1, 1, "SUCCESS", "[1]", runtime=0.25, shown="(1,)"),
            logging.INFO,
            "shop.pay[the-id] succeeded in 0.250 s: (1,)",
        ),
        (
            Outcome(1, 1, 1, "SUCCESS", shown="None"),
            logging.INFO,
            "shop.pay[the-id] succeeded in 0.000 s: None",
        ),
        (
            Outcome(1, 1, 1, "FAILURE", failure=Failure("ValueError", "no", "Trace:\n  x")),
            logging.ERROR,
            "shop.pay[the-id] failed in 0.000 s: ValueError: no\nTrace:\n  x",
        ),
        (
            Outcome(
                1, 1, 1, "FAILURE", failure=Failure("ValueError", "no", "Trace", expected=True)
            ),
            logging.INFO,
            "shop.pay[the-id] failed in 0.000 s: ValueError: no",
        ),
        (
            Outcome(1, 1, 1, "RETRY", eta=5.0, failure=Failure("OSError", "gone", "Trace")),
            logging.WARNING,
            "shop.pay[the-id] ended in 0.000 s and will be retried: OSError: gone",
        ),
        (
            Outcome(1, 1, 1, "REJECTED", failure=Failure("RejectedError", "bad")),
            logging.WARNING,
            "shop.pay[the-id] ended as REJECTED in 0.000 s: RejectedError: bad",
        ),
        (
            Outcome(1, 1, 1, "IGNORED"),
            logging.INFO,
            "shop.pay[the-id] ended as IGNORED in 0.000 s",
        ),
        (
            Outcome(1, 1, 1, "RETRY", counted=False, sequel="[[],true]"),
            logging.INFO,
            "shop.pay[the-id] has replaced itself in 0.000 s",
        ),
    ],
    ids=["success", "nothing", "failure", "expected", "retry", "rejected", "ignored", "replaced"],
)
def test_one_line_per_verdict(
    journal: Journal, caplog: pytest.LogCaptureFixture, outcome: Outcome, level: int, line: str
) -> None:
    journal.settled([outcome], {1: lease(1)})
    assert caplog.record_tuples == [(LOGGER, level, line)]


@pytest.mark.parametrize(
    "evil",
    [
        "two\nlines",
        "\x1b[31mred",
        "\r overwrite",
        "bell\x07",
        "\u202ebackwards",
        "\x9b31m",
        "a\x00b",
    ],
)
def test_nothing_a_job_brings_steers_the_terminal(
    journal: Journal, caplog: pytest.LogCaptureFixture, evil: str
) -> None:
    leases = {1: lease(1, task=evil, id=evil)}
    failure = Failure(evil, evil, f"Trace\n{evil}\nend")
    journal.settled([Outcome(1, 1, 1, "SUCCESS", evil, shown=evil)], leases)
    journal.settled([Outcome(1, 1, 1, "REJECTED", failure=failure)], leases)
    journal.event(leases[1], logging.WARNING, "is parked")
    for _, _, line in caplog.record_tuples:
        assert line.isprintable(), line
    caplog.clear()
    journal.settled([Outcome(1, 1, 1, "FAILURE", failure=failure)], leases)
    assert all(part.isprintable() for part in caplog.messages[0].split("\n"))


def test_long_text_is_cut() -> None:
    assert len(safe("x" * 1_000_000)) < 300
    assert safe("short") == "short"


def test_lines_stay_lines() -> None:
    assert lines("a\n  b\nc\n\n") == "a\n  b\nc"
    assert lines("a\n\x1b[2Jb") == "a\n\\x1b[2Jb"


def test_many_lines_become_a_number(
    journal: Journal, caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    def settle(count: int) -> None:
        journal.settled([Outcome(1, 1, 1, "SUCCESS", shown="5")] * count, {1: lease(1)})

    settle(LINES_PER_SECOND + 50)
    assert len(caplog.messages) == LINES_PER_SECOND
    clock.advance(0.9)
    settle(7)
    assert len(caplog.messages) == LINES_PER_SECOND
    clock.advance(0.2)
    settle(1)
    assert caplog.messages[-2:] == [
        "... and 57 more jobs ended well",
        "shop.pay[the-id] succeeded in 0.000 s: 5",
    ]


def test_failures_are_told_however_many_jobs_end(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.settled([Outcome(1, 1, 1, "SUCCESS")] * 500, {1: lease(1)})
    caplog.clear()
    journal.settled([Outcome(1, 1, 1, "FAILURE", failure=Failure("E", "m"))], {1: lease(1)})
    assert caplog.messages == ["shop.pay[the-id] failed in 0.000 s: E: m"]


def test_at_warning_only_what_went_wrong_is_told(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, LOGGER)
    outcomes = [
        Outcome(1, 1, 1, "SUCCESS"),
        Outcome(1, 1, 1, "RETRY", eta=1.0, failure=Failure("E", "m")),
    ]
    Journal(clock).settled(outcomes, {1: lease(1)})
    assert [level for _, level, _ in caplog.record_tuples] == [logging.WARNING]
