from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue
from litequeue.app import default_name, find_app
from litequeue.exceptions import ImproperlyConfigured, NotRegistered


def module_level(x: int) -> int:
    return x


@pytest.fixture
def unopened(tmp_path: Path) -> Iterator[LiteQueue]:
    """An app whose file no test of this module may create."""
    app = LiteQueue(tmp_path / "jobs.sqlite")
    yield app
    assert not Path(app.path).exists()


class TestPath:
    def test_a_path_is_made_absolute_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        app = LiteQueue("jobs.sqlite")
        monkeypatch.chdir("/")
        assert app.path == str(tmp_path / "jobs.sqlite")

    def test_the_environment_names_the_file_when_the_code_does_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LITEQUEUE_URL", str(tmp_path / "env.sqlite"))
        assert LiteQueue().path == str(tmp_path / "env.sqlite")
        assert LiteQueue(tmp_path / "code.sqlite").path == str(tmp_path / "code.sqlite")

    def test_no_path_at_all_is_refused(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="LITEQUEUE_URL"):
            LiteQueue()

    @pytest.mark.parametrize("path", ["", ":memory:", "file:jobs.sqlite?mode=rwc", "a\0b"])
    def test_what_is_no_files_path_is_refused(self, path: str) -> None:
        with pytest.raises(ImproperlyConfigured):
            LiteQueue(path)

    def test_settings_are_checked_at_once(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="durabilty"):
            LiteQueue("x", durabilty="full")


class TestNames:
    def test_a_task_is_named_by_module_and_function(self, unopened: LiteQueue) -> None:
        assert unopened.task(module_level).name == f"{__name__}.module_level"
        assert unopened.tasks[f"{__name__}.module_level"].run is module_level

    def test_a_name_can_be_given(self, unopened: LiteQueue) -> None:
        assert unopened.task(name="shop.pay")(module_level).name == "shop.pay"

    def test_nested_functions_have_their_path_in_the_name(self) -> None:
        def inner() -> None: ...

        assert default_name(inner).endswith(".<locals>.inner")

    @pytest.mark.parametrize(
        ("file", "spec", "name"),
        [
            ("/srv/shop/jobs.py", None, "jobs"),
            ("/srv/shop/__main__.py", "shop.__main__", "shop"),
            ("/srv/shop/jobs.py", "shop.jobs", "shop.jobs"),
            (None, None, "__main__"),
        ],
        ids=["script", "python -m package", "python -m module", "interactive"],
    )
    def test_what_runs_as_a_program_is_named_as_a_worker_imports_it(
        self, file: str | None, spec: str | None, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        main = types.ModuleType("__main__")
        main.__spec__ = types.SimpleNamespace(name=spec) if spec else None  # type: ignore[assignment]  # enough of one
        if file:
            main.__file__ = file
        monkeypatch.setitem(sys.modules, "__main__", main)
        function = types.FunctionType(module_level.__code__, {"__name__": "__main__"}, "pay")
        function.__module__ = "__main__"
        function.__qualname__ = "pay"
        assert default_name(function) == f"{name}.pay"

    def test_a_task_of_an_interactive_session_is_refused_when_sent(
        self, unopened: LiteQueue
    ) -> None:
        task = unopened.task(name="__main__.pay")(module_level)
        with pytest.raises(ImproperlyConfigured, match="interactive session"):
            task.delay(1)
        assert task(1) == 1

    def test_two_functions_of_one_name_are_refused(self, unopened: LiteQueue) -> None:
        unopened.task(name="pay")(module_level)
        with pytest.raises(ImproperlyConfigured, match="two tasks are named 'pay'"):
            unopened.task(name="pay")(default_name)
        assert unopened.task(name="pay")(module_level) is unopened.tasks["pay"]

    def test_coroutines_are_still_to_come(self, unopened: LiteQueue) -> None:
        async def later() -> None: ...

        with pytest.raises(NotImplementedError, match="async def"):
            unopened.task(later)
        assert unopened.tasks == {}


class TestFindApp:
    @pytest.fixture
    def shop(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
        module = types.ModuleType("shop")
        module.first = LiteQueue(tmp_path / "1.sqlite")
        module.holder = types.SimpleNamespace(app=module.first)
        module.number = 5
        monkeypatch.setitem(sys.modules, "shop", module)
        return module

    def test_by_module_and_name(self, shop: Any) -> None:
        assert find_app("shop:first") is shop.first
        assert find_app("shop:holder.app") is shop.first

    def test_the_only_app_needs_no_name_even_with_an_alias(self, shop: Any) -> None:
        assert find_app("shop") is shop.first
        shop.alias = shop.first
        assert find_app("shop") is shop.first

    def test_several_apps_need_a_name(self, shop: Any, tmp_path: Path) -> None:
        shop.second = LiteQueue(tmp_path / "2.sqlite")
        with pytest.raises(ImproperlyConfigured, match="shop:first, shop:second"):
            find_app("shop")

    def test_no_app_is_said_so(self, shop: Any) -> None:
        del shop.first
        with pytest.raises(ImproperlyConfigured, match="found none"):
            find_app("shop")

    def test_what_is_not_there_is_said_so(self, shop: Any) -> None:
        with pytest.raises(NotRegistered, match="no attribute 'nosuch'"):
            find_app("shop:nosuch")
        with pytest.raises(NotRegistered, match=r"no attribute 'first\.nosuch'"):
            find_app("shop:first.nosuch")
        with pytest.raises(ModuleNotFoundError):
            find_app("nosuch_module:app")

    def test_what_is_no_app_is_said_so(self, shop: Any) -> None:
        with pytest.raises(ImproperlyConfigured, match="is a int, not a LiteQueue app"):
            find_app("shop:number")


@pytest.mark.parametrize(
    "place", ["redis://localhost", "amqp://host//", "sqlite:///jobs.sqlite", 7]
)
def test_a_place_that_is_no_path_is_not_taken_for_one(place: object) -> None:
    with pytest.raises(NotImplementedError, match="give the path of a file"):
        LiteQueue(place)  # type: ignore[arg-type]  # on purpose
