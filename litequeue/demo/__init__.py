"""The app of `litequeue demo`: one task, which the demo's worker imports from here.

`play` decides what happens, `victim` is the worker that is killed; `litequeue.cli.demo` shows it.
"""

from __future__ import annotations

import ast
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from litequeue.app import LiteQueue
from litequeue.place import URL_VARIABLE

# A worker sets the variable before it imports this.  Nothing is opened until the file is needed.
app: LiteQueue = LiteQueue(os.environ.get(URL_VARIABLE) or "litequeue-demo.sqlite")


@app.task
def measure(path: str) -> dict[str, Any]:
    """Parse one file of Python and count what is in it."""
    return count(path)


def count(path: str) -> dict[str, Any]:
    """Return the counts of a file, or the words of its syntax error: some files have one."""
    source = Path(path).read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, path)
    except (SyntaxError, ValueError, RecursionError) as error:
        return {"lines": source.count(b"\n"), "error": f"{type(error).__name__}: {error}"}
    found = Counter(type(node).__name__ for node in ast.walk(tree))
    return {
        "lines": source.count(b"\n"),
        "functions": found["FunctionDef"] + found["AsyncFunctionDef"],
        "classes": found["ClassDef"],
        "imports": found["Import"] + found["ImportFrom"],
        "calls": found["Call"],
    }
