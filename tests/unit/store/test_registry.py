"""What a file remembers of its apps may hold texts that are none: they are hints for people."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue
from litequeue.store import registry
from litequeue.store.registry import storable

ODD = os.fsdecode(b"caf\xe9")
"""The name of a folder that is not UTF-8."""


@pytest.mark.parametrize(
    ("text", "stored"),
    [("café ☃", "café ☃"), (ODD, r"caf\udce9"), ("\ud800", r"\ud800"), ("", "")],
)
def test_text_that_is_none_is_stored_in_words(text: str, stored: str) -> None:
    assert storable(text) == stored
    stored.encode()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiteQueue]:
    folder = tmp_path / ODD
    try:
        folder.mkdir()
    except OSError:  # some file systems know only whole characters
        pytest.skip("this file system has no such names")
    monkeypatch.chdir(folder)
    app = LiteQueue("jobs.sqlite", durability="process")
    module = types.ModuleType("shop")
    module.app = app  # type: ignore[attr-defined]  # a global
    monkeypatch.setitem(sys.modules, "shop", module)
    app._module = "shop"
    yield app
    app.close()


def test_an_app_in_a_folder_that_is_not_utf_8_is_recorded_and_found(app: LiteQueue) -> None:
    app.task(name="t")(lambda: None).delay()
    (found,) = registry.apps(app.store.database)
    assert found.name == "shop:app"
    assert found.root.endswith(r"caf\udce9")


def test_so_is_a_task_whose_signature_is_not(app: LiteQueue) -> None:
    def pay(order: str = ODD) -> None: ...

    app.task(name="t")(pay).delay()
    (found,) = registry.tasks(app.store.database)
    assert r"'caf\udce9'" in found.signature


class Shy:
    def __repr__(self) -> str:
        return f"<{ODD}>"


def test_and_one_whose_default_shows_itself_in_such_text(app: LiteQueue) -> None:
    def pay(order: Any = Shy()) -> None: ...  # noqa: B008 - a default of its own, on purpose

    app.task(name="t")(pay).delay()
    (found,) = registry.tasks(app.store.database)
    assert r"<caf\udce9>" in found.signature
