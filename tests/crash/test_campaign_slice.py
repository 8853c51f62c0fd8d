"""A short campaign: 30 kills, everything checked.  The long one is `make crash`."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import pytest

from tests.crash.campaign import Campaign, Plan


@pytest.mark.crash
def test_nothing_is_lost_or_done_twice_when_everybody_is_killed(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    plan = Plan(kills=30, jobs=2500, hits=10, seed=seed, rate=4.0)
    report = Campaign(plan, tmp_path, print).run()
    broken = {name: found for name, found in report.breaches.items() if found}
    assert not broken, f"seed {seed}: {report.figures}"
