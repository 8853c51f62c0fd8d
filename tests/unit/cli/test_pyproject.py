"""[tool.litequeue] is read by the command line, and everything else wins over it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from litequeue import LiteQueue
from litequeue.cli import pyproject
from litequeue.store import Database
from tests.unit.cli.conftest import Cli


def write(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text)


def test_it_names_the_file(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, '[tool.litequeue]\ndatabase = "mine.sqlite"\n')
    assert "mine.sqlite" in cli("jobs").sentence
    assert "given.sqlite" in cli("jobs", "given.sqlite").sentence
    monkeypatch.setenv("LITEQUEUE_URL", "said.sqlite")
    assert "said.sqlite" in cli("jobs").sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[tool.litequeue", "pyproject.toml is no TOML"),
        ("tool.litequeue = 5", "tool.litequeue in pyproject.toml is no table"),
        ("[tool.litequeue]\napp = 5", "app of [tool.litequeue] in pyproject.toml is a text"),
        ("[tool.litequeue]\ndatabase = ':memory:'", "a queue in :memory: would be seen"),
        ('[tool.litequeue]\ndatabase = "a\\u0000b"', "the path of the queue file holds a NUL"),
    ],
)
def test_a_table_that_makes_no_sense_is_exit_2(
    cli: Cli, tmp_path: Path, text: str, sentence: str
) -> None:
    write(tmp_path, text)
    done = cli("jobs")
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(sentence)


def test_an_unknown_setting_is_named(cli: Cli, tmp_path: Path, queue_path: Path) -> None:
    write(tmp_path, "[tool.litequeue]\nqueue_busy_timeuot = 3\n")
    done = cli("jobs", queue_path)
    assert done.code == 4
    assert "queue_busy_timeout" in done.sentence


def test_a_project_without_a_table_says_nothing(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path, '[project]\nname = "litequeue-user"\n')
    assert pyproject.read() == pyproject.Table()
    (tmp_path / "pyproject.toml").unlink()
    assert pyproject.read() == pyproject.Table()


def test_its_settings_are_the_lowest_of_all(
    cli: Cli, tmp_path: Path, queue_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        "[tool.litequeue]\nworker_grace = 1\nresult_expires = 2\ntask_max_deliveries = 7\n",
    )
    monkeypatch.setenv("LITEQUEUE_WORKER_GRACE", "30")
    app = LiteQueue(queue_path, result_expires=5)
    pyproject.give_to(app.conf)
    assert app.conf.worker_grace == 30
    assert app.conf.result_expires == 5
    assert app.conf.task_max_deliveries == 7
    assert app.conf.visibility_timeout == 60


def test_its_settings_hold_for_a_job_from_the_shell(
    cli: Cli, tmp_path: Path, queue_path: Path
) -> None:
    with Database(queue_path, create=True).write(durable=False):
        pass
    write(tmp_path, '[tool.litequeue]\ntask_default_queue = "slow"\n')
    done = cli("enqueue", queue_path, "tasks.add", "1", "--force", "--json")
    assert json.loads(done.out)["queue"] == "slow"
