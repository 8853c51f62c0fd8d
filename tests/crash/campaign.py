"""Kill everything, lose nothing: `python -m tests.crash.campaign --help`.

Producers send jobs, workers run them, and SIGKILL hits children, consumers, supervisors and
producers at random moments.  Then the faults stop, everything drains, and the checker compares
what was promised with what the file holds.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.crash import checker, command
from tests.crash.checker import Attempt, Sent
from tests.crash.crew import OF_WORKERS, Crew, is_sending, opened
from tests.crash.programs.producer import BURST
from tests.crash.table import Findings
from tests.integration.processes import Site, Worker

ROLES: Final = (*OF_WORKERS, "producer")
APP: Final = "tests.crash.programs.app:app"
BLIND: Final = 0.15
"""Share of the kills that do not care whether a job is running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do."""

    kills: int = 1000
    jobs: int = 100_000
    hits: int = field(default=300, metadata={"help": "kills that must hit a job"})
    seed: int = 0
    roles: tuple[str, ...] = field(
        default=ROLES, metadata={"help": "who is killed, in even shares"}
    )
    rate: float = field(default=8.0, metadata={"help": "kills per second"})
    workers: int = 2
    children: int = field(default=6, metadata={"help": "per worker"})
    producers: int = 2
    longest: float = field(default=0.020, metadata={"help": "seconds of a job"})


class Campaign:
    """One file, its producers and workers, and the one who kills them."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.site = Site(folder)
        self.random = Random(plan.seed)
        self.findings = Findings()
        self.crew = Crew(self.site, self.random, say, lambda: f"{self._sent():,} jobs sent")
        self.journals = [folder / f"producer-{index}" for index in range(plan.producers)]

    def run(self) -> Findings:
        """Run it all; nothing is left running, whatever happens."""
        try:
            self._set_up()
            self._storm()
            self.crew.drain(self._look)
            self.crew.stop(self.findings)
        finally:
            self.site.close()
        self._judge()
        return self.findings

    def _set_up(self) -> None:
        create(self.site)
        self.crew.start_workers(self.plan.workers, self._worker)
        for index, journal in enumerate(self.journals):
            self.crew.add("producer", partial(self._producer, index), partial(is_sending, journal))

    def _worker(self) -> Worker:
        children = self.plan.children
        return self.site.worker("-l", "WARNING", app=APP, children=children, ready=False)

    def _producer(self, index: int) -> subprocess.Popen[bytes]:
        plan = self.plan
        share = plan.jobs // plan.producers + 1
        first = index * 10 * plan.jobs
        pause = plan.kills / plan.rate / (share / BURST)
        command = [sys.executable, "-m", "tests.crash.programs.producer", self.journals[index]]
        command += [first, first + share, self.random.random(), pause, plan.longest]
        return self.site.start(
            [str(word) for word in command],
            log=self.site.folder / "producers.log",
            LITEQUEUE_URL=str(self.site.path),
        )

    def _storm(self) -> None:
        even = [self.plan.roles[each % len(self.plan.roles)] for each in range(self.plan.kills)]
        self.random.shuffle(even)
        for role in even:
            self.crew.wait(self.random.expovariate(self.plan.rate))
            self.crew.strike(role, blindly=self.random.random() < BLIND)
        for journal in self.journals:
            journal.with_name(journal.name + ".stop").touch()

    def _look(self) -> tuple[int, int]:
        """Return how many jobs are left, and how many there are."""
        with opened(self.site.path) as file:
            left, count = file.execute(
                "SELECT count(*) FILTER (WHERE phase <> 'done'), count(*) FROM litequeue_job"
            ).fetchone()
        return left + self.crew.is_sending(), count

    def _sent(self) -> int:
        """Return about how many jobs were sent, by the size of the journals."""
        return sum(each.stat().st_size // 120 for each in self.journals if each.exists())

    def _judge(self) -> None:
        sent = checker.read_sent(self.journals)
        attempts = checker.read_attempts(self.site.journal.path)
        found = self.findings
        with opened(self.site.path) as file:
            said = checker.integrity(file)
            for name, ids in checker.judge_file(file, sent).items():
                found.add(name, ids)
        for name, ids in checker.judge_runs(attempts, sent).items():
            found.add(name, ids)
        found.add("integrity", [] if said == "ok" else [said])
        self.crew.judge(found)
        found.figures = self._figures(sent, attempts)
        short = {"kills": self.plan.kills, "jobs": self.plan.jobs, "hits": self.plan.hits}
        for name, wanted in short.items():
            had = found.figures[name]
            found.add(f"too few {name}", [] if had >= wanted else [f"{had} of {wanted}"])

    def _figures(self, sent: dict[str, Sent], attempts: list[Attempt]) -> dict[str, Any]:
        kills = self.crew.kills
        accepted = sum(job.accepted for job in sent.values())
        rescues = sorted(checker.rescue_times(kills, attempts))
        return {
            **struck(self.crew, attempts),
            "jobs": accepted,
            "uncertain": len(sent) - accepted,
            "starts": len(attempts),
            "cut short": sum(attempt.end is None for attempt in attempts),
            "rescue of a child's job, p50": round(rescues[len(rescues) // 2], 3) if rescues else 0,
            "rescue of a child's job, longest": round(rescues[-1], 3) if rescues else 0,
            "largest WAL": self.crew.wal,
        }


def create(site: Site) -> None:
    """Make the file, with the checker's own table in it."""
    done = site.run("-m", "tests.crash.programs.create", str(site.path))
    if done.returncode:
        raise RuntimeError(done.stderr)
    with opened(site.path) as file:
        for statement in checker.AUDIT:
            file.execute(statement)


def struck(crew: Crew, attempts: list[Attempt]) -> dict[str, Any]:
    """Return how many kills there were, and how many of them hit a job that ran."""
    hits = checker.hits(crew.kills, attempts)
    return {
        "kills": len(crew.kills),
        "by role": dict(Counter(each.role for each in crew.kills)),
        "hits": len(hits),
        "hits by role": dict(Counter(each.role for each in hits)),
    }


if __name__ == "__main__":
    sys.exit(command.main("campaign", Plan, Campaign, __doc__))
