"""Beats under fire: several over one file, killed at random, and every tick is sent once.

Entries under "all" have a hundred ticks each. Beats that run alone and beats in workers are killed
by SIGKILL and started again until every tick should have been sent; then the jobs in the file are
compared with the ticks that arithmetic says there are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from math import floor
from pathlib import Path
from random import Random
from typing import Final

from litequeue import schedules
from litequeue.entry import Entry
from litequeue.schedules import Schedule, crontab, interval
from litequeue.store import Database, entries
from tests.crash import checker, command
from tests.crash.crew import Crew, opened
from tests.crash.table import Findings
from tests.integration.processes import Site, Worker

APP: Final = "tests.crash.programs.ticking:app"
PER_ENTRY: Final = 100
LATE: Final = 3.0
"""Seconds from now to the first ticks: the first beats start meanwhile."""
PATIENCE: Final = 30.0
"""Seconds without a new job after the last tick, after which those that are missing are lost."""
_MICRO: Final = 1_000_000
_BROKEN: Final = """
SELECT tick.entry, tick.key FROM litequeue_tick AS tick
WHERE tick.job IS NULL OR NOT EXISTS (SELECT 1 FROM litequeue_job AS job WHERE job.id = tick.job)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do."""

    ticks: int = 10_000
    beats: int = field(default=5, metadata={"help": "of these every third is one in a worker"})
    seed: int = 0
    rate: float = field(default=3.0, metadata={"help": "kills per second"})
    span: float = field(default=99.0, metadata={"help": "seconds that an entry lasts"})


class Campaign:
    """One file, its beats, and the one who kills them."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.site = Site(folder)
        self.random = Random(plan.seed)
        self.findings = Findings()
        self.last = 0.0
        self.crew = Crew(
            self.site, self.random, say, lambda: f"{max(0.0, self.last - time.time()):.0f} s to go"
        )

    def run(self) -> Findings:
        """Run it all; nothing is left running, whatever happens."""
        try:
            expected = self._set_up()
            self.last = max(at for _, at in expected)
            self._start_all()
            self._storm()
            self.crew.drain(lambda: self._look(len(expected)), PATIENCE)
        finally:
            self.site.close()
        self._judge(expected)
        return self.findings

    def _set_up(self) -> Counter[tuple[str, float]]:
        """Add the entries; return their ticks."""
        expected: Counter[tuple[str, float]] = Counter()
        with closing(Database(self.site.path, create=True)) as database:
            now = time.time()
            for number in range(self.plan.ticks // PER_ENTRY):
                entry = self._entry(number, now)
                entries.add(database, entry, now)
                expected.update((entry.name, at) for at in moments(entry, now))
        return expected

    def _entry(self, number: int, now: float) -> Entry:
        """Return an entry with a hundred ticks: by an interval of its own, or every second."""
        span = self.plan.span * self.random.uniform(0.5, 1.0)
        every = round(span / PER_ENTRY, 6)
        schedule: Schedule = interval(every, aligned=number % 5 == 1)
        if number % 5 == 0 and self.plan.span >= PER_ENTRY - 1:
            every, schedule = 1.0, crontab("* * * * * *", tz="UTC")
        start = round(now + LATE + self.random.random(), 6)
        return Entry(
            name=f"entry-{number}", schedule=schedules.dump(schedule), task="tick",
            body="[[],{}]", queue="default", misfire="all",
            start=start, end=start + every * PER_ENTRY - 2e-6,
        )  # fmt: skip

    def _start_all(self) -> None:
        in_workers = range(1, self.plan.beats, 3)
        self.crew.start_workers(len(in_workers), self._worker)
        for _ in range(self.plan.beats - len(in_workers)):
            self.crew.add("beat", self._beat)

    def _worker(self) -> Worker:
        return self.site.worker("-l", "WARNING", app=APP, children=1, ready=False)

    def _beat(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "litequeue", "beat", str(self.site.path), "-A", APP]
        return self.site.start([*command, "-l", "WARNING"], log=self.site.folder / "beats.log")

    def _storm(self) -> None:
        """Kill beats at random moments until the last tick is due; in workers it is the consumer.

        The supervisor of a worker is hit, too.
        """
        roles = ["beat"] * len(self.crew.programs)
        roles += ["consumer", "supervisor"] * len(self.crew.workers)
        weights = [1.0 if role == "beat" else 0.5 for role in roles]
        while (left := self.last - time.time()) > 0:
            self.crew.wait(min(self.random.expovariate(self.plan.rate), left))
            (role,) = self.random.choices(roles, weights)
            self.crew.strike(role, blindly=True)

    def _look(self, wanted: int) -> tuple[int, int]:
        """Return how many ticks are still to be sent."""
        sent = len(self._sent())
        return max(0, wanted - sent), sent

    def _sent(self) -> list[tuple[str, float]]:
        with opened(self.site.path) as file:
            found = file.execute("SELECT options FROM litequeue_payload").fetchall()
        told = [json.loads(options) for (options,) in found]
        return [(each["entry"], each["tick"]) for each in told]

    def _judge(self, expected: Counter[tuple[str, float]]) -> None:
        sent = Counter(self._sent())
        with opened(self.site.path) as file:
            said = checker.integrity(file)
            broken = file.execute(_BROKEN).fetchall()
            ticks = file.execute("SELECT count(*) FROM litequeue_tick").fetchone()[0]
            lag = sorted(
                fired - due for fired, due in file.execute("SELECT fired, due FROM litequeue_tick")
            )
        figures = self.findings.figures
        kills = Counter(each.role for each in self.crew.kills)
        figures |= {"kills": kills.total(), "by role": dict(kills)}
        figures |= {"ticks expected": expected.total(), "jobs": sent.total(), "tick rows": ticks}
        if lag:
            figures |= {"late by, p50": round(lag[len(lag) // 2], 3), "longest": round(lag[-1], 3)}
        add = self.findings.add
        add("lost", list((expected - sent).elements()))
        add("sent twice", [tick for tick, times in sent.items() if times > 1])
        add("never due", list(sent.keys() - expected.keys()))
        add("ticks without their job", broken)
        add("tick rows missing", [] if ticks == expected.total() else [ticks])
        add("integrity", [] if said == "ok" else [said])
        add("too few kills", [] if kills.total() >= self.plan.span / 4 else [kills])
        self.crew.judge(self.findings)


def moments(entry: Entry, anchor: float) -> list[float]:
    """Return when an entry of the campaign is due, by arithmetic in whole microseconds."""
    form = json.loads(entry.schedule)
    step = round(form.get("interval", 1.0) * _MICRO)
    origin = floor(anchor * _MICRO) if "interval" in form and not form.get("aligned") else 0
    assert entry.start is not None
    assert entry.end is not None
    first = -((origin - round(entry.start * _MICRO)) // step)
    found, at = [], origin + first * step
    while at / _MICRO <= entry.end:
        found.append(at / _MICRO)
        at += step
    return found


if __name__ == "__main__":
    sys.exit(command.main("beats", Plan, Campaign, __doc__))
