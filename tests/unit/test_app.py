from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from litequeue import EagerResult, LiteQueue, Task, current_app, signals
from litequeue.app import _UNBUILT
from litequeue.exceptions import (
    ImproperlyConfigured,
    NotRegistered,
    NotSerializable,
    PayloadTooLarge,
)
from tests.unit.bench import NOW, Bench, Heard, calling, raising


def module_level(x: int) -> int:
    return x


def another() -> None: ...


class TestMaking:
    def test_settings_are_checked_at_once(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="durabilty"):
            LiteQueue("x", durabilty="full")

    def test_nothing_is_opened_before_the_first_use(self, tmp_path: Path) -> None:
        app = LiteQueue(tmp_path / "jobs.sqlite")
        app.task(module_level)
        assert app.tasks
        assert app.path
        assert list(tmp_path.iterdir()) == []

    def test_a_module_of_settings(self, tmp_path: Path) -> None:
        app = LiteQueue(tmp_path / "x", config_source={"worker_grace": 5}, task_default_queue="q")
        assert (app.conf.worker_grace, app.conf.task_default_queue) == (5.0, "q")

    def test_include_is_a_setting_and_an_argument(self, tmp_path: Path) -> None:
        app = LiteQueue(tmp_path / "x", include=["shop.tasks"])
        assert app.conf.include == ("shop.tasks",)

    @pytest.mark.parametrize("name", sorted(_UNBUILT))
    def test_what_celery_has_and_we_have_not_yet_says_so(self, bench: Bench, name: str) -> None:
        with pytest.raises(NotImplementedError, match=rf"app\.{name}"):
            getattr(bench.app, name)

    def test_what_nobody_has_is_an_attribute_error(self, bench: Bench) -> None:
        with pytest.raises(AttributeError, match="'LiteQueue' object has no attribute 'tsaks'"):
            _ = bench.app.tsaks  # type: ignore[attr-defined]  # on purpose
        assert not hasattr(bench.app, "tsaks")


class Mine(Task[..., Any]):
    pass


class TestCelerysWays:
    def test_an_app_may_be_made_the_current_one_at_any_time(self, tmp_path: Path) -> None:
        first, second = LiteQueue(tmp_path / "1"), LiteQueue(tmp_path / "2")
        assert current_app == second
        first.set_default()
        assert current_app == first
        second.set_current()
        assert current_app == second

    def test_the_class_of_tasks_may_be_assigned(self, bench: Bench) -> None:
        bench.app.Task = Mine
        assert bench.app.Task is Mine
        assert isinstance(bench.task(module_level), Mine)

    @pytest.mark.parametrize("kind", [Mine, f"{__name__}:Mine", f"{__name__}.Mine"])
    def test_or_given_by_a_subclass_of_apps(self, tmp_path: Path, kind: Any) -> None:
        class Ours(LiteQueue):
            task_cls = kind

        assert isinstance(Ours(tmp_path / "x").task(module_level), Mine)
        assert Ours(tmp_path / "x", task_cls=Task).Task is Task

    def test_options_that_are_none_ask_for_nothing(self, bench: Bench) -> None:
        task = bench.app.task(rate_limit=None, time_limit=None)(module_level)
        task.apply_async((1,), link=None, time_limit=None, soft_time_limit=None, producer=None)
        assert bench.outbox.job.body == "[[1],{}]"
        assert task.apply((1,), link=None, link_error=None).get() == 1


class TestConfigFromObject:
    def test_it_reads_at_once(self, bench: Bench) -> None:
        bench.app.config_from_object({"CELERY_WORKER_GRACE": 5}, namespace="CELERY", force=True)
        assert bench.app.conf.worker_grace == 5.0

    def test_a_module_that_is_missing_is_an_error_unless_silent(self, bench: Bench) -> None:
        with pytest.raises(ImportError):
            bench.app.config_from_object("nosuch_config")
        bench.app.config_from_object("nosuch_config", silent=True)
        with pytest.raises(ImproperlyConfigured, match="nosuch"):
            bench.app.config_from_object({"nosuch": 1}, silent=True)

    @pytest.mark.parametrize("silent", [False, True])
    def test_what_a_module_lacks_is_an_error_even_if_silent(
        self, bench: Bench, silent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "shaky_config.py").write_text("import nosuch_dependency")
        with pytest.raises(ModuleNotFoundError, match="nosuch_dependency"):
            bench.app.config_from_object("shaky_config", silent=silent)

    @pytest.mark.parametrize("name", ["nosuch.config", "nosuch.config:Class", "nosuch_config"])
    def test_silence_is_for_the_module_and_what_it_is_in(self, bench: Bench, name: str) -> None:
        bench.app.config_from_object(name, silent=True)

    @pytest.mark.parametrize("source", [None, 5, 1.5, b"x", [], (), set()])
    def test_what_holds_no_settings_is_refused(self, bench: Bench, source: object) -> None:
        with pytest.raises(ImproperlyConfigured, match="settings come from"):
            bench.app.config_from_object(source)


class TestNames:
    def test_a_task_is_named_by_module_and_function(self, bench: Bench) -> None:
        assert bench.app.task(module_level).name == f"{__name__}.module_level"
        assert bench.app.tasks[f"{__name__}.module_level"].run is module_level

    def test_a_name_can_be_given(self, bench: Bench) -> None:
        assert bench.app.task(name="shop.pay")(module_level).name == "shop.pay"

    def test_how_tasks_are_named_may_be_overridden(self, tmp_path: Path) -> None:
        class Named(LiteQueue):
            def gen_task_name(self, name: str, module: str) -> str:
                return f"ours.{name}"

        assert Named(tmp_path / "x").task(module_level).name == "ours.module_level"

    def test_a_task_of_an_interactive_session_is_refused_when_sent(self, bench: Bench) -> None:
        task = bench.app.task(name="__main__.pay")(module_level)
        with pytest.raises(ImproperlyConfigured, match="interactive session"):
            task.delay(1)
        assert task(1) == 1
        assert bench.outbox.jobs == []

    def test_two_functions_of_one_name_are_refused(self, bench: Bench) -> None:
        first = bench.app.task(name="pay")(module_level)
        with pytest.raises(ImproperlyConfigured, match="two tasks are named 'pay'"):
            bench.app.task(name="pay")(another)
        assert bench.app.tasks["pay"] is first

    def test_the_same_function_may_come_again_as_reloading_does(self, bench: Bench) -> None:
        bench.app.task(name="pay")(module_level)
        again = bench.app.task(name="pay", max_retries=1)(module_level)
        assert bench.app.tasks["pay"] is again

    @pytest.mark.parametrize("name", ["two\nlines", "n" * 256, "é" * 128])
    def test_a_name_that_the_file_would_not_take_is_refused(self, bench: Bench, name: str) -> None:
        with pytest.raises(ImproperlyConfigured, match="the name of a task"):
            bench.app.task(name=name)(module_level)
        assert dict(bench.app.tasks) == {}

    def test_what_is_no_function_is_refused(self, bench: Bench) -> None:
        with pytest.raises(TypeError, match=r"takes a function, not 'shop\.pay'"):
            bench.app.task("shop.pay")  # type: ignore[call-overload]  # on purpose

    def test_the_registry_names_the_nearest(self, bench: Bench) -> None:
        bench.app.task(name="shop.pay")(module_level)
        with pytest.raises(NotRegistered, match=r"'shop.pya'; did you mean 'shop.pay'\?"):
            bench.app.tasks["shop.pya"]
        with pytest.raises(NotRegistered, match=r"is its module imported\?"):
            bench.app.tasks["quite.different"]
        assert bench.app.tasks.get("shop.pya") is None


class TestFinalize:
    def test_signals_tell_of_it_once(self, bench: Bench, heard: Heard) -> None:
        app = bench.app
        heard.listen(app.on_configure, app.on_after_configure, app.on_after_finalize)
        assert heard.names == []
        app.finalize()
        assert heard.names == ["on_configure", "on_after_configure", "on_after_finalize"]
        assert heard.of("on_after_configure") == {"sender": app, "source": app.conf}
        app.finalize()
        app.task(name="later")(another)
        assert list(app.tasks) == ["later"]
        assert len(heard.names) == 3

    def test_it_is_done_at_first_use(self, bench: Bench, heard: Heard) -> None:
        task = bench.task(lambda: None)
        heard.listen(bench.app.on_after_finalize)
        task.delay()
        assert heard.names == ["on_after_finalize"]

    def test_a_receiver_may_look_at_the_tasks(self, bench: Bench) -> None:
        seen: list[Any] = []

        def look(sender: LiteQueue, **_: Any) -> None:
            seen.extend(sender.tasks)

        bench.app.on_after_finalize.connect(look)
        bench.task(lambda: None)
        bench.app.finalize()
        assert seen == ["t"]


class TestModules:
    @pytest.fixture
    def shop(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Packages "shop" and "mail" with tasks, whose imports are forgotten afterwards."""
        for name in ("shop", "mail"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("")
            (tmp_path / name / "tasks.py").write_text("")
            (tmp_path / name / "jobs.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
        yield lambda: {name for name in sys.modules if name.partition(".")[0] in ("shop", "mail")}
        for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "mail")]:
            del sys.modules[name]

    def test_a_worker_imports_what_is_named(self, bench: Bench, shop: Any) -> None:
        bench.app.conf["imports"] = ["shop.jobs"]
        bench.app.conf["include"] = ["mail.jobs"]
        bench.app.autodiscover_tasks(["shop", "mail"])
        assert shop() == set()
        bench.app.import_modules()
        assert shop() == {"shop", "mail", "shop.jobs", "mail.jobs", "shop.tasks", "mail.tasks"}

    def test_discovery_may_be_asked_for_at_once(self, bench: Bench, shop: Any) -> None:
        bench.app.autodiscover_tasks(["shop"], related_name="jobs", force=True)
        assert shop() == {"shop", "shop.jobs"}

    def test_packages_may_come_from_a_function_that_is_called_late(
        self, bench: Bench, shop: Any
    ) -> None:
        names: list[str] = []
        bench.app.autodiscover_tasks(lambda: names)
        names.append("mail")
        bench.app.import_modules()
        assert shop() == {"mail", "mail.tasks"}

    def test_one_package_may_be_a_text(self, bench: Bench, shop: Any) -> None:
        bench.app.autodiscover_tasks("shop", force=True)
        assert shop() == {"shop", "shop.tasks"}

    def test_without_packages_there_is_nobody_to_ask(self, bench: Bench) -> None:
        with pytest.raises(ImproperlyConfigured, match="needs the packages"):
            bench.app.autodiscover_tasks()

    def test_discovery_happens_once(self, bench: Bench) -> None:
        calls: list[int] = []

        def packages() -> list[str]:
            calls.append(1)
            return []

        bench.app.autodiscover_tasks(packages)
        bench.app.import_modules()
        bench.app.import_modules()
        assert calls == [1]

    def test_the_signal_comes_first_and_its_errors_count(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.import_modules)
        bench.app.import_modules()
        assert heard.of("import_modules") == {"sender": bench.app}

        def refuse(**_: Any) -> None:
            raise ImportError("not today")

        signals.import_modules.connect(refuse)
        with pytest.raises(ImportError, match="not today"):
            bench.app.import_modules()

    def test_a_module_that_is_missing_is_an_error(self, bench: Bench) -> None:
        bench.app.conf["include"] = ["nosuch_module"]
        with pytest.raises(ModuleNotFoundError, match="nosuch_module"):
            bench.app.import_modules()


class TestSendTask:
    def test_a_task_that_is_not_known_here_is_sent(self, bench: Bench) -> None:
        result = bench.app.send_task(
            "elsewhere.pay", (1,), {"x": 2}, countdown=5, queue="mail", priority=3, task_id="mine"
        )
        job = bench.outbox.job
        assert (job.id, job.task, job.body) == ("mine", "elsewhere.pay", '[[1],{"x":2}]')
        assert (job.queue, job.priority, job.eta, result.id) == ("mail", 3, NOW + 5, "mine")
        assert "elsewhere.pay" not in bench.app.tasks

    def test_arguments_are_not_checked_as_in_celery(self, bench: Bench) -> None:
        bench.task(lambda: None)
        bench.app.send_task("t", (1, 2, 3))
        assert bench.outbox.job.body == "[[1,2,3],{}]"

    def test_routes_count(self, bench: Bench) -> None:
        bench.app.conf.task_routes = {"elsewhere.*": "far"}
        bench.app.send_task("elsewhere.pay")
        assert bench.outbox.job.queue == "far"

    def test_it_is_never_eager(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        bench.app.conf.task_always_eager = True
        bench.task(raising(AssertionError("ran")))
        bench.app.send_task("t")
        assert bench.outbox.job.task == "t"
        assert "task_always_eager does not hold for send_task()" in caplog.text

    def test_a_name_that_the_file_would_not_take_is_refused(self, bench: Bench) -> None:
        with pytest.raises(ImproperlyConfigured, match="the name of a task"):
            bench.app.send_task("")
        with pytest.raises(TypeError, match="contdown"):
            bench.app.send_task("t", contdown=5)


class TestAlwaysEager:
    @pytest.fixture(autouse=True)
    def _eager(self, bench: Bench) -> None:
        bench.app.conf.task_always_eager = True

    def test_a_call_runs_here_and_now(self, bench: Bench) -> None:
        seen: list[Any] = []

        def work(self: Any, x: int) -> int:
            seen.append(self.request)
            return x + 1

        task = bench.task(work, bind=True)
        result = task.apply_async((1,), task_id="mine", headers={"k": "v"}, countdown=100)
        assert isinstance(result, EagerResult)
        assert (result.id, result.get(), result.state, result.name) == ("mine", 2, "SUCCESS", "t")
        assert (seen[0].is_eager, seen[0].called_directly, seen[0].id) == (True, False, "mine")
        assert seen[0].headers == {"k": "v"}
        assert task.delay(1).get() == 2
        assert bench.outbox.jobs == []

    def test_what_could_not_travel_is_refused(self, bench: Bench) -> None:
        task = bench.task(lambda x: None)
        bench.app.conf.task_max_arguments_size = 100
        with pytest.raises(NotSerializable):
            task.delay(object())
        with pytest.raises(PayloadTooLarge):
            task.delay("x" * 200)

    def test_an_exception_is_a_result_unless_it_propagates(self, bench: Bench) -> None:
        task = bench.task(raising(KeyError("k")))
        result = task.delay()
        assert (result.state, type(result.result)) == ("FAILURE", KeyError)
        with pytest.raises(KeyError):
            result.get()
        bench.app.conf.task_eager_propagates = True
        with pytest.raises(KeyError):
            task.delay()

    def test_a_call_from_an_eager_task_knows_its_parent(self, bench: Bench) -> None:
        seen: list[Any] = []
        inner = bench.app.task(name="inner", bind=True)(lambda self: seen.append(self.request))
        bench.task(calling(inner.delay))
        bench.app.tasks["t"].apply_async(task_id="outer")
        assert (seen[0].parent_id, seen[0].root_id) == ("outer", "outer")


class TestFacts:
    def test_people_see_names_signatures_and_summaries(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @bench.app.task(name="b.pay", queue="mail", bind=True)
        def pay(self: Any, order: int, *, now: bool = False) -> str:
            """Pay an order.

            More about it.
            """
            return ""

        bench.app.task(name="a")(another)
        module = types.ModuleType("shop")
        module.app = bench.app  # type: ignore[attr-defined]  # a global
        monkeypatch.setitem(sys.modules, "shop", module)
        bench.app._module = "shop"
        facts = bench.app.facts()
        assert facts.name == "shop:app"
        assert facts.root == str(Path.cwd())
        assert [task.name for task in facts.tasks] == ["a", "b.pay"]
        mail = facts.tasks[1]
        assert mail.signature == "(order: 'int', *, now: 'bool' = False) -> 'str'"
        assert (mail.summary, mail.queue) == ("Pay an order.", "mail")
        assert (facts.tasks[0].summary, facts.tasks[0].queue) == ("", None)

    def test_an_app_that_is_no_global_has_no_name(self, bench: Bench) -> None:
        assert bench.app.facts().name is None


class TestClosing:
    def test_an_app_may_move_to_another_file(self, tmp_path: Path) -> None:
        app = LiteQueue(tmp_path / "1.sqlite")
        app.rebind(tmp_path / "2.sqlite")
        assert app.path == str(tmp_path / "2.sqlite")
        app.close()

    def test_an_app_that_was_never_used_closes(self, tmp_path: Path) -> None:
        LiteQueue(tmp_path / "jobs.sqlite").close()
        assert list(tmp_path.iterdir()) == []
