"""What an app's tasks go through at the first use, whoever uses it first."""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import EagerResult, LiteQueue, shared_task
from litequeue.exceptions import ImproperlyConfigured
from tests.conftest import wait_until
from tests.unit.bench import Bench, Heard


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Run ``work`` in threads that begin together; return what each returned or raised."""
    barrier = threading.Barrier(count)
    found: list[Any] = []

    def run() -> None:
        barrier.wait(10)
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return found


def stands_still(thread: threading.Thread) -> bool:
    """Tell whether a thread waits: it is at one place in several looks."""
    places = set()
    for _ in range(5):
        frame = sys._current_frames().get(thread.ident or 0)
        places.add(None if frame is None else (frame.f_code, frame.f_lasti))
        time.sleep(0.001)
    return len(places) == 1 and None not in places


def slowly(app: LiteQueue, work: Callable[[], Any]) -> tuple[Any, Any]:
    """Finalize in one thread; run ``work`` in another, begun in the middle of it."""
    middle, go_on = threading.Event(), threading.Event()
    found: list[Any] = []

    def wait(**_: Any) -> None:
        middle.set()
        go_on.wait(10)

    app.on_configure.connect(wait, weak=False)
    first = threading.Thread(target=app.finalize)
    second = threading.Thread(target=lambda: found.append(work()))
    first.start()
    assert middle.wait(10)
    second.start()
    wait_until(lambda: found or stands_still(second))
    early = list(found)
    go_on.set()
    first.join(10)
    second.join(10)
    return early, found


class TestThreads:
    def test_who_comes_in_the_middle_waits_for_the_shared_tasks(self, bench: Bench) -> None:
        @shared_task(name="shared")
        def shared() -> None: ...

        early, found = slowly(bench.app, lambda: sorted(bench.app.tasks))
        assert (early, found) == ([], [["shared"]])

    def test_and_for_what_annotations_say(self, bench: Bench) -> None:
        bench.app.conf.task_annotations = {"t": {"queue": "annotated"}}
        task = bench.task(lambda: None)
        early, _ = slowly(bench.app, task.delay)
        assert early == []
        assert bench.outbox.job.queue == "annotated"

    def test_many_threads_get_the_same_tasks(self, bench: Bench, heard: Heard) -> None:
        for number in range(20):
            shared_task(name=f"shared-{number}")(lambda: None)
        app = bench.app
        heard.listen(app.on_configure, app.on_after_configure, app.on_after_finalize)
        found = in_threads(8, lambda: list(map(id, app.tasks.values())))
        assert len(found[0]) == 20
        assert found == [found[0]] * 8
        assert heard.names == ["on_configure", "on_after_configure", "on_after_finalize"]


class TestFailing:
    def test_a_shared_task_that_fails_is_tried_again_and_so_are_the_rest(
        self, tmp_path: Path
    ) -> None:
        tries: list[int] = []

        class Shaky(LiteQueue):
            def gen_task_name(self, name: str, module: str) -> str:
                tries.append(1)
                if len(tries) == 1:
                    raise OSError("not yet")
                return name

        @shared_task
        def first() -> None: ...

        @shared_task
        def second() -> None: ...

        app = Shaky(tmp_path / "x.sqlite")
        with pytest.raises(OSError, match="not yet"):
            app.finalize()
        assert sorted(app.tasks) == ["first", "second"]

    def test_one_that_always_fails_says_so_each_time(self, bench: Bench) -> None:
        shared_task(name="bad", max_retry=1)(lambda: None)
        for _ in range(2):
            with pytest.raises(TypeError, match="max_retry"):
                bench.app.finalize()

    def test_an_annotation_that_fails_does_so_at_each_use_until_it_is_mended(
        self, bench: Bench
    ) -> None:
        task = bench.task(lambda: None)
        bench.app.conf.task_annotations = {"t": {"max_retries": "3"}}
        for _ in range(2):
            with pytest.raises(ImproperlyConfigured, match="max_retries"):
                task.delay()
        assert bench.outbox.jobs == []
        bench.app.conf.task_annotations = {"t": {"max_retries": 3}}
        task.delay()
        assert (bench.outbox.job.task, task.max_retries) == ("t", 3)


class TestNames:
    """A function is the same when it comes from the same place, as a module that is reloaded."""

    def define(self, app: LiteQueue, module: str, name: str = "same") -> Any:
        space = {"__name__": module, "app": app}
        exec(f"@app.task(name={name!r})\ndef run(): return __name__", space)
        return space["run"]

    def test_two_modules_cannot_share_one(self, bench: Bench) -> None:
        first = self.define(bench.app, "shop")
        with pytest.raises(ImproperlyConfigured, match="two tasks are named 'same'"):
            self.define(bench.app, "mail")
        assert bench.app.tasks["same"] is first

    def test_a_module_may_come_again(self, bench: Bench) -> None:
        self.define(bench.app, "shop")
        again = self.define(bench.app, "shop")
        assert bench.app.tasks["same"] is again

    def test_a_script_may_come_again_under_its_own_name(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        main = types.ModuleType("__main__")
        main.__file__ = "/srv/jobs.py"
        monkeypatch.setitem(sys.modules, "__main__", main)
        self.define(bench.app, "__main__")
        again = self.define(bench.app, "jobs")
        assert bench.app.tasks["same"] is again

    def test_a_shared_task_and_one_of_the_app_cannot_share_one(self, bench: Bench) -> None:
        bench.app.task(name="clash")(lambda: None)

        @shared_task(name="clash")
        def other() -> None: ...

        with pytest.raises(ImproperlyConfigured, match="two tasks are named 'clash'"):
            bench.app.finalize()


class TestConfiguring:
    def test_a_receiver_may_make_calls_eager_from_the_first_on(self, bench: Bench) -> None:
        task = bench.task(lambda: 5)

        def configure(sender: LiteQueue, **_: Any) -> None:
            sender.conf.task_always_eager = True

        bench.app.on_configure.connect(configure)
        result = task.delay()
        assert isinstance(result, EagerResult)
        assert (result.get(), bench.outbox.jobs) == (5, [])

    def test_and_so_for_many_at_once(self, bench: Bench) -> None:
        task = bench.task(lambda: 5)

        def configure(sender: LiteQueue, **_: Any) -> None:
            sender.conf.task_always_eager = True

        bench.app.on_configure.connect(configure)
        assert [each.get() for each in bench.app.enqueue_many([(task, ())])] == [5]

    def test_it_may_route(self, bench: Bench) -> None:
        task = bench.task(lambda: None)

        def configure(sender: LiteQueue, **_: Any) -> None:
            sender.conf.task_routes = {"t": "mail"}

        bench.app.on_configure.connect(configure)
        task.delay()
        assert bench.outbox.job.queue == "mail"


class TestAnotherFile:
    """`rebind`, with real files."""

    @pytest.fixture
    def app(self, tmp_path: Path) -> Iterator[LiteQueue]:
        app = LiteQueue(tmp_path / "1.sqlite", durability="process")
        app.task(name="t")(lambda: None)
        yield app
        app.close()

    def test_it_learns_of_the_app_as_the_first_did(self, app: LiteQueue, tmp_path: Path) -> None:
        from litequeue.store import registry

        for path in (tmp_path / "1.sqlite", tmp_path / "2.sqlite"):
            app.rebind(path)
            app.tasks["t"].delay()
            assert [each.name for each in registry.tasks(app.store.database)] == ["t"]

    @pytest.mark.parametrize("place", ["redis://localhost", "sqlite:///x.sqlite"])
    def test_it_is_a_file(self, app: LiteQueue, tmp_path: Path, place: str) -> None:
        with pytest.raises(NotImplementedError, match="give the path of a file"):
            app.rebind(place)
        with pytest.raises(ImproperlyConfigured):
            app.rebind(":memory:")
        assert list(tmp_path.iterdir()) == []

    def test_a_relative_one_counts_from_where_the_app_was_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        app = LiteQueue("1.sqlite")
        monkeypatch.chdir("/")
        app.rebind("2.sqlite")
        assert app.path == str(tmp_path / "2.sqlite")
