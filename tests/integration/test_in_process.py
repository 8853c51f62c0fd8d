"""`app.worker_main` and `app.Worker`: a program that becomes a worker."""

from __future__ import annotations

import signal
import sys

import pytest

from litequeue import LiteQueue
from litequeue.cli.in_process import Worker
from litequeue.exceptions import ImproperlyConfigured
from tests.conftest import wait_until
from tests.integration.processes import Site

PROGRAM = """\
import sys

from litequeue import LiteQueue

app = LiteQueue("jobs.sqlite")


@app.task
def add(x, y):
    return x + y


if __name__ == "__main__":
    {start}
"""
MAIN = 'app.worker_main(["worker", "-n", "w1", "-c", "1", "--loglevel=INFO"])'
CLASS = """worker = app.Worker(hostname="w1", concurrency=1, queues=["default", "mail"])
    worker.start()
    print("went on", worker.exitcode)"""


@pytest.mark.parametrize(("start", "said"), [(MAIN, b""), (CLASS, b"went on 0\n")])
def test_a_program_becomes_a_worker(site: Site, start: str, said: bytes) -> None:
    program = site.write("shop.py", PROGRAM.format(start=start))
    process = site.start([sys.executable, str(program)])
    app = LiteQueue(site.path, set_as_current=False)
    assert app.send_task("shop.add", (1, 2)).get(timeout=20) == 3
    wait_until(lambda: app.control.ping() == [{"w1": {"ok": "pong"}}])
    app.close()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, said)


def test_arguments_of_the_program_are_those_of_a_worker(site: Site) -> None:
    program = site.write("shop.py", PROGRAM.format(start="app.worker_main()"))
    done = site.run(str(program), "worker", "--no-such-option")
    assert done.returncode == 2
    assert "no such option" in done.stderr.lower()
    done = site.run(str(program))
    assert "ValueError: worker_main() takes the command line of a worker" in done.stderr


def test_an_app_that_no_child_can_import_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="a global of a module"):
        LiteQueue("jobs.sqlite", set_as_current=False).worker_main(["worker"])


def test_options_are_those_of_the_command_line() -> None:
    app = LiteQueue("jobs.sqlite", set_as_current=False)
    worker = Worker(app, {"concurrency": 4, "queues": ("a", "b"), "burst": True, "loglevel": None})
    assert worker.argv == ["worker", "--concurrency=4", "--queues=a,b", "--burst"]
