"""No soft limit, at whatever moment it strikes, costs more than the job that it is for."""

from __future__ import annotations

import subprocess
import sys

import pytest

ROUND = 300
CAMPAIGN = 5_000


def strike(how: str, jobs: int, seed: int) -> tuple[int, list[str]]:
    """Return how many jobs were interrupted, and what was wrong then."""
    program = subprocess.run(
        [sys.executable, "-m", "tests.integration.struck", how, str(jobs), str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    *faults, last = (program.stdout + program.stderr).splitlines() or [""]
    if program.returncode or not last.startswith("interrupted "):
        return 0, [*faults, last, f"exit code {program.returncode}"]
    return int(last.split()[1]), faults


@pytest.mark.parametrize("how", ["signal", "thread"])
def test_nothing_is_left_behind(how: str) -> None:
    interrupted, faults = strike(how, ROUND, seed=1)
    assert faults == []
    assert interrupted > ROUND / 10


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["signal", "thread"])
def test_not_in_thousands_of_times_either(how: str) -> None:
    interrupted, faults = strike(how, CAMPAIGN, seed=2)
    assert faults == []
    assert interrupted > CAMPAIGN / 10
