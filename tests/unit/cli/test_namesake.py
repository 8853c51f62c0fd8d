from __future__ import annotations

from pathlib import Path

import pytest

from litequeue.cli.worker import refuse_namesake
from litequeue.exceptions import ImproperlyConfigured


@pytest.mark.parametrize("record", ["litequeue-0.9.dist-info", "litequeue-0.9.egg-info"])
def test_the_other_project_of_our_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str
) -> None:
    (tmp_path / record).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImproperlyConfigured, match=r"litequeue 0\.9 by litements"):
        refuse_namesake()


def test_our_own_distribution_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "litequeue_jobs-0.1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "missing")
    refuse_namesake()
