"""Interrupt jobs at every point, break nothing: `python -m tests.crash.soft_limits --help`.

Jobs that do what users do get soft time limits of some milliseconds.  Each journals what it saw;
when all have ended, no transaction is open in any file, and every verdict says what its job saw.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final

from benchmarks.rows import quantile
from litequeue.job import new_id
from tests.crash import checker, table
from tests.crash.programs import softened
from tests.crash.programs.softened import ASYNC_WAYS, WAYS
from tests.crash.table import Findings
from tests.integration.processes import Site, Worker

APP: Final = "tests.crash.programs.softened:app"
LIMITS: Final = (0.001, 0.020)
PATIENT: Final = 5.0
"""Seconds that a job goes on which nobody interrupts; most are of this kind."""
ROUND: Final = 500
"""Jobs after which all files are looked at, while every child is at rest."""
STUCK: Final = 60.0
REST: Final = 10.0
"""Seconds after the last verdict within which everything must be let go."""
LATE: Final = 0.1
DEAF_WAYS: Final = ("await_never",)
DEAF: Final = 0.2
"""The share of coroutines that never await: they are told a second time after 1 s, and hear it."""
SHARED: Final = ("READ", 128)
"""The one lock that a connection without a transaction holds: WAL's "somebody is here"."""
SOFT: Final = "SoftTimeLimitExceeded"
RAISED_BY: Final = ("/litequeue/interrupts/", "/litequeue/worker/pools/")
PROGRAM: Final = "softened.py"
EDGES: Final = frozenset({"work", "work_async", "note", "last_word", "journal"})
"""Functions of the program that also run outside of the `try`."""
GUARDED: Final = "WAYS["
"""What its one line inside of the `try` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do."""

    hits: int = 10_000
    seed: int = 0
    pool: str = "prefork"
    children: int = 2


@dataclass(frozen=True, slots=True)
class Sent:
    """A job that was sent, and its limit in seconds."""

    way: str
    limit: float


@dataclass(slots=True)
class Seen:
    """What a job journalled: its marks in their order, each with its moment in seconds."""

    marks: list[tuple[str, float]] = field(default_factory=list)
    word: str = ""
    children: dict[str, bool] = field(default_factory=dict)
    """The jobs it sent; whether it saw them accepted."""

    def when(self, *marks: str) -> list[float]:
        return [at for mark, at in self.marks if mark in marks]

    @property
    def last(self) -> str:
        return self.marks[-1][0] if self.marks else ""


class Campaign:
    """One file of ours, one of the user's, one worker, and many short limits."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.say = say
        self.site = Site(folder)
        self.own = folder / "own.sqlite"
        self.random = Random(plan.seed)
        self.sent: dict[str, Sent] = {}
        self.findings = Findings()

    def run(self) -> Findings:
        """Run it all; nothing is left running, whatever happens."""
        began = time.monotonic()
        softened.app.rebind(self.site.path)
        try:
            worker = self._set_up()
            before = sorted(worker.children())
            while (missing := self.plan.hits - self._hits()) > 0:
                self._send(min(ROUND, missing + missing // 5 + 10))
                self._drain(worker)
                self._look_for_locks(worker)
                self.say(f"{self._hits():,} of {self.plan.hits:,} jobs interrupted")
            after = sorted(worker.children())
            self.findings.add("children that died", sorted({*before} ^ {*after}))
            code = worker.stop(signal.SIGTERM)
            self.findings.add("exit code not 0", [code] if code else [])
        finally:
            softened.app.close()
            self.site.close()
        self._judge()
        self.findings.figures["seconds"] = round(time.monotonic() - began, 1)
        return self.findings

    def _set_up(self) -> Worker:
        softened.follow.delay("nobody")  # makes the file
        with closing(self._connect(self.site.path)) as file:
            for statement in checker.AUDIT:
                file.execute(statement)
        with closing(self._connect(self.own)) as file:
            file.execute("CREATE TABLE entry (key TEXT, side TEXT)")
        options = ("-P", self.plan.pool)
        children = self.plan.children
        return self.site.worker(*options, app=APP, children=children, OWN=str(self.own))

    def _send(self, count: int) -> None:
        """Send jobs, most of which go on until they are interrupted."""
        names = [*WAYS, *ASYNC_WAYS]
        weights = [DEAF if name in DEAF_WAYS else 1.0 for name in names]
        if self.plan.pool != "prefork":  # in a thread, nobody is interrupted while it logs
            weights[names.index("log")] = 0.0
        for _ in range(count):
            (way,) = self.random.choices(names, weights)
            limit = round(self.random.uniform(*LIMITS), 4)
            is_patient = self.random.random() < 0.8
            seconds = PATIENT if is_patient else self.random.uniform(0.2, 1.4) * limit
            task: Any = softened.work if way in WAYS else softened.work_async
            id = new_id(time.time())
            self.sent[id] = Sent(way, limit)
            task.apply_async(
                (way, seconds, self.random.random() < 0.2), task_id=id, soft_time_limit=limit
            )

    def _drain(self, worker: Worker) -> None:
        before, since = -1, time.monotonic()
        with closing(self._connect(self.site.path)) as file:
            while left := _left(file):
                if left != before:
                    before, since = left, time.monotonic()
                if time.monotonic() - since > STUCK:
                    raise RuntimeError(f"{left} jobs make no progress:\n{worker.said()[-3000:]}")
                time.sleep(0.02)

    def _look_for_locks(self, worker: Worker) -> None:
        """See that nobody holds a lock, and that anybody can write, now that all is at rest."""
        children = set(worker.children())
        for path, shared in (
            (self.site.path.with_name("jobs.sqlite-shm"), True),
            (self.own, False),
        ):
            deadline = time.monotonic() + REST
            while (held := list(_locks(path, children, shared=shared))) and (
                time.monotonic() < deadline
            ):
                time.sleep(0.005)
            self.findings.add("transactions left open", [f"{path.name}: {each}" for each in held])
        for path in (self.site.path, self.own):
            try:
                with closing(sqlite3.connect(path, isolation_level=None, timeout=REST)) as file:
                    file.execute("BEGIN IMMEDIATE")
                    file.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                self.findings.add("files that nobody can write to", [f"{path.name}: {error}"])

    def _hits(self) -> int:
        text = self.site.journal.path.read_text() if self.site.journal.path.exists() else ""
        return text.count("X ") + text.count("W ")

    def _connect(self, path: Path) -> sqlite3.Connection:
        file = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        file.execute("PRAGMA wal_autocheckpoint = 0")  # only litequeue's own ones are guarded
        return file

    # The verdict on it all

    def _judge(self) -> None:
        seen = read_seen(self.site.journal.path)
        found = self.findings
        with closing(self._connect(self.site.path)) as file:
            rows = {row[0]: Row(*row[1:]) for row in file.execute(ROWS)}
            again = dict(file.execute(TWICE))
            said = checker.integrity(file)
        found.add("lost", [id for id in self.sent if id not in rows])
        found.add("not finished", [id for id, row in rows.items() if row.phase != "done"])
        found.add("verdicts twice", list(again))
        found.add("ran twice", [id for id, each in seen.items() if len(each.when("S")) > 1])
        found.add("interrupted twice", [id for id, e in seen.items() if len(e.when("X", "W")) > 1])
        wrong = (wrongness(id, rows[id], seen.get(id, Seen())) for id in self.sent if id in rows)
        found.add("wrong verdicts", [words for words in wrong if words])
        found.add("never interrupted", list(self._patient(seen)))
        found.add("jobs sent by jobs", list(_broken_children(seen, rows)))
        with closing(self._connect(self.own)) as file:
            found.add("half transactions of the user's", list(file.execute(HALVES)))
            pairs = file.execute("SELECT count(*) / 2 FROM entry").fetchone()[0]
        found.add("integrity", [] if said == "ok" else [said])
        left = Path(f"{self.site.path}.bell").iterdir()
        found.add("left in the bell directory", [p.name for p in left if p.name != "gate"])
        found.add("said by the worker", list(self._complaints()))
        found.figures = self._figures(seen, rows) | {"transactions of the user's": pairs}

    def _patient(self, seen: dict[str, Seen]) -> Iterator[str]:
        """Find jobs that went on to their end long after their limit."""
        for id, each in seen.items():
            if each.last == "E" and not each.when("W") and id in self.sent:
                seconds = each.marks[-1][1] - each.marks[0][1]
                if seconds > PATIENT * 0.9:
                    yield f"{self.sent[id].way} {id} {seconds:.3f}"

    def _complaints(self) -> Iterator[str]:
        """Yield what must not be in a log: exceptions outside of tasks, and lost ones."""
        for line in self.site.workers[0].said().splitlines():
            if "Exception ignored" in line or "outside a task" in line or "replaced" in line:
                yield line

    def _figures(self, seen: dict[str, Seen], rows: dict[str, Row]) -> dict[str, Any]:
        late = [
            at - each.marks[0][1] - self.sent[id].limit
            for id, each in seen.items()
            for at in each.when("X", "W")
            if id in self.sent
        ]
        edges = [
            id for id in self.sent if rows[id].error == SOFT and not seen.get(id, Seen()).when("X")
        ]
        slow = Counter[str]()
        for id, each in seen.items():
            for at in each.when("X", "W"):
                if id in self.sent and at - each.marks[0][1] - self.sent[id].limit > LATE:
                    slow[self.sent[id].way] += 1
        by_way = Counter(self.sent[id].way for id, each in seen.items() if each.when("X", "W"))
        places = {tuple(_frames(row.trace)[-1:]) for row in rows.values() if row.error == SOFT}
        return {
            "jobs": len(self.sent),
            "interrupted": len(late) + len(edges),
            "of them swallowed": sum(bool(each.when("W")) for each in seen.values()),
            "at the edges of the task": len(edges),
            "by way": dict(sorted(by_way.items())),
            "different lines struck": len(places),
            "jobs sent by jobs": sum(len(each.children) for each in seen.values()),
            f"late by more than {LATE:g} s": dict(slow),
            "late by, p50 ms": round(quantile(late, 0.5) * 1e3, 2),
            "late by, p99 ms": round(quantile(late, 0.99) * 1e3, 2),
            "late by, longest ms": round(max(late) * 1e3, 2),
        }


ROWS: Final = """
SELECT id, phase, litequeue_job.state, result, error.type, error.traceback FROM litequeue_job
LEFT JOIN litequeue_error AS error ON error.job = seq AND error.claim = claims
"""
TWICE: Final = "SELECT id, count(*) FROM campaign_verdict GROUP BY id HAVING count(*) > 1"
HALVES: Final = "SELECT key FROM entry GROUP BY key HAVING count(*) <> 2"


@dataclass(frozen=True, slots=True)
class Row:
    """What the file says of a job."""

    phase: str
    state: str
    result: str | None
    error: str | None
    trace: str | None


def read_seen(journal: Path) -> dict[str, Seen]:
    """Return what every job journalled, by id."""
    seen: defaultdict[str, Seen] = defaultdict(Seen)
    for line in journal.read_text().splitlines():
        mark, id, _, _, at, word = line.split()
        if mark in "?!":
            seen[id].children[word] = mark == "!"
            continue
        seen[id].marks.append((mark, int(at) / 1e9))
        if mark == "E":
            seen[id].word = word
    return seen


def wrongness(id: str, row: Row, seen: Seen) -> str:
    """Say in what a verdict disagrees with what the job saw; "" when it does not."""
    if row.state == "SUCCESS":
        agrees = seen.last == "E" and row.result == f'"{seen.word}"'
    elif row.state == "FAILURE" and row.error == SOFT:
        agrees = seen.last == "X" or is_at_an_edge(row.trace)
    else:
        agrees = False
    marks = "".join(mark for mark, _ in seen.marks)
    return "" if agrees else f"{id} {marks} {row.state} {row.result} {row.error} {row.trace}"


def _frames(trace: str | None) -> list[tuple[str, str, str]]:
    """Return place, function and source line of a traceback's frames, but for ours at its end."""
    lines = (trace or "").splitlines()
    found = []
    for line, source in zip(lines, [*lines[1:], ""], strict=False):
        if line.startswith('  File "') and not any(place in line for place in RAISED_BY):
            place, _, function = line.rpartition(" ")
            found.append((place, function, source))
    return found


def is_at_an_edge(trace: str | None) -> bool:
    """Tell whether a job was struck outside of its `try`: before it, or after its last word."""
    own = [frame for frame in _frames(trace) if PROGRAM in frame[0]]
    return not own or (own[-1][1] in EDGES and GUARDED not in own[-1][2])


def _broken_children(seen: dict[str, Seen], rows: dict[str, Row]) -> Iterator[str]:
    for id, each in seen.items():
        for child, accepted in each.children.items():
            row = rows.get(child)
            if row is None and accepted:
                yield f"{child} is lost"
            elif row is not None and (row.state, row.result) != ("SUCCESS", f'"{id}"'):
                yield f"{child} is {row.state}"


def _left(file: sqlite3.Connection) -> int:
    (left,) = file.execute("SELECT count(*) FROM litequeue_job WHERE phase <> 'done'").fetchone()
    return int(left)


def _locks(path: Path, pids: set[int], *, shared: bool) -> Iterator[str]:
    """Yield the locks that the processes hold on a file, but for the one of every connection."""
    inode = path.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] != "POSIX" or int(words[4]) not in pids:
            continue
        if int(words[5].rpartition(":")[2]) == inode:
            kind, start = words[3], int(words[6])
            if not (shared and (kind, start) == SHARED):
                yield f"{kind} {start} by {words[4]}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    standard = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.soft_limits", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument("--hits", type=int, default=standard.hits)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    parser.add_argument("--pool", default=standard.pool)
    parser.add_argument("--children", type=int, default=standard.children, help="or threads")
    parser.add_argument("--dir", type=Path, default=None, help="keep everything in this directory")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> int:
    chosen = vars(parse())
    kept: Path | None = chosen.pop("dir")
    plan = Plan(**chosen)
    folder = kept or Path(tempfile.mkdtemp(prefix="soft-limits-"))
    folder.mkdir(exist_ok=True)
    try:
        found = Campaign(plan, folder, say).run()
    finally:
        if kept is None:
            shutil.rmtree(folder)
    table.show(f"soft limits, pool {plan.pool}, seed {plan.seed}", found)
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
