"""What a pool cannot honour is refused when the worker starts, and what can is told."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue
from litequeue.exceptions import ImproperlyConfigured
from litequeue.worker.pools import BUILT_IN, OPTIONS, find_pool, refuse_unhonoured
from tests.integration.processes import Site
from tests.pools.conftest import APP


class TestRefusals:
    @pytest.mark.parametrize(("name", "option"), list(itertools.product(BUILT_IN, OPTIONS)))
    def test_an_option_is_honoured_or_refused(self, name: str, option: str) -> None:
        pool = find_pool(name)
        refuse_unhonoured(pool, {option: None})  # nobody asked for it
        if option in pool.honours:
            refuse_unhonoured(pool, {option: 1})
            return
        with pytest.raises(ImproperlyConfigured, match=f"the pool {name} cannot honour") as caught:
            refuse_unhonoured(pool, {option: 1})
        able = [each for each in BUILT_IN if option in find_pool(each).honours]
        assert str(caught.value).endswith(f"take another pool: -P {', '.join(able)}")

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["-P", "solo", "-c", "2"], "solo cannot honour a concurrency above 1"),
            (["-P", "solo", "--autoscale", "4,1"], "solo cannot honour --autoscale"),
            (["-P", "eventlet"], "use -P gevent"),
            (["-P", "nonesuch"], "the pools are prefork, solo, threads, aio, gevent"),
            (["-P", "nowhere:Pool"], "the pool nowhere:Pool cannot be loaded"),
        ],
    )
    def test_a_worker_does_not_start(self, tmp_path: Path, options: list[str], words: str) -> None:
        site = Site(tmp_path)
        ended = site.run("-m", "litequeue", "worker", str(site.path), "-A", APP, *options)
        assert ended.returncode != 0
        assert words in " ".join(ended.stderr.split())
        assert "Traceback" not in ended.stderr
        site.close()

    def test_gevent_never_forks(self, tmp_path: Path) -> None:
        site = Site(tmp_path)
        env = {"LITEQUEUE_WORKER_POOL_START_METHOD": "fork"}
        ended = site.run(
            "-m", "litequeue", "worker", str(site.path), "-A", APP, "-P", "gevent", **env
        )
        assert ended.returncode != 0
        assert "cannot start its children by fork" in " ".join(ended.stderr.split())
        site.close()

    def test_gevent_that_is_not_installed_says_how_to_get_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "litequeue.worker.pools.gevent", raising=False)
        monkeypatch.setitem(sys.modules, "gevent", None)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ImproperlyConfigured, match=r"pip install '\.\[gevent\]'"):
            find_pool("gevent")

    @pytest.mark.parametrize("alias", ["processes", "asyncio"])
    def test_other_names(self, alias: str) -> None:
        assert find_pool(alias).name in ("prefork", "aio")


METADATA = "Metadata-Version: 2.1\nName: my-pools\nVersion: 1.0\n"
MY_POOL = '''
import os

from litequeue.interrupts import Guard
from litequeue.worker.pools import Station


class Backwards:
    """Runs one job at a time, and says so."""

    name = "backwards"
    many = False
    honours = frozenset({"max_tasks_per_child"})
    start_methods = ("fork",)

    @classmethod
    def prepare(cls):
        pass

    def serve(self, station: Station):
        (line,) = station.lines
        executor = station.executor()
        os.environ["POOL"] = self.name
        while (lease := station.next()) is not None:
            station.begin(line, lease)
            station.finish(line, lease, executor.execute(lease))
            if station.is_spent():
                break
        executor.close()
'''
TASKS = """
import os

from litequeue import LiteQueue

app = LiteQueue(os.environ["LITEQUEUE_URL"])


@app.task
def pool():
    return os.environ.get("POOL")
"""


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """A site with a distribution that offers a pool."""
    site = Site(tmp_path)
    site.write("my_pools.py", MY_POOL)
    site.write("my_tasks.py", TASKS)
    info = tmp_path / "my_pools-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[litequeue.pools]\nbackwards = my_pools:Backwards\n")
    yield site
    site.close()


class TestOwnPools:
    @pytest.mark.parametrize("name", ["backwards", "my_pools:Backwards"])
    def test_a_worker_runs_jobs_in_it(self, site: Site, name: str) -> None:
        worker = site.worker(
            "-P", name, app="my_tasks:app", children=1, LITEQUEUE_URL=str(site.path)
        )
        app = LiteQueue(site.path)
        assert app.send_task("my_tasks.pool").get(timeout=10) == "backwards"
        app.close()
        assert worker.stop() == 0

    def test_what_it_does_not_honour_is_refused(self, site: Site) -> None:
        ended = site.run(
            "-m", "litequeue", "worker", str(site.path), "-A", "my_tasks:app", "-P", "backwards",
            "--time-limit", "5", LITEQUEUE_URL=str(site.path),
        )  # fmt: skip
        assert ended.returncode != 0
        assert "backwards cannot honour a hard time limit" in " ".join(ended.stderr.split())
