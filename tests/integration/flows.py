"""What tests of workflows share: a file with one worker per module, or one for a single test."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.apps.record import Record
from tests.integration.apps.workflows import app
from tests.integration.processes import Site

APP = "tests.integration.apps.workflows:app"
WITHIN = 20.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One file with one worker, for a whole module."""
    place = Site(tmp_path_factory.mktemp("workflows"))
    place.worker(app=APP, children=2, ready=False)
    yield place
    place.close()


@pytest.fixture
def work(shared: Site) -> Iterator[Site]:
    """The site that is shared: what this process sends, its worker runs."""
    with bound(shared):
        yield shared


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A site for one test, without a worker."""
    place = Site(tmp_path)
    with bound(place):
        yield place
    place.close()


@contextmanager
def bound(place: Site) -> Iterator[None]:
    app.rebind(place.path)
    yield
    app.close()


@pytest.fixture
def facts(work: Site) -> Record:
    """What the tasks on the shared site told."""
    return Record(work.folder)


def value(canvas: Any) -> Any:
    """Send a workflow; return its value."""
    return canvas.delay().get(timeout=WITHIN)


def end(result: Any) -> str:
    """Wait for the end; return the state."""
    result.get(timeout=WITHIN, propagate=False)
    return str(result.state)


def rows(place: Site, query: str, *given: Any) -> list[Any]:
    with closing(sqlite3.connect(place.path)) as file:
        return file.execute(query, given).fetchall()


def column(place: Site, name: str, result: Any) -> Any:
    """Return what the file has of a job."""
    ((found,),) = rows(place, f"SELECT {name} FROM litequeue_job WHERE id = ?", result.id)
    return found
