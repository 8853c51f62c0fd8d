"""The reference is complete: what can be set, typed, called or caught has its line there."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest

import litequeue
from litequeue import LiteQueue, Task, exceptions, flow, states
from litequeue.calling import UNBUILT_CALL_OPTIONS
from litequeue.canvas import Signature, chain, chord, chunks, group
from litequeue.cli import exit_code, root
from litequeue.config import Settings
from litequeue.declaring import TASK_OPTIONS, UNBUILT_TASK_OPTIONS
from litequeue.result import AsyncResult, EagerResult, GroupResult, Progress, ResultSet
from litequeue.store.models import TABLES
from litequeue.store.views import (
    ENQUEUE_VIEW,
    ERRORS_VIEW,
    EVENTS_VIEW,
    JOBS_VIEW,
    LOGS_VIEW,
    QUEUES_VIEW,
    SCHEDULE_VIEW,
    WORKERS_VIEW,
)
from litequeue.worker import link
from litequeue.worker.request import Request
from tests.docs.pages import DOCS, LINKED, ROOT, Page, anchor_of, code_words, read, reference

TREE = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if kind.__module__ == exceptions.__name__ and issubclass(kind, BaseException)
]


def public_members(kind: object) -> set[str]:
    """Return what is its own, or that of a class of ours which it derives from."""
    kinds = kind.__mro__ if isinstance(kind, type) else (kind,)
    ours = [each for each in kinds if (each.__module__ or "").startswith("litequeue.")]
    return {name for each in ours for name in vars(each) if not name.startswith("_")}


SETTINGS = [setting for setting in fields(Settings) if not setting.name.startswith("_")]
KINDS = {
    "any": "Any",
    "bool": "bool",
    "bytes": "int",
    "list": "tuple[str, ...]",
    "number": "int",
    "path": "str | None",
    "seconds": "float",
    "text": "str",
}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_row_with_its_default_and_type(setting: Any) -> None:
    name, default = setting.name, getattr(Settings(), setting.name)
    shown = f'"{default}"' if isinstance(default, str) else repr(default).replace("'", '"')
    row = rf"^\| `{name}` \| `{re.escape(shown)}` \| (\w+) \| \S.*\|$"
    told = re.search(row, reference("settings").text, re.MULTILINE)
    assert told
    assert KINDS[told[1]].removesuffix(" | None") == setting.type.removesuffix(" | None")


def test_no_setting_is_invented() -> None:
    told = re.findall(r"^\| `(\w+)` \|", reference("settings").text, re.MULTILINE)
    assert sorted(told) == sorted(setting.name for setting in SETTINGS) == sorted(Settings.NAMES)


def commands() -> dict[str, click.Command]:
    context = click.Context(root)
    found = {name: root.get_command(context, name) for name in root.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def options_of(command: click.Command) -> list[click.Option]:
    """Return the options of a command, and of its verbs where it has some."""
    verbs = command.commands.values() if isinstance(command, click.Group) else ()
    found = [parameter for each in (command, *verbs) for parameter in each.params]
    return [parameter for parameter in found if isinstance(parameter, click.Option)]


@pytest.mark.parametrize("name", commands())
def test_every_command_has_a_section_with_all_its_options(name: str) -> None:
    section = reference("command-line").section(f"litequeue {name}")
    for option in options_of(commands()[name]):
        told = re.search(rf"^\| {', '.join(f'`{o}`' for o in option.opts)} \|", section, re.M)
        assert told, f"{name} {option.opts}"


def test_every_verb_is_told() -> None:
    for name, command in commands().items():
        if isinstance(command, click.Group):
            section = reference("command-line").section(f"litequeue {name}")
            told = re.findall(r"^\| `([a-z][a-z-]*)[ `]", section, re.MULTILINE)
            assert told == list(command.commands)


def test_no_command_or_option_is_invented() -> None:
    page = reference("command-line")
    assert set(re.findall(r"^## `litequeue (\w+)`$", page.text, re.M)) == commands().keys()
    for name, command in commands().items():
        real = {name for option in options_of(command) for name in option.opts}
        told = re.findall(r"^\| ((?:`-[^`]+`(?:, )?)+) \|", page.section(f"litequeue {name}"), re.M)
        assert {option for row in told for option in re.findall(r"`([^`]+)`", row)} <= real


def test_the_options_of_all_commands_are_told() -> None:
    words = code_words(reference("command-line").text)
    for parameter in root.params:
        assert any(option in words for option in parameter.opts), parameter.opts


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_exception_has_a_row(kind: type[BaseException]) -> None:
    assert f"| `{kind.__name__}` |" in reference("exceptions").text


def test_no_exception_is_invented() -> None:
    told = re.findall(r"^\| `(\w+)` \|", reference("exceptions").text, re.MULTILINE)
    assert sorted(told) == sorted(kind.__name__ for kind in TREE)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exceptions.QueueNotFound(), 3),
        (exceptions.QueueBusy(), 3),
        (exceptions.ImproperlyConfigured(), 4),
        (exceptions.NotRegistered(), 4),
        (exceptions.LiteQueueError(), 1),
    ],
)
def test_the_exit_codes_are_those_of_the_table(error: exceptions.LiteQueueError, code: int) -> None:
    assert exit_code(error) == code
    assert f"\n| {code} |" in reference("command-line").text


def test_every_public_name_is_in_the_reference() -> None:
    told = set().union(*(code_words(read(page).text) for page in (DOCS / "reference").glob("*.md")))
    assert set(litequeue.__all__) - {"__version__"} <= told


@pytest.mark.parametrize("kind", [Signature, chain, group, chord, chunks])
def test_every_member_of_a_signature_is_told(kind: type) -> None:
    assert public_members(kind) - code_words(reference("canvas").text) == set()


def test_every_policy_is_told() -> None:
    section = reference("canvas").section("Options")
    assert set(re.findall(r'^\| `"(\w+)"` \|', section, re.MULTILINE)) == {*flow.POLICIES}


def test_every_field_of_progress_is_told() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", reference("results").section("Progress"), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {field.name for field in fields(Progress)}


INNER = {
    LiteQueue: {
        *("apply", "codec", "facts", "introduced", "plan_workflow", "router", "send"),
        *("send_workflow", "store", "update_state"),
    },
    Task: {"abstract", "bind", "find_hooks", "hooks"},
}
"""How the parts of litequeue speak with each other."""


@pytest.mark.parametrize("kind", [LiteQueue, Task])
def test_every_member_of_apps_and_tasks_is_told(kind: type) -> None:
    told = code_words(reference("tasks").text)
    assert public_members(kind) - INNER[kind] - {"zone"} - told == set()


def test_every_attribute_of_an_app_is_told() -> None:
    told = code_words(reference("tasks").section("The app"))
    app = LiteQueue("jobs.sqlite", set_as_current=False)
    assert public_members(app) - INNER[LiteQueue] - told == set()
    assert {*inspect.signature(LiteQueue).parameters} - told == set()


@pytest.mark.parametrize("kind", [AsyncResult, ResultSet, EagerResult, GroupResult])
def test_every_member_of_a_result_is_told(kind: type) -> None:
    members = public_members(kind) | {"app", "ignored", "results"}
    assert members - code_words(reference("results").text) == set()


def test_every_option_of_a_task_has_a_row() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", reference("tasks").section("Options"), re.M)
    told = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(told) == sorted(TASK_OPTIONS | {"name", "bind", "base"})


OPTIONS = sorted(TASK_OPTIONS - {name for name in TASK_OPTIONS if callable(getattr(Task, name))})


@pytest.mark.parametrize("name", OPTIONS)
def test_the_default_of_an_option_is_told(name: str) -> None:
    section = reference("tasks").section("Options")
    row = re.search(rf"^\| [^|]*`{name}`[^|]*\| [^|]+ \| ([^|]+) \|", section, re.MULTILINE)
    assert row
    names = re.findall(r"`(\w+)`", row[0].split("|")[1])
    default = row[1].strip("`").split(", ")
    told = default[names.index(name)] if len(default) > 1 else default[0]
    value = getattr(Task, name)
    if told == "setting":
        assert value is None
        assert {f"task_{name}", f"task_default_{name}"} & {*Settings.NAMES}
    else:
        assert told == (f"{value:g}" if isinstance(value, float) else repr(value))


def test_every_option_of_a_call_has_a_row() -> None:
    section = reference("tasks").section("Sending")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {*inspect.signature(Task.apply_async).parameters} - {"self", "options"}
    assert {*inspect.signature(LiteQueue.enqueue_many).parameters} - {"self"} <= code_words(section)


def test_every_field_of_a_request_is_told() -> None:
    inner = {
        "check_options",
        "due",
        "ends",
        "extras",
        "ignores",
        "is_replaced",
        "limit",
        "may_show",
        "once",
        "options",
        "plan_retry",
        "plans",
        "remembered",
        "retry_plan",
        "shown",
        "stepped",
    }
    fields = {name for name in dir(Request) if not name.startswith("_")}
    told = code_words(reference("tasks").section("The request"))
    assert fields - inner - {"token", "trail"} - told == set()


def test_every_option_of_retry_and_apply_is_told() -> None:
    page = reference("tasks")
    for method, title in ((Task.retry, "While it runs"), (Task.apply, "Calling without a worker")):
        options = {*inspect.signature(method).parameters} - {"self", "options"}
        assert options - code_words(page.section(title)) == set()


def test_every_option_that_is_not_built_is_told() -> None:
    section = reference("tasks").section("Not built yet")
    for_tasks, for_calls = section.split("For `apply_async`")
    assert set(re.findall(r"`(\w+)`", for_tasks)) == UNBUILT_TASK_OPTIONS
    assert set(re.findall(r"`(\w+)`[,.]", for_calls.split("\n")[0])) == UNBUILT_CALL_OPTIONS


def test_every_state_and_phase_is_told() -> None:
    text = (DOCS / "explanation" / "state-machine.md").read_text("utf-8")
    drawing, table = text.split("| phase | state |")
    assert all(re.search(rf"\b{state}\b", table) for state in states.ALL_STATES)
    assert all(re.search(rf"\b{phase}\b", drawing) for phase in states.PHASES)


@pytest.mark.parametrize(
    ("view", "title"),
    [
        (JOBS_VIEW, "litequeue_jobs"),
        (ERRORS_VIEW, "litequeue_errors"),
        (LOGS_VIEW, "litequeue_logs"),
        (EVENTS_VIEW, "litequeue_events"),
        (QUEUES_VIEW, "litequeue_queues"),
        (WORKERS_VIEW, "litequeue_workers"),
        (SCHEDULE_VIEW, "litequeue_schedule"),
    ],
)
def test_every_column_of_a_view_is_told(view: str, title: str) -> None:
    selected = re.search(r"SELECT\s(.*?)\sFROM", view, re.DOTALL)
    assert selected
    flat = re.sub(r"\([^()]*\)", "", selected[1])
    columns = {part.split()[-1].rpartition(".")[2] for part in flat.split(",")}
    section = reference("file-format").section(title)
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == columns


def test_every_column_of_the_enqueue_view_is_told() -> None:
    selected = re.search(r"SELECT\s(.*?)\sFROM", ENQUEUE_VIEW, re.DOTALL)
    assert selected
    columns = {part.split()[-1] for part in selected[1].split(",")}
    page = read(DOCS / "how-to" / "enqueue-from-other-languages.md")
    assert set(re.findall(r"^\| `(\w+)` \|", page.text, re.MULTILINE)) == columns


def test_every_message_between_supervisor_and_consumer_is_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    kinds = [
        value for name, value in vars(link).items() if name.isupper() and isinstance(value, str)
    ]
    assert len(kinds) == 19
    assert [kind for kind in kinds if f"`{kind}`" not in text] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table._meta.table_name)
def test_the_architecture_draws_every_column(table: Any) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    drawn = re.search(rf"^    {table._meta.table_name} {{\n(.*?)^    }}", text, re.M | re.S)
    assert drawn
    columns = [line.split()[1] for line in drawn[1].splitlines()]
    assert columns == [field.column_name for field in table._meta.sorted_fields]


def broken_links(page: Page) -> list[str]:
    broken = []
    for address in page.links:
        parts = urlsplit(address)
        if parts.scheme:
            continue
        target = (page.path.parent / parts.path).resolve() if parts.path else page.path
        if (
            not target.is_file()
            or not target.is_relative_to(ROOT)
            or (parts.fragment and parts.fragment not in read(target).anchors)
        ):
            broken.append(address)
    return broken


@pytest.mark.parametrize("path", LINKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(read(path)) == []


def test_a_broken_link_is_caught() -> None:
    text = "[a](no.md) [b](README.md#no) [c](README.md) [d](https://example.org/no)"
    assert broken_links(Page(ROOT / "x.md", text)) == ["no.md", "README.md#no"]


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[str] = set()
    rest = [DOCS / "index.md"]
    while rest:
        page = read(rest.pop())
        for address in page.links:
            target = (page.path.parent / address.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_relative_to(DOCS) and str(target) not in seen:
                seen.add(str(target))
                rest.append(target)
    assert {str(path) for path in DOCS.rglob("*.md")} - {str(DOCS / "index.md")} <= seen


def test_anchors_are_made_as_github_makes_them() -> None:
    assert anchor_of("`get()`") == "get"
    assert anchor_of("A dead worker's job runs again at once") == (
        "a-dead-workers-job-runs-again-at-once"
    )
