"""What mypy and pyright say of the files here, beside what each line says of itself.

A line that ends in ``# error`` is one that both must refuse, and they may refuse no other.
Besides, pyright must know the type of every public name in the package.
``python -m tests.typing``, which is a part of ``make check``, prints what is not so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
HARNESS: Final = frozenset(["__init__", "__main__", "checkers", "test_types"])
FILES: Final = tuple(sorted(path for path in HERE.glob("*.py") if path.stem not in HARNESS))
CHECKERS: Final = ("mypy", "pyright")

EXPECTED: Final = re.compile(r"  # error$")
MYPY_LINE: Final = re.compile(r"^(.+?\.py):(\d+): error: (.+)$", re.MULTILINE)


class Complaint(NamedTuple):
    """What a checker says of a line."""

    file: str
    line: int
    text: str


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a checker of this environment; exit codes above 1 are its own failures."""
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",  # it would ask the network for a newer version
    }
    done = subprocess.run(
        [sys.executable, "-m", *command],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode > 1:
        raise RuntimeError(f"{command[0]} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def complaints(checker: str, files: Iterable[Path] = FILES) -> list[Complaint]:
    """Return every error that ``checker`` finds in the files, in one process."""
    paths = [str(path) for path in files]
    if checker == "mypy":
        options = ("--no-error-summary", "--follow-imports=silent", "--no-pretty")
        found = MYPY_LINE.findall(run("mypy", *options, *paths).stdout)
        return [Complaint(Path(file).name, int(line), text) for file, line, text in found]
    report = json.loads(run("pyright", "--outputjson", *paths).stdout)
    return [
        Complaint(Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    ]


def expected(path: Path) -> set[int]:
    """Return the lines of a file that are wrong on purpose."""
    lines = path.read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if EXPECTED.search(line)}


def differences(path: Path, said: Iterable[Complaint]) -> Iterator[str]:
    """Yield where a checker and the file disagree, in words."""
    wrong = expected(path)
    told = [complaint for complaint in said if complaint.file == path.name]
    for complaint in told:
        if complaint.line not in wrong:
            yield f"{path.name}:{complaint.line} is refused: {complaint.text}"
    for line in sorted(wrong - {complaint.line for complaint in told}):
        yield f"{path.name}:{line} is let through"


def unknown_types() -> list[str]:
    """Return the public names of litequeue whose types pyright does not know for sure."""
    done = run("pyright", "--verifytypes", "litequeue", "--ignoreexternal", "--outputjson")
    report = json.loads(done.stdout)["typeCompleteness"]
    if not report["symbols"]:
        return ["litequeue: pyright finds no names; is py.typed there?"]
    return [
        f"{symbol['name']}: {' '.join(complaint['message'].split())}"
        for symbol in report["symbols"]
        for complaint in symbol["diagnostics"]
        if complaint["severity"] == "error"
    ]
