"""Fixtures of the unit tests: nothing of the process is left behind, nothing touches a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from litequeue import context, registry, shared, signals
from tests.unit.bench import Bench, Heard


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test receivers, shared tasks and a current app of its own."""
    for signal in signals.ALL:
        monkeypatch.setattr(signal, "receivers", ())
    monkeypatch.setattr(registry, "shared", [])
    monkeypatch.setattr(shared, "shared", registry.shared)
    monkeypatch.setattr(context, "_app", [])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An app without a file."""
    return Bench(tmp_path)


@pytest.fixture
def heard() -> Heard:
    """Who hears of signals and hooks."""
    return Heard()
