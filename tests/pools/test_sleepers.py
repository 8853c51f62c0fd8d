from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.aio_sleepers import BOUND, measure

JOBS = 400


class TestSleepers:
    """A small slice of `python -m benchmarks.aio_sleepers`."""

    def test_hundreds_sleep_in_one_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LITEQUEUE_URL", "")  # measure() sets it, for its worker
        meeting = measure(tmp_path, JOBS)
        assert meeting.met == JOBS
        assert meeting.peak < BOUND / 3
