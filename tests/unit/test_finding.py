from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue, current_app
from litequeue.exceptions import ImproperlyConfigured, NotRegistered
from litequeue.finding import find_app


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("shop")
    module.first = LiteQueue(tmp_path / "1.sqlite")  # type: ignore[attr-defined]  # a global
    module.holder = types.SimpleNamespace(app=module.first)  # type: ignore[attr-defined]  # a global
    module.number = 5  # type: ignore[attr-defined]  # a global
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


def test_by_module_and_name(shop: Any) -> None:
    assert find_app("shop:first") is shop.first
    assert find_app("shop:holder.app") is shop.first


def test_the_only_app_needs_no_name_even_with_an_alias(shop: Any) -> None:
    assert find_app("shop") is shop.first
    shop.alias = shop.first
    assert find_app("shop") is shop.first


def test_several_apps_need_a_name(shop: Any, tmp_path: Path) -> None:
    shop.second = LiteQueue(tmp_path / "2.sqlite")
    with pytest.raises(ImproperlyConfigured, match="shop:first, shop:second"):
        find_app("shop")
    assert find_app("shop:second") is shop.second


def test_no_app_is_said_so(shop: Any) -> None:
    del shop.first
    with pytest.raises(ImproperlyConfigured, match="found none"):
        find_app("shop")


def test_what_is_not_there_is_said_so(shop: Any) -> None:
    with pytest.raises(NotRegistered, match="no attribute 'nosuch'"):
        find_app("shop:nosuch")
    with pytest.raises(NotRegistered, match=r"no attribute 'first\.nosuch'"):
        find_app("shop:first.nosuch")
    with pytest.raises(ModuleNotFoundError):
        find_app("nosuch_module:app")


def test_what_is_no_app_is_said_so(shop: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="is a int, not a LiteQueue app"):
        find_app("shop:number")


@pytest.mark.parametrize("name", ["", "shop/tasks.py", "my-shop:app", ":app", "a..b"])
def test_what_names_no_module_is_said_so(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="say -A MODULE:APP"):
        find_app(name)


def test_an_imported_current_app_is_no_app_of_the_module(shop: Any, tmp_path: Path) -> None:
    shop.current_app = current_app
    assert find_app("shop") is shop.first
    LiteQueue(tmp_path / "last.sqlite")
    assert find_app("shop") is shop.first


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to import from; what was imported is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def package(folder: Path, name: str, **modules: str) -> None:
    (folder / name).mkdir()
    for module, text in {"__init__": "", **modules}.items():
        (folder / name / f"{module}.py").write_text(text)


MAKE = "from litequeue import LiteQueue\napp = LiteQueue({!r})\n"


class TestPackages:
    """As Celery's projects are laid out: `-A proj` means proj/celery.py."""

    def test_the_app_is_in_its_module_celery(self, folder: Path) -> None:
        package(folder, "proj", celery=MAKE.format(str(folder / "p.sqlite")))
        app = find_app("proj")
        assert app is sys.modules["proj.celery"].app
        assert find_app("proj.celery:app") is app

    def test_unless_the_package_has_one_itself(self, folder: Path) -> None:
        package(
            folder,
            "proj",
            __init__=MAKE.format(str(folder / "p.sqlite")),
            celery="raise AssertionError('imported')",
        )
        assert find_app("proj") is sys.modules["proj"].app

    def test_a_package_that_imports_it_by_another_name_has_it(self, folder: Path) -> None:
        package(
            folder,
            "proj",
            __init__="from .celery import app as celery_app",
            celery=MAKE.format(str(folder / "p.sqlite")),
        )
        assert find_app("proj") is sys.modules["proj.celery"].app

    def test_current_app_in_the_package_is_not_one(self, folder: Path) -> None:
        LiteQueue(folder / "another.sqlite")
        package(
            folder,
            "proj",
            __init__="from litequeue import current_app",
            celery=MAKE.format(str(folder / "p.sqlite")),
        )
        assert find_app("proj") is sys.modules["proj.celery"].app

    def test_without_either_it_says_where_it_looked(self, folder: Path) -> None:
        package(folder, "proj")
        with pytest.raises(ImproperlyConfigured, match=r"which app in proj\? found none"):
            find_app("proj")
        package(folder, "empty", celery="")
        with pytest.raises(ImproperlyConfigured, match=r"which app in empty\.celery\?"):
            find_app("empty")

    def test_what_the_module_lacks_is_an_error_of_its_own(self, folder: Path) -> None:
        package(folder, "proj", celery="import nosuch_dependency")
        with pytest.raises(ModuleNotFoundError, match="nosuch_dependency"):
            find_app("proj")


def test_what_the_app_wants_imported_is_imported(shop: Any, monkeypatch: Any) -> None:
    more = types.ModuleType("shop_more")
    monkeypatch.setitem(sys.modules, "shop_more", more)
    imported: list[str] = []

    def import_module(name: str) -> Any:
        imported.append(name)
        return shop

    monkeypatch.setattr("importlib.import_module", import_module)
    shop.first.conf.include = ["shop_more"]
    find_app("shop:first")
    assert imported == ["shop", "shop_more"]
