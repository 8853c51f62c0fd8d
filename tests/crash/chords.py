"""Chords under fire: kill everything, and every callback is called once, with all results in order.

Members are calls, chains of two, chords, and some retry, replace themselves, or have further
members added.  SIGKILL hits children, consumers, supervisors and the producers that store them,
some of these chunk by chunk; then all drains, and the file is compared with what arithmetic says
comes of each chord.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.crash import campaign, command
from tests.crash.checker import Attempt, Sent
from tests.crash.programs import chording
from tests.crash.table import Findings

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


class Campaign(campaign.Campaign):
    """One whose producers send chords."""

    app = "tests.crash.programs.chording:app"
    program = chording
    sends = "chords"
    left = """
    SELECT (SELECT count(*) FROM litequeue_job WHERE phase <> 'done')
         + (SELECT count(*) FROM litequeue_advance),
           (SELECT count(*) FROM litequeue_job)
    """

    def _roles(self) -> list[str]:
        return self.random.choices(campaign.ROLES, k=self.plan.kills)

    def _judge_file(
        self, file: sqlite3.Connection, sent: dict[str, Sent], attempts: list[Attempt]
    ) -> dict[str, Any]:
        judge(file, sent, self.findings)
        kinds = Counter(kind for job in sent.values() for kind in chording.header_of(job.number))
        states = dict(file.execute("SELECT state, count(*) FROM litequeue_job GROUP BY state"))
        return {"chords": len(sent), "members": dict(kinds), "jobs": states}


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
