"""Forks of processes that use the queue: nothing acknowledged is lost, nobody hangs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.integration.processes import Site
from tests.integration.tasks import app

FORK_WHILE_THREADS_ENQUEUE = """
import os, sys, threading, time
from tests.integration.tasks import add, app

accepted = os.open("accepted", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
stop = threading.Event()

def send():
    os.write(accepted, (add.delay(1, 1).id + "\\n").encode())

def produce():
    while not stop.is_set():
        send()

threads = [threading.Thread(target=produce) for _ in range(8)]
for thread in threads:
    thread.start()
children = set()
try:
    for _ in range(40):
        pid = os.fork()
        if pid == 0:
            try:
                for _ in range(5):
                    send()
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
            os._exit(0)
        children.add(pid)
        time.sleep(0.01)
finally:
    stop.set()
    for thread in threads:
        thread.join()
statuses = [os.waitpid(pid, 0)[1] for pid in children]
send()
sys.exit(any(statuses))
"""

MULTIPROCESSING_PARENT = """
import multiprocessing
from tests.integration.tasks import add

def send(number):
    with open("accepted", "a") as file:
        for _ in range(20):
            file.write(add.delay(number, 1).id + "\\n")

if __name__ == "__main__":
    send(0)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=send, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    send(5)
    for process in processes:
        process.join()
    send(6)
    raise SystemExit(any(process.exitcode for process in processes))
"""

WEB_SERVER_MASTER = """
import os, signal, sys
from tests.integration.tasks import add

add.delay(0, 0)  # at start-up, before the first fork: the file is open

def worker(number):
    with open("accepted", "a") as file:
        for _ in range(20):
            result = add.delay(number, 1)
            file.write(result.id + "\\n")
        assert result.get(timeout=20) == number + 1

def fork_worker(number):
    pid = os.fork()
    if pid == 0:
        worker(number)
        sys.exit(0)  # runs the exit hooks that were inherited, as web servers do
    return pid

pids = [fork_worker(number) for number in range(3)]
statuses = [os.waitpid(pid, 0)[1] for pid in pids]
for number in range(3, 5):  # a worker that ended is replaced by a new fork
    statuses.append(os.waitpid(fork_worker(number), 0)[1])
assert add.delay(20, 22).get(timeout=20) == 42
sys.exit(any(statuses))
"""

FORK_INSIDE_A_TRANSACTION = """
import os
from litequeue.exceptions import ForkedMidTransaction
from litequeue.store import jobs
from tests.integration.tasks import add

store = jobs._add

def fork_inside(connection, job, now):
    stored = store(connection, job, now)
    pid = os.fork()
    if pid == 0:
        try:
            add.delay(1, 1)
        except ForkedMidTransaction:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    return stored

jobs._add = fork_inside
add.apply_async((40, 2), task_id="held")
jobs._add = store
assert add.delay(1, 1).get(timeout=20) == 2
"""

FORK_DURING_A_FIRST_USE = """
import os, threading, time
from litequeue import LiteQueue
from tests.integration.tasks import add

inside = threading.Event()
open_file = LiteQueue._file

def open_slowly(app, location):
    inside.set()
    time.sleep(0.3)  # as on a busy machine: SQLite and all that speaks it are imported here
    return open_file(app, location)

LiteQueue._file = open_slowly
thread = threading.Thread(target=add.delay, args=(1, 1))
thread.start()
inside.wait()
pid = os.fork()
if pid == 0:
    add.delay(1, 1)
    os._exit(0)
thread.join()
raise SystemExit(os.waitpid(pid, 0)[1])
"""


def run_to_its_end(site: Site, code: str) -> None:
    process = site.start(
        [sys.executable, str(site.write("program.py", code))], LITEQUEUE_URL=str(site.path)
    )
    try:
        code_of_exit = process.wait(30)
    except subprocess.TimeoutExpired:
        pytest.fail("somebody waits for ever")
    assert code_of_exit == 0, (site.folder / "output").read_text()


def assert_kept(site: Site, at_least: int) -> None:
    """Whatever was acknowledged is in the file, and the file is whole."""
    accepted = (site.folder / "accepted").read_text().split()
    with closing(sqlite3.connect(f"file:{site.path}?mode=ro", uri=True)) as file:
        stored = {id for (id,) in file.execute("SELECT id FROM litequeue_job")}
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert set(accepted) <= stored
    assert len(accepted) == len(set(accepted)) >= at_least


def test_forks_while_eight_threads_enqueue(site: Site) -> None:
    run_to_its_end(site, FORK_WHILE_THREADS_ENQUEUE)
    assert_kept(site, at_least=200)


def test_a_fork_while_another_thread_opens_the_file(site: Site) -> None:
    run_to_its_end(site, FORK_DURING_A_FIRST_USE)


def test_a_multiprocessing_parent_that_opened_the_file_before(site: Site) -> None:
    site.worker()
    run_to_its_end(site, MULTIPROCESSING_PARENT)
    assert_kept(site, at_least=140)


def test_a_web_servers_master_that_opened_the_file_before_it_forked(site: Site) -> None:
    site.worker()
    run_to_its_end(site, WEB_SERVER_MASTER)
    assert_kept(site, at_least=100)


def test_a_fork_in_the_middle_of_a_transaction_may_not_use_the_file(site: Site) -> None:
    site.worker()
    run_to_its_end(site, FORK_INSIDE_A_TRANSACTION)
    assert app.AsyncResult("held").get(timeout=10) == 42
