"""Judges a campaign by its evidence: journals, the file, and a table of verdicts kept beside it.

The verdicts are counted by triggers, in the transactions that make them: what litequeue believes
to have done once, the file has seen once or twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.crash.programs.app import value_of

AUDIT: Final = (
    "CREATE TABLE campaign_verdict (id TEXT NOT NULL, verdict TEXT NOT NULL)",
    """CREATE TRIGGER campaign_done AFTER UPDATE OF phase ON litequeue_job WHEN NEW.phase = 'done'
    BEGIN INSERT INTO campaign_verdict VALUES (NEW.id, NEW.state); END""",
    """CREATE TRIGGER campaign_undone AFTER UPDATE OF phase ON litequeue_job
    WHEN OLD.phase = 'done' AND NEW.phase <> 'done'
    BEGIN INSERT INTO campaign_verdict VALUES (NEW.id, 'reopened'); END""",
    """CREATE TRIGGER campaign_deleted AFTER DELETE ON litequeue_job
    BEGIN INSERT INTO campaign_verdict VALUES (OLD.id, 'deleted'); END""",
)


@dataclass(slots=True)
class Sent:
    """A job that a producer sent; ``accepted`` once `delay` had returned."""

    number: int
    padding: int
    accepted: bool = False


@dataclass(slots=True)
class Attempt:
    """One start of a job; ``end`` None when the process did not get that far.  Nanoseconds."""

    id: str
    claim: int
    pid: int
    start: int
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL at ``at`` nanoseconds; ``children`` are the processes whose jobs it could hit."""

    role: str
    pid: int
    children: tuple[int, ...]
    at: int


def read_sent(journals: Iterable[Path]) -> dict[str, Sent]:
    """Return what the producers sent, by id."""
    sent: dict[str, Sent] = {}
    for journal in journals:
        for line in journal.read_text().splitlines():
            kind, id, *rest = line.split()
            if kind == "?":
                sent[id] = Sent(int(rest[0]), int(rest[2]))
            else:
                sent[id].accepted = True
    return sent


def read_attempts(journal: Path) -> list[Attempt]:
    """Return what the tasks noted, in the order of their starts."""
    attempts: dict[tuple[str, int], Attempt] = {}
    for line in journal.read_text().splitlines():
        event, id, claim, pid, at = line.split()
        if event == "S":
            attempts[id, int(claim)] = Attempt(id, int(claim), int(pid), int(at))
        else:
            attempts[id, int(claim)].end = int(at)
    return sorted(attempts.values(), key=lambda attempt: attempt.start)


def judge_file(file: sqlite3.Connection, sent: Mapping[str, Sent]) -> dict[str, list[str]]:
    """Return the ids of jobs for which a promise was broken, by the kind of breach."""
    rows = file.execute("SELECT id, phase, state, result FROM litequeue_job").fetchall()
    verdicts: defaultdict[str, list[str]] = defaultdict(list)
    for id, verdict in file.execute("SELECT id, verdict FROM campaign_verdict"):
        verdicts[id].append(verdict)
    stored = {id: (phase, state, result) for id, phase, state, result in rows}
    breaches: dict[str, list[str]] = {
        "lost": [id for id, job in sent.items() if job.accepted and id not in stored],
        "stored twice": [id for id, count in Counter(row[0] for row in rows).items() if count > 1],
        "sent by nobody": [id for id in stored if id not in sent],
        "not finished": [id for id, row in stored.items() if row[:2] != ("done", "SUCCESS")],
        "completed twice": [id for id, found in verdicts.items() if len(found) > 1],
        "verdict missing": [id for id in stored if id not in verdicts],
        "other verdict": [
            id for id, found in verdicts.items() if any(each != "SUCCESS" for each in found)
        ],
        "wrong value": list(_wrong_values(stored, sent)),
    }
    return breaches


def _wrong_values(
    stored: Mapping[str, tuple[str, str, str | None]], sent: Mapping[str, Sent]
) -> Iterator[str]:
    for id, (_, state, result) in stored.items():
        if state == "SUCCESS" and id in sent:
            job = sent[id]
            if result is None or json.loads(result) != value_of(job.number, job.padding):
                yield id


def judge_runs(attempts: Iterable[Attempt], sent: Mapping[str, Sent]) -> dict[str, list[str]]:
    """Return the ids of jobs that ran when they must not have run, by the kind of breach."""
    by_id: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_id[attempt.id].append(attempt)
    pairs = {id: list(pairwise(runs)) for id, runs in by_id.items()}
    return {
        "never ran": [id for id, job in sent.items() if job.accepted and id not in by_id],
        "ran in two processes at once": [
            id
            for id, neighbours in pairs.items()
            if any(one.end is not None and one.end > next.start for one, next in neighbours)
        ],
        "claims out of order": [
            id
            for id, neighbours in pairs.items()
            if any(one.claim >= next.claim for one, next in neighbours)
        ],
    }


def integrity(file: sqlite3.Connection) -> str:
    """Return what SQLite says about the file: "ok", or what is wrong."""
    answers = [row[0] for row in file.execute("PRAGMA integrity_check")]
    return "; ".join(answers)[:500]


def hits(kills: Iterable[Kill], attempts: Iterable[Attempt]) -> list[Kill]:
    """Return the kills that came while a job ran in one of the processes they could hit."""
    runs: defaultdict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        runs[attempt.pid].append(attempt)
    return [kill for kill in kills if any(_runs_at(runs[pid], kill.at) for pid in kill.children)]


def _runs_at(runs: Iterable[Attempt], at: int) -> bool:
    last = max((run for run in runs if run.start <= at), key=lambda run: run.start, default=None)
    return last is not None and (last.end is None or last.end >= at)


def rescue_times(kills: Iterable[Kill], attempts: Iterable[Attempt]) -> list[float]:
    """Return the seconds from the kill of a child to the next start of the job that it ran."""
    by_pid: dict[int, Attempt] = {}
    starts: defaultdict[str, list[int]] = defaultdict(list)
    for attempt in attempts:
        starts[attempt.id].append(attempt.start)
        if attempt.end is None:
            by_pid[attempt.pid] = attempt
    times = []
    for kill in kills:
        cut = by_pid.get(kill.pid) if kill.role == "child" else None
        if cut is not None and cut.start <= kill.at:
            times += [(next - kill.at) / 1e9 for next in starts[cut.id] if next > kill.at][:1]
    return times
