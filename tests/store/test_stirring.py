from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.store.stirring import Stirring


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    wal = tmp_path / "jobs.sqlite-wal"
    wal.touch()
    return wal


@pytest.fixture
def stirring(wal: Path) -> Iterator[Stirring]:
    stirring = Stirring(str(wal).removesuffix("-wal"))
    yield stirring
    stirring.close()


def hears(stirring: Stirring) -> bool:
    heard = bool(select.select([stirring.fd], [], [], 0)[0])
    stirring.read()
    return heard


def test_a_write_is_heard_once(stirring: Stirring, wal: Path) -> None:
    assert stirring.watching
    assert not hears(stirring)
    wal.write_bytes(b"x")
    assert hears(stirring)
    assert not hears(stirring)
    assert stirring.watching


@pytest.mark.parametrize("held", [False, True], ids=["closed", "held open"])
def test_a_wal_made_anew_is_watched_again(stirring: Stirring, wal: Path, held: bool) -> None:
    with wal.open() if held else (wal.parent / "other").open("w"):
        wal.unlink()
        assert hears(stirring)
    assert not stirring.watching
    stirring.renew()
    assert not stirring.watching, "there is none"
    wal.touch()
    stirring.renew()
    assert stirring.watching
    hears(stirring)
    stirring.renew()
    wal.write_bytes(b"x")
    assert hears(stirring)
    assert stirring.watching


def test_a_wal_that_comes_late_is_watched(tmp_path: Path) -> None:
    stirring = Stirring(str(tmp_path / "jobs.sqlite"))
    assert not stirring.watching
    (tmp_path / "jobs.sqlite-wal").touch()
    stirring.renew()
    assert stirring.watching
    stirring.close()
    stirring.close()
