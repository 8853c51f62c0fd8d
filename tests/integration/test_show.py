"""``litequeue show``: how attempts died, and what they had said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue.job import Failure, Outcome
from litequeue.store import Database
from tests.store.steps import put, step
from tests.unit.cli.conftest import Cli, cli

__all__ = ["cli"]

HOSTILE = "evil\x1b[31m[red]\n\u202etxt"


@pytest.fixture
def database(queue_path: Path) -> Iterator[Database]:
    database = Database(queue_path, create=True)
    yield database
    database.close()


@pytest.fixture
def talkative(database: Database) -> str:
    """A job that printed, died with its process, ran again and printed again; its id."""
    put(database, "talks-0001")
    found = {
        "signal": "SIGSEGV", "max_rss": 64_000_000, "cpu_seconds": 1.5,
        "progress": {"state": "PROGRESS", "result": '{"done":3}'},
        "stacks": "Fatal Python error\nin crashes", "output": "one\ntwo\n",
    }  # fmt: skip
    (lease,) = step(database, limit=1).leases
    failure = Failure("WorkerLostError", "it died", evidence=json.dumps(found))
    again = Outcome(lease.seq, lease.token, lease.claim, "RETRY", failure=failure)
    (lease,) = step(database, again, limit=1).leases
    done = Outcome(
        lease.seq, lease.token, lease.claim, "SUCCESS", "null", log=f"three\tfour\n{HOSTILE}\n"
    )
    step(database, done)
    return "talks-0001"


def test_show_tells_how_an_attempt_died_and_what_it_said(
    cli: Cli, database: Database, talkative: str
) -> None:
    said = cli("show", database.path, talkative).out
    _, _, said = said.partition("\n\nattempt 1 ended as RETRY")
    first, _, second = said.partition("\n\n")
    assert first.splitlines()[1:] == [
        "    WorkerLostError: it died",
        "  how it died:",
        "    killed by SIGSEGV; 64 MB of memory at most; 1.5 s of CPU time",
        "  its stacks:",
        "    Fatal Python error",
        "    in crashes",
        "  its last output:",
        "    one",
        "    two",
        "  its last progress:",
        '    PROGRESS {"done":3}',
    ]
    assert second.splitlines() == [
        "attempt 2", "  output:", "    three\\tfour", "    evil\\x1b[31m[red]", "    \\u202etxt",
    ]  # fmt: skip
    job: dict[str, Any] = json.loads(cli("show", database.path, talkative, "--json").out)["job"]
    assert job["errors"][0]["evidence"]["signal"] == "SIGSEGV"
    assert job["logs"] == [{"attempt": 2, "text": f"three\tfour\n{HOSTILE}\n"}]


def test_show_prints_the_output_alone(cli: Cli, database: Database, talkative: str) -> None:
    done = cli("show", database.path, talkative, "--log")
    assert (done.code, done.err) == (0, "")
    assert done.out == "three   four\nevil\\x1b[31m[red]\n\\u202etxt\n"
    put(database, "silent-0001")
    silent = cli("show", database.path, "silent-0001", "--log")
    assert (silent.code, silent.out) == (0, "")
    assert silent.sentence == "nothing was captured; see the setting task_capture_output"


@pytest.mark.parametrize("evidence", ["[1]", "no json \x1b", '{"signal": 3, "max_rss": "x"}'])
def test_evidence_that_somebody_else_wrote_does_no_harm(
    cli: Cli, database: Database, evidence: str
) -> None:
    put(database, "odd-0001")
    (lease,) = step(database, limit=1).leases
    failure = Failure("WorkerLostError", "it died", evidence=evidence)
    step(database, Outcome(lease.seq, lease.token, lease.claim, "FAILURE", failure=failure))
    done = cli("show", database.path, "odd-0001")
    assert done.code == 0
    assert done.out.replace("\n", "").isprintable()
