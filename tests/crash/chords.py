"""Chords under fire: kill everything, and every callback is called once, with all results in order.

Members are calls, chains of two, chords, and some retry, replace themselves, or have further
members added.  SIGKILL hits children, consumers, supervisors and the producers that store them,
some of these chunk by chunk; then all drains, and the file is compared with what arithmetic says
comes of each chord.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from tests.crash import checker, command
from tests.crash.campaign import BLIND, ROLES, create, struck
from tests.crash.checker import Sent
from tests.crash.crew import Crew, is_sending, opened
from tests.crash.programs import chording
from tests.crash.table import Findings
from tests.integration.processes import Site, Worker

APP: Final = "tests.crash.programs.chording:app"
LEFT: Final = """
SELECT (SELECT count(*) FROM litequeue_job WHERE phase <> 'done')
     + (SELECT count(*) FROM litequeue_advance),
       (SELECT count(*) FROM litequeue_job)
"""
VERDICTS: Final = "SELECT id, group_concat(verdict) FROM campaign_verdict GROUP BY id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do."""

    chords: int = 1000
    kills: int = 250
    hits: int = field(default=80, metadata={"help": "kills that must hit a job"})
    seed: int = 0
    rate: float = field(default=6.0, metadata={"help": "kills per second"})
    workers: int = 2
    children: int = field(default=3, metadata={"help": "per worker"})
    producers: int = 2
    longest: float = field(default=0.030, metadata={"help": "seconds of a member"})


class Campaign:
    """One file, its producers and workers, and the one who kills them."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.site = Site(folder)
        self.random = Random(plan.seed)
        self.findings = Findings()
        self.journals = [folder / f"producer-{index}" for index in range(plan.producers)]
        self.crew = Crew(self.site, self.random, say, lambda: f"{len(self._sent())} chords sent")

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
        share = plan.chords // plan.producers + 1
        first = index * 10 * plan.chords
        pause = plan.kills / plan.rate / (share / chording.BURST)
        command = [sys.executable, "-m", "tests.crash.programs.chording", self.journals[index]]
        command += [first, first + share, self.random.random(), pause, plan.longest]
        return self.site.start(
            [str(word) for word in command],
            log=self.site.folder / "producers.log",
            LITEQUEUE_URL=str(self.site.path),
        )

    def _storm(self) -> None:
        for _ in range(self.plan.kills):
            self.crew.wait(self.random.expovariate(self.plan.rate))
            role = self.random.choice(ROLES)
            self.crew.strike(role, blindly=self.random.random() < BLIND)
        for journal in self.journals:
            journal.with_name(journal.name + ".stop").touch()

    def _look(self) -> tuple[int, int]:
        """Return how much is left, and how many jobs there are."""
        with opened(self.site.path) as file:
            left, count = file.execute(LEFT).fetchone()
        return left + self.crew.is_sending(), count

    def _sent(self) -> dict[str, Sent]:
        return checker.read_sent(each for each in self.journals if each.exists())

    def _judge(self) -> None:
        sent = self._sent()
        attempts = checker.read_attempts(self.site.journal.path)
        found = self.findings
        with opened(self.site.path) as file:
            judge(file, sent, found)
            said = checker.integrity(file)
            states = dict(file.execute("SELECT state, count(*) FROM litequeue_job GROUP BY state"))
        found.add("integrity", [] if said == "ok" else [said])
        self.crew.judge(found)
        kinds = Counter(kind for job in sent.values() for kind in chording.header_of(job.number))
        found.figures = {
            **struck(self.crew, attempts),
            "chords": len(sent),
            "members": dict(kinds),
            "jobs": states,
            "starts": len(attempts),
            "cut short": sum(attempt.end is None for attempt in attempts),
        }
        short = {"kills": self.plan.kills, "chords": self.plan.chords, "hits": self.plan.hits}
        for name, wanted in short.items():
            had = found.figures[name]
            found.add(f"too few {name}", [] if had >= wanted else [f"{had} of {wanted}"])


def judge(file: sqlite3.Connection, sent: dict[str, Sent], findings: Findings) -> None:
    """Note every promise to the chords that is broken."""
    rows = file.execute("SELECT id, phase, state, result FROM litequeue_job").fetchall()
    stored = {id: (phase, state, result) for id, phase, state, result in rows}
    verdicts = dict(file.execute(VERDICTS))
    wrong = [
        id
        for id, job in sent.items()
        if id in stored and json.loads(stored[id][2] or "0") != chording.list_of(job.number)
    ]
    wanted = sum(chording.jobs_of(job.number) for job in sent.values())
    add = findings.add
    add("never accepted", [id for id, job in sent.items() if not job.accepted])
    add("callbacks lost", [id for id in sent if id not in stored])
    add("not finished", [f"{id} {row}" for id, row in stored.items() if row[0] != "done"])
    add("other verdict", [f"{id}: {v}" for id, v in verdicts.items() if set(v.split(",")) != {_OK}])
    add("completed twice", [f"{id}: {v}" for id, v in verdicts.items() if "," in v])
    add("verdict missing", [id for id in stored if id not in verdicts])
    add("wrong lists", wrong)
    add("jobs too many or too few", [f"{len(stored) - wanted:+}"] * (len(stored) != wanted))
    add("left to advance", file.execute("SELECT * FROM litequeue_advance").fetchall())
    add("groups that count wrong", file.execute(_MISCOUNTED).fetchall())


_OK: Final = "SUCCESS"
_MISCOUNTED: Final = """
SELECT name, size, waiting, failed FROM litequeue_fanin AS fanin
WHERE waiting <> 0 OR failed <> 0 OR size IS NULL
   OR size <> (SELECT count(*) FROM litequeue_job WHERE flow = fanin.id AND flow > 0)
"""


if __name__ == "__main__":
    sys.exit(command.main("chords", Plan, Campaign, __doc__))
