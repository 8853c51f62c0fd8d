"""Which app a worker runs, and what is said of one that cannot be used."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.cli import apps
from litequeue.cli.apps import Wanted
from litequeue.exceptions import EnqueuedAtImport, ImproperlyConfigured
from litequeue.facts import AppFacts
from litequeue.store import Database, registry
from tests.unit.cli.conftest import Cli

NOW = 1_700_000_000.0


def record(path: Path, *names: str) -> None:
    database = Database(path, create=True)
    with database.write(durable=False) as connection:
        for name in names:
            facts = AppFacts(name=name, root="/somewhere", tasks=())
            registry.record(connection, database.path, facts, NOW)
    database.close()


# Which one


def test_what_is_said_wins(cli: Cli, queue_path: Path, tmp_path: Path) -> None:
    record(queue_path, "recorded:app")
    (tmp_path / "pyproject.toml").write_text('[tool.litequeue]\napp = "project:app"\n')
    assert apps.choose("said:app", str(queue_path)) == Wanted("said:app")
    assert apps.choose(None, str(queue_path)) == Wanted("project:app")
    (tmp_path / "pyproject.toml").unlink()
    assert apps.choose(None, str(queue_path)) == Wanted("recorded:app", recorded=True)


def test_the_environment_says_as_the_option_does(
    cli: Cli, queue_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(given: str | None, path: str) -> Wanted:
        raise ImproperlyConfigured(f"{given} for {path}")

    monkeypatch.setattr(apps, "choose", refuse)
    monkeypatch.setenv("LITEQUEUE_APP", "from_there:app")
    assert cli("worker", queue_path).sentence == f"from_there:app for {queue_path}"
    assert cli("worker", queue_path, "-A", "said:app").sentence == f"said:app for {queue_path}"


def test_the_hint_is_told(cli: Cli, queue_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(queue_path, "proj.tasks:app")
    apps.choose(None, str(queue_path))
    assert capsys.readouterr().err == (
        f"using app proj.tasks:app recorded in {queue_path} on 2023-11-14; -A overrides\n"
    )


def say_which(path: Path) -> str:
    return f"say which app to run: `litequeue worker {path} -A MODULE:APP`"


def test_a_file_that_names_none(cli: Cli, queue_path: Path) -> None:
    record(queue_path)
    done = cli("worker", queue_path)
    assert done.code == 4
    assert done.sentence == f"no app is recorded in {queue_path} yet; {say_which(queue_path)}"


def test_an_absent_file_names_none_and_is_not_made(cli: Cli, queue_path: Path) -> None:
    done = cli("worker", queue_path)
    assert done.code == 3
    assert done.sentence == (
        f"there is no queue file {queue_path} that could name its app; {say_which(queue_path)}, "
        "and the worker makes the file"
    )
    assert not queue_path.exists()


def test_several_are_listed(cli: Cli, queue_path: Path) -> None:
    record(queue_path, "one:app", "two:app")
    done = cli("worker", queue_path)
    assert done.code == 4
    assert re.fullmatch(
        rf"several apps use {queue_path}: \w+:app, \w+:app; say which, as "
        rf"`litequeue worker {queue_path} -A \w+:app`",
        done.sentence,
    )
    assert "one:app" in done.sentence
    assert "two:app" in done.sentence


def test_trust_can_be_turned_off(
    cli: Cli, queue_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(queue_path, "recorded:app")
    monkeypatch.setenv("LITEQUEUE_TRUST_RECORDED_APP", "0")
    done = cli("worker", queue_path)
    assert done.code == 4
    assert done.sentence == (f"LITEQUEUE_TRUST_RECORDED_APP is off, so {say_which(queue_path)}")


@pytest.mark.parametrize(
    "name",
    ["/tmp/evil.py:app", "os.path", "os:system('x')", "../evil:app", "a:b.c", "", ":app", "a:",
     "a b:app", "-m:app", "a:app\n"],
)  # fmt: skip
def test_only_names_are_taken_from_the_file(cli: Cli, queue_path: Path, name: str) -> None:
    record(queue_path, name)
    done = cli("worker", queue_path)
    assert done.code == 4
    assert "no app is recorded" in done.sentence


@pytest.mark.parametrize("what", ["file", "directory", "wal"])
@pytest.mark.parametrize("mode", [stat.S_IWGRP, stat.S_IWOTH])
def test_what_others_may_write_is_not_trusted(
    cli: Cli, tmp_path: Path, what: str, mode: int
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    path = folder / "jobs.sqlite"
    record(path, "recorded:app")
    wal = folder / "jobs.sqlite-wal"
    wal.touch()
    target = {"file": path, "directory": folder, "wal": wal}[what]
    target.chmod(target.stat().st_mode | mode)
    done = cli("worker", path)
    assert done.code == 4
    assert done.sentence == (
        f"the app that {path} names is not trusted: other users may write to {target}; "
        f"{say_which(path)}"
    )


def test_where_others_may_write_the_app_itself_it_is_not_trusted(
    cli: Cli, queue_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(queue_path, "recorded:app")
    here = tmp_path / "open"
    here.mkdir()
    here.chmod(0o777)
    monkeypatch.chdir(here)
    done = cli("worker", queue_path)
    assert done.code == 4
    assert f"other users may write to {here};" in done.sentence


class Disguised:
    """The module os for user 1000, with every file in one hand."""

    path = os.path

    def __init__(self, owner: int) -> None:
        self._owner = owner

    def getuid(self) -> int:
        return 1000

    def getcwd(self) -> str:
        return "/"

    def stat(self, path: str) -> os.stat_result:
        fields = list(Path(path).stat())
        fields[4] = self._owner
        return os.stat_result(fields)


@pytest.mark.parametrize(("owner", "trusted"), [(1000, True), (0, True), (1001, False)])
def test_what_belongs_to_others_is_not_trusted(
    cli: Cli, queue_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, trusted: bool
) -> None:
    record(queue_path, "recorded:app")
    monkeypatch.setattr(apps, "os", Disguised(owner))
    reasons = list(apps.unsafe(str(queue_path)))
    whose = [f"{each} belongs to another user" for each in (queue_path.parent, queue_path, "/")]
    assert reasons == ([] if trusted else whose)


def test_a_copy_of_the_file_does_not_speak_for_the_original(
    cli: Cli, queue_path: Path, tmp_path: Path
) -> None:
    record(queue_path, "recorded:app")
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(queue_path.read_bytes())
    copy.chmod(0o600)
    assert "no app is recorded" in cli("worker", copy).sentence


# What it is


MODULES = {
    "syntax.py": "def f(:\n",
    "raising.py": "raise ValueError('no\\nconfiguration')\n",
    "leaving.py": "raise SystemExit('bye')\n",
    "no_app.py": "app = 42\n",
    "half.py": "import a_module_that_is_not_there\n",
    "bound.py": "from litequeue import LiteQueue\napp = LiteQueue('elsewhere.sqlite')\n",
    "two_apps.py": (
        "from litequeue import LiteQueue\none = LiteQueue('jobs.sqlite')\n"
        "two = LiteQueue('jobs.sqlite')\n"
    ),
    "good.py": "from litequeue import LiteQueue\napp = LiteQueue('jobs.sqlite')\nother = 1\n",
    "eager.py": (
        "from litequeue import LiteQueue\napp = LiteQueue('jobs.sqlite')\n\n"
        "@app.task\ndef f() -> None: ...\n\nf.delay()\n"
    ),
}


@pytest.fixture
def folder(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing:app", "cannot import 'missing:app': there is no module 'missing' in {folder} or "
         "on the Python path; go to the directory that has it, or say -A MODULE:APP"),
        ("missing.deeper:app", "cannot import 'missing.deeper:app': there is no module 'missing' "
         "in {folder} or on the Python path; go to the directory that has it, or say "
         "-A MODULE:APP"),
        ("half:app", "importing 'half:app' failed: it needs the module "
         "'a_module_that_is_not_there', which is not installed ({folder}/half.py:1); "
         "install it in this environment: {prefix}"),
        ("syntax:app", "importing 'syntax:app' failed: SyntaxError: invalid syntax "
         "({folder}/syntax.py:1); see it all with `litequeue -v worker {db} -A syntax:app`"),
        ("raising:app", "importing 'raising:app' failed: ValueError: no\\nconfiguration "
         "({folder}/raising.py:1); see it all with `litequeue -v worker {db} -A raising:app`"),
        ("leaving:app", "importing 'leaving:app' failed: SystemExit: bye "
         "({folder}/leaving.py:1); see it all with `litequeue -v worker {db} -A leaving:app`"),
        ("good:ap", "module 'good' has no attribute 'ap'; say `litequeue worker {db} -A good:app`"),
        ("no_app:application", "module 'no_app' has no attribute 'application'; no app is in "
         "no_app: make one with `app = LiteQueue(...)`"),
        ("good:other", "good:other is a int, not a LiteQueue app; "
         "say `litequeue worker {db} -A good:app`"),
        ("two_apps", "which app in two_apps? found two_apps:one, two_apps:two; "
         "say -A two_apps:NAME"),
        ("no_app", "which app in no_app? found none; say -A no_app:NAME"),
        ("bound:app", "bound:app uses {folder}/elsewhere.sqlite, not {db}; run `litequeue worker "
         "{folder}/elsewhere.sqlite -A bound:app`, or add --rebind"),
        ("tasks.py", "-A names a module, not a file: say `litequeue worker {db} -A tasks`"),
        ("./proj/tasks.py", "-A names a module, not a file: "
         "say `litequeue worker {db} -A proj.tasks`"),
        ("pyproject.toml", "-A names an app, and 'pyproject.toml' is a file: "
         "say `litequeue worker pyproject.toml -A MODULE:APP`"),
        ("./jobs.sqlite", "-A names an app, and './jobs.sqlite' is a file: "
         "say `litequeue worker ./jobs.sqlite -A MODULE:APP`"),
        (":app", "':app' names no module; say -A MODULE:APP, as myapp.tasks:app"),
    ],
)  # fmt: skip
def test_a_wrong_app_is_told_in_one_sentence(folder: Path, name: str, sentence: str) -> None:
    db = folder / "jobs.sqlite"
    with pytest.raises(ImproperlyConfigured) as raised:
        apps.load(Wanted(name), str(db))
    expected = sentence.format(folder=folder, db=db, prefix=sys.prefix)
    assert str(raised.value).startswith(expected)
    if sentence.count(" ") > 9:
        assert str(raised.value) == expected


def test_an_app_that_enqueues_at_import_is_told_where(folder: Path) -> None:
    with pytest.raises(EnqueuedAtImport, match=r"eager\.py:7"):
        apps.load(Wanted("eager:app"), str(folder / "jobs.sqlite"))


def test_rebind_is_for_an_app_that_was_named(folder: Path) -> None:
    db = str(folder / "jobs.sqlite")
    with pytest.raises(ImproperlyConfigured, match="add -A and --rebind"):
        apps.load(Wanted("bound:app", recorded=True), db, rebind=True)
    assert apps.load(Wanted("bound:app"), db, rebind=True).path == db


def test_a_recorded_app_that_is_not_here_is_told_as_that(folder: Path) -> None:
    db = folder / "jobs.sqlite"
    with pytest.raises(ImproperlyConfigured) as raised:
        apps.load(Wanted("missing:app", recorded=True), str(db))
    assert f"cannot import 'missing:app', which {db} names," in str(raised.value)


def test_a_good_one_is_returned(folder: Path) -> None:
    app = apps.load(Wanted("good:app"), str(folder / "jobs.sqlite"))
    assert app is sys.modules["good"].app
