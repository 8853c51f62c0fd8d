"""The commands on a file, in this process: what they print, and what they change."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from litequeue.cli import control, output
from litequeue.clock import SYSTEM
from litequeue.facts import AppFacts, TaskFacts
from litequeue.job import Failure, Outcome
from litequeue.store import Database, registry, results, revocations
from tests.store.steps import put, step
from tests.unit.cli.conftest import Cli, cli

__all__ = ["cli"]

NOW = 1_700_000_000.0
HOSTILE = "evil\x1b[31m[red]\n\u202etxt"


@pytest.fixture
def database(queue_path: Path) -> Iterator[Database]:
    """A file with a task, a failed job, a hostile one, and some that wait."""
    database = Database(queue_path, create=True)
    facts = [
        TaskFacts("tasks.add", "(x: int, y: int = 0) -> int", "Add [bold]numbers[/bold].", None),
        TaskFacts("tasks.mail", "(to, *, subject='\x1b')", HOSTILE, "mail"),
    ]
    with database.write(durable=False) as connection:
        app = AppFacts(name="tasks:app", root="/", tasks=facts)
        registry.record(connection, database.path, app, NOW)
    body = json.dumps([[1, HOSTILE], {"k": [HOSTILE]}], ensure_ascii=False)
    put(database, "fail-0001", task="tasks.add", body=body)
    (lease,) = step(database, limit=1, tasks=frozenset(["tasks.add"])).leases
    failure = Failure("ValueError", HOSTILE, f"Traceback:\n  {HOSTILE}\nValueError", "[]")
    outcome = Outcome(
        lease.seq, lease.token, lease.claim, "FAILURE", None, NOW + 1, 0.25, failure=failure
    )
    step(database, outcome, now=NOW + 2)
    put(database, "hostile-1", task=HOSTILE, queue="default", now=NOW + 5)
    put(database, "ready-0001", "ready-0002", task="tasks.add", now=NOW + 10)
    put(database, "later-0001", task="tasks.mail", queue="mail", eta=4e9, now=NOW + 20)
    yield database
    database.close()


def document(cli: Cli, *arguments: str | Path) -> dict[str, Any]:
    done = cli(*arguments, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    found: dict[str, Any] = json.loads(done.out)
    assert found.pop("v") == 1
    return found


def state_of(database: Database, id: str) -> str | None:
    record = results.fetch(database, id)
    return None if record is None else record.state


# Looking


def test_jobs_are_listed(cli: Cli, database: Database) -> None:
    done = cli("jobs", database.path)
    assert (done.code, done.err) == (0, "")
    head, *lines = done.out.splitlines()
    assert head.split()[:6] == ["ID", "TASK", "STATE", "QUEUE", "ACCEPTED", "WAITED"]
    assert [line.split()[0] for line in lines] == [
        "later-0001", "ready-0002", "ready-0001", "hostile-1", "fail-0001",
    ]  # fmt: skip
    assert "evil\\x1b[31m[red]\\n\\u202etxt" in lines[3]
    assert "2023-11-14T22:13:20.000Z" in lines[4]
    assert "250 ms" in lines[4]


def test_jobs_in_json(cli: Cli, database: Database) -> None:
    found = document(cli, "jobs", database.path, "--state", "FAILED")
    assert found == {
        "more": False,
        "jobs": [
            {
                "id": "fail-0001",
                "task": "tasks.add",
                "queue": "default",
                "priority": 0,
                "phase": "done",
                "state": "FAILURE",
                "created": "2023-11-14T22:13:20.000Z",
                "eta": None,
                "expires": None,
                "started": "2023-11-14T22:13:21.000Z",
                "finished": "2023-11-14T22:13:22.000Z",
                "waited": 1.0,
                "ran": 0.25,
                "retries": 0,
                "lost": 0,
                "worker": "w",
                "pid": None,
                "parent": None,
            }
        ],
    }
    limited = document(cli, "jobs", database.path, "--limit", "2")
    assert (len(limited["jobs"]), limited["more"]) == (2, True)
    assert document(cli, "jobs", database.path, "--since", "1h") == {"jobs": [], "more": False}


def test_filters_are_joined(cli: Cli, database: Database) -> None:
    def listed(*filters: str) -> set[str]:
        return {job["id"] for job in document(cli, "jobs", database.path, *filters)["jobs"]}

    assert listed("--state", "scheduled", "--state", "failure") == {"later-0001", "fail-0001"}
    assert listed("--state", "waiting", "--task", "tasks.*", "-Q", "default") == {
        "ready-0001", "ready-0002",
    }  # fmt: skip
    assert len(listed("-Q", "mail,default")) == 5


def test_show_tells_everything(cli: Cli, database: Database) -> None:
    done = cli("show", database.path, "fail-0")
    assert (done.code, done.err) == (0, "")
    assert all(line.isprintable() for line in done.out.splitlines())
    facts = dict(line.split(maxsplit=1) for line in done.out.partition("\n\n")[0].splitlines())
    assert facts["id"] == "fail-0001"
    assert facts["state"] == "FAILURE"
    assert facts["waited"] == "1.0 s"
    assert facts["args"].startswith('1, "evil\\u001b')
    assert facts["kwargs"].startswith('k=["evil')
    assert "attempt 1 ended as FAILURE" in done.out
    assert (
        "\n    Traceback:\n      evil\\x1b[31m[red]\n    \\u202etxt\n    ValueError\n" in done.out
    )


def test_show_in_json(cli: Cli, database: Database) -> None:
    job = document(cli, "show", database.path, "fail-0001")["job"]
    assert job["args"] == [1, HOSTILE]
    assert job["kwargs"] == {"k": [HOSTILE]}
    assert job["body"] is None
    assert job["errors"] == [
        {
            "attempt": 1,
            "at": "2023-11-14T22:13:22.000Z",
            "state": "FAILURE",
            "type": "ValueError",
            "message": HOSTILE,
            "traceback": f"Traceback:\n  {HOSTILE}\nValueError",
            "evidence": None,
        }
    ]
    assert (job["logs"], job["children"], job["children_count"]) == ([], [], 0)


def test_arguments_that_are_no_json_are_shown_as_they_are(cli: Cli, database: Database) -> None:
    put(database, "broken-1", body="[[\x1bNaN")
    put(database, "strange-1", body='{"a": 1}')
    assert "body      [[\\x1bNaN" in cli("show", database.path, "broken-1").out
    assert document(cli, "show", database.path, "broken-1")["job"]["body"] == "[[\x1bNaN"
    strange = document(cli, "show", database.path, "strange-1")["job"]
    assert (strange["args"], strange["body"]) == (None, '{"a": 1}')


def test_an_id_that_is_not_clear_is_exit_5(cli: Cli, database: Database) -> None:
    unknown = cli("show", database.path, "nobody")
    assert (unknown.code, unknown.out) == (5, "")
    assert unknown.sentence == (
        f"no job 'nobody' in {database.path}: never enqueued here, pruned, or forgotten; "
        f"see `litequeue jobs {database.path}`"
    )
    several = cli("show", database.path, "ready-")
    assert several.code == 5
    assert several.sentence == (
        "'ready-' may be ready-0001 (tasks.add, PENDING), ready-0002 (tasks.add, PENDING); "
        "say more of the id"
    )


def test_queues_are_listed(cli: Cli, database: Database) -> None:
    first, second = document(cli, "queues", database.path)["queues"]
    assert first.pop("oldest_wait") > 0
    assert first == {
        "name": "default", "waiting": 3, "scheduled": 0, "blocked": 0, "parked": 0, "running": 0,
        "paused": None,
    }  # fmt: skip
    assert second == {
        "name": "mail", "waiting": 0, "scheduled": 1, "blocked": 0, "parked": 0, "running": 0,
        "oldest_wait": None, "paused": None,
    }  # fmt: skip
    lines = cli("queues", database.path).out.splitlines()
    assert lines[2].split() == ["mail", "0", "1", "0", "0", "0"]


def test_tasks_are_listed(cli: Cli, database: Database) -> None:
    add, mail = document(cli, "tasks", database.path)["tasks"]
    assert add == {
        "name": "tasks.add",
        "signature": "(x: int, y: int = 0) -> int",
        "summary": "Add [bold]numbers[/bold].",
        "queue": None,
        "app": "tasks:app",
        "seen": "2023-11-14T22:13:20.000Z",
        "last_day": {},
    }
    assert mail["summary"] == HOSTILE
    printed = cli("tasks", database.path).out
    assert "tasks.add(x: int, y: int = 0) -> int" in printed
    assert "Add [bold]numbers[/bold]." in printed
    assert len(printed.splitlines()) == 3


def test_a_dead_worker_is_known_as_dead(cli: Cli, database: Database) -> None:
    (worker,) = document(cli, "workers", database.path)["workers"]
    assert worker["name"] == "w"
    assert worker["life"] in ("dead", "unseen")
    assert worker["running"] == 0


@pytest.mark.parametrize("name", ["jobs", "queues", "tasks", "workers"])
def test_on_a_terminal_it_is_a_table(
    cli: Cli, database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda stream=None: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    coloured = cli(name, database.path).out
    assert "\x1b[" in coloured
    assert "\x1b[31m[red]" not in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = cli(name, database.path).out
    assert all(line.isprintable() for line in plain.splitlines())
    assert all(len(line) <= 100 for line in plain.splitlines())


# Sending


def send(cli: Cli, database: Database, *words: str) -> Any:
    done = cli("enqueue", database.path, *words)
    assert done.code == 0, done.err
    assert "no worker is alive; start one with `litequeue worker " in done.err
    with database.read() as connection:
        row = connection.execute(
            "SELECT job.task, payload.body, job.queue, job.priority, job.phase, job.eta,"
            " job.expires FROM litequeue_job AS job JOIN litequeue_payload AS payload USING (seq)"
            " WHERE id = ?",
            (done.out.strip(),),
        ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["1", "2"], [[1, 2], {}]),
        (["-5", "y=-1.5e3"], [[-5], {"y": -1500.0}]),
        (["[1, {}]"], [[[1, {}]], {}]),
        (['"a=b"', "y=a=b"], [["a=b"], {"y": "a=b"}]),
        (["x=true", "y=text"], [[], {"x": True, "y": "text"}]),
        (["x=", 'y="5"'], [[], {"x": "", "y": "5"}]),
        (["--args", "[1]", "--kwargs", '{"y": 2}'], [[1], {"y": 2}]),
        (["--args", "[1]", "2"], [[1, 2], {}]),
        (["x=NaN"], [[], {"x": "NaN"}]),
        (["null"], [[None], {}]),
    ],
)
def test_arguments(cli: Cli, database: Database, words: list[str], body: Any) -> None:
    assert json.loads(send(cli, database, "tasks.add", *words)[1]) == body


def test_options_of_a_job(cli: Cli, database: Database) -> None:
    row = send(cli, database, "tasks.mail", '"ann"')
    assert (row[0], row[2], row[3], row[4]) == ("tasks.mail", "mail", 0, "ready")
    row = send(cli, database, "tasks.mail", '"ann"', "-Q", "fast", "--priority", "9")
    assert (row[2], row[3]) == ("fast", 9)
    row = send(cli, database, "tasks.add", "1", "--delay", "10m", "--expires", "1.5h")
    assert row[4] == "scheduled"
    assert row[6] - row[5] == pytest.approx(4800, abs=5)
    row = send(cli, database, "tasks.add", "1", "--eta", "2100-01-01T00:00Z")
    assert row[5] == 4_102_444_800.0


def test_an_id_is_stored_once(cli: Cli, database: Database) -> None:
    for _ in range(2):
        assert cli("enqueue", database.path, "tasks.add", "1", "--id", "mine").out == "mine\n"
    other = cli("enqueue", database.path, "tasks.add", "2", "--id", "mine")
    assert other.code == 1
    assert "another payload" in other.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hello"], "the argument 'hello' is no JSON; write text as '\"hello\"'; "
         "see `litequeue enqueue --help`"),
        (["1", "--colour"], "no such option: --colour; see `litequeue enqueue --help`"),
        (["NaN"], "the argument 'NaN' is no JSON; write text as '\"NaN\"'; "
         "see `litequeue enqueue --help`"),
        (["--args", "{}"], "--args is a JSON list, as '[1, 2]', not '{}'; "
         "see `litequeue enqueue --help`"),
        (["--kwargs", "[]"], "--kwargs is a JSON object, as '{\"x\": 1}', not '[]'; "
         "see `litequeue enqueue --help`"),
        (["x=1", "x=2"], "the argument 'x' is given twice; see `litequeue enqueue --help`"),
        (["1", "--eta", "2100-01-01", "--delay", "1"], "say --countdown or --eta, not both; "
         "see `litequeue enqueue --help`"),
        ([], "tasks.add(x: int, y: int = 0) -> int: missing a required argument: 'x'; "
         "check them, or add --force; see `litequeue enqueue --help`"),
        (["1", "z=2"], "tasks.add(x: int, y: int = 0) -> int: got an unexpected keyword argument "
         "'z'; check them, or add --force; see `litequeue enqueue --help`"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_is_exit_2(
    cli: Cli, database: Database, words: list[str], sentence: str
) -> None:
    done = cli("enqueue", database.path, "tasks.add", *words)
    assert (done.code, done.out, done.sentence) == (2, "", sentence)


def test_an_unknown_task_is_exit_5(cli: Cli, database: Database) -> None:
    done = cli("enqueue", database.path, "tasks.ad", "1")
    assert done.code == 5
    assert done.sentence == (
        "no task 'tasks.ad' (did you mean 'tasks.add'?); "
        f"see `litequeue tasks {database.path}`, or add --force"
    )
    assert send(cli, database, "tasks.ad", "--force")[0] == "tasks.ad"


def test_a_file_without_tasks_says_how_to_get_some(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    cli("migrate", path)
    done = cli("enqueue", path, "tasks.add", "1")
    assert done.code == 5
    assert f"start a worker with `litequeue worker {path} -A MODULE:APP`" in done.sentence


def test_waiting_without_a_worker_is_exit_69(cli: Cli, database: Database) -> None:
    done = cli("enqueue", database.path, "tasks.add", "1", "--id", "mine", "--wait")
    assert (done.code, done.out) == (69, "")
    assert done.sentence.startswith("job mine is accepted, but no worker is alive; start one with")
    assert state_of(database, "mine") == "PENDING"


def test_the_settings_of_the_environment_hold(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITEQUEUE_TASK_MAX_ARGUMENTS_SIZE", "10")
    done = cli("enqueue", database.path, "tasks.add", '"a long argument"')
    assert done.code == 1
    assert "task_max_arguments_size" in done.sentence


# Changing


def test_a_job_is_run_again_by_its_id(cli: Cli, database: Database) -> None:
    done = cli("retry", database.path, "fail-0")
    assert (done.code, done.out) == (0, "fail-0001 will run again\n")
    assert state_of(database, "fail-0001") == "PENDING"
    again = cli("retry", database.path, "fail-0001")
    assert (again.code, again.out) == (1, "")
    assert again.sentence == "job fail-0001 has not ended yet, it is ready; nothing was changed"


def test_jobs_are_revoked_by_their_ids(cli: Cli, database: Database) -> None:
    found = document(cli, "revoke", database.path, "ready-0001", "later-0001")
    assert found == {
        "matched": 2, "changed": 2, "dry_run": False, "ids": ["ready-0001", "later-0001"],
        "running": [], "followed": [],
    }  # fmt: skip
    assert state_of(database, "ready-0001") == "REVOKED"
    done = cli("revoke", database.path, "ready-0001", "ready-0002")
    assert (done.code, done.out) == (1, "ready-0002 revoked\n")
    assert done.sentence == "job ready-0001 has already ended as REVOKED"


def test_nothing_is_changed_when_one_id_is_not_clear(cli: Cli, database: Database) -> None:
    assert cli("revoke", database.path, "ready-0001", "nobody").code == 5
    assert state_of(database, "ready-0001") == "PENDING"


def standing(database: Database) -> list[tuple[str | None, str, bool, str | None]]:
    """Return what stands: header, value, whether to terminate, the signal."""
    found = revocations.load(database, 0, SYSTEM.now())
    return [(each.header, each.value, each.terminate, each.signal) for each in found]


def test_a_running_job_is_not_run_again(cli: Cli, database: Database) -> None:
    lease = step(database, limit=9, tasks=frozenset(["tasks.add"])).leases[0]
    done = cli("revoke", database.path, lease.id)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{lease.id} is running; it will not run again (--terminate ends it)\n"
    assert standing(database) == [(None, lease.id, False, None)]
    done = cli("revoke", database.path, lease.id, "--terminate", "--dry-run")
    assert done.out == f"would revoke {lease.id} (tasks.add, RECEIVED)\n"
    done = cli("revoke", database.path, lease.id, "--terminate")
    assert done.out == f"{lease.id} is running; SIGTERM ends it\n"
    assert standing(database) == [(None, lease.id, True, "SIGTERM")]
    found = document(cli, "revoke", database.path, lease.id, "--terminate", "--signal", "int")
    assert (found["changed"], found["running"]) == (0, [lease.id])
    assert standing(database) == [(None, lease.id, True, "SIGINT")]


@pytest.mark.parametrize(
    ("filters", "running"),
    [
        (["--all"], {"ready-0001", "ready-0002"}),
        (["--task", "tasks.*"], {"ready-0001", "ready-0002"}),
        (["--state", "running"], {"ready-0001", "ready-0002"}),
        (["--state", "received"], {"ready-0001", "ready-0002"}),
        (["--state", "waiting"], set()),
        (["-Q", "mail"], set()),
    ],
)
def test_running_jobs_are_ended_by_filter(
    cli: Cli, database: Database, filters: list[str], running: set[str]
) -> None:
    step(database, limit=9, tasks=frozenset(["tasks.add"]))
    dry = cli("revoke", database.path, *filters, "--terminate", "--dry-run")
    assert (f"{len(running)} running" in dry.out) is bool(running)
    assert standing(database) == []
    done = cli("revoke", database.path, *filters, "--terminate", "--yes")
    assert done.code == 0
    assert {value for _, value, terminate, _ in standing(database) if terminate} == running


def test_what_starts_while_people_are_asked_is_ended_too(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confirm(question: str, *, err: bool) -> bool:
        put(database, "came-later", task="tasks.add")
        assert len(step(database, limit=9, tasks=frozenset(["tasks.add"])).leases) == 3
        return True

    monkeypatch.setattr(click, "confirm", confirm)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("litequeue.cli.changes.is_terminal", lambda stream: True)
    done = cli("revoke", database.path, "--task", "tasks.add", "--terminate")
    assert done.out.endswith("2 jobs revoked\n")
    assert {value for _, value, terminate, _ in standing(database) if terminate} == {
        "ready-0001",
        "ready-0002",
    }


def test_jobs_are_revoked_by_their_stamps(cli: Cli, database: Database) -> None:
    put(database, "a", "b", options='{"stamps": {"order": ["7"]}}', task="tasks.mail", eta=4e9)
    put(database, "c", options='{"stamps": {"order": "7"}}', task="tasks.late", now=NOW + 30)
    step(database, limit=9, tasks=frozenset(["tasks.late"]))
    asked = cli("revoke", database.path, "--stamp", "order=7")
    assert asked.code == 2
    assert asked.sentence == (
        "this would revoke all jobs with the stamp order=7, now and later: add --yes to do it "
        "(nobody is here to be asked); see `litequeue revoke --help`"
    )
    done = cli("revoke", database.path, "--stamp", "order=7", "--stamp", "order=8", "--yes")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "2 jobs revoked",
        "c is running; it will not run again (--terminate ends it)",
    ]
    assert {(header, value) for header, value, _, _ in standing(database)} == {
        ("order", "7"),
        ("order", "8"),
    }
    found = document(cli, "revoke", database.path, "--stamp", "order=7", "--terminate", "--yes")
    assert found == {"changed": 0, "ids": [], "running": ["c"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stamp", "order", "--yes"], "'order' is no stamp; write KEY=VALUE"),
        (["--stamp", "a=b", "--all"], "--stamp goes with no id, filter or --dry-run"),
        (["--stamp", "a=b", "--dry-run"], "--stamp goes with no id, filter or --dry-run"),
        (["--stamp", "a=b", "--task", "t"], "--stamp goes with no id, filter or --dry-run"),
        (["--stamp", "a=b", "an-id"], "--stamp goes with no id, filter or --dry-run"),
        (["an-id", "--signal", "KILL"], "add --terminate"),
        (["an-id", "--terminate", "--signal", "NAL"], "'NAL' is no signal"),
    ],
)
def test_a_revocation_that_makes_no_sense(
    cli: Cli, database: Database, arguments: list[str], words: str
) -> None:
    done = cli("revoke", database.path, *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.sentence
    assert standing(database) == []


def test_queues_are_paused_and_resumed(cli: Cli, database: Database) -> None:
    done = cli("pause", database.path, "mail,default")
    assert (done.code, done.out, done.err) == (0, "mail paused\ndefault paused\n", "")
    assert step(database, limit=9, tasks=frozenset(["tasks.add"])).leases == []
    again = cli("pause", database.path, "mail", "new")
    assert (again.code, again.out) == (0, "new paused\n")
    assert again.err.splitlines() == [
        "litequeue: no job was ever sent to the queue 'new'; it is paused all the same",
        "litequeue: the queue 'mail' is paused already",
    ]
    found = document(cli, "queues", database.path)["queues"]
    assert all(queue["paused"].endswith("Z") for queue in found)
    assert [queue["name"] for queue in found] == ["default", "mail", "new"]
    assert document(cli, "resume", database.path, "default", "new") == {
        "queues": ["default", "new"],
        "changed": ["default", "new"],
    }
    assert len(step(database, limit=9, tasks=frozenset(["tasks.add"])).leases) == 2
    done = cli("resume", database.path, "default")
    assert (done.code, done.sentence) == (0, "the queue 'default' is not paused")
    done = cli("resume", database.path, "mail", "mial")
    assert done.code == 5
    assert document(cli, "queues", database.path)["queues"][1]["paused"]


class TestControl:
    @pytest.mark.parametrize("command", ["inspect", "control"])
    def test_without_a_worker_it_is_exit_69(
        self, cli: Cli, database: Database, command: str
    ) -> None:
        method = {"inspect": "ping", "control": "shutdown"}[command]
        done = cli(command, database.path, method, "-t", "60")
        assert (done.code, done.out) == (69, "")
        assert done.err.splitlines() == [
            "litequeue: worker w is unseen and did not answer",
            "litequeue: no worker answered; no worker is alive; start one with "
            f"`litequeue worker {database.path} -A MODULE:APP`",
        ]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("inspect J pnig", "no method 'pnig' (did you mean 'ping'?)"),
            ("inspect J shutdown", "say `litequeue control J shutdown`"),
            ("control J ping", "say `litequeue inspect J ping`"),
            ("control J time_limit t", "`litequeue control J time_limit TASK_NAME SOFT [HARD]`"),
            ("control J time_limit t fast", "`litequeue control J time_limit TASK_NAME SOFT"),
            ("control J pool_grow 1 2", "`litequeue control J pool_grow [N]`"),
            ("control J terminate KILL", "`litequeue control J terminate SIGNAL TASK_ID...`"),
            ("control J revoke_by_stamped_headers a", "is typed as"),
            ("control J pool_restart maybe", "`litequeue control J pool_restart [RELOAD]`"),
            ("inspect J query_task", "`litequeue inspect J query_task ID...`"),
            ("control J terminate NAL 019a0000-0000-7000-8000-000000000000", "'NAL' is no signal"),
        ],
    )
    def test_mistakes_are_exit_2(
        self, cli: Cli, database: Database, arguments: str, words: str
    ) -> None:
        typed = [database.path if word == "J" else word for word in arguments.split()]
        done = cli(*typed)
        assert (done.code, done.out) == (2, "")
        assert words.replace(" J ", f" {database.path} ") in done.sentence

    def test_revoking_needs_no_worker(self, cli: Cli, database: Database) -> None:
        done = cli("control", database.path, "terminate", "KILL", "later-0001")
        assert done.code == 0
        assert "it stands in the file" in done.err
        assert state_of(database, "later-0001") == "REVOKED"
        stamp = cli("control", database.path, "revoke_by_stamped_headers", "a=1", "a=2")
        assert stamp.code == 0
        assert {(header, value) for header, value, _, _ in standing(database)} == {
            ("a", "1"),
            ("a", "2"),
        }

    def test_an_absent_file_stays_absent(self, cli: Cli, tmp_path: Path) -> None:
        for command in ("inspect no.sqlite ping", "control no.sqlite shutdown",
                        "pause no.sqlite mail", "resume no.sqlite mail"):  # fmt: skip
            assert cli(*command.split()).code == 3
        assert not (tmp_path / "no.sqlite").exists()

    def test_the_help_lists_the_methods(self, cli: Cli) -> None:
        text = cli("inspect", "--help").out
        for name, method in control.INSPECT.items():
            assert f"  {name} {method.usage}".rstrip() in text
        text = cli("control", "--help").out
        for name, method in control.CONTROL.items():
            assert f"  {name} {method.usage}".rstrip() in text


@pytest.mark.parametrize("command", ["retry --all", "revoke --task *", "purge"])
def test_many_are_not_changed_unasked(cli: Cli, database: Database, command: str) -> None:
    name, *rest = command.split()
    before = document(cli, "jobs", database.path)
    done = cli(name, database.path, *rest)
    assert (done.code, done.out) == (2, "")
    assert "add --yes to do it, or --dry-run to look" in done.sentence
    dry = cli(name, database.path, *rest, "--dry-run")
    assert dry.code == 0
    assert dry.out.startswith("would ")
    after = document(cli, "jobs", database.path)
    assert [job["state"] for job in after["jobs"]] == [job["state"] for job in before["jobs"]]


def test_many_jobs_are_changed(cli: Cli, database: Database) -> None:
    done = cli("revoke", database.path, "--task", "tasks.*", "--yes")
    assert (done.code, done.out) == (0, "3 jobs revoked\n")
    failed = cli("retry", database.path, "--all", "--yes")  # only what failed
    assert failed.out == "1 job will run again\n"
    found = document(cli, "retry", database.path, "--state", "revoked", "--yes")
    assert found == {"matched": 3, "changed": 3, "dry_run": False, "counts": {"REVOKED": 3}}
    assert document(cli, "purge", database.path, "-Q", "mail", "--yes")["changed"] == 1
    assert document(cli, "purge", database.path, "--yes")["matched"] == 4
    assert document(cli, "jobs", database.path)["jobs"] == []
    assert cli("purge", database.path).out == "no job matches\n"


def test_an_unknown_queue_is_exit_5(cli: Cli, database: Database) -> None:
    for command in (["jobs"], ["purge", "--yes"], ["retry"]):
        done = cli(command[0], database.path, *command[1:], "-Q", "mial")
        assert done.code == 5
        assert done.sentence == (
            f"no queue 'mial' in {database.path} (did you mean 'mail'?); "
            f"see `litequeue queues {database.path}`"
        )


@pytest.mark.parametrize(("answer", "code", "state"), [("y", 0, "REVOKED"), ("n", 1, "PENDING")])
def test_people_are_asked_with_the_count(
    cli: Cli,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
    state: str,
) -> None:
    asked: list[tuple[str, object]] = []

    def confirm(question: str, *, err: bool) -> bool:
        put(database, "came-meanwhile", task="tasks.add")
        asked.append((question, err))
        return answer == "y"

    monkeypatch.setattr(click, "confirm", confirm)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("litequeue.cli.changes.is_terminal", lambda stream: True)
    done = cli("revoke", database.path, "--state", "waiting", "--task", "tasks.*")
    assert asked == [("Revoke 3 jobs (2 ready, 1 scheduled)?", True)]
    assert done.code == code
    assert state_of(database, "ready-0001") == state
    assert state_of(database, "came-meanwhile") == "PENDING"


def test_migrate_in_json(cli: Cli, tmp_path: Path) -> None:
    found = document(cli, "migrate", tmp_path / "new.sqlite")
    assert found["path"] == str(tmp_path / "new.sqlite")
    assert isinstance(found["schema"], int)
