"""Every piece of Python and SQL in the pages runs, and prints what the page says it prints."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from litequeue.cli import root
from tests.docs.pages import PAGES, ROOT, Page, read
from tests.integration.processes import Site
from tests.test_repository import make_targets

PROGRAMS = [page for page in map(read, PAGES) if page.is_program]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    place = Site(tmp_path)
    yield place
    place.close()


def run_page(page: Page, site: Site) -> tuple[int, list[str], str]:
    """Run a page; return its exit code, what it printed, and what went wrong."""
    for name, text in page.files.items():
        site.write(name, text)
    if page.worker is not None:
        site.worker(*page.worker, app="tasks:app")
    else:
        site.run("-m", "litequeue", "migrate", str(site.path))
    site.write("page.py", page.script)
    done = site.run("page.py")
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: str(page.path.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Page, site: Site) -> None:
    if "tasks.py" not in page.files:
        site.write("tasks.py", "from litequeue import LiteQueue\napp = LiteQueue('jobs.sqlite')\n")
    code, printed, errors = run_page(page, site)
    assert code == 0, errors
    assert printed == page.says_it_prints


def test_there_are_pages_to_run() -> None:
    assert len(PROGRAMS) >= 18
    assert sum(page.worker is not None for page in PROGRAMS) >= 10


PLANTED = '<!-- worker -->\n```python title="tasks.py"\n{}\n```\n```python\n{}\n```\n'
TASKS = """\
from litequeue import LiteQueue
app = LiteQueue("jobs.sqlite")
@app.task
def add(x, y):
    return x + y
"""


@pytest.mark.parametrize(
    "lie",
    [
        "from tasks import add\nprint(add.delay(1, 2).get(timeout=10))  # 4",
        "from tasks import add\nprint(1)  # 1\nadd.delay(1).get()",
        "from tasks import subtract",
    ],
)
def test_a_page_that_lies_is_caught(lie: str, site: Site) -> None:
    page = Page(ROOT / "lie.md", PLANTED.format(TASKS, lie))
    code, printed, _ = run_page(page, site)
    assert code != 0 or printed != page.says_it_prints


@pytest.mark.parametrize(("line", "is_fine"), [("jobs", True), ("jobs --fast", False)])
def test_what_is_to_be_typed_is_run(line: str, is_fine: bool, site: Site) -> None:
    typed = f"<!-- typed -->\n```console\n$ litequeue {line} jobs.sqlite\n```\n"
    text = f"```python\nprint(1)  # 1\n```\n{typed}```python\nprint(2)  # 2\n```\n"
    code, printed, _ = run_page(Page(ROOT / "typed.md", text), site)
    assert (code == 0) == is_fine
    assert printed == (["1", "2"] if is_fine else ["1"])


def told_commands() -> list[str]:
    return sorted({command for page in map(read, PAGES) for command in page.commands})


@pytest.mark.parametrize("line", told_commands())
def test_a_command_in_the_pages_is_one(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program == "make":
        assert set(arguments) <= make_targets().keys()
    elif program == "litequeue":
        name, *rest = arguments
        command = root.get_command(click.Context(root), name)
        assert command is not None, f"no command {name}"
        above = click.Context(root, **root.context_settings)
        context = command.make_context(name, rest, parent=above)  # parses, and runs nothing
        if isinstance(command, click.Group) and len(rest) > 1:
            verb, *words = rest[1:]  # behind DB
            assert verb in command.commands, f"{name} has no {verb}"
            command.commands[verb].make_context(verb, words, parent=context)
    else:
        assert line == "pip install ." or program == "sqlite3"


def test_a_wrong_command_is_caught() -> None:
    with pytest.raises(click.UsageError):
        test_a_command_in_the_pages_is_one("litequeue worker jobs.sqlite -A tasks:app --fast")
    with pytest.raises(click.UsageError):
        test_a_command_in_the_pages_is_one("litequeue schedule jobs.sqlite add x t --every soon")
    with pytest.raises(AssertionError):
        test_a_command_in_the_pages_is_one("make coffee")
