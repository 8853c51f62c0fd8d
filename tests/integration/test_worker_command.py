"""`litequeue worker` as a command: how children are made, and what it says to mistakes."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.apps.record import Record
from tests.integration.processes import APP, Site, has_open, session_of
from tests.integration.tasks import add, hold
from tests.integration.tasks import app as here

MODULES = {
    "broken.py": "def f(:\n",
    "raising.py": "raise ValueError('no configuration here')\n",
    "bound.py": "from litequeue import LiteQueue\napp = LiteQueue('elsewhere.sqlite')\n",
    "eager.py": (
        "from litequeue import LiteQueue\napp = LiteQueue('jobs.sqlite')\n\n"
        "@app.task\ndef f() -> None: ...\n\nf.delay()\n"
    ),
    "impatient.py": (
        "from litequeue import LiteQueue\napp = LiteQueue('jobs.sqlite')\n\n"
        "app.AsyncResult('some-id').get()\n"
    ),
}


# Every sentence is in tests/unit/cli/test_apps.py; here is that a worker ends with it.
@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("missing:app", ["missing", "-A"]),
        ("tests.integration.tasks:add", ["not a LiteQueue app"]),
        ("broken:app", ["SyntaxError", "broken.py"]),
        ("bound:app", ["elsewhere.sqlite", "--rebind"]),
        ("eager:app", ["delay()", "eager.py:7", "__main__"]),
        ("impatient:app", ["get()", "impatient.py:4", "__main__"]),
    ],
)
def test_a_wrong_app_is_told_in_one_sentence(site: Site, app: str, words: list[str]) -> None:
    for name, text in MODULES.items():
        site.write(name, text)
    said = refuse(site, str(site.path), "-A", app, code=4)
    assert [word for word in words if word not in said] == []
    site.wait_until_empty()
    assert [*site.folder.glob("jobs.sqlite*")] == []  # nor has it made a file


def test_a_file_that_was_there_stays(site: Site) -> None:
    add.delay(1, 2)
    before = {each.name for each in site.folder.glob("jobs.sqlite*")}
    refuse(site, str(site.path), "-A", "missing:app", code=4)
    assert {each.name for each in site.folder.glob("jobs.sqlite*")} >= before
    assert add.delay(1, 2).state == "PENDING"


def test_no_file_is_made_while_the_app_is_imported(site: Site, facts: Record) -> None:
    slow = "from tests.integration.apps.record import record; record('importing')\n"
    site.write("slow.py", slow + "import time; time.sleep(300)")
    worker = site.worker(app="slow:app", ready=False)
    facts.wait_for("importing")
    assert not site.path.exists()
    worker.send(signal.SIGKILL)
    site.wait_until_empty()
    assert not site.path.exists()


def test_a_file_that_others_make_meanwhile_is_opened(site: Site, facts: Record) -> None:
    slow = "from tests.integration.apps.record import record; record('importing')\n"
    site.write("slow.py", slow + "import time; time.sleep(300)")
    worker = site.worker(app="slow:app", ready=False)
    facts.wait_for("importing")
    add.delay(1, 2)

    def is_known() -> bool:
        with closing(sqlite3.connect(site.path)) as connection:
            return bool(connection.execute("SELECT pid FROM litequeue_worker").fetchall())

    wait_until(is_known)
    worker.send(signal.SIGKILL)


def refuse(site: Site, *arguments: str, code: int, **env: str) -> str:
    """Run a worker that refuses to start; return its one sentence."""
    done = site.run("-m", "litequeue", "worker", *arguments, **env)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    log = done.stderr.splitlines()
    sentences = [line for line in log if line.startswith("litequeue: ") or " ERROR " in line]
    assert len(sentences) == 1, done.stderr
    return sentences[0]


def test_the_traceback_of_a_broken_app_is_there_for_who_asks(site: Site) -> None:
    site.write("raising.py", MODULES["raising.py"])
    done = site.run("-m", "litequeue", "-v", "worker", str(site.path), "-A", "raising:app")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "no configuration here" in done.stderr


def test_rebind_uses_the_file_it_is_told(site: Site) -> None:
    site.write("bound.py", MODULES["bound.py"])
    worker = site.worker("--rebind", app="bound:app")
    assert worker.stop() == 0
    assert site.path.exists()
    assert not (site.folder / "elsewhere.sqlite").exists()


def test_a_file_that_cannot_be_a_queue_is_exit_3(site: Site) -> None:
    text = site.write("notes.txt", "these are my notes, and no database\n" * 50)
    said = refuse(site, str(text), "-A", APP, code=3)
    assert str(text) in said
    assert text.read_text().startswith("these are my notes")


def test_the_database_of_something_else_is_exit_3_and_left_alone(site: Site) -> None:
    other = site.folder / "shop.sqlite"
    with closing(sqlite3.connect(other)) as file:
        file.execute("CREATE TABLE customer (name TEXT)")
        file.commit()
    before = other.read_bytes()
    said = refuse(site, str(other), "-A", APP, code=3)
    assert "customer" in said
    assert other.read_bytes() == before


def test_an_absent_directory_is_exit_3(site: Site) -> None:
    said = refuse(site, str(site.folder / "no" / "such" / "jobs.sqlite"), "-A", APP, code=3)
    assert "no/such" in said


@pytest.mark.parametrize(
    "arguments",
    [["--colour"], ["-c", "0"], ["-c", "many"], ["-l", "LOUD"], ["--start-method", "magic"]],
)
def test_an_unknown_option_is_exit_2(site: Site, arguments: list[str]) -> None:
    done = site.run("-m", "litequeue", "worker", str(site.path), "-A", APP, *arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_the_unrelated_distribution_of_our_name_is_recognised(site: Site) -> None:
    """Both put a folder `litequeue` into the environment, and one overwrites the other."""
    info = site.folder / "litequeue-0.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: litequeue\nVersion: 0.9\n")
    said = refuse(site, str(site.path), "-A", APP, code=4)
    assert "litequeue 0.9" in said
    assert "litequeue-jobs" in said


def test_a_wrong_setting_in_the_environment_is_named(site: Site) -> None:
    said = refuse(site, str(site.path), "-A", APP, code=4, LITEQUEUE_WORKER_GRACE="soon")
    assert "worker_grace" in said


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_are_made_by_either_method(site: Site, method: str) -> None:
    worker = site.worker("--start-method", method)
    assert add.delay(20, 22).get(timeout=10) == 42
    assert programs(worker.children()) == ({"spawned"} if method == "spawn" else {"forked"})
    hold.delay("job")
    first = site.journal.wait_for_start("job")
    before = set(worker.children())
    os.kill(first.pid, signal.SIGKILL)
    site.journal.wait_for_start("job", 2)
    wait_until(lambda: len(set(worker.children()) - before) == 1)
    site.open_gate("job")
    assert worker.stop() == 0
    site.wait_until_empty()


def programs(pids: list[int]) -> set[str]:
    """Tell which processes were started as programs of their own."""
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    return {"spawned" if b"worker.child" in line else "forked" for line in lines}


def test_a_child_may_take_as_long_to_start_as_the_worker_did(site: Site) -> None:
    site.write("slow.py", "import time\ntime.sleep(0.5)\nfrom tests.integration.tasks import app\n")
    impatient = {"LITEQUEUE_WORKER_PROC_ALIVE_TIMEOUT": "0.1"}
    worker = site.worker("--start-method", "spawn", app="slow:app", **impatient)
    assert "did not start" not in worker.said()


IGNORES_ITS_CHILDREN = """
import signal, time
from pathlib import Path
from tests.integration.tasks import app

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
Path("importing").touch()
while not Path("go").exists():
    time.sleep(0.01)
"""


def test_an_app_that_ignores_the_deaths_of_children_does_not_hide_them(site: Site) -> None:
    site.write("ignorant.py", IGNORES_ITS_CHILDREN)
    here.store.database.data_version()  # for a file that is not there the consumer waits, too
    worker = site.worker(app="ignorant:app", ready=False)
    wait_until((site.folder / "importing").exists)
    first = worker.consumer()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: session_of(first) is None)
    (site.folder / "go").touch()
    worker.wait_until_ready()
    poisoned = hold.delay("job")
    os.kill(site.journal.wait_for_start("job").pid, signal.SIGKILL)
    site.journal.wait_for_start("job", 2)
    site.open_gate("job")
    assert poisoned.get(timeout=10) == "job"
    assert worker.stop() == 0


LEFT_BEHIND = {
    "ticker": "from threading import Event, Thread\n"
    "Thread(target=Event().wait, daemon=True, name='ticker').start()\n",
    "jobs.sqlite": "file = open('jobs.sqlite', 'rb')\n",
}


@pytest.mark.parametrize("warning", sorted(LEFT_BEHIND))
def test_an_app_that_makes_forking_unsafe_has_its_children_spawned(
    site: Site, warning: str
) -> None:
    add.delay(0, 0)  # the file is there
    site.write("careless.py", f"from tests.integration.tasks import app\n{LEFT_BEHIND[warning]}")
    worker = site.worker(app="careless:app")
    assert warning in worker.said()
    assert "new programs" in worker.said()
    assert programs(worker.children()) == {"spawned"}
    assert add.delay(20, 22).get(timeout=10) == 42
    assert worker.stop() == 0


def test_nor_is_a_consumer_forked_from_an_unsafe_process(site: Site) -> None:
    """What replaces the first consumer is a program, and does all that the first one did."""
    site.write("careless.py", f"from tests.integration.tasks import app\n{LEFT_BEHIND['ticker']}")
    worker = site.worker("-Q", "default", app="careless:app", children=1)
    first = worker.consumer()
    result = hold.delay("job")
    site.journal.wait_for_start("job")
    os.kill(first, signal.SIGKILL)
    second = wait_until(lambda: worker.find_consumer() not in (0, first) and worker.find_consumer())
    assert b"consumer_process" in Path(f"/proc/{second}/cmdline").read_bytes()
    assert "SigBlk:\t0000000000000000" in Path(f"/proc/{second}/status").read_text()
    lock = next(site.folder.glob("*.bell/worker-*.lock"))
    assert has_open(second, lock)
    os.killpg(worker.supervisor, signal.SIGINT)  # Ctrl-C reaches it, too
    worker.wait_until_said("stopping")
    site.open_gate("job")
    assert worker.wait() == 0
    assert result.state == "SUCCESS"
    assert len(site.journal.starts("job")) == 1
    site.wait_until_empty()


def test_a_consumer_that_was_started_as_a_program_survives_its_supervisor(site: Site) -> None:
    site.write("careless.py", f"from tests.integration.tasks import app\n{LEFT_BEHIND['ticker']}")
    worker = site.worker(app="careless:app", children=1)
    first = worker.consumer()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: worker.find_consumer() not in (0, first))
    assert add.delay(20, 22).get(timeout=10) == 42
    result = hold.delay("job")
    site.journal.wait_for_start("job")
    os.kill(worker.supervisor, signal.SIGKILL)
    worker.wait()
    site.wait_until_empty()
    assert result.state == "PENDING"
    assert "the supervisor was killed" in worker.said()
