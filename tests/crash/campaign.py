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
from sqlite3 import Connection
from typing import Any, Final

from tests.crash import checker, command
from tests.crash.checker import Attempt, Sent
from tests.crash.crew import OF_WORKERS, Crew, is_sending, opened
from tests.crash.programs import producer
from tests.crash.table import Findings
from tests.integration.processes import Site, Worker

ROLES: Final = (*OF_WORKERS, "producer")
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
    """One file, its producers and workers, and the one who kills them.

    ``program`` is what a producer runs, ``sends`` names what that sends, in the plan, too; ``left``
    asks the file how much is left to do, and how many jobs there are.
    """

    app = "tests.crash.programs.app:app"
    program: Any = producer
    sends = "jobs"
    left = "SELECT count(*) FILTER (WHERE phase <> 'done'), count(*) FROM litequeue_job"

    def __init__(self, plan: Any, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.site = Site(folder)
        self.random = Random(plan.seed)
        self.findings = Findings()
        self.crew = Crew(self.site, self.random, say, lambda: f"{self._sent():,} {self.sends} sent")
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
        return self.site.worker("-l", "WARNING", app=self.app, children=children, ready=False)

    def _producer(self, index: int) -> subprocess.Popen[bytes]:
        plan, count = self.plan, getattr(self.plan, self.sends)
        share = count // plan.producers + 1
        first = index * 10 * count
        pause = plan.kills / plan.rate / (share / self.program.BURST)
        command = [sys.executable, "-m", self.program.__name__, self.journals[index]]
        command += [first, first + share, self.random.random(), pause, plan.longest]
        return self.site.start(
            [str(word) for word in command],
            log=self.site.folder / "producers.log",
            LITEQUEUE_URL=str(self.site.path),
        )

    def _storm(self) -> None:
        for role in self._roles():
            self.crew.wait(self.random.expovariate(self.plan.rate))
            self.crew.strike(role, blindly=self.random.random() < BLIND)
        for journal in self.journals:
            journal.with_name(journal.name + ".stop").touch()

    def _roles(self) -> list[str]:
        """Return who is killed, one after the other."""
        even = [self.plan.roles[each % len(self.plan.roles)] for each in range(self.plan.kills)]
        self.random.shuffle(even)
        return even

    def _look(self) -> tuple[int, int]:
        """Return how much is left, and how many jobs there are."""
        with opened(self.site.path) as file:
            left, count = file.execute(self.left).fetchone()
        return left + self.crew.is_sending(), count

    def _sent(self) -> int:
        """Return about how many were sent, by the size of the journals."""
        return sum(each.stat().st_size // 120 for each in self.journals if each.exists())

    def _judge(self) -> None:
        sent = checker.read_sent(each for each in self.journals if each.exists())
        attempts = checker.read_attempts(self.site.journal.path)
        found = self.findings
        with opened(self.site.path) as file:
            said = checker.integrity(file)
            figures = self._judge_file(file, sent, attempts)
        found.add("integrity", [] if said == "ok" else [said])
        self.crew.judge(found)
        found.figures = {
            **struck(self.crew, attempts),
            **figures,
            "starts": len(attempts),
            "cut short": sum(attempt.end is None for attempt in attempts),
        }
        for name in ("kills", self.sends, "hits"):
            had, wanted = found.figures[name], getattr(self.plan, name)
            found.add(f"too few {name}", [] if had >= wanted else [f"{had} of {wanted}"])

    def _judge_file(
        self, file: Connection, sent: dict[str, Sent], attempts: list[Attempt]
    ) -> dict[str, Any]:
        """Note the promises that are broken; return figures."""
        broken = checker.judge_file(file, sent) | checker.judge_runs(attempts, sent)
        for name, ids in broken.items():
            self.findings.add(name, ids)
        accepted = sum(job.accepted for job in sent.values())
        rescues = sorted(checker.rescue_times(self.crew.kills, attempts))
        return {
            "jobs": accepted,
            "uncertain": len(sent) - accepted,
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
