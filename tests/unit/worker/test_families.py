from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from litequeue.worker.families import descendants, end_all
from tests.conftest import wait_until

FAMILY = """
import subprocess, sys, threading
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
own = subprocess.Popen(sleeper, start_new_session=True)
grouped = subprocess.Popen(sleeper, process_group=0)
def start():
    print(own.pid, grouped.pid, subprocess.Popen(sleeper).pid, flush=True)
    threading.Event().wait()
threading.Thread(target=start).start()  # the kernel keeps children by thread
"""


def test_all_that_a_process_started_is_found_and_ended() -> None:
    parent = subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = sorted(map(int, parent.stdout.readline().split()))
    parent.stdout.close()
    try:
        assert sorted(descendants(parent.pid)) == children
        assert set(children) < set(descendants(os.getpid()))
    finally:
        end_all([*children, parent.pid])
        parent.wait()
    wait_until(lambda: not any(map(is_alive, children)), 5.0)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def test_who_is_gone_has_nobody_and_is_no_error() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert descendants(gone.pid) == []
    end_all([gone.pid])


@pytest.mark.parametrize("count", [0, 3])
def test_threads_are_no_children(count: int) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(count)]
    before = descendants(os.getpid())
    for thread in threads:
        thread.start()
    assert descendants(os.getpid()) == before
    stop.set()
    for thread in threads:
        thread.join()
