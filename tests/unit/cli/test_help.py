"""The help is complete, and agrees with itself."""

from __future__ import annotations

import click
import pytest

from litequeue import __version__
from litequeue.cli import _COMMANDS, _FAMILIES, _PLANNED, root
from tests.unit.cli.conftest import Cli

CONTEXT = click.Context(root)


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_line_of_a_command_is_that_of_its_own_help(cli: Cli, name: str) -> None:
    command = root.get_command(CONTEXT, name)
    assert command is not None
    first = (command.help or "").partition("\n")[0]
    assert first == _COMMANDS[name][1]
    done = cli(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert first in done.out


def test_commands_are_grouped_with_one_line_each_and_two_examples(cli: Cli) -> None:
    done = cli("--help")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    for family, commands in _FAMILIES.items():
        assert f"{family}:" in lines
        for name, (_, summary) in commands.items():
            assert sum(line.split() == [name, *summary.split()] for line in lines) == 1
    assert sum(line.startswith("    litequeue ") for line in lines) == 2
    assert max(map(len, lines)) < 80
    assert cli().out == done.out


def test_what_is_built_is_not_planned() -> None:
    assert not set(_PLANNED) & _COMMANDS.keys()


def test_the_version(cli: Cli) -> None:
    assert __version__ in cli("--version").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_asks_litequeue(cli: Cli, shell: str) -> None:
    done = cli("completion", shell)
    assert done.err == ""
    assert f"_LITEQUEUE_COMPLETE={shell}_complete" in done.out
