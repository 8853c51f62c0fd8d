"""A frozen program is started again as a part of a worker, and knows that it is one."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import litequeue
from litequeue import freezing


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was run instead of the program."""
    ran: list[Any] = []

    def run_module(module: str, **options: Any) -> None:
        ran.append((module, list(sys.argv), options))

    monkeypatch.setattr(runpy, "run_module", run_module)
    return ran


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str, frozen: bool = True) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/tool", *arguments])
    if frozen:
        monkeypatch.setattr(sys, "frozen", True, raising=False)


def test_a_frozen_program_becomes_the_part_that_was_wanted(
    monkeypatch: pytest.MonkeyPatch, ran: list[Any]
) -> None:
    command = freezing.command("litequeue.worker.child", '{"index": 1}')
    assert command[0] == sys.executable  # which is the frozen program itself
    start(monkeypatch, *command[1:])
    with pytest.raises(SystemExit) as left:
        litequeue.freeze_support()
    assert left.value.code is None
    as_main = {"run_name": "__main__", "alter_sys": True}
    assert ran == [("litequeue.worker.child", ["/opt/tool", '{"index": 1}'], as_main)]


@pytest.mark.parametrize(
    "arguments",
    [(), ("-m",), ("-m", "calc"), ("-m", "litequeues"), ("-m", ""), ("x", "-m", "litequeue")],
)
def test_its_own_arguments_are_its_own(
    monkeypatch: pytest.MonkeyPatch, ran: list[Any], arguments: tuple[str, ...]
) -> None:
    start(monkeypatch, *arguments)
    litequeue.freeze_support()
    assert ran == []
    assert sys.argv == ["/opt/tool", *arguments]


def test_a_program_with_an_interpreter_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, ran: list[Any]
) -> None:
    start(monkeypatch, "-m", "litequeue", frozen=False)
    litequeue.freeze_support()
    assert ran == []


def test_packers_find_the_hook() -> None:
    (folder,) = freezing.hook_directories()
    assert "litequeue" in (Path(folder) / "hook-litequeue.py").read_text("utf-8")
