"""Every way to get a command, DB or -A wrong ends in one sentence that says what to type."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from litequeue.cli.worker import UNBUILT
from litequeue.store import Database
from tests.unit.cli.conftest import Cli

NO_FILE = "give a file, as `litequeue jobs jobs.sqlite`"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("job", "no command 'job' (did you mean 'jobs'?); see `litequeue --help`"),
        ("frobnicate", "no command 'frobnicate'; see `litequeue --help`"),
        ("top jobs.sqlite", "the command 'top' is not built yet; see `litequeue --help`"),
        ("-A proj beat -l INFO", "-A stands behind the command: say "
         "`litequeue beat jobs.sqlite -A tasks:app`"),
        ("--app=proj worker", "-A stands behind the command: say "
         "`litequeue worker jobs.sqlite -A tasks:app`"),
        ("jobs", "which queue file? say it first, as "
         "`litequeue jobs jobs.sqlite --state failed --since 1h`"),
        ("worker", "which queue file? say it first, as "
         "`litequeue worker jobs.sqlite -A tasks:app`"),
        ("jobs :memory:", f"a queue in :memory: would be seen by this process only; {NO_FILE}"),
        ("jobs file:jobs.sqlite?mode=rwc", "'file:jobs.sqlite?mode=rwc' is a URI, "
         f"and DB is the path of a file; {NO_FILE}"),
        ("jobs redis://localhost", "'redis://localhost' is a URI, "
         f"and DB is the path of a file; {NO_FILE}"),
        ("jobs .", f"'.' is a directory; {NO_FILE}"),
        ("worker app.py", "'app.py' is an app, and the queue file comes first: "
         "say `litequeue worker jobs.sqlite -A app:app`"),
        ("worker proj.tasks:app", "'proj.tasks:app' is an app, and the queue file comes first: "
         "say `litequeue worker jobs.sqlite -A proj.tasks:app`"),
        ("worker tasks:app -A jobs.sqlite", "'tasks:app' is an app, and the queue file comes "
         "first: say `litequeue worker jobs.sqlite -A tasks:app`"),
        ("worker tasks:app jobs.sqlite", "'tasks:app' is an app, and the queue file comes first: "
         "say `litequeue worker jobs.sqlite -A tasks:app`"),
        ("jobs tasks:app", "'tasks:app' is an app, and the queue file comes first: "
         "say `litequeue jobs jobs.sqlite`"),
        ("worker j.sqlite tasks:app", "'tasks:app' lacks its -A: "
         "say `litequeue worker j.sqlite -A tasks:app`"),
        ("worker j.sqlite k.sqlite -A t:app", "one worker serves one file, "
         "and 'k.sqlite' is too many; see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app -P eventlet", "there is no eventlet pool, because eventlet is "
         "no longer maintained; use -P gevent, which runs the same code; "
         "see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app -P fast", "no pool 'fast'; the pools are prefork,"),
        ("worker j.sqlite -A t:app -Q a=2,b --queue-order strict", "weights mean nothing to "
         "--queue-order strict; leave one out; see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app -Q a=many", "'a=many' is no queue with a weight from 1 to 1000, "
         "as in -Q high=3,low=1; see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app --queue-order strict", "--queue-order strict needs the queues "
         "in their order; name them with -Q; see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app -n w@%x", "the worker's name 'w@%x' holds '%x'; "),
        ("worker j.sqlite -A t:app --autoscale 2,10", "invalid value for '--autoscale': '2,10': "
         "MAX is from MIN to 1,000, and MIN at least 1; see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app --autoscale many", "invalid value for '--autoscale': 'many' is "
         "not MAX,MIN, as in --autoscale 10,2; see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app -c 0", "invalid value for '-c' / '--concurrency': '0' is "
         "neither auto nor a number from 1 to 20,000; see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app --soft-time-limit 9 --time-limit 3", "--soft-time-limit 9 is "
         "longer than --time-limit 3; make it shorter; see `litequeue worker --help`"),
        ("worker j.sqlite -A t:app --max-jobs 0", "invalid value for '--max-jobs': "),
        ("worker j.sqlite --colour", "no such option '--colour'; see `litequeue worker --help`"),
        ("show j.sqlite", "missing argument 'ID'; see `litequeue show --help`"),
        ("jobs j.sqlite --state faild", "invalid value for '--state': 'faild' is no state "
         "(did you mean 'failed'?); there are"),
        ("jobs j.sqlite --since soon", "invalid value for '--since': 'soon' is no duration; "
         "write 90s, 10m, 1.5h or 2d; see `litequeue jobs --help`"),
        ("jobs j.sqlite -Q ,", "-Q names no queue; see `litequeue jobs --help`"),
        ("purge j.sqlite -Q , --yes", "-Q names no queue; see `litequeue purge --help`"),
        ("retry j.sqlite", "which jobs? name ids, or say --state, --task, --queue, --since or "
         "--all, as `litequeue retry jobs.sqlite --task 'mail.*' --since 1h`"),
        ("revoke j.sqlite abcdef --state waiting", "name ids or say filters, not both; "
         "see `litequeue revoke --help`"),
        ("completion tcsh", "invalid value for"),
    ],
)  # fmt: skip
def test_usage_is_exit_2(cli: Cli, line: str, sentence: str) -> None:
    done = cli(*line.split())
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(sentence)
    if "; see `" in sentence or sentence.endswith("`"):
        assert done.sentence == sentence


def test_an_empty_path_is_refused(cli: Cli) -> None:
    done = cli("jobs", "")
    assert (done.code, done.sentence) == (2, f"the path of the queue file is empty; {NO_FILE}")


@pytest.mark.parametrize("option", UNBUILT)
def test_an_option_that_is_to_come_is_not_ignored(cli: Cli, option: str) -> None:
    done = cli("worker", "jobs.sqlite", "-A", "tasks:app", option)
    assert done.code == 2
    assert done.sentence == f"{UNBUILT[option]}; see `litequeue worker --help`"


READERS = (
    ["jobs"], ["show", "ID"], ["queues"], ["tasks"], ["workers"], ["retry", "--all"],
    ["revoke", "--all"], ["purge"], ["enqueue", "tasks.add"],
)  # fmt: skip


def on(command: list[str], path: Path | str) -> list[str]:
    return [command[0], str(path), *command[1:]]


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
def test_an_absent_file_is_exit_3_and_is_not_made(
    cli: Cli, tmp_path: Path, command: list[str]
) -> None:
    done = cli(*on(command, "jobs.sqlite"))
    path = tmp_path / "jobs.sqlite"
    assert done.code == 3
    assert done.sentence == (
        f"there is no queue file {path}; it is made by the first delay(), "
        f"or by `litequeue migrate {path}`"
    )
    assert not path.exists()


def test_an_absent_directory_is_exit_3(cli: Cli, tmp_path: Path) -> None:
    done = cli("jobs", "no/jobs.sqlite")
    assert done.code == 3
    assert f"there is no queue file {tmp_path}/no/jobs.sqlite" in done.sentence


def test_a_file_that_is_no_database_is_exit_3(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("these are my notes, and no database\n" * 50)
    done = cli("jobs", "notes")
    assert done.code == 3
    assert done.sentence.startswith(f"{tmp_path}/notes is damaged, or no SQLite file")


def test_the_file_of_another_program_is_exit_3_and_left_alone(cli: Cli, tmp_path: Path) -> None:
    shop = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(shop)) as file:
        file.execute('CREATE TABLE "cust\x1bomer" (name TEXT)')
        file.commit()
    before = shop.read_bytes()
    for command in (["jobs", shop], ["migrate", shop]):
        done = cli(*command)
        assert done.code == 3
        assert "cust\\x1bomer" in done.sentence
    assert shop.read_bytes() == before


def test_a_newer_schema_is_exit_3(cli: Cli, queue_path: Path) -> None:
    assert cli("migrate", queue_path).code == 0
    with closing(sqlite3.connect(queue_path)) as file:
        (version,) = file.execute("PRAGMA user_version").fetchone()
        file.execute("UPDATE litequeue_meta SET value = '99' WHERE key LIKE '%schema%'")
        file.execute(f"PRAGMA user_version = {99 if version else 0}")
        file.commit()
    done = cli("jobs", queue_path)
    assert done.code == 3
    assert "99" in done.sentence


def test_an_empty_file_is_no_queue_yet(cli: Cli, queue_path: Path) -> None:
    queue_path.touch()
    done = cli("jobs", queue_path)
    assert done.code == 3
    assert "holds no queue yet" in done.sentence


def test_a_setting_that_makes_no_sense_is_named(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, queue_path: Path
) -> None:
    monkeypatch.setenv("LITEQUEUE_QUEUE_BUSY_TIMEOUT", "soon")
    done = cli("jobs", queue_path)
    assert done.code == 4
    assert "queue_busy_timeout" in done.sentence


def test_the_traceback_is_there_for_who_asks(cli: Cli) -> None:
    done = cli("-v", "jobs", "jobs.sqlite")
    assert done.code == 3
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("litequeue: there is no queue file")


def test_the_environment_may_name_the_file(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, queue_path: Path
) -> None:
    Database(queue_path, create=True).checkpoint()
    monkeypatch.setenv("LITEQUEUE_URL", str(queue_path))
    assert cli("jobs").code == 0
