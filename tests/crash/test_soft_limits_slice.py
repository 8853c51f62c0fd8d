"""A short campaign of soft limits: some 150 hits.  The long one is `-m tests.crash.soft_limits`."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import pytest

from tests.crash.soft_limits import Campaign, Plan, Row, Seen, wrongness

SOFT = "SoftTimeLimitExceeded"


@pytest.mark.crash
@pytest.mark.timeout(120)  # on a busy machine; here some 10 s
def test_a_soft_limit_leaves_nothing_open_and_every_verdict_true(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    found = Campaign(Plan(hits=150, seed=seed), tmp_path, print).run()
    assert not found.broken, f"seed {seed}: {found.figures}"
    assert found.figures["different lines struck"] > 20


def seen(*marks: str, word: str = "") -> Seen:
    return Seen([(mark, float(at)) for at, mark in enumerate(marks)], word)


def row(state: str, *, result: str | None = None, trace: str | None = None) -> Row:
    return Row("done", state, result, SOFT if state == "FAILURE" else None, trace)


IN_COUNT = '  File "/app/softened.py", line 103, in count\n'
IN_WORK = '  File "/app/softened.py", line 73, in work\n    note("E", self.request)\n'
IN_TRY = IN_WORK.partition("\n")[0] + "\n    WAYS[way](self, time.monotonic() + seconds)\n"
IN_TASK = '  File "/x/litequeue/task.py", line 281, in request\n'
RAISED = '  File "/x/litequeue/interrupts/guards.py", line 179, in _deliver\n'


@pytest.mark.parametrize(
    ("found", "saw"),
    [
        (row("SUCCESS", result='"finished-1"'), seen("S", "E", word="finished-1")),
        (row("SUCCESS", result='"swallowed-1"'), seen("S", "W", "E", word="swallowed-1")),
        (row("FAILURE", trace=IN_COUNT), seen("S", "X")),
        (row("FAILURE", trace=None), seen()),
        (row("FAILURE", trace=IN_WORK + IN_TASK + RAISED), seen("S")),
        (row("FAILURE", trace=IN_WORK + RAISED), seen("S", "E", word="finished-1")),
    ],
)
def test_verdicts_that_agree_with_what_the_job_saw(found: Row, saw: Seen) -> None:
    assert wrongness("1", found, saw) == ""


@pytest.mark.parametrize(
    ("found", "saw"),
    [
        (row("SUCCESS", result='"finished-1"'), seen("S", "X")),
        (row("SUCCESS", result='"finished-2"'), seen("S", "E", word="finished-1")),
        (row("SUCCESS", result='"finished-1"'), seen("S")),
        (row("FAILURE", trace=IN_COUNT), seen("S", "E", word="finished-1")),
        (row("FAILURE", trace=IN_COUNT + RAISED), seen("S")),
        (row("FAILURE", trace=IN_TRY + RAISED), seen("S")),
        (row("PROGRESS"), seen("S", "X")),
        (Row("done", "FAILURE", None, "RuntimeError", IN_WORK), seen("S", "X")),
    ],
)
def test_verdicts_that_do_not(found: Row, saw: Seen) -> None:
    assert wrongness("1", found, saw) != ""
