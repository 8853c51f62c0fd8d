"""A short campaign of beats: three of them, 150 ticks.  The long one is part of `make crash`."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import pytest

from tests.crash.beats import Campaign, Plan


@pytest.mark.crash
def test_beats_that_are_killed_send_every_tick_once(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    plan = Plan(ticks=150, beats=3, seed=seed, rate=3.0, span=3.0)
    findings = Campaign(plan, tmp_path, print).run()
    assert not findings.broken, f"seed {seed}: {findings.figures}"
