"""The programs here, by one of the checkers; `make check` has both, and every public name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.typing.checkers import (
    CHECKERS,
    FILES,
    Complaint,
    complaints,
    differences,
    expected,
    unknown_types,
)

slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize("checker", [CHECKERS[0], *map(slow, CHECKERS[1:])])
def test_the_checker_refuses_the_wrong_lines_and_no_other(checker: str) -> None:
    said = complaints(checker)
    assert [each for path in FILES for each in differences(path, said)] == []


@pytest.mark.slow
def test_the_type_of_every_public_name_is_known() -> None:
    assert unknown_types() == []


def test_there_are_lines_to_refuse() -> None:
    assert sum(len(expected(path)) for path in FILES) > 50


def test_a_difference_is_told_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "calls.py"
    path.write_text("add.delay(1)\nadd.delay('x')  # error\n")
    assert list(differences(path, [Complaint("calls.py", 2, "no")])) == []
    assert list(differences(path, [Complaint("calls.py", 1, "no")])) == [
        "calls.py:1 is refused: no",
        "calls.py:2 is let through",
    ]
