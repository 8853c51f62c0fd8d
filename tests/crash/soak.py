"""A million jobs in one worker, and nothing grows: `python -m tests.crash.soak --help`.

All kinds of jobs come as fast as they are done: no-ops, short ones, retries, failures, soft and
hard limits, revoked and terminated ones, large results; children are replaced and killed.  Every
verdict is counted by a trigger in the file, every run by the job itself.

Flat means: the median of the last quarter's samples is at most 3 % above that of the second quarter
(memory), not above it (descriptors), and the largest one at most 25 % above (files).
"""

from __future__ import annotations

import argparse
import json
import mmap
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final

from litequeue import Task
from tests.conftest import wait_until
from tests.crash import checker, table
from tests.crash.programs import soaked
from tests.crash.table import Findings
from tests.integration.processes import Site, Worker, kill

APP: Final = "tests.crash.programs.soaked:app"
KINDS: Final[dict[str, float]] = {
    "nothing": 0.69,
    "short": 0.16,
    "again": 0.05,
    "fail": 0.05,
    "exceed": 0.01,
    "swallow": 0.01,
    "outstay": 0.0003,
    "revoked": 0.01,
    "hang": 0.0002,
    "large": 0.002,
    "take": 0.002,
}
"""The kinds of jobs and their shares."""
EXPECTED: Final = {
    "fail": "FAILURE", "exceed": "FAILURE", "outstay": "FAILURE", "revoked": "REVOKED",
    "hang": "REVOKED",
}  # fmt: skip
"""What they come to, if not to SUCCESS."""
RUNS: Final = {"again": 2, "revoked": 0, "hang": 0}
"""How often they run at least, if not once."""
WAITING: Final = 20_000
BATCH: Final = 250
HANG: Final = 0.3
"""Seconds until a job that hangs is terminated."""
KILL_EVERY: Final = 1.0
SAMPLE_EVERY: Final = 2.0
STUCK: Final = 60.0
FLAT: Final = 1.03
BOUNDED: Final = 1.25
ENOUGH: Final = 12
"""Samples per quarter; with fewer of them the memory is shown, and not judged."""
WAL_LIMIT: Final = 64 << 20
GONE_WITHIN: Final = 10.0

AUDIT: Final = (
    "CREATE TABLE soak_verdict (id TEXT NOT NULL, state TEXT NOT NULL, size INTEGER)",
    """CREATE TRIGGER soak_done AFTER UPDATE OF phase ON litequeue_job WHEN NEW.phase = 'done'
    BEGIN INSERT INTO soak_verdict VALUES (NEW.id, NEW.state, length(NEW.result)); END""",
    """CREATE TRIGGER soak_undone AFTER UPDATE OF phase ON litequeue_job
    WHEN OLD.phase = 'done' AND NEW.phase <> 'done'
    BEGIN INSERT INTO soak_verdict VALUES (NEW.id, 'reopened', 0); END""",
    """CREATE TRIGGER soak_deleted AFTER DELETE ON litequeue_job WHEN OLD.phase <> 'done'
    BEGIN INSERT INTO soak_verdict VALUES (OLD.id, 'deleted', 0); END""",
)
TAKE: Final = "DELETE FROM soak_verdict RETURNING id, state, size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do.  ``minutes``: nothing is sent after that."""

    jobs: int = 1_000_000
    seed: int = 0
    children: int = 4
    recycle: int = 1000
    minutes: float = 40.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What a worker needed at a moment; memory and files in bytes."""

    supervisor: int
    consumer: int
    supervisor_fds: int
    consumer_fds: int
    file: int
    wal: int


class Soak:
    """One worker, and all the jobs."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.say = say
        self.site = Site(folder)
        self.random = Random(plan.seed)
        self.findings = Findings()
        self.waiting: dict[str, tuple[str, int]] = {}
        """Kind and number of the jobs whose verdict has not been seen, by id."""
        self.hanging: deque[tuple[float, str]] = deque()
        self.done = Counter[str]()
        self.kinds = Counter[str]()
        self.kills = 0
        self.sent = 0
        self.samples: list[Sample] = []
        self._runs_path = folder / "runs"

    def run(self) -> Findings:
        """Run it all; nothing is left running, whatever happens."""
        began = time.monotonic()
        soaked.app.rebind(self.site.path)
        try:
            self._runs_path.write_bytes(bytes(self.plan.jobs))
            worker = self._start()
            with closing(self._connect()) as file:
                self._go(worker, file, began + 60.0 * self.plan.minutes)
                self._tell_rate(began)
                code = worker.stop(signal.SIGTERM)
                self.findings.add("exit code not 0", [code] if code else [])
                self.findings.add("processes left", self._leftovers())
                self._take_verdicts(file)
                said = checker.integrity(file)
                self.findings.add("integrity", [] if said == "ok" else [said])
        finally:
            soaked.app.close()
            self.site.close()
        self._judge()
        return self.findings

    def _start(self) -> Worker:
        self._send("nothing", [0])  # makes the file
        with closing(self._connect()) as file:
            for statement in AUDIT:
                file.execute(statement)
        recycle = ("--max-tasks-per-child", str(self.plan.recycle))
        runs = str(self._runs_path)
        options = ("-l", "WARNING", *recycle)
        worker = self.site.worker(
            *options, app=APP, children=self.plan.children, ready=False, RUNS=runs
        )
        wait_until(lambda: "nothing" not in self._seen_kinds(), 30.0)
        return worker

    def _seen_kinds(self) -> set[str]:
        with closing(self._connect()) as file:
            self._take_verdicts(file)
        return {kind for kind, _ in self.waiting.values()}

    def _go(self, worker: Worker, file: sqlite3.Connection, deadline: float) -> None:
        """Feed, look, kill, until all is done."""
        kill_at = sample_at = progress_at = time.monotonic()
        backlog = min(WAITING, self.plan.jobs // 5)
        while self.waiting or self.sent < self.plan.jobs:
            now = time.monotonic()
            if self._take_verdicts(file):
                progress_at = now
            if now > progress_at + STUCK:
                self.findings.add("no progress", [f"{len(self.waiting)} jobs are left"])
                return
            if now < deadline and len(self.waiting) < backlog:
                self._feed()
            elif now >= deadline and self.sent < self.plan.jobs:
                self.plan = replace(self.plan, jobs=self.sent)
            self._terminate(now)
            if now >= kill_at:
                kill_at = now + self.random.expovariate(1.0 / KILL_EVERY)
                self._kill(worker)
            if now >= sample_at:
                sample_at = now + SAMPLE_EVERY
                self._sample(worker)
            time.sleep(0.02)

    def _feed(self) -> None:
        """Send some jobs: most of them at once, as one transaction."""
        count = min(8 * BATCH, self.plan.jobs - self.sent)
        kinds = self.random.choices(list(KINDS), list(KINDS.values()), k=count)
        numbers: dict[str, list[int]] = {}
        for number, kind in enumerate(kinds, self.sent):
            numbers.setdefault(kind, []).append(number)
        for kind, each in numbers.items():
            for first in range(0, len(each), BATCH):
                self._send(kind, each[first : first + BATCH])

    def _send(self, kind: str, numbers: list[int]) -> None:
        name = "nothing" if kind == "revoked" else kind
        task: Task[..., Any] = getattr(soaked, name)
        text = ("x" * soaked.LARGE,) if kind == "take" else ()
        found = soaked.app.enqueue_many(
            [(task, (number, *text)) for number in numbers],
            countdown=3600 if kind == "revoked" else None,
            priority=9 if kind == "hang" else None,
        )
        self.sent += len(numbers)
        self.kinds[kind] += len(numbers)
        for number, result in zip(numbers, found, strict=True):
            self.waiting[result.id] = (kind, number)
        ids = [result.id for result in found]
        if kind == "revoked":
            soaked.app.control.revoke(ids)
        elif kind == "hang":
            self.hanging.extend((time.monotonic() + HANG, id) for id in ids)

    def _terminate(self, now: float) -> None:
        while self.hanging and self.hanging[0][0] <= now:
            soaked.app.control.revoke(self.hanging.popleft()[1], terminate=True, signal="SIGKILL")

    def _kill(self, worker: Worker) -> None:
        children = worker.children()
        if children and kill(self.random.choice(children)):
            self.kills += 1

    # What it looks like

    def _take_verdicts(self, file: sqlite3.Connection) -> int:
        """Check the verdicts since the last time; return how many."""
        rows = file.execute(TAKE).fetchall()
        for id, state, size in rows:
            kind, number = self.waiting.pop(id, ("", -1))
            self.done[state] += 1
            if not kind:
                self.findings.add("verdicts twice", [f"{id} {state}"])
            elif state != EXPECTED.get(kind, "SUCCESS"):
                self.findings.add("wrong verdicts", [f"{kind} {id} {state}"])
            elif state == "SUCCESS" and size != size_of(kind, number):
                self.findings.add("wrong results", [f"{kind} {id} {size}"])
        return len(rows)

    def _sample(self, worker: Worker) -> None:
        consumer = worker.find_consumer()
        if not consumer:
            self.findings.add("the consumer was gone", [len(self.samples)])
            return
        wal = Path(f"{self.site.path}-wal")
        sample = Sample(
            memory_of(worker.supervisor),
            memory_of(consumer),
            descriptors_of(worker.supervisor),
            descriptors_of(consumer),
            self.site.path.stat().st_size,
            wal.stat().st_size if wal.exists() else 0,
        )
        self.samples.append(sample)
        if len(self.samples) % 5 == 1:
            done = self.done.total()
            self.say(f"{done:,} done, {len(self.waiting):,} wait, {self.kills} kills, {sample}")

    def _leftovers(self) -> list[int]:
        deadline = time.monotonic() + GONE_WITHIN
        while (left := self.site.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left

    def _connect(self) -> sqlite3.Connection:
        file = sqlite3.connect(self.site.path, isolation_level=None, timeout=30.0)
        file.execute("PRAGMA wal_autocheckpoint = 0")  # only litequeue's own ones are guarded
        return file

    # The verdict on it all

    def _tell_rate(self, began: float) -> None:
        seconds = time.monotonic() - began
        self.findings.figures |= {
            "jobs": self.sent,
            "seconds": round(seconds, 1),
            "jobs per second": round(self.sent / seconds),
        }

    def _judge(self) -> None:
        found = self.findings
        for name in ("verdicts twice", "wrong verdicts", "wrong results", "no progress"):
            found.add(name, [])
        found.add("lost", list(self.waiting))
        runs = self._runs_path.read_bytes()
        found.figures |= {
            "kinds": dict(self.kinds),
            "verdicts": dict(self.done),
            "children killed": self.kills,
            "runs": sum(runs),
        }
        extra = sum(runs) - sum(runs_of(kind) * count for kind, count in self.kinds.items())
        hung = self.kinds["hang"]
        found.figures["runs again after a kill"] = extra if extra < 0 else max(0, extra - hung)
        too_many = extra - hung - self.kills
        found.add("runs that no kill explains", [too_many] if too_many > 0 else [])
        found.add("tracebacks in the log", self._tracebacks())
        left = Path(f"{self.site.path}.bell").iterdir()
        found.add("left in the bell directory", [p.name for p in left if p.name != "gate"])
        for name, words in self.growths():
            found.add(name, words)

    def growths(self) -> Iterator[tuple[str, list[str]]]:
        """Compare the second quarter of the samples with the last one."""
        quarter = len(self.samples) // 4
        second, last = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        if not quarter:
            return
        for name in Sample.__dataclass_fields__:
            before = [getattr(sample, name) for sample in second]
            after = [getattr(sample, name) for sample in last]
            is_file = name in ("file", "wal")
            measure: Callable[[list[int]], float] = max if is_file else statistics.median
            grown = measure(after) / max(1.0, measure(before))
            bound = BOUNDED if is_file else 1.0 if name.endswith("fds") else FLAT
            self.findings.figures[name] = (
                f"{measure(before):,.0f} to {measure(after):,.0f} ({grown - 1:+.1%})"
            )
            judged = quarter >= ENOUGH or name.endswith("fds")
            yield f"{name} grows", [f"{grown - 1:+.1%}"] if judged and grown > bound else []
        largest = max(sample.wal for sample in self.samples)
        yield "WAL too large", [f"{largest:,}"] if largest > WAL_LIMIT else []

    def _tracebacks(self) -> list[str]:
        _, mark, text = self.site.workers[0].said().partition("Traceback")
        return [text[-1500:]] if mark else []


def runs_of(kind: str) -> int:
    """Return how often a job of this kind runs, if nobody is killed."""
    return RUNS.get(kind, 1)


def size_of(kind: str, number: int) -> int | None:
    """Return how long the text of a job's result is."""
    if kind == "nothing":
        return None
    if kind == "large":
        return soaked.LARGE + 2
    return len(json.dumps(soaked.LARGE if kind == "take" else number))


def memory_of(pid: int) -> int:
    """Return the resident set of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * mmap.PAGESIZE


def descriptors_of(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    standard = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.soak",
        description=(__doc__ or "").split("\n", 2)[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=standard.jobs)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    parser.add_argument("--children", type=int, default=standard.children)
    parser.add_argument(
        "--recycle", type=int, default=standard.recycle, help="a child after so many"
    )
    parser.add_argument("--minutes", type=float, default=standard.minutes, help="send no longer")
    parser.add_argument("--dir", type=Path, default=None, help="keep everything in this directory")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> int:
    chosen = vars(parse())
    kept: Path | None = chosen.pop("dir")
    plan = Plan(**chosen)
    folder = kept or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(exist_ok=True)
    try:
        found = Soak(plan, folder, say).run()
    finally:
        if kept is None:
            shutil.rmtree(folder)
    table.show(f"soak, seed {plan.seed}", found)
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
