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


def test_the_worker_loads_peewee_before_it_forks() -> None:
    code = "import sys, litequeue.worker.supervisor; print('peewee' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"True"
