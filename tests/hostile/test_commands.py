"""Every command over a file that an enemy wrote: no traceback, nothing that a terminal obeys."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from litequeue.cli import main
from tests.hostile.battle import Battle
from tests.hostile.rows import HOME
from tests.integration.processes import Site

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True, slots=True)
class Said:
    """What one command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON on stdout, as a strict reader takes it."""
        return json.loads(self.out, parse_constant=pytest.fail)


def say(*arguments: str) -> Said:
    """Run a command in this process; check what holds for every one of them."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]  # BytesIO
    said = Said(int(exit_.value.code or 0), *texts)
    strange = {letter for letter in said.out + said.err if not letter.isprintable()} - {"\n"}
    assert strange == set(), (arguments, strange)
    assert "Traceback" not in said.err, (arguments, said.err)
    assert said.code in range(6) or said.code == 69, (arguments, said)
    if "--json" in arguments and (said.out or said.code == 0):
        assert said.document["v"] == 1
    return said


@pytest.fixture(scope="module")
def path(battle: Battle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the file after the battle, for looking only."""
    return copied(battle, tmp_path_factory.mktemp("looking"))


@pytest.fixture
def own(battle: Battle, tmp_path: Path) -> Path:
    """A copy of the file that may be changed."""
    return copied(battle, tmp_path)


def copied(battle: Battle, folder: Path) -> Path:
    target = folder / "jobs.sqlite"
    source = sqlite3.connect(battle.site.path)
    copy = sqlite3.connect(target)
    source.backup(copy)
    copy.execute("DELETE FROM litequeue_worker WHERE id < 500")  # it does not work on the copy
    copy.commit()
    for connection in (source, copy):
        connection.close()
    return target


def ids(path: Path) -> Iterator[tuple[str, bytes]]:
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    for (id,) in connection.execute("SELECT id FROM litequeue_job").fetchall():
        yield id.decode("utf-8", "replace"), id
    connection.close()


@pytest.mark.parametrize("json_", [(), ("--json",)], ids=["text", "json"])
class TestLooking:
    @pytest.mark.parametrize(
        "command",
        [
            ("jobs", "--limit", "5000"), ("jobs", "--state", "failed", "--oldest"), ("queues",),
            ("jobs", "--since", "1h", "--task", "*[[]*"), ("tasks",), ("workers",),
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_lists(self, path: Path, command: tuple[str, ...], json_: tuple[str, ...]) -> None:
        name, *options = command
        said = say(name, str(path), *options, *json_)
        assert said.code == 0, said.err
        assert said.out or said.err

    def test_the_list_has_every_job(self, path: Path, json_: tuple[str, ...]) -> None:
        said = say("jobs", str(path), "--limit", "5000", *json_)
        known = list(ids(path))
        assert (len(said.document["jobs"]) if json_ else said.out.count("\n") - 1) == len(known)

    @pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.slow)])
    def test_every_job_can_be_shown(self, path: Path, every: int, json_: tuple[str, ...]) -> None:
        codes = Counter[int]()
        for id, stored in list(ids(path))[every // 2 if json_ else 0 :: every]:
            said = say("show", *json_, str(path), "--", id)
            codes[said.code] += 1
            if id.isprintable() and id.encode() == stored:
                assert said.code == 0, (id, said.err)
            if json_ and said.code == 0 and id.encode() == stored:
                assert said.document["job"]["id"] == id
        assert codes[0] > 1000 // every

    def test_queues_of_evil_names(self, path: Path, json_: tuple[str, ...]) -> None:
        names = [queue["name"] for queue in say("queues", str(path), "--json").document["queues"]]
        assert any("\x1b" in name for name in names)
        for name in names:
            if "," not in name and "\0" not in name:
                said = say("jobs", str(path), "-Q", name, "--limit", "2", *json_)
                assert said.code in (0, 2, 5)


@pytest.mark.parametrize("json_", [(), ("--json",)], ids=["text", "json"])
class TestChanging:
    @pytest.mark.parametrize(
        "command",
        [("retry", "--all"), ("retry", "--state", "failed"), ("revoke", "--all"), ("purge",)],
        ids=" ".join,
    )
    def test_all_at_once(self, own: Path, command: tuple[str, ...], json_: tuple[str, ...]) -> None:
        name, *options = command
        before = say(name, str(own), *options, "--dry-run", "--json").document["matched"]
        said = say(name, str(own), *options, "--yes", *json_)
        assert said.code == 0, said.err
        assert before > 0
        if json_:
            assert (said.document["matched"], said.document["changed"]) == (before, before)
        assert say(name, str(own), *options, "--dry-run", "--json").document["matched"] == 0

    @pytest.mark.parametrize("command", ["retry", "revoke"])
    def test_one_by_one(self, own: Path, command: str, json_: tuple[str, ...]) -> None:
        codes = Counter[int]()
        for id, _ in list(ids(own))[9 if json_ else 0 :: 18]:
            codes[say(command, *json_, str(own), "--yes", "--", id).code] += 1
        assert codes[0] > 1
        assert codes.keys() <= {0, 1, 2, 5}

    def test_sending(self, own: Path, json_: tuple[str, ...]) -> None:
        path = str(own)
        good = f"{HOME}.double"
        assert say("enqueue", path, good, "4", *json_).code == 0
        assert say("enqueue", path, good, "4", *json_, "--wait", "5").code == 69
        assert say("enqueue", path, good, "4", "5", *json_).code == 2
        for name in ("os.system", "\x1b[2J", "hostile_canary.app", "%s", "__import__"):
            assert say("enqueue", path, name, '"x"', *json_).code in (0, 2, 4, 5)
            assert say("enqueue", path, name, '"x"', "--force", *json_).code in (0, 2, 4, 5)


def test_sending_and_waiting_with_a_worker(own: Path, battle: Battle) -> None:
    site = Site(own.parent)
    shutil.copy(battle.site.folder / "hostile_canary.py", own.parent)
    try:
        site.worker(app="tests.hostile.app:app")
        sent = say("enqueue", str(own), f"{HOME}.double", "21", "--json", "--wait", "30")
        assert (sent.code, sent.document["result"]) == (0, 42)
        failed = say("enqueue", str(own), f"{HOME}.double", "null", "--wait", "30")
        assert failed.code == 1
        assert "TypeError" in failed.err
    finally:
        site.close()
    assert list(own.parent.glob("canary-*")) == []


def test_as_programs_of_their_own(path: Path, battle: Battle) -> None:
    for command in (["jobs"], ["tasks"], ["workers", "--json"]):
        done = battle.site.run("-m", "litequeue", *command[:1], str(path), *command[1:])
        assert done.returncode == 0, done.stderr
        assert {c for c in done.stdout + done.stderr if not c.isprintable()} <= {"\n"}
    assert "hostile_canary" not in sys.modules
