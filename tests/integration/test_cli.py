"""The command line as a program: its processes, its exit codes, its terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from litequeue.store import Database
from tests.conftest import wait_until
from tests.integration.processes import APP, Site
from tests.integration.tasks import add

HEAVY = (
    "asyncio", "filelock", "logging", "multiprocessing", "peewee", "psutil", "rich", "sqlite3",
    "tomllib",
)  # fmt: skip
MODULES = """
import json, sys
from litequeue import cli
before = set(sys.modules)
try:
    cli.main(sys.argv[1:])
except SystemExit:
    print(json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""


def litequeue(site: Site, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return site.run("-m", "litequeue", *map(str, arguments), **env)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["jobs", "--help"], ["worker", "-h"], ["demo", "-h"]]
)
def test_help_loads_nothing_heavy(site: Site, arguments: list[str]) -> None:
    done = site.run("-c", MODULES, *arguments)
    assert done.returncode == 0, done.stderr
    before, more = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in HEAVY if name in more] == []
    assert [name for name in more if name.startswith("litequeue.store")] == []
    assert [name for name in HEAVY if name in before] == []


def test_one_job_from_the_shell_and_back(site: Site) -> None:
    """The tasks are known by their names once an app has used the file."""
    add.delay(0, 0)
    worker = site.worker()
    name = add.name
    done = litequeue(site, "enqueue", site.path, name, "20", "y=22", "--wait=10")
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")
    failed = litequeue(site, "enqueue", site.path, name, "1", '"text"', "--wait=10", "--json")
    assert failed.returncode == 1
    document = json.loads(failed.stdout)
    assert (document["state"], document["error"]["type"]) == ("FAILURE", "TypeError")
    assert failed.stderr.startswith(f"litequeue: job {document['id']} ended as FAILURE: TypeError")
    (alive,) = json.loads(litequeue(site, "workers", site.path, "--json").stdout)["workers"]
    assert (alive["life"], alive["pid"]) == ("alive", worker.supervisor)
    again = litequeue(site, "retry", site.path, "--state", "failed", "--yes")
    assert (again.returncode, again.stdout) == (0, "1 job will run again\n")

    def has_failed_again() -> bool:
        listed = litequeue(site, "jobs", site.path, "--state", "failed", "--json")
        return len(json.loads(listed.stdout)["jobs"]) == 1

    wait_until(has_failed_again)
    assert worker.stop() == 0
    shown = litequeue(site, "show", site.path, document["id"])
    assert shown.stdout.count("TypeError") >= 2  # one per run
    site.wait_until_empty()


def test_a_wait_ends_in_time(site: Site) -> None:
    add.delay(0, 0)
    worker = site.worker("-Q", "other")
    done = litequeue(site, "enqueue", site.path, add.name, "1", "2", "--wait", "0.2s")
    assert done.returncode == 1
    assert re.search(r"job \S+ is still PENDING after 0\.2 s; see `litequeue show", done.stderr)
    worker.stop()


def test_the_worker_finds_the_app_that_the_file_names(site: Site) -> None:
    site.write(
        "mine.py",
        "from litequeue import LiteQueue\napp = LiteQueue('jobs.sqlite')\n\n"
        "@app.task\ndef double(x):\n    return 2 * x\n",
    )
    sent = site.run("-c", "import mine; print(mine.double.delay(21).id)")
    assert sent.returncode == 0, sent.stderr
    log = site.folder / "worker.log"
    process = site.start(
        [sys.executable, "-m", "litequeue", "worker", "jobs.sqlite", "-c", "1"], log=log
    )
    wait_until(lambda: "Ready in" in log.read_text(), 20)
    assert "new programs" not in log.read_text()  # that look at the file does not hinder a fork
    assert re.search(
        rf"^using app mine:app recorded in {site.path} on \d{{4}}-\d\d-\d\d; -A overrides$",
        log.read_text(),
        re.MULTILINE,
    )
    done = litequeue(site, "enqueue", "jobs.sqlite", "mine.double", "4", "--wait=10")
    assert (done.returncode, done.stdout) == (0, "8\n")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    refused = litequeue(site, "worker", "jobs.sqlite", LITEQUEUE_TRUST_RECORDED_APP="0")
    assert refused.returncode == 4
    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir()
    site.write("mine.py", "raise SystemExit('must not be imported')")
    moved = subprocess.run(
        [sys.executable, "-m", "litequeue", "worker", str(site.path)],
        cwd=elsewhere,
        env=site.environment(PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert moved.returncode == 4, moved.stderr
    assert f"cannot import 'mine:app', which {site.path} names" in moved.stderr
    site.wait_until_empty()


def test_a_closed_pipe_is_silent(site: Site) -> None:
    app = "from tests.integration.tasks import add, app\napp.enqueue_many([(add, (1, 2))] * 3000)"
    assert site.python(app).wait(30) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "litequeue", "jobs", str(site.path), "--limit", "3000"],
        cwd=site.folder,
        env=site.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b"ID")
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_closed_streams_are_no_trouble(site: Site, closed: str) -> None:
    add.delay(1, 2)
    line = f"{sys.executable} -m litequeue jobs {site.path} {closed}"
    process = site.start(["sh", "-c", line], log=site.folder / "log")
    assert process.wait(15) == 0
    assert "Traceback" not in (site.folder / "log").read_text()


def test_ctrl_c_ends_a_wait_without_a_traceback(site: Site) -> None:
    add.delay(0, 0)
    worker = site.worker("-Q", "other")
    log = site.folder / "waiting.log"
    line = ["enqueue", str(site.path), add.name, "1", "2", "--id", "mine", "--wait"]
    process = site.start([sys.executable, "-m", "litequeue", *line], log=log)
    database = Database(site.path)
    wait_until(lambda: is_stored(database, "mine"))
    database.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 130
    assert "Traceback" not in log.read_text()
    worker.stop()


def is_stored(database: Database, id: str) -> bool:
    from litequeue.store import listing

    return bool(listing.find(database, id))


CTRL_C = b"\x03"


def on_a_terminal(site: Site, *arguments: str, answer: bytes = b"", **env: str) -> tuple[int, str]:
    """Run a command on a terminal of its own; return its exit code and all that it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "litequeue", *arguments],
        cwd=site.folder,
        env=site.environment(TERM="xterm", COLUMNS="120", **env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while (some := read_some(ours)) is not None:
            shown += some
            if not (answer and shown.endswith(b"[y/N]: ")):
                continue
            if answer == CTRL_C:  # until it is heard: Python may not have begun to read
                process.send_signal(signal.SIGINT)
            else:
                os.write(ours, answer)
                answer = b""
        return process.wait(30), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_some(terminal: int) -> bytes | None:
    """Return what was shown in the last half second, None when nobody is there any more."""
    if not select.select([terminal], [], [], 0.5)[0]:
        return b""
    try:
        return os.read(terminal, 65536) or None
    except OSError:
        return None


def test_a_terminal_gets_colours_relative_times_and_questions(site: Site) -> None:
    sent = [add.delay(1, 2), add.apply_async((1, 2), countdown=1000)]
    sent[1].revoke()
    code, shown = on_a_terminal(site, "jobs", str(site.path))
    assert code == 0
    assert "\x1b[35mREVOKED" in shown
    assert re.search(r"\d m?s ago", shown)
    assert re.search(r"\d{4}-\d\d-\d\dT", shown) is None
    _, plain = on_a_terminal(site, "jobs", str(site.path), NO_COLOR="1")
    assert "\x1b" not in plain
    code, shown = on_a_terminal(site, "purge", str(site.path), answer=b"n\n")
    assert "Delete 1 job (1 ready)? [y/N]:" in shown
    assert (code, "nothing was changed" in shown) == (1, True)
    code, shown = on_a_terminal(site, "purge", str(site.path), answer=b"y\n")
    assert (code, "1 job deleted" in shown) == (0, True)
    code, shown = on_a_terminal(site, "retry", str(site.path), "--state", "revoked", answer=CTRL_C)
    assert code == 130
    assert "Traceback" not in shown


def test_what_a_poor_terminal_cannot_show_is_escaped(site: Site) -> None:
    add.apply_async((1, 2), queue="任务")
    done = litequeue(site, "queues", site.path, PYTHONIOENCODING="iso-8859-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u4efb\\u52a1" in done.stdout


AS_NOBODY = """
import os, sys
import litequeue.cli.jobs, litequeue.store.listing, litequeue.worker.liveness
from litequeue.cli import main
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.chdir("/")
main(sys.argv[1:])
"""


def test_a_file_that_may_not_be_read_is_exit_3(site: Site) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "jobs.sqlite"
        assert litequeue(site, "migrate", path).returncode == 0
        path.chmod(0)
        done = site.run("-c", AS_NOBODY, "jobs", str(path))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"litequeue: SQLite could not use {path}: unable to open database file\n"
    )


@pytest.mark.parametrize("shell", ["bash"])
def test_the_shell_completes_commands_and_options(site: Site, shell: str) -> None:
    done = site.run(
        "-m", "litequeue",
        _LITEQUEUE_COMPLETE="bash_complete", COMP_WORDS="litequeue jo", COMP_CWORD="1",
    )  # fmt: skip
    assert done.stdout == "plain,jobs\n"
    done = site.run(
        "-m", "litequeue",
        _LITEQUEUE_COMPLETE="bash_complete", COMP_WORDS="litequeue jobs --st", COMP_CWORD="2",
    )  # fmt: skip
    assert done.stdout == "plain,--state\n"


def test_json_is_what_the_worker_logs_when_asked(site: Site) -> None:
    worker = site.worker("--log-format", "json", app=APP)
    assert worker.stop() == 0
    lines = [json.loads(line) for line in worker.said().splitlines()]
    assert any(line["message"].startswith("Ready in") for line in lines)
