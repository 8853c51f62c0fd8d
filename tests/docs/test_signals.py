"""The page of signals says of each who sends it and with what: as the code does."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from litequeue import signals
from tests.docs.pages import ROOT, reference

SENT = [signal.name for signal in signals.ALL if type(signal) is signals.Signal]
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
SENDERS = {
    "None": "None",
    "hostname": "worker name",
    "job.task": "task name",
    "name": "worker name",
    "self._app": "app",
    "self._hostname": "worker name",
    "self._identity.name": "worker name",
    "self._name": "worker name",
    "spec.hostname": "worker name",
    "task": "task",
    "tasks.get(details.task)": "task",
}
"""What the page calls the sender that the code names so."""
THEMSELVES = {
    "app.py": "app",
    "children.py": "pool",
    "embedded.py": "worker",
    "shift.py": "worker",
    "supervisor.py": "worker",
}


@dataclass(frozen=True, slots=True)
class Sending:
    """One place in the code that sends a signal; ``arguments`` is None where `**` hides them."""

    signal: str
    sender: str
    arguments: frozenset[str] | None


@cache
def sendings() -> list[Sending]:
    return [
        sending(path, sent[1], node)
        for path in sorted((ROOT / "litequeue").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        if (sent := re.fullmatch(r"signals\.(\w+)\.send", ast.unparse(node.func)))
    ]


def sending(path: Path, signal: str, call: ast.Call) -> Sending:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    sender = ast.unparse(given.pop("sender"))
    word = THEMSELVES[path.name] if sender == "self" else SENDERS.get(sender, sender)
    names = frozenset(name for name in given if name is not None)
    return Sending(signal, word, None if None in given else names)


def told() -> dict[str, tuple[str, frozenset[str]]]:
    """Return sender and arguments of each row."""
    return {
        name: (sender.partition(",")[0], frozenset(re.findall(r"`(\w+)`", arguments)))
        for name, sender, arguments in ROW.findall(reference("signals").text)
    }


def test_every_signal_has_a_row() -> None:
    assert sorted(told()) == sorted(SENT)


@pytest.mark.parametrize("name", SENT)
def test_the_arguments_are_those_that_the_signal_provides(name: str) -> None:
    assert told()[name][1] == getattr(signals, name).providing_args


@pytest.mark.parametrize("name", SENT)
def test_sender_and_arguments_are_what_the_code_sends(name: str) -> None:
    sender, arguments = told()[name]
    found = [each for each in sendings() if each.signal == name]
    assert found, f"nobody sends {name}"
    assert {each.sender for each in found} == {sender}
    assert {each.arguments for each in found} - {None} <= {arguments}
