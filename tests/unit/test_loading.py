from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from litequeue.loading import attribute_of, import_related, importable, type_name


class Order:
    class Line: ...


VALUE = ["a value"]
_PRIVATE = ["a private one"]


@pytest.fixture
def run_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None, str | None], None]:
    """Pretend that this program was started from a file, or with ``-m``."""

    def pretend(file: str | None, spec: str | None) -> None:
        main = types.ModuleType("__main__")
        main.__spec__ = types.SimpleNamespace(name=spec) if spec else None  # type: ignore[assignment]  # enough of one
        if file:
            main.__file__ = file
        monkeypatch.setitem(sys.modules, "__main__", main)

    return pretend


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to import from; what was imported is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    """Make modules; "a__b" is a/b.py."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class TestNames:
    def test_a_class_is_named_by_module_and_place(self) -> None:
        assert type_name(Order) == f"{__name__}.Order"
        assert type_name(Order.Line) == f"{__name__}.Order.Line"

    @pytest.mark.parametrize(
        ("file", "spec", "name"),
        [
            ("/srv/shop/jobs.py", None, "jobs"),
            ("/srv/shop/__main__.py", "shop.__main__", "shop"),
            ("/srv/shop/jobs.py", "shop.jobs", "shop.jobs"),
            ("/srv/shop/nightly", None, "nightly"),
            ("/srv/shop/my-jobs.py", None, "__main__"),
            ("/srv/shop/2nd.py", None, "__main__"),
            ("/srv/shop/jobs.v2.py", None, "__main__"),
            ("<stdin>", None, "__main__"),
            ("<string>", None, "__main__"),
            (None, None, "__main__"),
        ],
    )
    def test_what_runs_as_a_program_is_named_as_a_worker_imports_it(
        self, file: str | None, spec: str | None, name: str, run_as: Callable[..., None]
    ) -> None:
        run_as(file, spec)
        assert importable("__main__") == name
        assert importable("other") == "other"
        assert type_name(type("Pay", (), {"__module__": "__main__"})) == f"{name}.Pay"


class TestAttributes:
    def test_a_global_has_a_name(self) -> None:
        assert attribute_of(VALUE, __name__) == f"{__name__}:VALUE"

    def test_what_is_no_public_global_has_none(self) -> None:
        assert attribute_of(_PRIVATE, __name__) is None
        assert attribute_of(["a value"], __name__) is None, "equal is not the same"
        assert attribute_of(VALUE, "nosuch.module") is None

    def test_a_script_has_the_name_of_its_file_and_a_session_has_none(
        self, run_as: Callable[..., None]
    ) -> None:
        run_as("/srv/shop/jobs.py", None)
        sys.modules["__main__"].value = VALUE  # type: ignore[attr-defined]  # a global
        assert attribute_of(VALUE, "__main__") == "jobs:value"
        run_as(None, None)
        sys.modules["__main__"].value = VALUE  # type: ignore[attr-defined]  # a global
        assert attribute_of(VALUE, "__main__") is None


class TestRelated:
    def test_the_module_of_each_package_that_has_one_is_imported(self, folder: Path) -> None:
        write(folder, shop____init__="", shop__tasks="X = 1", mail____init__="", plain="")
        write(folder, shop__sub____init__="", shop__sub__tasks="X = 2")
        modules = import_related(["shop", "mail", "plain", "shop.sub"], "tasks")
        assert [module.__name__ for module in modules] == ["shop.tasks", "shop.sub.tasks"]

    def test_without_a_related_name_the_packages_themselves_are(self, folder: Path) -> None:
        write(folder, plain="X = 3")
        assert [module.X for module in import_related(["plain"], None)] == [3]

    def test_a_class_stands_for_its_package_as_in_celery(self, folder: Path) -> None:
        write(folder, shop____init__="class Config: pass", shop__tasks="X = 4")
        assert [each.X for each in import_related(["shop.Config"], "tasks")] == [4]

    def test_a_class_in_a_module_has_no_module_of_tasks_as_in_celery(self, folder: Path) -> None:
        write(folder, shop____init__="", shop__apps="class Config: pass", shop__tasks="X = 4")
        assert import_related(["shop.apps.Config"], "tasks") == []

    def test_what_the_module_of_a_class_lacks_is_an_error(self, folder: Path) -> None:
        write(folder, shop____init__="", shop__apps="import nosuch_dependency")
        for name in ("shop.apps.Config", "shop.apps", "nosuch_package.Config"):
            with pytest.raises(ModuleNotFoundError, match="nosuch"):
                import_related([name], "tasks")

    def test_a_package_that_is_missing_is_an_error(self, folder: Path) -> None:
        with pytest.raises(ModuleNotFoundError, match="nosuch_package"):
            import_related(["nosuch_package"], "tasks")

    def test_what_a_module_of_tasks_lacks_is_an_error(self, folder: Path) -> None:
        write(folder, shop____init__="", shop__tasks="import nosuch_dependency")
        with pytest.raises(ModuleNotFoundError, match="nosuch_dependency"):
            import_related(["shop"], "tasks")
