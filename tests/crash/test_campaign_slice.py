"""A short campaign: 15 kills, everything checked.  The long one is `make crash`."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import pytest

from tests.crash.campaign import Campaign, Plan


@pytest.mark.crash
def test_nothing_is_lost_or_done_twice_when_everybody_is_killed(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    plan = Plan(kills=15, jobs=1250, hits=2, seed=seed, rate=4.0)
    findings = Campaign(plan, tmp_path, print).run()
    assert not findings.broken, f"seed {seed}: {findings.figures}"
