"""`import litequeue` stays light: a desktop tool feels every module it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = (
    "asyncio", "click", "croniter", "filelock", "hashlib", "multiprocessing", "pathlib", "peewee",
    "psutil", "random", "rich", "socket", "sqlite3", "subprocess", "tempfile",
)  # fmt: skip
LATER = {
    "entry", "facts", "flow", "progress", "result.eager_result", "result.result_set",
    "result.revoking", "retrying", "schedules", "store", "workflows",
}  # fmt: skip
"""Parts of ours that an app which is only made needs none of."""
NEVER = ("email", "importlib.metadata", "multiprocessing", "rich", "psutil", "zipfile")
"""What no process of a worker needs: a megabyte or two each."""


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = (
        "import json, sys; from litequeue import LiteQueue; print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert [name for name in HEAVY if name in loaded] == []


def test_making_an_app_and_its_tasks_loads_nothing_of_the_file() -> None:
    code = (
        "import json, sys, litequeue; app = litequeue.LiteQueue('jobs.sqlite'); "
        "app.task(name='add')(lambda x: x); print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert LATER & {name.removeprefix("litequeue.") for name in loaded} == set()
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


def test_a_worker_shares_what_it_has_loaded_and_loads_no_more_than_it_needs(
    tmp_path: Path,
) -> None:
    (tmp_path / "tasks.py").write_text("from litequeue import LiteQueue\napp = LiteQueue('q')\n")
    code = (
        "import gc, json, os, sys\n"
        "from litequeue.cli import main\n"
        "from litequeue.worker.consumer_process import ConsumerProcess\n"
        "def start(self):\n"
        "    print(json.dumps([len(gc.get_objects()), sorted(sys.modules)]), flush=True)\n"
        "    os._exit(0)\n"
        "ConsumerProcess.start = start\n"
        "sys.exit(main(['worker', 'q', '-A', 'tasks:app']))\n"
    )
    told = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path)
    unshared, loaded = json.loads(told)
    assert [name for name in NEVER if name in loaded] == []
    assert "peewee" in loaded
    # The collector writes into whatever it looks at, and a page that is written to is shared no
    # more: nothing but what has been made since is its affair.
    assert unshared < 1_000
