"""What is printed cannot harm a terminal, nor break a table."""

from __future__ import annotations

import json
import re

import pytest

from litequeue.cli import output

HOSTILE = [
    "\x1b[31mred", "\x1b]0;title\x07", "two\nlines", "\r\b\bover", "\u202egnp.exe", "\x9b2J",
    "half \ud800", "\u2028", "\x00", "[red]markup[/red]", "[/]", ":smile:", "[link=x]y[/link]",
]  # fmt: skip
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_one_printable_line(text: str) -> None:
    assert output.clean(text).isprintable()


def test_what_is_printable_stays() -> None:
    assert output.clean("naïve [red] 任务 e\u0301") == "naïve [red] 任务 e\u0301"
    assert output.clean("\x1b") == "\\x1b"
    assert output.clean("\n") == "\\n"


def rows_of(printed: str) -> list[str]:
    return printed.splitlines()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_table_keeps_its_lines(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda stream=None: terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    output.print_table(("first", "second"), [(text, "x") for text in HOSTILE])
    printed = capsys.readouterr().out
    assert CONTROL.search(printed) is None
    lines = rows_of(printed)
    assert len(lines) == len(HOSTILE) + 1
    assert all(line.rstrip().endswith(" x") for line in lines[1:])
    assert any("[red]markup[/red]" in line for line in lines)
    assert any(":smile:" in line for line in lines)


def test_a_narrow_terminal_cuts_lines_and_does_not_break_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda stream=None: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    output.print_table(("a", "b"), [("many words in one cell " * 20, "more " * 20)] * 3)
    lines = rows_of(capsys.readouterr().out)
    assert len(lines) == 4
    assert max(map(len, lines)) <= 30


def narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> list[str]:
    monkeypatch.setattr(output, "is_terminal", lambda stream=None: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    output.print_table(
        ("name", "schedule", "state", "count"),
        [("n" * 20, "s" * 40, "PENDING", 1)],
        spare=("count", "state"),
        shrinks=("schedule",),
    )
    return [line.rstrip() for line in rows_of(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (78, f"{'n' * 20}  {'s' * 40}  PENDING  1"),
        (77, f"{'n' * 20}  {'s' * 40}  PENDING"),
        (70, f"{'n' * 20}  {'s' * 40}"),
        (61, f"{'n' * 20}  {'s' * 38}…"),
        (15, f"{'n' * 20}  {'s' * 11}…"),
    ],
)
def test_whole_columns_go_before_a_cell_is_cut_and_names_never_are(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    columns: int,
    row: str,
) -> None:
    head, line = narrow(monkeypatch, capsys, columns)
    assert line == row
    assert head.split() == ["name", "schedule", "state", "count"][: len(row.split())]


def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda stream=None: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    output.print_table(("state",), [("FAILURE",)])
    assert "\x1b[31mFAILURE" in capsys.readouterr().out
    monkeypatch.setenv("TERM", "dumb")
    output.print_table(("state",), [("FAILURE",)])
    assert "\x1b" not in capsys.readouterr().out


def test_columns_are_aligned_by_what_a_terminal_shows(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("a", "b"), [("任务", 1), ("e\u0301", 2), ("plain", None)])
    assert rows_of(capsys.readouterr().out) == ["A      B", "任务   1", "e\u0301      2", "plain"]


def test_an_empty_table_says_so_where_it_is_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("a",), [], empty="nothing here")
    assert capsys.readouterr() == ("", "nothing here\n")


def test_json_is_ascii_and_has_a_version(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json(name="\x1b\ud800é\x9b")
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert "\x1b" not in printed
    assert json.loads(printed) == {"v": 1, "name": "\x1b\ud800é\x9b"}


@pytest.mark.parametrize(
    ("moment", "text"),
    [(0.0, "1970-01-01T00:00:00.000Z"), (1_700_000_000.1234, "2023-11-14T22:13:20.123Z"),
     (None, None), (float("inf"), None), (1e30, None), (-1e30, None)],
)  # fmt: skip
def test_a_moment_in_iso_8601(moment: float | None, text: str | None) -> None:
    assert output.iso(moment) == text


def test_moments_are_relative_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert output.when(0.0, 10.0) == "1970-01-01T00:00:00.000Z"
    monkeypatch.setattr(output, "is_terminal", lambda stream=None: True)
    assert output.when(1_000.0, 1_003.2) == "3.2 s ago"
    assert output.when(1_000.0, 700.0) == "in 5 min"
    assert output.when(None, 0.0) == ""
    assert output.when(float("inf"), 0.0) == "in inf d"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0042, "4 ms"), (3.14, "3.1 s"), (75, "75 s"), (600, "10 min"), (7_300, "2 h"),
     (864_000, "10 d"), (None, "")],
)  # fmt: skip
def test_a_span(seconds: float | None, text: str) -> None:
    assert output.span(seconds) == text


@pytest.mark.parametrize(
    "text", ["{", "[NaN]", "Infinity", '"\\ud800"', "[" * 500 + "]" * 500, "1" * 5000, "!zlib,x"]
)
def test_what_is_no_plain_json_is_shown_as_it_is(text: str) -> None:
    assert output.decoded(text) == (text, False)


def test_plain_json_is_decoded() -> None:
    assert output.decoded('[[1,"é"],{"a":null}]') == ([[1, "é"], {"a": None}], True)
    assert output.decoded(None) == (None, True)
