"""`litequeue beat`, and the worker's options about it, as processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import schedules
from litequeue.beat import service
from litequeue.cli import beat as command
from litequeue.cli import worker as worker_command
from litequeue.clock import SYSTEM
from litequeue.entry import Entry
from litequeue.store import Database, entries
from litequeue.store.entries import EntryRecord
from tests.conftest import wait_until
from tests.integration.processes import Site
from tests.integration.tasks import add, mark
from tests.unit.cli.conftest import Cli, cli

__all__ = ["cli"]

MINE = """
from litequeue import LiteQueue

app = LiteQueue("jobs.sqlite")


@app.task
def double(x):
    return 2 * x


app.add_periodic_task(0.1, double, (21,), name="often")
"""


@pytest.fixture
def database(site: Site) -> Iterator[Database]:
    """The file, with an entry that is due again and again."""
    database = Database(site.path, create=True)
    put(database, "often", '"often"', every=0.1)
    yield database
    database.close()


def put(database: Database, name: str, argument: str, *, every: float) -> None:
    entry = Entry(
        name=name,
        schedule=schedules.dump(schedules.interval(every)),
        task=mark.name,
        body=f"[[{argument}],{{}}]",
        queue="default",
        options=json.dumps({"entry": name}),
    )
    entries.add(database, entry, SYSTEM.now())


def start(site: Site, *options: str, **env: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a beat; return it and its log."""
    log = site.folder / f"beat-{len(list(site.folder.glob('beat-*')))}.log"
    line = [sys.executable, "-m", "litequeue", "beat", str(site.path), *options]
    return site.start(line, log=log, **env), log


def sent(database: Database, least: int, name: str = "often") -> EntryRecord:
    """Wait until an entry was sent so often."""

    def has_been_sent() -> EntryRecord | None:
        found = {record.entry.name: record for record in entries.listed(database)}
        record = found.get(name)
        return record if record is not None and record.count >= least else None

    record = wait_until(has_been_sent)
    assert record is not None
    return record


def jobs(database: Database) -> int:
    with database.read() as connection:
        (count,) = connection.execute("SELECT count(*) FROM litequeue_job").fetchone()
    return int(count)


# Alone


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_beat_sends_what_the_file_holds_until_it_is_stopped(
    site: Site, database: Database, number: int, code: int
) -> None:
    process, log = start(site)
    record = sent(database, 3)
    assert record.last_state == "PENDING"
    process.send_signal(number)
    assert process.wait(10) == code
    said = log.read_text()
    assert said.splitlines()[0] == (
        f"litequeue: beat sends what {site.path} holds, and takes no entries from code "
        f"(no app is recorded in {site.path} yet); -A MODULE:APP would say which"
    )
    assert "beat stops" in said
    assert jobs(database) == entries.get(database, "often").count
    site.wait_until_empty()


def test_with_an_app_it_sends_what_its_code_defines_and_makes_the_file(site: Site) -> None:
    site.write("mine.py", MINE)
    process, log = start(site, "-A", "mine:app")
    wait_until(lambda: "sent often for" in log.read_text())
    database = Database(site.path, create=False)
    record = sent(database, 2)
    database.close()
    assert (record.owner, record.entry.task) == ("mine:app", "mine.double")
    process.terminate()
    assert process.wait(10) == 0
    assert "takes no entries" not in log.read_text()


def test_what_is_added_while_it_runs_is_sent(site: Site, database: Database) -> None:
    process, _ = start(site)
    sent(database, 1)
    put(database, "late", '"late"', every=0.2)
    sent(database, 2, "late")
    process.terminate()
    assert process.wait(10) == 0


def test_the_app_that_the_file_names_is_used(site: Site) -> None:
    site.write("mine.py", MINE)
    done = site.run("-c", "import mine; mine.double.delay(1)")
    assert done.returncode == 0, done.stderr
    process, log = start(site)
    wait_until(lambda: "sent often for" in log.read_text())
    assert log.read_text().startswith(f"using app mine:app recorded in {site.path} on ")
    process.terminate()
    assert process.wait(10) == 0
    untrusting, log = start(site, LITEQUEUE_TRUST_RECORDED_APP="0")
    wait_until(lambda: "beat serves" in log.read_text())
    assert "takes no entries from code (LITEQUEUE_TRUST_RECORDED_APP is off);" in log.read_text()
    untrusting.terminate()
    assert untrusting.wait(10) == 0


def test_two_beats_send_nothing_twice_and_one_goes_on_alone(site: Site, database: Database) -> None:
    first, _ = start(site)
    second, _ = start(site)
    sent(database, 5)
    first.kill()
    first.wait()
    sent(database, entries.get(database, "often").count + 3)
    second.terminate()
    assert second.wait(10) == 0
    ticks = entries.history(database, "often", 100)
    assert len({tick.key for tick in ticks}) == len(ticks) == jobs(database)


def test_an_absent_file_is_exit_3_and_is_not_made(site: Site) -> None:
    done = site.run("-m", "litequeue", "beat", str(site.path))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"litequeue: there is no queue file {site.path}")
    assert not site.path.exists()


def test_a_wrong_app_is_exit_4(site: Site) -> None:
    done = site.run("-m", "litequeue", "beat", str(site.path), "-A", "missing:app")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("litequeue: cannot import 'missing:app'")
    assert not site.path.exists()


@pytest.mark.parametrize(
    ("words", "setting", "longest"),
    [([], None, 0.0), ([], "5", 5.0), (["--max-interval", "0.5"], "5", 0.5)],
)
def test_how_long_it_sleeps_at_most(
    cli: Cli,
    queue_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    setting: str | None,
    longest: float,
) -> None:
    asked: list[dict[str, Any]] = []

    def serve(path: str, **how: Any) -> int:
        asked.append({"path": path, **how})
        return 0

    monkeypatch.setattr(service, "serve", serve)
    Database(queue_path, create=True).checkpoint()
    if setting is not None:
        monkeypatch.setenv("LITEQUEUE_BEAT_MAX_LOOP_INTERVAL", setting)
    assert cli("beat", queue_path, *words).code == 0
    assert (asked[0]["path"], asked[0]["app"]) == (str(queue_path), None)
    assert asked[0]["max_interval"] == longest


# Celery's options


@pytest.mark.parametrize("option", command.UNBUILT)
@pytest.mark.parametrize("value", [[], ["value"]])
def test_an_option_of_celerys_is_not_ignored(cli: Cli, option: str, value: list[str]) -> None:
    words = [] if option in ("--detach", "--enable-remote-control") else value
    done = cli("beat", "jobs.sqlite", option, *words)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(command.UNBUILT[option])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("beat j.sqlite -s celerybeat-schedule", command.UNBUILT["--schedule"]),
        ("beat j.sqlite -S mine:Scheduler", command.UNBUILT["--scheduler"]),
        ("beat j.sqlite --pidfile=x", command.UNBUILT["--pidfile"]),
        ("beat j.sqlite -n beat@here", command.UNBUILT["--hostname"]),
        ("beat j.sqlite -f beat.log", command.UNBUILT["--logfile"]),
        ("worker j.sqlite -A t:app -s file", worker_command.UNBUILT["--schedule"]),
        ("worker j.sqlite -A t:app --schedule-filename file",
         worker_command.UNBUILT["--schedule"]),
        ("worker j.sqlite -A t:app --scheduler x:Y", worker_command.UNBUILT["--scheduler"]),
        ("worker j.sqlite -A t:app -S file", worker_command.UNBUILT["--statedb"]),
        ("worker j.sqlite -A t:app -B --no-beat", "say --beat, which is the default, or --no-beat"),
        ("beat j.sqlite --max-interval 300", "invalid value for '--max-interval': 300.0 is not in "
         "the range 0.01<=x<=30.0"),
    ],
)  # fmt: skip
def test_each_has_its_sentence(cli: Cli, line: str, sentence: str) -> None:
    done = cli(*line.split())
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(sentence)


# In a worker


@pytest.mark.parametrize("options", [[], ["-B"]])
def test_a_worker_sends_what_is_due(site: Site, database: Database, options: list[str]) -> None:
    worker = site.worker(*options)
    site.journal.wait_for_start("often", 3)
    assert worker.stop() == 0


def test_a_worker_without_beat_leaves_it_to_others(site: Site, database: Database) -> None:
    worker = site.worker("--no-beat")
    assert add.delay(20, 22).get(timeout=10) == 42
    entries.run_now(database, "often", "by-hand", SYSTEM.now())
    assert add.delay(20, 22).get(timeout=10) == 42  # a bell, and time for a tick
    site.journal.wait_for_start("often")
    assert entries.get(database, "often").count == 1
    process, _ = start(site)
    site.journal.wait_for_start("often", 4)
    process.terminate()
    assert process.wait(10) == 0
    assert worker.stop() == 0
