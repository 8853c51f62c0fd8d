"""Kill everything, lose nothing: `python -m tests.crash.campaign --help`.

Producers send jobs, workers run them, and SIGKILL hits children, consumers, supervisors and
producers at random moments.  Then the faults stop, everything drains, and the checker compares
what was promised with what the file holds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from litequeue.worker.slots import Stage
from tests.conftest import wait_until
from tests.crash import checker
from tests.crash.checker import Attempt, Kill, Sent
from tests.crash.programs.producer import BURST
from tests.integration.processes import Site, Worker, kill

ROLES: Final = ("child", "consumer", "supervisor", "producer")
APP: Final = "tests.crash.programs.app:app"
WAL_LIMIT: Final = 64 << 20
GONE_WITHIN: Final = 2.0
PATIENCE: Final = 60.0
"""Seconds without any progress after which the campaign gives up."""
BLIND: Final = 0.15
"""Share of the kills that do not care whether a job is running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do.  ``rate`` is kills per second, ``longest`` the seconds of the longest job."""

    kills: int = 1000
    jobs: int = 100_000
    hits: int = 300
    seed: int = 0
    roles: tuple[str, ...] = ROLES
    rate: float = 8.0
    workers: int = 2
    children: int = 6
    producers: int = 2
    longest: float = 0.020


@dataclass(slots=True)
class Report:
    """What happened: figures to print, and every broken promise."""

    seed: int
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    breaches: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, found: Sequence[object]) -> None:
        self.breaches[name] = [str(each) for each in found]

    @property
    def is_clean(self) -> bool:
        return not any(self.breaches.values())


class Campaign:
    """One file, its producers and workers, and the one who kills them."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.say = say
        self.site = Site(folder)
        self.random = Random(plan.seed)
        self.kills: list[Kill] = []
        self.wal = 0
        self.failures: list[str] = []
        self.crew: list[Worker] = []
        self.producers: list[subprocess.Popen[bytes]] = []
        self.journals = [folder / f"producer-{index}" for index in range(plan.producers)]
        self._said = 0.0

    def run(self) -> Report:
        """Run it all; nothing is left running, whatever happens."""
        began = time.monotonic()
        report = Report(self.plan.seed)
        try:
            self._set_up()
            self._storm()
            self._drain()
            report.add("exit code not 0", self._end())
            report.add("processes left after 2 s", self._leftovers())
        finally:
            self.site.close()
        report.seconds = time.monotonic() - began
        self._judge(report)
        return report

    # The play

    def _set_up(self) -> None:
        done = self.site.run("-m", "tests.crash.programs.create", str(self.site.path))
        if done.returncode:
            raise RuntimeError(done.stderr)
        with closing(self._connect()) as file:
            for statement in checker.AUDIT:
                file.execute(statement)
        self.crew = [self._worker() for _ in range(self.plan.workers)]
        self.producers = [self._producer(index) for index in range(self.plan.producers)]

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
            moment = time.monotonic() + self.random.expovariate(self.plan.rate)
            while (left := moment - time.monotonic()) > 0:
                self._tend()
                time.sleep(min(left, 0.02))
            self._strike(role)
        for journal in self.journals:
            journal.with_name(journal.name + ".stop").touch()

    def _strike(self, role: str) -> None:
        blind = self.random.random() < BLIND
        deadline = time.monotonic() + PATIENCE
        while (target := self._choose(role, blind)) is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {role} to kill in {PATIENCE:g} s")
            self._tend()
            time.sleep(0.0005)
        pid, children = target
        at = time.monotonic_ns()
        if kill(pid, signal.SIGKILL):
            self.kills.append(Kill(role, pid, children, at))
        else:
            self._strike(role)  # it ended by itself meanwhile

    def _choose(self, role: str, blind: bool) -> tuple[int, tuple[int, ...]] | None:
        """Return a process of the role, and those that may run a job whose fate hangs on it."""
        if role == "producer":
            alive = [
                producer.pid
                for producer, journal in zip(self.producers, self.journals, strict=True)
                if producer.poll() is None and (blind or is_sending(journal))
            ]
            return (self.random.choice(alive), ()) if alive else None
        worker = self.random.choice(self.crew)
        try:
            running = worker.children() if blind else worker.running()
        except (OSError, StopIteration):
            return None  # it is just starting
        if not running:
            return None
        if role == "child":
            pid = self.random.choice(running)
            return pid, (pid,)
        pid = worker.supervisor if role == "supervisor" else worker.find_consumer()
        return (pid, tuple(running)) if pid else None

    def _tend(self) -> None:
        """Start again what was killed, and watch what must stay small."""
        for index, worker in enumerate(self.crew):
            if worker.process.poll() is not None:
                self._note_end("worker", worker.process.returncode)
                self.crew[index] = self._worker()
        for index, producer in enumerate(self.producers):
            if producer.poll() not in (None, 0):
                self._note_end("producer", producer.returncode)
                self.producers[index] = self._producer(index)
        wal = Path(f"{self.site.path}-wal")
        self.wal = max(self.wal, wal.stat().st_size if wal.exists() else 0)
        if time.monotonic() - self._said > 5.0:
            self._said = time.monotonic()
            self.say(f"{len(self.kills)} of {self.plan.kills} kills, {self._sent():,} jobs sent")

    def _sent(self) -> int:
        """Return about how many jobs were sent, by the size of the journals."""
        return sum(each.stat().st_size // 120 for each in self.journals if each.exists())

    def _note_end(self, what: str, code: int) -> None:
        if code != -signal.SIGKILL:
            self.failures.append(f"a {what} ended by itself with exit code {code}")

    # The end

    def _drain(self) -> None:
        """Let the producers finish and the workers empty the queue."""
        last, since = -1, time.monotonic()
        with closing(self._connect()) as file:
            while True:
                self._tend()
                producing = any(each.poll() is None for each in self.producers)
                left, done = file.execute(
                    "SELECT count(*) FILTER (WHERE phase <> 'done'), count(*) FROM litequeue_job"
                ).fetchone()
                if not producing and left == 0:
                    return
                self.say(f"faults are over, {left:,} of {done:,} jobs to go")
                if done - left != last:
                    last, since = done - left, time.monotonic()
                elif time.monotonic() - since > PATIENCE:
                    self.failures.append(f"{left} jobs make no progress")
                    return
                time.sleep(0.5)

    def _end(self) -> list[str]:
        for worker in self.crew:
            wait_until(partial(_is_up, worker))  # before that, TERM may meet Python's own start
            worker.send(signal.SIGTERM)
        codes = [(worker.log.name, worker.wait()) for worker in self.crew]
        return [f"{name}: {code}" for name, code in codes if code]

    def _leftovers(self) -> list[int]:
        deadline = time.monotonic() + GONE_WITHIN
        while (left := self.site.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left

    def _judge(self, report: Report) -> None:
        sent = checker.read_sent(self.journals)
        attempts = checker.read_attempts(self.site.journal.path)
        with closing(self._connect()) as file:
            report.breaches |= checker.judge_file(file, sent)
            said = checker.integrity(file)
        report.breaches |= checker.judge_runs(attempts, sent)
        report.add("integrity", [] if said == "ok" else [said])
        report.add("left in the bell directory", self._litter())
        report.add("tracebacks in logs", self._tracebacks())
        report.add("unexpected ends", self.failures)
        report.add("WAL too large", [f"{self.wal:,}"] if self.wal > WAL_LIMIT else [])
        report.figures = self._figures(sent, attempts)
        short = {"kills": self.plan.kills, "jobs": self.plan.jobs, "hits": self.plan.hits}
        for name, wanted in short.items():
            found = report.figures[name]
            report.add(f"too few {name}", [] if found >= wanted else [f"{found} of {wanted}"])

    def _figures(self, sent: dict[str, Sent], attempts: list[Attempt]) -> dict[str, Any]:
        hits = checker.hits(self.kills, attempts)
        accepted = sum(job.accepted for job in sent.values())
        rescues = sorted(checker.rescue_times(self.kills, attempts))
        return {
            "kills": len(self.kills),
            "by role": dict(Counter(each.role for each in self.kills)),
            "hits": len(hits),
            "hits by role": dict(Counter(each.role for each in hits)),
            "jobs": accepted,
            "uncertain": len(sent) - accepted,
            "starts": len(attempts),
            "cut short": sum(attempt.end is None for attempt in attempts),
            "rescue of a child's job, p50": round(rescues[len(rescues) // 2], 3) if rescues else 0,
            "rescue of a child's job, longest": round(rescues[-1], 3) if rescues else 0,
            "largest WAL": self.wal,
        }

    def _litter(self) -> list[str]:
        directory = Path(f"{self.site.path}.bell")
        return sorted(each.name for each in directory.iterdir() if each.name != "gate")

    def _tracebacks(self) -> list[str]:
        found = []
        for log in sorted(self.site.folder.glob("*.log")):
            _, mark, text = log.read_text(errors="replace").partition("Traceback")
            if mark:
                found.append(f"{log.name}: {text[-1500:]}")
        return found

    def _connect(self) -> sqlite3.Connection:
        file = sqlite3.connect(self.site.path, isolation_level=None, timeout=10.0)
        file.execute("PRAGMA wal_autocheckpoint = 0")  # only litequeue's own ones are guarded
        return file


def _is_up(worker: Worker) -> bool:
    try:
        slots = worker.slots
        serving = [slots.stage(index) is Stage.SERVING for index in range(slots.children)]
        return 0 < slots.count <= sum(serving)
    except (OSError, StopIteration):
        return False


def is_sending(journal: Path) -> bool:
    """Tell whether a producer has begun to send a job, and does not yet know its fate."""
    if not journal.exists():
        return False
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - 200))
        lines = file.read().splitlines()
    return bool(lines) and lines[-1].startswith(b"?")


def show(report: Report, console: Console) -> None:
    """Print a table of what happened and what was broken, and one line of JSON."""
    table = Table(title=f"campaign, seed {report.seed}, {report.seconds:.0f} s")
    table.add_column("figure")
    table.add_column("found", justify="right")
    table.add_column("verdict")
    for name, value in report.figures.items():
        shown = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        table.add_row(name, f"{shown:,}" if isinstance(shown, int) else str(shown), "")
    for name, found in report.breaches.items():
        verdict = f"[red]broken[/]: {escape(', '.join(found[:3]))}" if found else "[green]none[/]"
        table.add_row(name, str(len(found)), verdict)
    console.print(table)
    counts = {name: len(found) for name, found in report.breaches.items()}
    summary = {"seed": report.seed, "seconds": round(report.seconds, 1), "clean": report.is_clean}
    print(json.dumps(summary | {"figures": report.figures, "breaches": counts}))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    standard = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.campaign", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument("--kills", type=int, default=standard.kills)
    parser.add_argument("--jobs", type=int, default=standard.jobs)
    parser.add_argument("--hits", type=int, default=standard.hits, help="kills that must hit a job")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    parser.add_argument("--roles", default=",".join(ROLES), help="who is killed, in even shares")
    parser.add_argument("--rate", type=float, default=standard.rate, help="kills per second")
    parser.add_argument("--workers", type=int, default=standard.workers)
    parser.add_argument("--children", type=int, default=standard.children, help="per worker")
    parser.add_argument("--producers", type=int, default=standard.producers)
    parser.add_argument("--longest", type=float, default=standard.longest, help="seconds of a job")
    parser.add_argument("--dir", type=Path, default=None, help="keep everything in this directory")
    return parser.parse_args(arguments)


def main() -> int:
    chosen = vars(parse())
    folder: Path | None = chosen.pop("dir")
    roles = tuple(chosen.pop("roles").split(","))
    plan = Plan(roles=roles, **chosen)
    console = Console(width=None if os.isatty(1) else 120)
    with tempfile.TemporaryDirectory(prefix="campaign-") as temporary:
        if folder is not None:
            folder.mkdir(parents=True)
        campaign = Campaign(
            plan, folder or Path(temporary), lambda text: print(text, file=sys.stderr)
        )
        report = campaign.run()
        show(report, console)
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
