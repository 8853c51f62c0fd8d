"""`import litequeue` stays light: a desktop tool feels every module it loads."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("asyncio", "click", "croniter", "filelock", "multiprocessing", "peewee", "psutil", "rich")


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = (
        "import json, sys; from litequeue import LiteQueue; print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert [name for name in HEAVY if name in loaded] == []


def test_single_jobs_load_no_workflows() -> None:
    code = (
        "import json, sys, litequeue; app = litequeue.LiteQueue('jobs.sqlite'); "
        "add = app.task(name='add')(lambda x: x); add.s(1).clone().set(queue='mail'); "
        "print(json.dumps(sorted(sys.modules))); "
        "from litequeue import chain, chord, chunks, group, subtask, xmap, xstarmap"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    ours = {name.removeprefix("litequeue.") for name in loaded if name.startswith("litequeue.")}
    assert {name for name in ours if name.startswith("canvas.")} == {
        "canvas.linking", "canvas.making", "canvas.members", "canvas.options", "canvas.signatures"
    }  # fmt: skip
    assert not ours & {"workflows", "drawing", "progress", "result.group_result"}


def test_the_worker_loads_peewee_before_it_forks() -> None:
    code = "import sys, litequeue.worker.supervisor; print('peewee' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"True"
