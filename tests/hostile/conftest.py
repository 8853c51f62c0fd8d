from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.battle import Battle, fight
from tests.integration.processes import Site


@pytest.fixture(scope="session")
def battle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battle]:
    """A worker on a file full of traps, after it has dealt with them."""
    site = Site(tmp_path_factory.mktemp("battle"))
    canary = site.folder / "canary-imported"
    site.write("hostile_canary.py", f"open({str(canary)!r}, 'w').close()\n")
    try:
        yield fight(site)
    finally:
        site.close()
