"""`litequeue schedule`: what it prints, what it changes, and that what was added is sent."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue, schedules
from litequeue.beat.plan import plan
from litequeue.cli import output
from litequeue.clock import SYSTEM
from litequeue.entry import Entry
from litequeue.facts import AppFacts, TaskFacts
from litequeue.job import bound_to, new_id
from litequeue.store import Database, entries, registry, workers
from litequeue.store import ticks as stored_ticks
from litequeue.store.entries import EntryRecord
from litequeue.store.filesystem import side_directory
from litequeue.store.settle import Keep
from litequeue.worker.liveness import own_identity
from tests.conftest import wait_until
from tests.docs.pages import DOCS, read
from tests.integration.processes import Site
from tests.integration.tasks import add
from tests.unit.cli.conftest import Cli, cli

__all__ = ["cli"]

HOSTILE = "evil\x1b[31m[red]\n\u202etxt"
NOBODY = "but no worker is alive; start one with `litequeue worker "
IN_UTC = "litequeue: in UTC: no --tz was said"
TOMORROW = "2100-01-02T03:04:05"


@pytest.fixture
def database(queue_path: Path) -> Iterator[Database]:
    """A file that knows two tasks, with an entry of code and one of people's."""
    database = Database(queue_path, create=True)
    facts = [
        TaskFacts("tasks.add", "(x: int, y: int = 0) -> int", "Add.", None),
        TaskFacts("tasks.mail", "(to, *, subject='')", "Mail.", "mail"),
    ]
    now = SYSTEM.now()
    with database.write(durable=False) as connection:
        app = AppFacts(name="tasks:app", root="/", tasks=facts)
        registry.record(connection, database.path, app, now)
    entries.reconcile(database, "tasks:app", [entry("nightly")], now)
    entries.add(database, entry("hourly", every=3600), now)
    yield database
    database.close()


def entry(name: str, *, every: float = 86_400, **more: Any) -> Entry:
    fields: dict[str, Any] = {
        "schedule": schedules.dump(schedules.interval(every)),
        "task": "tasks.add",
        "body": "[[1],{}]",
        "queue": "default",
        "options": json.dumps({"entry": name}),
    }
    return Entry(name=name, **(fields | more))


def document(cli: Cli, *arguments: str | Path) -> dict[str, Any]:
    done = cli("schedule", *arguments, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found.pop("v") == 1
    return found


def added(cli: Cli, database: Database, *words: str, name: str = "mine") -> Entry:
    """Add an entry from the shell; return what the file holds."""
    done = cli("schedule", database.path, "add", name, *words)
    assert done.code == 0, done.err
    *notes, nobody = done.err.splitlines()
    assert nobody.startswith(f"litequeue: {name} added, {NOBODY}{database.path} ")
    assert notes in ([], [IN_UTC])
    assert done.out.startswith(f"{name} added: ")
    return record(database, name).entry


def record(database: Database, name: str) -> EntryRecord:
    return entries.get(database, name)


def state(database: Database) -> list[EntryRecord]:
    return entries.listed(database)


def jobs(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as connection:
        return connection.execute("SELECT id, task, queue FROM litequeue_job").fetchall()


# Looking


def test_entries_are_listed(cli: Cli, database: Database) -> None:
    done = cli("schedule", database.path)
    assert (done.code, done.err) == (0, "")
    head, first, second = done.out.splitlines()
    assert head.split() == [
        "NAME", "SCHEDULE", "TASK", "NEXT", "AT", "LAST", "STATE", "DRIFT", "COUNT", "OWNER",
    ]  # fmt: skip
    assert first.startswith("hourly   every 1 h  tasks.add  in 60 min  2")
    assert first.endswith("0      file")
    assert second.split()[0] == "nightly"
    assert second.endswith("0      code of tasks:app")
    assert cli("schedule", database.path, "list").out.splitlines()[0] == head


def test_entries_in_json(cli: Cli, database: Database) -> None:
    (hourly, nightly) = document(cli, database.path)["entries"]
    assert hourly.pop("next") == output.iso(record(database, "hourly").next_due)
    assert hourly == {
        "name": "hourly",
        "schedule": "every 1 h",
        "task": "tasks.add",
        "queue": "default",
        "owner": "file",
        "app": None,
        "paused": None,
        "last": None,
        "last_job": None,
        "last_state": None,
        "drift": None,
        "count": 0,
    }
    assert (nightly["owner"], nightly["app"]) == ("code", "tasks:app")
    assert document(cli, database.path, "list")["entries"][0]["name"] == "hourly"


def test_an_empty_file_says_how_to_add_an_entry(cli: Cli, queue_path: Path) -> None:
    Database(queue_path, create=True).checkpoint()
    done = cli("schedule", queue_path)
    assert (done.code, done.out) == (0, "")
    assert "`litequeue schedule DB add`" in done.sentence


def test_one_entry_is_shown_with_its_next_runs_and_its_last(cli: Cli, database: Database) -> None:
    added(cli, database, "tasks.mail", '"ann"', "subject=hi", "--cron", "30 2 * * *",
          "--tz", "Europe/Berlin", "--misfire", "all", "--catch-up", "5", "--grace", "10m",
          "--overlap", "skip", "--jitter", "5s")  # fmt: skip
    job = cli("schedule", database.path, "run-now", "mine").out.strip()
    done = cli("schedule", database.path, "show", "mine")
    assert (done.code, done.err) == (0, "")
    top, runs, ticks = done.out.split("\n\n")
    facts = dict(line.split(maxsplit=1) for line in top.splitlines())
    assert facts["schedule"] == "crontab 30 2 * * * Europe/Berlin"
    assert (facts["args"], facts["kwargs"]) == ('"ann"', 'subject="hi"')
    assert facts["misfire"] == "all, 5 at most, at most 10 min late"
    assert (facts["overlap"], facts["jitter"], facts["queue"]) == ("skip", "5.0 s", "mail")
    assert (facts["owner"], facts["count"]) == ("file", "1")
    title, *lines = runs.splitlines()
    assert title == "next runs"
    assert len(lines) == 5
    for line in lines:
        local, utc, *left = line.split()
        assert datetime.fromisoformat(local) == datetime.fromisoformat(utc)
        assert local[11:16] == "02:30"
        assert left[0] == "in"
    assert ticks.splitlines()[1].split()[-3:] == [job, "PENDING", "manual"]


def test_one_entry_in_json(cli: Cli, database: Database) -> None:
    added(cli, database, "tasks.add", "1", "--cron", "0 3 * * *", "--tz", "Europe/Berlin")
    job = cli("schedule", database.path, "run-now", "mine").out.strip()
    found = document(cli, database.path, "show", "mine")["entry"]
    (tick,) = found["ticks"]
    assert (tick["job"], tick["state"], tick["note"]) == (job, "PENDING", "manual")
    assert (found["last_job"], found["last_state"], found["count"]) == (job, "PENDING", 1)
    assert (found["args"], found["kwargs"], found["body"]) == ([1], {}, None)
    assert (found["misfire"], found["overlap"], found["catch_up"]) == ("one", "allow", 1000)
    assert len(found["runs"]) == 5
    first = found["runs"][0]
    assert found["next"] == first["at"]
    assert first["local"][11:] in ("03:00:00+01:00", "03:00:00+02:00")
    assert datetime.fromisoformat(first["local"]) == datetime.fromisoformat(first["at"])


def test_runs_are_in_utc_alone_where_the_entry_is(cli: Cli, database: Database) -> None:
    added(cli, database, "tasks.add", "1", "--cron", "0 3 * * *")
    runs = document(cli, database.path, "show", "mine")["entry"]["runs"]
    assert [run["local"] for run in runs] == [None] * 5
    assert all(run["at"][11:] == "03:00:00.000Z" for run in runs)


def test_what_is_overdue_is_no_next_run(cli: Cli, database: Database) -> None:
    entries.add(database, entry("old", every=3600), SYSTEM.now() - 10_000)
    found = document(cli, database.path, "show", "old")["entry"]
    assert found["overdue"] == found["next"] == output.iso(record(database, "old").next_due)
    assert all(datetime.fromisoformat(run["at"]) > datetime.now(UTC) for run in found["runs"])
    assert " ago  " in cli("schedule", database.path).out


def test_hostile_names_cannot_harm_a_terminal(cli: Cli, database: Database) -> None:
    entries.add(database, entry(HOSTILE, task=HOSTILE, body="[[\x1bNaN"), SYSTEM.now())
    for arguments in ([], ["show", HOSTILE], ["pause", HOSTILE], ["remove", HOSTILE]):
        done = cli("schedule", database.path, *arguments)
        assert done.code == 0
        assert all(line.isprintable() for line in done.out.splitlines())
        assert "evil\\x1b[31m" in done.out


def test_a_schedule_that_is_none_is_shown_as_it_is(cli: Cli, database: Database) -> None:
    with database.write(durable=False) as connection:
        connection.execute("UPDATE litequeue_entry SET schedule = '{}' WHERE name = 'hourly'")
    assert document(cli, database.path)["entries"][0]["schedule"] == "{}"
    assert document(cli, database.path, "show", "hourly")["entry"]["runs"] == []


def test_on_a_terminal_it_is_a_table(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda stream=None: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "70")
    cli("schedule", database.path, "run-now", "hourly")
    lines = cli("schedule", database.path).out.splitlines()
    assert all(line.isprintable() and len(line) <= 70 for line in lines)


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda stream=None: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))


def test_names_and_ids_are_whole_on_a_terminal_of_80_columns(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["tasks.send_the_weekly_report", "tasks.clean_up"]
    for name in names:
        added(cli, database, "tasks.add", "1", "--cron", "30 2 * * mon-fri", "--tz",
              "America/Argentina/Buenos_Aires", name=name)  # fmt: skip
    begun = SYSTEM.now() - 10_000
    entries.add(database, entry("sync", task=f"tasks.{'x' * 40}", overlap="skip", every=600), begun)
    send(database, "sync", begun, ticks=2)
    job = record(database, "sync").last_job or ""
    at_a_terminal(monkeypatch, 80)
    head, *lines = cli("schedule", database.path).out.splitlines()
    assert head.split()[:3] == ["name", "schedule", "next"]
    assert {*names} <= {line.split()[0] for line in lines}
    facts, _, ticks = cli("schedule", database.path, "show", "sync").out.split("\n\n")
    assert all(job in part for part in (facts, ticks))
    listed = cli("jobs", database.path).out
    assert job in listed
    assert max(map(len, [head, *lines, *ticks.splitlines(), *listed.splitlines()])) <= 80


def send(database: Database, name: str, begun: float, *, ticks: int) -> None:
    """Have what is due of an entry sent, an hour later each time, as a beat does."""
    for hour in range(1, ticks + 1):
        now = begun + hour * 3600
        for row in stored_ticks.due(database, now, 10):
            if row.entry.name == name:
                firing = plan(
                    row.entry, id=row.id, version=row.version, anchor=row.anchor,
                    pending=schedules.Tick(row.next_key, row.next_at), now=now,
                    new_id=partial(new_id, now),
                )  # fmt: skip
                stored_ticks.fire(database, [firing], now, keep=Keep(success=60, failure=60))


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_what_blocks_an_entry_is_named(cli: Cli, database: Database, overlap: str) -> None:
    begun = SYSTEM.now() - 10_000
    entries.add(database, entry("sync", every=3600, overlap=overlap), begun)
    send(database, "sync", begun, ticks=1)
    line = cli("schedule", database.path).out.splitlines()[-1]
    assert line.startswith("sync")
    assert "blocked" not in line  # no run was left out so far
    send(database, "sync", begun, ticks=2)
    assert ", blocked  " in cli("schedule", database.path).out.splitlines()[-1]
    job = record(database, "sync").last_job
    shown = cli("schedule", database.path, "show", "sync").out
    assert f"blocked   by job {job}, waiting since 2" in shown
    assert f"; `litequeue revoke {database.path} {job}` frees it\n" in shown
    assert document(cli, database.path, "show", "sync")["entry"]["blocked_by"] == job
    for phase, token, told in (
        ("parked", None, "parked since 2"),
        ("leased", 1, "running since 2001-"),
    ):
        with database.write(durable=False) as connection:
            connection.execute(
                "UPDATE litequeue_job SET phase = ?, token = ?, owner = ?, started = 1e9",
                (phase, token, token),
            )
        assert told in cli("schedule", database.path, "show", "sync").out
    assert f"{job} --terminate` frees it" in cli("schedule", database.path, "show", "sync").out


def test_what_does_not_block_is_not_named(cli: Cli, database: Database) -> None:
    for name, overlap in (("free", "allow"), ("takes", "cancel"), ("done", "skip")):
        entries.add(database, entry(name, overlap=overlap), SYSTEM.now())
        cli("schedule", database.path, "run-now", name)
    with database.write(durable=False) as connection:
        connection.execute(
            "UPDATE litequeue_job SET state = 'SUCCESS', phase = 'done', finished = 1e9 "
            "WHERE id = ?", (record(database, "done").last_job,),
        )  # fmt: skip
    for name in ("free", "takes", "done"):
        assert "blocked" not in cli("schedule", database.path, "show", name).out
        assert document(cli, database.path, "show", name)["entry"]["blocked_by"] is None
    assert "blocked" not in cli("schedule", database.path).out


def test_that_nobody_sends_what_is_overdue_is_said(cli: Cli, database: Database) -> None:
    assert cli("schedule", database.path).err == ""
    for name in ("old", "older"):
        entries.add(database, entry(name, every=3600), SYSTEM.now() - 10_000)
        said = cli("schedule", database.path, "list").sentence
    assert said == (
        f"2 entries are overdue, and no worker is alive; start one with `litequeue worker "
        f"{database.path} -A MODULE:APP`"
    )
    assert cli("schedule", database.path, "--json").sentence == said
    cli("schedule", database.path, "pause", "old")
    assert cli("schedule", database.path).sentence.startswith("1 entry is overdue, and no worker")


def test_that_no_living_worker_sends_is_said(cli: Cli, database: Database) -> None:
    own = own_identity(side_directory(database.path) or "", "w")
    workers.register(database, own, SYSTEM.now())
    entries.add(database, entry("just-due", every=3600), SYSTEM.now() - 3604)
    entries.add(database, entry("broken", every=3600), SYSTEM.now() - 10_000)
    with database.write(durable=False) as connection:
        connection.execute("UPDATE litequeue_entry SET schedule = '{}' WHERE name = 'broken'")
    assert cli("schedule", database.path).err == ""  # both are for other reasons
    entries.add(database, entry("old", every=3600), SYSTEM.now() - 10_000)
    assert cli("schedule", database.path).sentence == (
        "1 entry is overdue, and no worker that is alive sends what is due (--no-beat?); "
        f"start `litequeue beat {database.path}`, or a worker without it"
    )


def test_why_a_schedule_cannot_be_read(cli: Cli, database: Database) -> None:
    with database.write(durable=False) as connection:
        connection.execute(
            "UPDATE litequeue_entry SET schedule = ? WHERE name = 'hourly'",
            ('{"crontab":"0 3 * * *","tz":"Mars/Olympus"}',),
        )
    assert "  unreadable  " in cli("schedule", database.path).out.splitlines()[1]
    shown = cli("schedule", database.path, "show", "hourly").out
    assert "never again" not in shown
    assert "    unreadable: tz 'Mars/Olympus' is not a time zone" in shown
    found = document(cli, database.path, "show", "hourly")["entry"]
    assert found["unreadable"].startswith("tz 'Mars/Olympus' is not a time zone")
    assert document(cli, database.path, "show", "nightly")["entry"]["unreadable"] is None


def test_what_was_sent_once_is_done(cli: Cli, database: Database) -> None:
    begun = SYSTEM.now() - 10_000
    for name in ("sent", "missed"):
        once = schedules.dump(schedules.clocked(begun + 60))
        entries.add(database, entry(name, schedule=once), begun)
    send(database, "sent", begun, ticks=1)
    with database.write(durable=False) as connection:
        connection.execute("UPDATE litequeue_entry SET next_key = NULL, next_at = NULL, "
                           "next_due = NULL WHERE name = 'missed'")  # fmt: skip
    lines = {line.split()[0]: line for line in cli("schedule", database.path).out.splitlines()}
    assert "  never  " in lines["missed"]
    assert "  done  " in lines["sent"]


def test_the_name_of_the_entry_is_no_option_of_its_own(cli: Cli, database: Database) -> None:
    assert "options" not in cli("schedule", database.path, "show", "hourly").out
    assert document(cli, database.path, "show", "hourly")["entry"]["options"] is None
    said = json.dumps({"entry": "more", "shadow": "other"})
    entries.add(database, entry("more", options=said), SYSTEM.now())
    assert 'options   {"shadow": "other"}' in cli("schedule", database.path, "show", "more").out
    found = document(cli, database.path, "show", "more")["entry"]
    assert found["options"] == {"shadow": "other"}


def test_moments_have_milliseconds_where_there_are_any(cli: Cli, database: Database) -> None:
    begun = 1_900_000_000.123456
    entries.add(database, entry("odd", every=3600), begun)
    entries.add(database, entry("even", every=3600), 1_900_000_000.0)
    for name, fraction in (("odd", ".123Z"), ("even", "Z")):
        send(database, name, begun, ticks=1)
        shown = cli("schedule", database.path, "show", name).out
        at = f"2030-03-17T18:46:40{fraction}"
        assert shown.splitlines()[-1].split()[0] == at
        assert f"2030-03-17T19:46:40{fraction} " in shown
        assert f" 2030-03-17T19:46:40{fraction} " in cli("schedule", database.path).out


def test_a_skip_shows_its_grace(cli: Cli, database: Database) -> None:
    for given, seconds, words in (([], 60, "60 s"), (["--grace", "5m"], 300, "5 min")):
        name = f"skip-{seconds}"
        added(cli, database, "tasks.add", "1", "--every", "1h", "--misfire", "skip", *given,
              name=name)  # fmt: skip
        shown = cli("schedule", database.path, "show", name).out
        assert f"misfire   skip, at most {words} late\n" in shown
        assert document(cli, database.path, "show", name)["entry"]["grace"] == seconds


def test_the_view_has_no_next_run_of_what_is_paused(cli: Cli, database: Database) -> None:
    cli("schedule", database.path, "pause", "hourly")
    with database.read() as connection:
        view = dict(connection.execute("SELECT name, next FROM litequeue_schedule"))
    assert view["hourly"] is None
    assert view["nightly"] is not None


# Adding


@pytest.mark.parametrize(
    ("words", "schedule"),
    [
        (["--cron", "0 3 * * *"], schedules.crontab("0 3 * * *", tz="UTC")),
        (["--cron", "0 3 * * *", "--tz", "Europe/Berlin"],
         schedules.crontab("0 3 * * *", tz="Europe/Berlin")),
        (["--cron", "0 0 1 * mon"], schedules.crontab("0 0 1 * mon", tz="UTC")),
        (["--cron", "@daily", "--tz", "local"], schedules.crontab("@daily", tz="local")),
        (["--cron", "*/5 0 3 * * *"], schedules.crontab("*/5 0 3 * * *", tz="UTC")),
        (["--every", "30s"], schedules.interval(30)),
        (["--every", "1.5h", "--aligned"], schedules.interval(5400, aligned=True)),
        (["--at", f"{TOMORROW}Z"], schedules.clocked(f"{TOMORROW}+00:00")),
        (["--at", TOMORROW, "--tz", "Asia/Tokyo"], schedules.clocked(f"{TOMORROW}+09:00")),
        (["--at", TOMORROW], schedules.clocked(datetime.fromisoformat(TOMORROW).timestamp())),
    ],
)  # fmt: skip
def test_schedules(
    cli: Cli, database: Database, words: list[str], schedule: schedules.Schedule
) -> None:
    made = added(cli, database, "tasks.add", "1", *words)
    assert schedules.load(made.schedule) == schedule


def test_a_schedule_of_the_sun(cli: Cli, database: Database) -> None:
    pytest.importorskip("astral")
    made = added(cli, database, "tasks.add", "1", "--solar", "sunset:52.5,-13.4")
    assert schedules.load(made.schedule) == schedules.solar("sunset", 52.5, -13.4)


def test_the_zone_of_the_settings(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITEQUEUE_TIMEZONE", "Asia/Tokyo")
    monkeypatch.setenv("LITEQUEUE_BEAT_CRON_STARTING_DEADLINE", "120")
    made = added(cli, database, "tasks.add", "1", "--cron", "0 3 * * *")
    assert schedules.load(made.schedule) == schedules.crontab("0 3 * * *", tz="Asia/Tokyo")
    assert made.grace == 120


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["1", "2"], [[1, 2], {}]),
        (["-5", "y=-1.5e3"], [[-5], {"y": -1500.0}]),
        (['"a=b"', "y=a=b"], [["a=b"], {"y": "a=b"}]),
        (["--args", "[1]", "--kwargs", '{"y": 2}'], [[1], {"y": 2}]),
    ],
)
def test_arguments(cli: Cli, database: Database, words: list[str], body: Any) -> None:
    made = added(cli, database, "tasks.add", *words, "--every", "1h")
    assert json.loads(made.body) == body
    assert json.loads(made.options or "") == {"entry": "mine"}


@pytest.mark.parametrize(
    ("words", "zone", "is_said"),
    [
        (["--cron", "@daily"], None, True),
        (["--cron", "@daily", "--tz", "UTC"], None, False),
        (["--cron", "@daily"], "UTC", False),
        (["--every", "1h"], None, False),
        (["--at", TOMORROW], None, False),
    ],
)
def test_that_nobody_said_the_zone_is_said(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch,
    words: list[str], zone: str | None, is_said: bool,
) -> None:  # fmt: skip
    if zone is not None:
        monkeypatch.setenv("LITEQUEUE_TIMEZONE", zone)
    done = cli("schedule", database.path, "add", "mine", "tasks.add", "1", *words)
    assert (IN_UTC in done.err.splitlines()) is is_said
    assert IN_UTC not in cli("schedule", database.path, "edit", "nightly", *words).err
    done = cli("schedule", database.path, "edit", "hourly", *words)
    assert (IN_UTC in done.err.splitlines()) is is_said
    done = cli("schedule", database.path, "edit", "hourly", "--cron", "@hourly", "--tz", "UTC")
    done = cli("schedule", database.path, "edit", "hourly", "--cron", "@weekly")
    assert IN_UTC not in done.err


@pytest.mark.parametrize(
    "line",
    [
        "add -- -dash tasks.add 1 --every 1h",
        "add --every 1h -- -dash tasks.add 1",
        "add --every 1h -- -dash tasks.add -5 y=2",
        "add --every=1h -- -dash --queue=fast tasks.add 1 -Q slow",
    ],
)
def test_a_name_may_begin_with_a_dash(cli: Cli, database: Database, line: str) -> None:
    done = cli("schedule", database.path, *line.split())
    assert done.code == 0, done.err
    assert record(database, "-dash").entry.task == "tasks.add"
    done = cli("schedule", database.path, "edit", "--", "-dash", "--priority", "3")
    assert done.code == 0, done.err
    assert record(database, "-dash").entry.priority == 3
    assert cli("schedule", database.path, "show", "--", "-dash").out.startswith("name      -dash")
    refused = cli("schedule", database.path, "add", "mine", "-dust", "--every", "1h")
    assert refused.sentence.startswith("no such option: -dust")


def test_options_of_an_entry(cli: Cli, database: Database) -> None:
    made = added(cli, database, "tasks.mail", '"ann"', "--every", "1h")
    assert (made.queue, made.priority, made.expires) == ("mail", 0, None)
    assert (made.misfire, made.grace, made.catch_up) == ("one", None, 1000)
    assert (made.overlap, made.jitter, made.start, made.end) == ("allow", 0.0, None, None)
    made = added(
        cli, database, "tasks.mail", '"ann"', "--every", "1h", "-Q", "fast", "--priority", "9",
        "--expires", "10m", "--misfire", "all", "--grace", "1h", "--catch-up", "7",
        "--overlap", "cancel", "--jitter", "30s", "--start", TOMORROW, "--end", "2101-01-01",
        "--tz", "Asia/Tokyo", name="other",
    )  # fmt: skip
    assert (made.queue, made.priority, made.expires) == ("fast", 9, 600)
    assert (made.misfire, made.grace, made.catch_up) == ("all", 3600, 7)
    assert (made.overlap, made.jitter) == ("cancel", 30)
    assert made.start == datetime.fromisoformat(f"{TOMORROW}+09:00").timestamp()
    assert made.end == datetime.fromisoformat("2101-01-01T00:00+09:00").timestamp()


def test_a_paused_entry_is_added_without_a_warning(cli: Cli, database: Database) -> None:
    done = cli("schedule", database.path, "add", "mine", "tasks.add", "1", "--every", "1h",
               "--paused")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.out == "mine added: every 1 h; paused\n"
    assert record(database, "mine").paused is not None


CANNOT = [
    ([], "when? say --cron, --every, --at or --solar"),
    (["--cron", "@daily", "--every", "1h"],
     "--cron and --every are two schedules: say one, or add two entries"),
    (["--cron", "5"], "--cron '5' is no schedule; write five fields in quotes, as '0 3 * * *', "
     "or @daily"),
    (["--cron", "61 * * * *"], "minute '61' has 61, which is not in 0 to 59"),
    (["--cron", "0 0 30 2 *"], "day_of_month"),
    (["--cron", "@reboot"], "a crontab has no @reboot"),
    (["--cron", "@daily", "--tz", "Mars"], "tz 'Mars' is not a time zone"),
    (["--cron", "@daily", "--aligned"], "--aligned is for --every: say both"),
    (["--every", "soon"], "invalid value for '--every': 'soon' is no duration"),
    (["--every", "1h", "--tz", "UTC"], "--every needs no --tz: leave it out"),
    (["--every", "0"], "every 0.0 is not an interval"),
    (["--at", "noon"], "invalid value for '--at': 'noon' is no moment; write 2030-12-31T18:00"),
    (["--at", "2020-01-01T00:00Z"],
     "it would never be sent: once at 2020-01-01T00:00:00Z has no moment after 2"),
    (["--every", "1h", "--end", "2020-01-01T00:00Z"],
     "it would never be sent: every 1 h, which ends 2020-01-01T00:00:00.000Z, has no moment"),
    (["--every", "1h", "--start", "2101-01-01", "--end", "2100-01-01"], "entry 'mine': start"),
    (["--solar", "sunset:52"], "--solar 'sunset:52' is no event at a place; write "
     "sunset:52.5,13.4"),
    (["--solar", "lunch:52,13"], "event 'lunch' is none of"),
    (["--every", "1h", "--misfire", "never"], "invalid value for '--misfire': 'never'"),
    (["--every", "1h", "--catch-up", "0"], "entry 'mine': catch_up"),
    (["--every", "1h", "--jitter", "2d"], "entry 'mine': jitter"),
    (["--every", "1h", "--priority", "5000000000"], "entry 'mine': priority"),
    (["hello", "--every", "1h"], "the argument 'hello' is no JSON"),
    (["z=1", "--every", "1h"], "tasks.add(x: int, y: int = 0) -> int: "),
    (["--every", "1h", "--colour"], "no such option: --colour"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "sentence"), CANNOT)
def test_what_cannot_be_is_exit_2_and_changes_nothing(
    cli: Cli, database: Database, words: list[str], sentence: str
) -> None:
    before = state(database)
    done = cli("schedule", database.path, "add", "mine", "tasks.add", "1", *words)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(sentence)
    assert done.sentence.endswith("; see `litequeue schedule DB add --help`")
    if words:
        done = cli("schedule", database.path, "edit", "hourly", "tasks.add", "1", *words)
        assert done.code == 2
        assert done.sentence.startswith(sentence.replace("mine", "hourly"))
    assert state(database) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", "mine", "--every", "1h"], "which task? name it behind the name of the entry"),
        (["add", "mine", "--colour", "--every", "1h"], "no such option: --colour"),
        (["edit", "hourly", "--paused"], "no such option: --paused"),
        (["edit", "hourly"],
         "say what to change, as `litequeue schedule jobs.sqlite edit hourly --every 10m`"),
        (["edit", "hourly", "--force"], "say what to change, as `litequeue schedule"),
        (["edit", "hourly", "--tz", "UTC"], "--tz is for --cron and for moments, and this is "
         "every 1 h: say the whole schedule"),
        (["show"], "missing argument 'NAME'"),
        (["pause"], "missing argument 'NAME...'"),
        (["ad", "mine"], "schedule has no 'ad' (did you mean 'add'?); it has list, show, add, "
         "edit, pause, resume, run-now, remove; see `litequeue schedule --help`"),
        (["--jso"], "no such option '--jso'"),
    ],
)  # fmt: skip
def test_a_line_that_is_not_whole_is_exit_2(
    cli: Cli, database: Database, words: list[str], sentence: str
) -> None:
    done = cli("schedule", "jobs.sqlite", *words)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(sentence)


def test_the_file_comes_first(cli: Cli) -> None:
    done = cli("schedule", "show", "my entry")
    assert done.code == 2
    assert done.sentence == (
        "which queue file? say it first, as `litequeue schedule jobs.sqlite show 'my entry'`"
    )
    assert cli("schedule").sentence.startswith("which queue file? say it first, as `litequeue ")


def test_the_verb_comes_behind_the_file(cli: Cli, database: Database) -> None:
    done = cli("schedule", "show", "jobs.sqlite", "my entry")
    assert done.code == 2
    assert done.sentence == (
        "the queue file comes first: say `litequeue schedule jobs.sqlite show 'my entry'`"
    )


def test_the_help_of_a_verb_needs_no_file(cli: Cli, tmp_path: Path) -> None:
    for words in (["add", "--help"], ["add", "x", "-h"]):
        done = cli("schedule", *words)
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("Usage: litequeue schedule [DB] add [OPTIONS] NAME ")
    assert list(tmp_path.iterdir()) == []


def test_a_verb_needs_no_file_where_one_is_configured(cli: Cli, database: Database) -> None:
    Path("pyproject.toml").write_text('[tool.litequeue]\ndatabase = "jobs.sqlite"\n')
    assert len(json.loads(cli("schedule", "list", "--json").out)["entries"]) == 2
    assert cli("schedule", "add", "mine", "tasks.add", "1", "--every", "1h").code == 0
    assert cli("schedule", "show", "mine").out.startswith("name      mine")
    assert cli("schedule", "pause", "mine", "hourly").code == 0
    assert cli("schedule", database.path, "show", "mine").code == 0
    assert cli("schedule", "list", "jobs.sqlite").code == 2


def test_json_stands_behind_the_verb(cli: Cli, database: Database) -> None:
    done = cli("schedule", "--json", database.path, "show", "hourly")
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith("--json stands behind show")


def test_the_environment_may_name_the_file(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITEQUEUE_URL", database.path)
    assert cli("schedule").out.splitlines()[1].startswith("hourly")
    assert len(json.loads(cli("schedule", "--json").out)["entries"]) == 2


@pytest.mark.parametrize("verb", [[], ["show", "x"], ["add", "x", "t", "--every", "1h"]])
def test_an_absent_file_is_exit_3_and_is_not_made(
    cli: Cli, queue_path: Path, verb: list[str]
) -> None:
    done = cli("schedule", queue_path, *verb)
    assert done.code == 3
    assert not queue_path.exists()


def test_a_task_that_nobody_knows_is_exit_5(cli: Cli, database: Database) -> None:
    before = state(database)
    for words in (["add", "mine"], ["edit", "hourly"]):
        done = cli("schedule", database.path, *words, "tasks.ad", "1", "--every", "1h")
        assert done.code == 5
        assert done.sentence == (
            "no task 'tasks.ad' (did you mean 'tasks.add'?); "
            f"see `litequeue tasks {database.path}`, or add --force"
        )
    assert state(database) == before
    assert added(cli, database, "tasks.ad", "1", "--every", "1h", "--force").task == "tasks.ad"


def test_a_name_that_is_taken(cli: Cli, database: Database) -> None:
    before = state(database)
    for name, sentence in (
        ("hourly", "there is an entry 'hourly' already; change it with `litequeue schedule "
         f"{database.path} edit hourly`, or choose another name"),
        ("nightly", "'nightly' is defined by the code of tasks:app; choose another name"),
    ):  # fmt: skip
        done = cli("schedule", database.path, "add", name, "tasks.add", "1", "--every", "1h")
        assert (done.code, done.out, done.sentence) == (1, "", sentence)
    assert state(database) == before


def test_arguments_that_are_too_large(cli: Cli, database: Database) -> None:
    text = json.dumps("x" * (130 << 10))
    done = cli("schedule", database.path, "add", "mine", "tasks.add", text, "--every", "1h")
    assert (done.code, done.out) == (1, "")
    assert "bytes" in done.sentence


# Changing


def edited(cli: Cli, database: Database, *words: str, name: str = "hourly") -> Entry:
    done = cli("schedule", database.path, "edit", name, *words)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{name} changed: ")
    assert NOBODY in done.sentence
    return record(database, name).entry


def test_only_what_is_said_changes(cli: Cli, database: Database) -> None:
    before = record(database, "hourly")
    made = edited(cli, database, "--priority", "3", "--expires", "1m", "--grace", "5s")
    assert (made.priority, made.expires, made.grace) == (3, 60, 5)
    after = record(database, "hourly")
    assert (after.next_at, after.anchor) == (before.next_at, before.anchor)
    made = edited(cli, database, "--expires", "none", "--grace", "none")
    assert (made.priority, made.expires, made.grace) == (3, None, None)
    made = edited(cli, database, "--every", "2h", "--start", TOMORROW, "--end", "2101-01-01")
    assert schedules.load(made.schedule) == schedules.interval(7200)
    assert made.start == datetime.fromisoformat(TOMORROW).timestamp()
    made = edited(cli, database, "--start", "none", "--end", "none")
    assert (made.start, made.end, made.priority) == (None, None, 3)


def test_queue_and_priority_are_the_tasks_again(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITEQUEUE_TASK_DEFAULT_QUEUE", "usual")
    monkeypatch.setenv("LITEQUEUE_TASK_DEFAULT_PRIORITY", "4")
    for task, queue in (("tasks.mail", "mail"), ("tasks.add", "usual")):
        edited(cli, database, task, "--args", "[1]", "-Q", "fast", "--priority", "9")
        made = edited(cli, database, "--queue", "none", "--priority", "none")
        assert (made.task, made.queue, made.priority) == (task, queue, 4)
    edited(cli, database, "tasks.other", "--force", "-Q", "fast")
    before = state(database)
    done = cli("schedule", database.path, "edit", "hourly", "--queue", "none")
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(
        "no app has recorded the task 'tasks.other', so its own queue cannot be known: say a "
        "value, as --queue default"
    )
    assert state(database) == before
    assert added(cli, database, "tasks.mail", "1", "--every", "1h", "-Q", "none").queue == "mail"


def test_another_call(cli: Cli, database: Database) -> None:
    assert edited(cli, database, "--args", "[5, 6]").body == "[[5,6],{}]"
    refused = cli("schedule", database.path, "edit", "hourly", "tasks.mail")
    assert refused.code == 2
    assert refused.sentence.startswith("tasks.mail(to, *, subject=''): too many positional")
    made = edited(cli, database, "tasks.mail", '"ann"', "subject=hi")
    assert (made.task, json.loads(made.body)) == ("tasks.mail", [["ann"], {"subject": "hi"}])
    assert made.queue == "default"
    made = edited(cli, database, "tasks.add", "y=7", "--args", "[8]")
    assert (made.task, json.loads(made.body)) == ("tasks.add", [[8], {"y": 7}])
    made = edited(cli, database, "-5", "y=7")
    assert (made.task, json.loads(made.body)) == ("tasks.add", [[-5], {"y": 7}])
    made = edited(cli, database, "tasks.other", "--force")
    assert (made.task, json.loads(made.body)) == ("tasks.other", [[-5], {"y": 7}])


def test_arguments_that_may_be_signed_stay_with_their_task(cli: Cli, database: Database) -> None:
    entries.add(database, entry("signed", body="!pickle;base64;sig,x"), SYSTEM.now())
    before = state(database)
    done = cli("schedule", database.path, "edit", "signed", "tasks.mail")
    assert done.code == 2
    assert done.sentence.startswith("its arguments are no plain JSON")
    assert state(database) == before
    assert edited(cli, database, "--every", "5m", name="signed").body == "!pickle;base64;sig,x"
    assert edited(cli, database, "1", name="signed").body == "[[1],{}]"


def test_another_zone(cli: Cli, database: Database) -> None:
    added(cli, database, "tasks.add", "1", "--cron", "0 3 1 * mon", "--tz", "Europe/Berlin")
    made = edited(cli, database, "--tz", "Asia/Tokyo", name="mine")
    assert schedules.load(made.schedule) == schedules.crontab("0 3 1 * mon", tz="Asia/Tokyo")
    done = cli("schedule", database.path, "edit", "mine", "--tz", "Mars")
    assert (done.code, record(database, "mine").entry) == (2, made)


def test_the_zone_stays_with_another_schedule(cli: Cli, database: Database) -> None:
    added(cli, database, "tasks.add", "1", "--cron", "0 3 * * *", "--tz", "Asia/Tokyo")
    made = edited(cli, database, "--cron", "30 3 * * *", name="mine")
    assert schedules.load(made.schedule) == schedules.crontab("30 3 * * *", tz="Asia/Tokyo")
    made = edited(cli, database, "--cron", "@daily", "--tz", "UTC", name="mine")
    assert schedules.load(made.schedule) == schedules.crontab("@daily", tz="UTC")


def test_what_was_so_already_is_said(cli: Cli, database: Database) -> None:
    before = record(database, "hourly")
    done = cli("schedule", database.path, "edit", "hourly", "--every", "1h")
    assert done.out.startswith("hourly was so: every 1 h; next ")
    assert record(database, "hourly") == before


def test_an_entry_of_code_is_changed_there(cli: Cli, database: Database) -> None:
    before = state(database)
    for verb, instead in (
        (["edit", "nightly", "--every", "1h"],
         f"or stop it with `litequeue schedule {database.path} pause nightly`"),
        (["remove", "hourly", "nightly"], "or, if that app is gone, add --force"),
    ):  # fmt: skip
        done = cli("schedule", database.path, *verb)
        assert (done.code, done.out) == (1, "")
        assert done.sentence == (
            f"'nightly' is defined by the code of tasks:app: change it there, {instead}"
        )
    assert state(database) == before


def test_an_entry_of_an_app_that_is_gone_is_removed(cli: Cli, database: Database) -> None:
    done = cli("schedule", database.path, "remove", "--force", "nightly", "hourly")
    assert (done.code, done.out, done.err) == (0, "nightly removed\nhourly removed\n", "")
    assert state(database) == []


def test_entries_are_paused_and_resumed_whoever_made_them(cli: Cli, database: Database) -> None:
    done = cli("schedule", database.path, "pause", "nightly", "hourly")
    assert (done.code, done.out, done.err) == (0, "nightly paused\nhourly paused\n", "")
    assert all(record(database, name).paused for name in ("nightly", "hourly"))
    assert [line.split()[5] for line in cli("schedule", database.path).out.splitlines()[1:]] == [
        "paused", "paused",
    ]  # fmt: skip
    shown = cli("schedule", database.path, "show", "hourly").out
    assert "next runs, once it is resumed\n    2" in shown
    again = cli("schedule", database.path, "pause", "nightly")
    assert (again.code, again.out) == (0, "")
    assert again.sentence == "the entry 'nightly' is paused already"
    done = cli("schedule", database.path, "resume", "nightly")
    assert (done.code, done.out) == (0, "nightly resumed\n")
    assert done.sentence.startswith(f"nightly resumed, {NOBODY}")
    assert record(database, "nightly").paused is None
    found = json.loads(cli("schedule", database.path, "resume", "nightly", "hourly", "--json").out)
    assert (found["entries"], found["changed"]) == (["nightly", "hourly"], ["hourly"])
    again = cli("schedule", database.path, "resume", "nightly")
    assert (again.code, again.sentence) == (0, "the entry 'nightly' is not paused")


def test_an_entry_is_run_now(cli: Cli, database: Database) -> None:
    before = record(database, "nightly")
    done = cli("schedule", database.path, "run-now", "nightly")
    job = done.out.strip()
    assert done.code == 0
    assert done.sentence.startswith(f"job {job} is accepted, {NOBODY}{database.path} ")
    assert jobs(database) == [(job, "tasks.add", "default")]
    after = record(database, "nightly")
    assert (after.next_at, after.last_job, after.count) == (before.next_at, job, 1)
    found = document(cli, database.path, "run-now", "hourly")
    assert (found["task"], found["queue"], found["entry"]) == ("tasks.add", "default", "hourly")
    assert found["id"] in [id for id, _, _ in jobs(database)]


def test_entries_are_removed(cli: Cli, database: Database) -> None:
    added(cli, database, "tasks.add", "1", "--every", "1h")
    done = cli("schedule", database.path, "remove", "mine", "hourly", "mine")
    assert (done.code, done.out, done.err) == (0, "mine removed\nhourly removed\n", "")
    assert [each.entry.name for each in state(database)] == ["nightly"]


@pytest.mark.parametrize(
    "verb",
    [["show"], ["edit"], ["pause", "nightly"], ["resume"], ["run-now"], ["remove", "hourly"]],
    ids=lambda verb: verb[0],
)
def test_an_unknown_entry_is_exit_5_and_changes_nothing(
    cli: Cli, database: Database, verb: list[str]
) -> None:
    before = state(database)
    more = ["--every", "1h"] if verb == ["edit"] else []
    done = cli("schedule", database.path, *verb, "nigtly", *more)
    assert (done.code, done.out) == (5, "")
    assert done.sentence == (
        f"no entry 'nigtly' in {database.path} (did you mean 'nightly'?); "
        f"see `litequeue schedule {database.path}`"
    )
    assert state(database) == before
    assert jobs(database) == []


# Real processes


def run(site: Site, *arguments: str) -> str:
    """Run a verb that says nothing on standard error; return what it prints."""
    done = site.run("-m", "litequeue", "schedule", str(site.path), *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_what_is_added_from_the_shell_is_sent_by_a_worker_that_runs(site: Site) -> None:
    mark = add.name.replace("add", "mark")
    add.delay(0, 0)
    worker = site.worker()
    run(site, "add", "often", mark, '"often"', "--every", "200ms")
    site.journal.wait_for_start("often", 3)
    assert run(site, "pause", "often") == "often paused\n"
    sent = json.loads(run(site, "show", "often", "--json"))["entry"]["count"]
    assert sent >= 3
    run(site, "run-now", "often")
    wait_until(lambda: len(site.journal.ends("often")) == sent + 1)
    run(site, "edit", "often", '"once"', "--at", "2100-01-01")
    run(site, "resume", "often")
    shown = json.loads(run(site, "show", "often", "--json"))["entry"]
    assert (shown["count"], shown["last_state"]) == (sent + 1, "SUCCESS")
    assert shown["drift"] == 0
    assert all(tick["state"] == "SUCCESS" for tick in shown["ticks"])
    assert run(site, "remove", "often") == "often removed\n"
    assert worker.stop() == 0
    assert site.journal.starts("once") == []


def test_what_the_how_to_tells_to_type_works(site: Site, cli: Cli) -> None:
    page = read(DOCS / "how-to" / "schedule-jobs.md")
    site.write("tasks.py", page.files["tasks.py"])
    worker = site.worker(app="tasks:app")
    wait_until(lambda: "north" in cli("schedule", site.path).out)
    typed = [words[1:] for words in map(shlex.split, page.commands) if words[1] == "schedule"]
    assert {words[2] for words in typed if len(words) > 2} == {
        "add", "show", "edit", "pause", "resume", "run-now", "remove",
    }  # fmt: skip
    for words in typed:
        done = cli(*words)
        assert (done.code, done.err) == (0, ""), words
    names = {line.split()[0] for line in cli("schedule", site.path).out.splitlines()[1:]}
    assert names == {"tasks.clean_up", "north", "ping", "once", "daily", "lunch", "sync"}
    assert worker.stop() == 0


def test_the_verbs_load_nothing_heavy_for_their_help(site: Site) -> None:
    code = (
        "import sys\nfrom litequeue import cli\ntry:\n    cli.main(sys.argv[1:])\n"
        "except SystemExit:\n    print(sorted({'croniter', 'astral', 'sqlite3', 'peewee', 'psutil',"
        " 'asyncio', 'zoneinfo', 'rich'} & set(sys.modules)))"
    )
    done = site.run("-c", code, "schedule", str(site.path), "add", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_is_added_is_signed_where_that_is_wanted(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a key of sixteen bytes"
    monkeypatch.setenv("LITEQUEUE_SECURITY_KEY", key)
    monkeypatch.setenv("LITEQUEUE_TASK_SERIALIZER", "signed")
    monkeypatch.setenv("LITEQUEUE_RESULT_SERIALIZER", "signed")
    monkeypatch.setenv("LITEQUEUE_ACCEPT_CONTENT", "signed")
    made = added(cli, database, "tasks.add", "--every", "60", "--args", "[2]")
    app = LiteQueue(
        database.path,
        security_key=key,
        task_serializer="signed",
        result_serializer="signed",
        accept_content=["signed"],
    )
    context = bound_to(made.task, "", made.options)
    assert app.codec.loads_arguments(made.body, context=context) == ([2], {})
