"""SIGSTOP for everybody, also while holding the write lock: others wait, and go on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from litequeue import QueueBusy
from tests.conftest import wait_until
from tests.integration.processes import (
    Site,
    is_stopped,
    kill,
    read_line,
    resume,
    session_of,
    suspend,
)
from tests.integration.tasks import add, app, hold, mark

STOPS_IN_TRANSACTION = """
import os, signal
from litequeue.store import jobs
from tests.integration.tasks import mark

add = jobs._add

def stop_inside(connection, job, now):
    added = add(connection, job, now)
    print(job.id, flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    return added

jobs._add = stop_inside
print(mark.delay("sent").id, flush=True)
"""

WORKER_THAT_STOPS = """
import os, signal
import litequeue.worker.consumer_process as consumer_process
import litequeue.worker.supervisor as supervisor
from litequeue.cli import main
from litequeue.store import jobs

consumer_process.SILENCE = 1.0
supervisor.LOOK_AROUND = 0.2
claim = jobs.take

def stop_inside(*arguments):
    settled = claim(*arguments)
    if os.path.exists("stop-now"):
        os.unlink("stop-now")
        os.kill(os.getpid(), signal.SIGSTOP)
    return settled

jobs.take = stop_inside
main()
"""


@pytest.fixture
def impatient(site: Site) -> Iterator[None]:
    """The site, where this process waits only half a second for the write lock."""
    assert app.path == str(site.path)
    app.store.database.busy_timeout = 0.5
    yield
    app.store.database.busy_timeout = app.conf.queue_busy_timeout


def start_stopped_producer(site: Site) -> tuple[subprocess.Popen[bytes], str]:
    """Return a producer that stands still in its transaction, and the id of the job in it."""
    producer = site.python(STOPS_IN_TRANSACTION)
    id = read_line(producer)
    wait_until(lambda: is_stopped(producer.pid))
    return producer, id


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fate", ["resumed", "killed"])
def test_a_producer_that_is_stopped_in_its_transaction(site: Site, fate: str) -> None:
    worker = site.worker()
    running = hold.delay("running")
    site.journal.wait_for_start("running")
    producer, id = start_stopped_producer(site)
    site.open_gate("running")  # its outcome has to wait
    began = time.monotonic()
    with pytest.raises(QueueBusy, match="locked"):
        add.delay(1, 2)
    assert 0.5 <= time.monotonic() - began < 4
    assert running.state != "SUCCESS"
    assert worker.process.poll() is None
    if fate == "resumed":
        resume(producer.pid)
        assert read_line(producer) == id
        assert app.AsyncResult(id).get(timeout=10) == "sent"
    else:
        kill(producer.pid)
        producer.wait()
        assert add.delay(1, 2).get(timeout=10) == 3
        assert not app.AsyncResult(id).exists(), "it was never accepted"
    assert running.get(timeout=10) == "running"
    assert len(site.journal.starts("running")) == 1
    assert worker.stop() == 0


def test_a_stopped_childs_job_is_not_taken(site: Site) -> None:
    owner = site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="0.4")
    result = hold.delay("job")
    first = site.journal.wait_for_start("job")
    suspend(first.pid)
    other = site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="0.4")
    pass_time(site, mark_jobs=3)
    assert len(site.journal.starts("job")) == 1
    resume(first.pid)
    site.open_gate("job")
    assert result.get(timeout=10) == "job"
    assert len(site.journal.starts("job")) == 1
    assert (owner.stop(), other.stop()) == (0, 0)


def pass_time(site: Site, *, mark_jobs: int, every: float = 0.5) -> None:
    """Let the workers that live do jobs of a schedule, the last after ``mark_jobs * every`` s."""
    for number in range(1, mark_jobs + 1):
        mark.apply_async((f"tick-{number}",), countdown=number * every)
    site.journal.wait_for_start(f"tick-{mark_jobs}")


def test_a_worker_goes_on_while_its_supervisor_is_stopped(site: Site) -> None:
    owner = site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="0.4")
    suspend(owner.supervisor)
    pass_time(site, mark_jobs=3)
    result = hold.delay("job")
    first = site.journal.wait_for_start("job")
    site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="0.4")
    os.kill(owner.supervisor, signal.SIGTERM)
    pass_time(site, mark_jobs=2)
    assert [start.pid for start in site.journal.starts("job")] == [first.pid]
    resume(owner.supervisor)
    owner.wait_until_said("stopping")
    site.open_gate("job")
    assert owner.wait() == 0
    assert result.state == "SUCCESS"


WORKER_THAT_ALWAYS_RENEWS = """
import litequeue.worker.duties as duties
from litequeue.cli import main

duties.BEATS_PER_LEASE = 1_000_000
main()
"""


def test_a_worker_that_leaves_does_not_find_itself_declared_dead(site: Site) -> None:
    """Its row is gone before it is: a renewal that is due just then is none of its duties."""
    program = site.write("worker_that_always_renews.py", WORKER_THAT_ALWAYS_RENEWS)
    worker = site.worker(children=1, program=[str(program)])
    assert add.delay(1, 2).get(timeout=10) == 3
    assert worker.stop() == 0
    assert "declared it dead" not in worker.said()


def test_a_stopped_consumer_keeps_its_jobs(site: Site) -> None:
    owner = site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="0.4")
    result = hold.delay("job")
    first = site.journal.wait_for_start("job")
    consumer = owner.consumer()
    suspend(consumer)
    site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="0.4")
    site.open_gate("job")
    pass_time(site, mark_jobs=4)
    assert site.journal.ends("job")
    assert result.state != "SUCCESS"
    resume(consumer)
    assert result.get(timeout=10) == "job"
    assert [start.pid for start in site.journal.starts("job")] == [first.pid]


def test_a_living_workers_long_job_is_never_taken(site: Site) -> None:
    """Not even when everything of its worker stands still for many visibility timeouts."""
    owner = site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="0.2")
    result = hold.delay("job")
    site.journal.wait_for_start("job")
    for pid in owner.processes():
        suspend(pid)
    site.worker(children=1, LITEQUEUE_VISIBILITY_TIMEOUT="0.2")
    pass_time(site, mark_jobs=4)
    for pid in owner.processes():
        resume(pid)
    site.open_gate("job")
    assert result.get(timeout=10) == "job"
    assert len(site.journal.starts("job")) == 1
    assert owner.stop() == 0


@pytest.mark.usefixtures("impatient")
def test_a_consumer_that_is_stopped_with_the_write_lock_is_replaced(site: Site) -> None:
    program = site.write("worker_that_stops.py", WORKER_THAT_STOPS)
    worker = site.worker(program=[str(program)])
    running = hold.delay("running")
    site.journal.wait_for_start("running")
    consumer = worker.consumer()
    (site.folder / "stop-now").touch()
    caught = mark.delay("caught")
    wait_until(lambda: is_stopped(consumer))
    with pytest.raises(QueueBusy):
        add.delay(1, 2)
    worker.wait_until_said("it is replaced")
    assert caught.get(timeout=10) == "caught"
    assert add.delay(1, 2).get(timeout=10) == 3
    site.open_gate("running")
    assert running.get(timeout=10) == "running"
    assert len(site.journal.starts("running")) == 1
    assert session_of(consumer) is None
    assert worker.stop() == 0


WORKER_THAT_LOOKS_OFTEN = """
import litequeue.worker.consumer_process as consumer_process
import litequeue.worker.ears as ears
import litequeue.worker.supervisor as supervisor
from litequeue.cli import main

ears.CALM = 0.1
consumer_process.SILENCE = 1.5
supervisor.LOOK_AROUND = 0.4
main()
"""


def test_a_consumer_is_not_replaced_when_the_whole_worker_stood_still(site: Site) -> None:
    """As after Ctrl-Z and fg, or `docker pause`; whoever wakes up first."""
    program = site.write("worker_that_looks_often.py", WORKER_THAT_LOOKS_OFTEN)
    worker = site.worker(program=[str(program)])
    consumer = worker.consumer()
    for pid in (worker.supervisor, consumer):
        suspend(pid)
    stand_still(2.0)
    resume(worker.supervisor)
    stand_still(0.5)  # as long as the supervisor may need to look
    resume(consumer)
    assert add.delay(20, 22).get(timeout=10) == 42
    assert worker.consumer() == consumer
    assert "replaced" not in worker.said()


def stand_still(seconds: float) -> None:
    """Let time pass: it is the fact that is waited for."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until, every=0.1)


def test_a_stopped_producer_outside_of_a_transaction_is_in_nobodys_way(site: Site) -> None:
    site.worker()
    producer = site.python(
        "from tests.integration.tasks import add\n"
        "print(add.delay(1, 1).get(timeout=20), flush=True)\n"
        "input()\n"
    )
    assert read_line(producer) == "2"
    suspend(producer.pid)
    assert [add.delay(n, n).get(timeout=10) for n in range(50)] == [2 * n for n in range(50)]
    resume(producer.pid)
