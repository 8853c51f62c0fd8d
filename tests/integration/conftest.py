"""A site: one directory with one queue, on which real workers and producers are started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import tasks
from tests.integration.apps.record import Record
from tests.integration.processes import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that the tasks in this process send to; nothing of it runs on after the test."""
    place = Site(tmp_path)
    tasks.app.rebind(place.path)
    yield place
    tasks.app.close()
    place.close()


@pytest.fixture
def facts(site: Site) -> Record:
    """What the app's tasks, hooks and receivers wrote down, whichever process they ran in."""
    return Record(site.folder)
