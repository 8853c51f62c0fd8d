"""Calls are checked against the text of a signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue.cli.signature import misfit


def plain(x: int, y: int = 2) -> None: ...
def no_arguments() -> None: ...
def everything(a: int, /, b: int, *rest: int, c: int, d: int = 4, **more: int) -> None: ...
def keywords(*, c: int, d: str = "=)") -> None: ...


FUNCTIONS = (plain, no_arguments, everything, keywords)


@given(
    st.sampled_from(FUNCTIONS),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from("abcdxyz"), st.integers(), max_size=4),
)
def test_it_says_what_python_says(
    function: Callable[..., Any], args: list[int], kwargs: dict[str, int]
) -> None:
    signature = inspect.signature(function)
    said = None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        said = str(error)
    assert misfit(str(signature), args, kwargs) == said


@pytest.mark.parametrize(
    "text", ["(x=<object object at 0x7f>)", "(...)", "", "(", "(x)): ...\nimport os\ndef f("]
)
def test_what_is_no_signature_allows_everything(text: str) -> None:
    assert misfit(text, [1, 2, 3], {}) is None


def test_nothing_in_the_text_is_run() -> None:
    assert misfit("(x=1 / 0, y: print('run') = exit()) -> 1 / 0", [], {}) is None
