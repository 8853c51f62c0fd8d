"""The page of schedules is complete: what can be written is told there."""

from __future__ import annotations

import pytest

from litequeue import schedules
from litequeue.schedules import Schedule, cron, crontab, sun
from litequeue.schedules.fields import LONGEST, Field
from tests.docs.pages import code_words, reference

PAGE = reference("schedules")
WORDS = code_words(PAGE.text)


@pytest.mark.parametrize("name", sorted(schedules.__all__))
def test_every_name_is_told(name: str) -> None:
    assert any(name in word for word in WORDS)


@pytest.mark.parametrize("name", [*cron._NICKNAMES, *sun._EVENTS])
def test_every_nickname_and_event_is_told(name: str) -> None:
    assert f"`{name}`" in PAGE.text


@pytest.mark.parametrize("field", cron._FIELDS, ids=lambda field: field.name)
def test_every_field_has_a_row_with_its_range(field: Field) -> None:
    row = next(line for line in PAGE.text.splitlines() if line.startswith(f"| `{field.name}` |"))
    assert f"{field.low} to {field.high}" in row
    crontab(**{field.name: [field.low, field.high]})


@pytest.mark.parametrize("name", sorted(name for name in vars(Schedule) if name[0] != "_"))
def test_every_member_is_told(name: str) -> None:
    assert f"`{name}(" in PAGE.text


def test_the_longest_line_is_as_long_as_the_page_says() -> None:
    assert f"has {LONGEST} characters at most" in PAGE.text
