"""A worker that begins anew: by SIGHUP, and with --reload when its code changes."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from tests.conftest import wait_until
from tests.integration.apps.limited import app, hold, quick
from tests.integration.apps.record import Record
from tests.integration.processes import Site, Worker, children_of, is_alive, kill

APP = "tests.integration.apps.limited:app"
VERSIONED = """
from tests.integration.apps.limited import app
{extra}
@app.task(name="version")
def version() -> int:
    return {number}
"""


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def write(site: Site, number: int, extra: str = "") -> None:
    """Write the worker's program; of another length each time, or its old bytecode would do."""
    site.write("versioned.py", VERSIONED.format(number=number, extra=f"# {'x' * number}\n{extra}"))


def version() -> int:
    result: int = app.send_task("version").get(timeout=20)
    return result


def wait_for_starts(worker: Worker, number: int) -> None:
    wait_until(lambda: worker.said().count("Ready in") >= number, 20)


# SIGHUP


def test_a_hangup_brings_the_new_code_and_loses_no_job(site: Site, facts: Record) -> None:
    write(site, 1)
    worker = site.worker(app="versioned:app", children=2)
    assert version() == 1
    held = hold.delay("long")
    facts.wait_for("begun")
    waiting = [quick.delay(number) for number in range(300)]
    write(site, 2)
    worker.send(signal.SIGHUP)
    worker.wait_until_said("beginning anew")
    waiting += [quick.delay(number) for number in range(300, 400)]
    site.open_gate("long")
    assert held.get(timeout=20) == "long"
    wait_for_starts(worker, 2)
    assert [each.get(timeout=20) for each in waiting] == list(range(400))
    assert version() == 2
    assert is_alive(worker.supervisor), "it is the same process"
    assert len(facts.facts("begun")) == 1, "what ran was not run again"
    assert worker.stop() == 0


def test_many_hangups_end_in_one_worker(site: Site) -> None:
    worker = site.worker(app=APP, children=1)
    for _ in range(30):
        worker.send(signal.SIGHUP)
        time.sleep(0.02)  # spread over the stop, the new program's start, and its import
    assert quick.delay(1).get(timeout=20) == 1
    assert is_alive(worker.supervisor)
    assert worker.stop() == 0


def test_a_stop_during_a_restart_is_a_stop(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    held = hold.delay("long")
    facts.wait_for("begun")
    worker.send(signal.SIGHUP)
    worker.wait_until_said("beginning anew")
    worker.send(signal.SIGTERM)
    site.open_gate("long")
    assert worker.wait() == 0
    assert held.state == "SUCCESS"
    assert worker.said().count("Ready in") == 1


def test_a_stop_at_the_last_moment_of_a_restart_is_a_stop(site: Site) -> None:
    write(
        site, 1,
        "import os, signal\nfrom litequeue.signals import worker_shutdown\n"
        "worker_shutdown.connect(lambda **kw: os.kill(os.getpid(), signal.SIGTERM), weak=False)",
    )  # fmt: skip
    worker = site.worker(app="versioned:app", children=1)
    worker.send(signal.SIGHUP)
    assert worker.wait() == 0
    assert worker.said().count("Ready in") == 1


def test_a_hangup_while_the_app_is_imported_imports_it_anew(site: Site, facts: Record) -> None:
    slow = "from tests.integration.apps.record import record; record('importing')\n"
    write(site, 1, slow + "import time; time.sleep(300)")
    worker = site.worker(app="versioned:app", children=1, ready=False)
    facts.wait_for("importing")
    write(site, 22)
    worker.send(signal.SIGHUP)
    worker.wait_until_ready()
    assert version() == 22


def test_a_restarted_worker_has_its_directory_again(site: Site, facts: Record) -> None:
    tells = "import os\nfrom tests.integration.apps.record import record\n"
    write(site, 1, tells + "record('here', directory=os.getcwd())\nos.chdir('/')")
    worker = site.worker(app="versioned:app", children=1)
    worker.send(signal.SIGHUP)
    wait_for_starts(worker, 2)
    assert [fact["directory"] for fact in facts.facts("here")] == [str(site.folder)] * 2


def test_a_closed_terminal_ends_the_worker(site: Site) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "litequeue", "worker", str(site.path), "-A", APP, "-c", "1"]
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.environ.update(site.environment())
        os.chdir(site.folder)
        os.dup2(terminal, 0)
        with (site.folder / "worker.log").open("wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.execv(command[0], command)
    os.close(terminal)
    try:
        assert quick.delay(1).get(timeout=20) == 1
        os.kill(pid, signal.SIGHUP)  # somebody asks for new code
        said = site.folder / "worker.log"
        wait_until(lambda: said.read_text().count("Ready in") == 2, 20)
        os.close(controller)
        os.kill(pid, signal.SIGHUP)
        assert wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0], 20) == pid
        assert said.read_text().count("Ready in") == 2
    finally:
        kill(pid)


# --reload


def test_the_worker_follows_its_code(site: Site) -> None:
    write(site, 1)
    worker = site.worker("--reload", app="versioned:app", children=1)
    assert version() == 1
    (inner,) = children_of(worker.supervisor)
    write(site, 22)
    wait_for_starts(worker, 2)
    assert version() == 22
    assert children_of(worker.supervisor) == [inner]
    assert "versioned.py changed" in worker.said()
    assert worker.stop() == 0
    assert not is_alive(inner)


def test_an_error_in_the_code_is_survived(site: Site) -> None:
    write(site, 1)
    worker = site.worker("--reload", app="versioned:app", children=1)
    write(site, 2, "this is no Python")
    worker.wait_until_said("when the code changes")
    assert "SyntaxError" in worker.said()
    write(site, 333)
    wait_for_starts(worker, 2)
    assert version() == 333


def test_a_change_during_the_import_counts(site: Site, facts: Record) -> None:
    slow = "from tests.integration.apps.record import record; record('importing')\n"
    write(site, 1, slow + "import time; time.sleep(300)")
    worker = site.worker("--reload", app="versioned:app", children=1, ready=False)
    facts.wait_for("importing")
    write(site, 22)
    worker.wait_until_ready()
    assert version() == 22


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([signal.SIGTERM], 0), ([signal.SIGINT], 0), ([signal.SIGQUIT], 1)],
    ids=["term", "int", "quit"],
)
def test_stops_are_passed_on(site: Site, numbers: list[signal.Signals], code: int) -> None:
    worker = site.worker("--reload", app=APP, children=1)
    everybody = worker.processes()
    for number in numbers:
        os.killpg(worker.supervisor, number)
    assert worker.wait() == code
    wait_until(lambda: not any(map(is_alive, everybody)))


def test_the_worker_ends_with_the_process_that_watches(site: Site) -> None:
    worker = site.worker("--reload", app=APP, children=1)
    everybody = worker.processes()
    kill(worker.supervisor)
    wait_until(lambda: not any(map(is_alive, everybody)))


def test_a_worker_with_nothing_more_to_do_ends_the_watch(site: Site) -> None:
    worker = site.worker("--reload", "--burst", app=APP, children=1, ready=False)
    assert worker.wait() == 0


def test_without_watchfiles_a_sentence_says_what_to_install(site: Site) -> None:
    site.write("watchfiles.py", "raise ImportError('not here')")
    done = site.run("-m", "litequeue", "worker", str(site.path), "-A", APP, "--reload")
    assert done.returncode != 0
    assert "pip install '.[reload]'" in done.stderr
    assert "Traceback" not in done.stderr
