"""The first steps of a new user, typed as the pages say: README and the tutorial."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Page, read
from tests.integration.processes import Site, Worker

ANSWERS = {ROOT / "README.md": 3, DOCS / "tutorial" / "first-queue.md": 22 / 7}
"""What the job that a page sends by hand comes to."""
LOOKS = {"jobs", "queues", "tasks", "workers", "enqueue"}
"""The commands that ask nothing, and need no id of a job."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    place = Site(tmp_path)
    yield place
    place.close()


def typed(page: Page, *names: str) -> list[list[str]]:
    """Return what the page tells people to type after ``litequeue``, for these commands."""
    lines = [shlex.split(line) for line in page.commands]
    return [words for words in lines if words[0] == "litequeue" and words[1] in names]


def start_worker(site: Site, command: list[str]) -> Worker:
    log = site.folder / f"worker-{len(site.workers)}.log"
    worker = Worker(site.start([sys.executable, "-m", *command], log=log), log, site.path)
    site.workers.append(worker)
    worker.wait_until_ready()
    return worker


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_what_the_page_tells_to_type_works(path: Path, site: Site) -> None:
    page = read(path)
    site.write("tasks.py", page.files["tasks.py"])
    site.run("-m", "litequeue", "migrate", "jobs.sqlite")
    worker = start_worker(site, ["litequeue", "worker", "jobs.sqlite", "-A", "tasks:app"])
    site.write("page.py", page.script)
    assert site.run("page.py").stdout.splitlines() == page.says_it_prints
    looks = typed(page, *LOOKS)
    waited = 0
    for command in looks:
        done = site.run("-m", *command)
        assert done.returncode == 0, (command, done.stderr)
        if "--wait" in command:
            assert json.loads(done.stdout.splitlines()[-1]) == ANSWERS[path]
            waited += 1
    assert waited
    assert worker.stop() == 0


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_the_workers_of_the_page_start(path: Path, site: Site) -> None:
    """Also without -A, once a job was sent."""
    page = read(path)
    site.write("tasks.py", page.files["tasks.py"])
    task = "add" if "def add" in page.files["tasks.py"] else "divide"
    done = site.run("-c", f"import tasks; tasks.{task}.delay(1, 2)")
    assert done.returncode == 0, done.stderr
    workers = typed(page, "worker")
    assert ["litequeue", "worker", "jobs.sqlite"] in workers
    for command in workers:
        worker = start_worker(site, command)
        if "-A" not in command:
            assert "using app tasks:app recorded" in worker.said()
        assert worker.stop() == 0
