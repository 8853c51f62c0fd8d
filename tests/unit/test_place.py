from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue
from litequeue.exceptions import ImproperlyConfigured
from litequeue.place import locate, normalise


@pytest.mark.parametrize(
    ("path", "hint"),
    [("", "empty"), (":memory:", "one process"), ("file:q?mode=rw", "URI"), ("a\0b", "NUL")],
)
def test_what_is_no_path_is_refused_with_a_hint(path: str, hint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=hint):
        normalise(path)


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert normalise("a/../jobs.sqlite") == str(tmp_path / "jobs.sqlite")
    assert normalise(tmp_path / "file:odd") == str(tmp_path / "file:odd")


def test_a_relative_path_counts_from_where_the_app_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    app, deeper = LiteQueue("jobs.sqlite"), LiteQueue(Path("sub/jobs.sqlite"))
    monkeypatch.chdir("/")
    assert app.path == str(tmp_path / "jobs.sqlite")
    assert deeper.path == str(tmp_path / "sub/jobs.sqlite")


def test_an_absolute_path_stays_as_it_is(tmp_path: Path) -> None:
    assert locate(str(tmp_path / "x"), "/elsewhere") == str(tmp_path / "x")


def test_the_environment_names_the_file_when_the_code_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITEQUEUE_URL", str(tmp_path / "env.sqlite"))
    assert LiteQueue().path == str(tmp_path / "env.sqlite")
    assert LiteQueue(tmp_path / "code.sqlite").path == str(tmp_path / "code.sqlite")


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="LITEQUEUE_URL"):
        LiteQueue()


@pytest.mark.parametrize(
    "path", ["", ":memory:", "file:jobs.sqlite?mode=rwc", "file::memory:", "a\0b"]
)
def test_what_is_no_files_path_is_refused(path: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        LiteQueue(path)
    with pytest.raises(ImproperlyConfigured):
        LiteQueue("tasks", broker=path)


@pytest.mark.parametrize(
    "place", ["redis://localhost", "amqp://host//", "sqlite:///jobs.sqlite", 7]
)
def test_a_place_that_is_no_path_is_not_taken_for_one(place: Any) -> None:
    with pytest.raises(NotImplementedError, match="give the path of a file"):
        LiteQueue(place)
    with pytest.raises(NotImplementedError, match="give the path of a file"):
        LiteQueue("tasks", broker=place)


class TestAsCeleryIsCalled:
    def test_the_broker_is_the_file_and_the_first_argument_a_name(self, tmp_path: Path) -> None:
        app = LiteQueue("tasks", broker=tmp_path / "jobs.sqlite")
        assert (app.path, app.main) == (str(tmp_path / "jobs.sqlite"), "tasks")

    def test_without_one_the_first_argument_is_the_file(self, tmp_path: Path) -> None:
        assert LiteQueue(tmp_path / "jobs.sqlite").main is None

    def test_a_setting_may_name_the_file(self, tmp_path: Path) -> None:
        path = str(tmp_path / "jobs.sqlite")
        assert LiteQueue(broker_url=path).path == path
        late = LiteQueue(tmp_path / "other.sqlite")
        late.conf.broker_url = path
        assert late.path == path

    def test_the_backend_may_be_the_same_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        path = tmp_path / "jobs.sqlite"
        app = LiteQueue("tasks", broker="jobs.sqlite", backend=path)
        assert (app.path, app.conf.result_backend) == (str(path), str(path))

    def test_another_backend_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"results live in the queue's own file"):
            LiteQueue("tasks", broker=tmp_path / "jobs.sqlite", backend=tmp_path / "r.sqlite")
        with pytest.raises(NotImplementedError, match="redis://"):
            LiteQueue("tasks", broker=tmp_path / "jobs.sqlite", backend="redis://localhost")
