"""Pages of documentation as programs: their blocks, their links, and what their text promises.

A fenced block ``python title="tasks.py"`` is a file; other ``python`` and ``sql`` blocks run in
the order of the page, with the lines that they say they print.  The comment ``<!-- worker -->``
has a worker running on the page's tasks.py meanwhile, with the options after a colon; after
``<!-- typed -->`` the commands of a console block are run, where they stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
LINKED: Final = (*PAGES, *(ROOT / f"{name}.md" for name in ("ARCHITECTURE", "CONTRIBUTING")))

FENCE: Final = re.compile(
    r"^(?:(<!-- typed -->)\n)?```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
TITLE: Final = re.compile(r'\btitle="([\w.]+)"')
WORKER: Final = re.compile(r"<!-- worker(?:: (.*?))? -->")
PRINTS: Final = re.compile(r"^\s*print\(.*\)  # (.+)$", re.MULTILINE)
LINK: Final = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
HEADING: Final = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; ``title`` is the file it stands for, ``is_typed`` that it is run."""

    language: str
    title: str | None
    text: str
    is_typed: bool = False

    @property
    def commands(self) -> list[str]:
        """What it tells people to type."""
        lines = (line for line in self.text.splitlines() if line.startswith("$ "))
        return [line[2:].partition("  #")[0].strip() for line in lines]


@dataclass(frozen=True, slots=True)
class Page:
    """A page; ``worker`` holds the options of the worker it wants, None without one."""

    path: Path
    text: str

    @property
    def blocks(self) -> list[Block]:
        return [
            Block(language, title[1] if (title := TITLE.search(info)) else None, text, bool(typed))
            for typed, language, info, text in FENCE.findall(self.text)
        ]

    @property
    def worker(self) -> list[str] | None:
        wanted = WORKER.search(self.text)
        return None if wanted is None else (wanted[1] or "").split()

    @property
    def files(self) -> dict[str, str]:
        return {block.title: block.text for block in self.blocks if block.title}

    @property
    def script(self) -> str:
        """The blocks that are no files, as one program."""
        parts = [PRELUDE]
        for block in self.blocks:
            if block.title is None and block.language == "python":
                parts.append(block.text)
            elif block.language == "sql":
                parts.append(f"_sql({block.text!r})\n")
            elif block.is_typed:
                parts.append(f"_type({block.commands!r})\n")
        return "\n".join(parts)

    @property
    def is_program(self) -> bool:
        return any(block.language in ("python", "sql") for block in self.blocks)

    @property
    def says_it_prints(self) -> list[str]:
        code = [b.text for b in self.blocks if b.language == "python" and b.title is None]
        return [words for text in code for words in PRINTS.findall(text)]

    @property
    def commands(self) -> list[str]:
        """What the page tells people to type."""
        consoles = (block for block in self.blocks if block.language == "console")
        return [command for block in consoles for command in block.commands]

    @property
    def links(self) -> list[str]:
        return LINK.findall(FENCE.sub("", self.text))

    @property
    def anchors(self) -> set[str]:
        return {anchor_of(title) for _, title in HEADING.findall(FENCE.sub("", self.text))}

    def section(self, title: str) -> str:
        """Return the text below a heading, up to the next of its kind."""
        found = re.search(
            rf"^(#+) +`?{re.escape(title)}`?\n(.*?)(?=^\1 |\Z)", self.text, re.MULTILINE | re.DOTALL
        )
        assert found, f"{self.path.name} has no section {title!r}"
        return found[2]


PRELUDE: Final = '''
def _sql(text):
    """Run statements on the page's file, as another program would."""
    import sqlite3

    from tasks import app

    connection = sqlite3.connect(app.path, isolation_level=None)
    for statement in filter(str.strip, text.split(";")):
        connection.execute(statement).fetchall()
    connection.close()


def _type(commands):
    """Type them into a shell, as readers would."""
    import shlex
    import subprocess
    import sys

    for command in commands:
        words = [sys.executable, "-m", *shlex.split(command)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
'''


def read(path: Path) -> Page:
    return Page(path, path.read_text("utf-8"))


def reference(name: str) -> Page:
    return read(DOCS / "reference" / f"{name}.md")


def anchor_of(title: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    plain = re.sub(r"[^\w\- ]", "", title.lower())
    return plain.replace(" ", "-")


def code_words(text: str) -> set[str]:
    """Return everything that stands in backticks, and the names in it."""
    spans = re.findall(r"`([^`\n]+)`", text)
    return {*spans, *(word for span in spans for word in re.findall(r"[A-Za-z_][\w-]*", span))}
