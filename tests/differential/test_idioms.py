"""One program under real Celery and under litequeue: the same observations, but for known ones."""

from __future__ import annotations

import ast
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock

from tests.differential import systems
from tests.differential.differences import DIFFERENCES

PAGE: Final = systems.ROOT / "docs" / "reference" / "from-celery.md"
MODULES: Final = sorted(systems.PROGRAM.rglob("*.py"))
IDIOM: Final = re.compile(r"^@idiom\ndef (\w+)\(", re.MULTILINE)
NAMES: Final = [name for path in MODULES for name in IDIOM.findall(path.read_text("utf-8"))]

Observed = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Observed:
    """What both systems show; looked at once, in however many processes the tests run."""
    place = tmp_path_factory.getbasetemp()
    known = (place if worker_id == "master" else place.parent) / "observed.json"
    with FileLock(f"{known}.lock"):
        if not known.exists():
            known.write_text(json.dumps(_observe_both(tmp_path_factory.mktemp("differential"))))
    both: Observed = json.loads(known.read_text())
    return both


def _observe_both(place: Path) -> Observed:
    """Run them side by side: most of either's time is waiting."""
    pair = [systems.celery(place / "celery"), systems.litequeue(place / "litequeue")]
    with ThreadPoolExecutor() as pool:
        return dict(zip(("celery", "litequeue"), pool.map(_observe, pair), strict=True))


def _observe(system: systems.System) -> dict[str, Any]:
    return system.observe()


class TestProgram:
    """It is one program: what differs is where names are imported from."""

    @pytest.mark.parametrize(
        "path", MODULES, ids=lambda path: str(path.relative_to(systems.PROGRAM))
    )
    def test_only_import_lines_are_changed(self, path: Path) -> None:
        text = path.read_text("utf-8")
        before, after = text.splitlines(), systems.for_litequeue(text).splitlines()
        assert len(before) == len(after)
        changed = {
            number
            for number, pair in enumerate(zip(before, after, strict=True), start=1)
            if pair[0] != pair[1]
        }
        imports = {
            node.lineno
            for node in ast.parse(text).body
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[0] in ("celery", "kombu")
        }
        assert changed == imports
        assert not systems.ELSEWHERE.search("\n".join(after))

    def test_the_swap_would_be_seen_in_any_other_line(self) -> None:
        text = "from celery import Celery, Task\nx = 'from celery import Task'\n"
        swapped = "from litequeue import LiteQueue as Celery, Task\nx = 'from celery import Task'\n"
        assert systems.for_litequeue(text) == swapped

    def test_no_module_imports_either_system_in_another_way(self) -> None:
        for path in MODULES:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    assert not {"celery", "kombu", "litequeue"} & {
                        alias.name.split(".")[0] for alias in node.names
                    }, path
                elif isinstance(node, ast.ImportFrom):
                    assert (node.module or "").split(".")[0] != "litequeue", path
                    assert node.level == 0, path

    def test_there_are_many_idioms(self) -> None:
        assert len(NAMES) == len(set(NAMES)) >= 40


class TestObservations:
    """The first of these runs both systems."""

    pytestmark = pytest.mark.timeout(120)

    def test_every_idiom_was_observed_in_both(self, observed: Observed) -> None:
        assert sorted(observed["celery"]) == sorted(observed["litequeue"]) == sorted(NAMES)

    def test_the_program_is_right_about_celery(self, observed: Observed) -> None:
        assert {name: seen for name, seen in observed["celery"].items() if broke(seen)} == {}

    @pytest.mark.parametrize("name", NAMES)
    def test_idiom(self, observed: Observed, name: str) -> None:
        in_celery, in_litequeue = (observed[system][name] for system in ("celery", "litequeue"))
        difference = DIFFERENCES.get(name)
        if difference is None:
            assert in_litequeue == in_celery
        else:
            assert in_celery == difference.celery
            assert in_litequeue == difference.litequeue


class TestDifferences:
    """The list of them is exact."""

    def test_each_is_about_an_idiom(self) -> None:
        assert DIFFERENCES.keys() - set(NAMES) == set()

    @pytest.mark.parametrize("name", DIFFERENCES)
    def test_each_is_a_difference(self, name: str) -> None:
        assert DIFFERENCES[name].celery != DIFFERENCES[name].litequeue

    @pytest.mark.parametrize("name", DIFFERENCES)
    def test_none_is_a_failure_of_the_program(self, name: str) -> None:
        assert not broke(DIFFERENCES[name].celery)
        assert not broke(DIFFERENCES[name].litequeue)

    @pytest.mark.parametrize("name", DIFFERENCES)
    def test_each_has_a_reason_of_one_line(self, name: str) -> None:
        assert re.fullmatch(r"[A-Z].+[^.]", DIFFERENCES[name].reason)

    @pytest.mark.parametrize("name", DIFFERENCES)
    def test_each_is_explained_to_users(self, name: str) -> None:
        rows = [line.split("|")[1] for line in PAGE.read_text("utf-8").splitlines() if "|" in line]
        assert DIFFERENCES[name].row in [row.strip() for row in rows]


def broke(seen: Any) -> bool:
    return isinstance(seen, dict) and "broke" in seen
