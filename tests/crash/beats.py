"""Beats under fire: several over one file, killed at random, and every tick is sent once.

Entries under "all" have a hundred ticks each. Beats that run alone and beats in workers are killed
by SIGKILL and started again until every tick should have been sent; then the jobs in the file are
compared with the ticks that arithmetic says there are.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import floor
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from litequeue import schedules
from litequeue.entry import Entry
from litequeue.schedules import Schedule, crontab, interval
from litequeue.store import Database, entries
from tests.crash.table import Findings, show
from tests.integration.processes import Site, Worker, kill

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
    """What to do.  ``rate`` is kills per second, ``span`` the seconds that an entry lasts.

    Of the ``beats`` every third is one in a worker.
    """

    ticks: int = 10_000
    beats: int = 5
    seed: int = 0
    rate: float = 3.0
    span: float = 99.0


class Campaign:
    """One file, its beats, and the one who kills them."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.say = say
        self.site = Site(folder)
        self.random = Random(plan.seed)
        self.findings = Findings()
        self.kills: Counter[str] = Counter()
        self.alone: list[subprocess.Popen[bytes]] = []
        self.crew: list[Worker] = []

    def run(self) -> Findings:
        """Run it all; nothing is left running, whatever happens."""
        try:
            expected = self._set_up()
            self._start_all()
            self._storm(max(at for _, at in expected))
            self._drain(len(expected))
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
        for number in range(self.plan.beats):
            if number % 3 == 1:
                self.crew.append(self._worker())
            else:
                self.alone.append(self._beat())

    def _worker(self) -> Worker:
        return self.site.worker("-l", "WARNING", app=APP, children=1, ready=False)

    def _beat(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "litequeue", "beat", str(self.site.path), "-A", APP]
        return self.site.start([*command, "-l", "WARNING"], log=self.site.folder / "beats.log")

    def _storm(self, until: float) -> None:
        """Kill at random moments until the last tick is due."""
        said = 0.0
        while (now := time.time()) < until:
            time.sleep(min(self.random.expovariate(self.plan.rate), until - now))
            self._strike()
            self._tend()
            if now - said > 5.0:
                said = now
                self.say(f"{self.kills.total()} kills, {until - now:.0f} s to go")

    def _strike(self) -> None:
        """Kill a beat; of a worker its consumer, which is the beat, or its supervisor."""
        number = self.random.randrange(len(self.alone) + len(self.crew))
        if number < len(self.alone):
            role, pid = "beat", self.alone[number].pid
        else:
            worker = self.crew[number - len(self.alone)]
            role = self.random.choice(("consumer", "supervisor"))
            pid = worker.find_consumer() if role == "consumer" else worker.supervisor
        if pid and kill(pid, signal.SIGKILL):
            self.kills[role] += 1

    def _tend(self) -> None:
        """Start again what was killed."""
        for index, beat in enumerate(self.alone):
            if beat.poll() is not None:
                self._note_end("beat", beat.returncode)
                self.alone[index] = self._beat()
        for index, worker in enumerate(self.crew):
            if worker.process.poll() is not None:
                self._note_end("worker", worker.process.returncode)
                self.crew[index] = self._worker()

    def _note_end(self, what: str, code: int) -> None:
        unexpected = code not in (-signal.SIGKILL, 0)
        self.findings.add("unexpected ends", [f"a {what}: exit code {code}"] * unexpected)

    def _drain(self, wanted: int) -> None:
        """Let those that are left send what is missing."""
        last, since = -1, time.monotonic()
        while (count := len(self._sent())) < wanted and time.monotonic() - since < PATIENCE:
            self._tend()
            if count != last:
                last, since = count, time.monotonic()
            time.sleep(0.1)

    def _sent(self) -> list[tuple[str, float]]:
        with closing(sqlite3.connect(self.site.path, timeout=10.0)) as file:
            file.execute("PRAGMA wal_autocheckpoint = 0")  # only litequeue's own ones are guarded
            found = file.execute("SELECT options FROM litequeue_payload").fetchall()
        told = [json.loads(options) for (options,) in found]
        return [(each["entry"], each["tick"]) for each in told]

    def _judge(self, expected: Counter[tuple[str, float]]) -> None:
        sent = Counter(self._sent())
        with closing(sqlite3.connect(self.site.path)) as file:
            integrity = [row[0] for row in file.execute("PRAGMA integrity_check")]
            broken = file.execute(_BROKEN).fetchall()
            ticks = file.execute("SELECT count(*) FROM litequeue_tick").fetchone()[0]
            lag = sorted(
                fired - due for fired, due in file.execute("SELECT fired, due FROM litequeue_tick")
            )
        figures = self.findings.figures
        figures |= {"kills": self.kills.total(), "by role": dict(self.kills)}
        figures |= {"ticks expected": expected.total(), "jobs": sent.total(), "tick rows": ticks}
        if lag:
            figures |= {"late by, p50": round(lag[len(lag) // 2], 3), "longest": round(lag[-1], 3)}
        add = self.findings.add
        add("lost", list((expected - sent).elements()))
        add("sent twice", [tick for tick, times in sent.items() if times > 1])
        add("never due", list(sent.keys() - expected.keys()))
        add("ticks without their job", broken)
        add("tick rows missing", [] if ticks == expected.total() else [ticks])
        add("integrity", [each for each in integrity if each != "ok"])
        add("too few kills", [] if self.kills.total() >= self.plan.span / 4 else [self.kills])
        add("tracebacks in logs", self._tracebacks())

    def _tracebacks(self) -> list[str]:
        found = []
        for log in sorted(self.site.folder.glob("*.log")):
            _, mark, text = log.read_text(errors="replace").partition("Traceback")
            if mark:
                found.append(f"{log.name}: {text[-1500:]}")
        return found


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


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    standard = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.beats", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument("--ticks", type=int, default=standard.ticks)
    parser.add_argument("--beats", type=int, default=standard.beats)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    parser.add_argument("--rate", type=float, default=standard.rate, help="kills per second")
    parser.add_argument("--span", type=float, default=standard.span, help="seconds of an entry")
    parser.add_argument("--dir", type=Path, default=None, help="keep everything in this directory")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> int:
    chosen = vars(parse())
    folder: Path | None = chosen.pop("dir")
    plan = Plan(**chosen)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="beats-") as temporary:
        if folder is not None:
            folder.mkdir(parents=True)
        findings = Campaign(plan, folder or Path(temporary), say).run()
    show(f"beats, seed {plan.seed}, {time.monotonic() - began:.0f} s", findings)
    return 1 if findings.broken else 0


if __name__ == "__main__":
    sys.exit(main())
