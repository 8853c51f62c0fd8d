"""Which app a worker or beat runs: the one it was told, or the one the file remembers, with care.

The order: ``-A`` and ``LITEQUEUE_APP``, then pyproject.toml, then the file.  What the file says
is a hint from whoever may write to it: a name to import by the usual rules, never a path.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from litequeue.cli import pyproject
from litequeue.cli.output import clean, iso, note
from litequeue.exceptions import (
    EnqueuedAtImport,
    ImproperlyConfigured,
    LiteQueueError,
    NotRegistered,
    QueueNotFound,
    ScheduleError,
)

if TYPE_CHECKING:
    from litequeue.app import LiteQueue

TRUST_VARIABLE: Final = "LITEQUEUE_TRUST_RECORDED_APP"
_APP: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Wanted:
    """The app to import; ``recorded``: only the file named it; ``command`` is what runs it."""

    name: str
    recorded: bool = False
    command: str = "worker"

    def how(self, path: str, name: str, *, verbose: bool = False) -> str:
        """Return what to type for the app ``name`` and the file at ``path``."""
        return f"`litequeue {'-v ' if verbose else ''}{self.command} {path} -A {name}`"


def choose(given: str | None, path: str, command: str = "worker") -> Wanted:
    """Return the app for the file at ``path``, which ``command`` is to run.

    Raises `ImproperlyConfigured` where none can be told, `QueueNotFound` where the file that would
    name one is not there.
    """
    name = given or pyproject.read().app
    if name:
        return Wanted(name, command=command)
    if os.environ.get(TRUST_VARIABLE, "1").lower() in ("0", "false", "no", "off"):
        raise ImproperlyConfigured(f"{TRUST_VARIABLE} is off, so {_say_which(path, command)}")
    return _recorded(path, command)


def _recorded(path: str, command: str) -> Wanted:
    from litequeue.store import Database, registry

    if not os.path.exists(path):  # noqa: PTH110 - pathlib takes 5 ms to import
        raise QueueNotFound(
            f"there is no queue file {path} that could name its app; {_say_which(path, command)}, "
            f"and the {command} makes the file"
        )
    reason = next(unsafe(path), None)
    if reason is not None:
        raise ImproperlyConfigured(f"the app that {path} names is not trusted: {reason}; "
                                   f"{_say_which(path, command)}")  # fmt: skip
    database = Database(path, create=False)
    try:
        found = [app for app in registry.apps(database) if _APP.fullmatch(app.name)]
    finally:
        database.close()
    if not found:
        raise ImproperlyConfigured(f"no app is recorded in {path} yet; {_say_which(path, command)}")
    if len(found) > 1:
        names = ", ".join(app.name for app in found)
        raise ImproperlyConfigured(
            f"several apps use {path}: {names}; say which, as "
            f"`litequeue {command} {path} -A {found[0].name}`"
        )
    (app,) = found
    date = (iso(app.recorded) or "an unknown day")[:10]
    note(f"using app {app.name} recorded in {path} on {date}; -A overrides")
    return Wanted(app.name, recorded=True, command=command)


def unsafe(path: str) -> Iterator[str]:
    """Yield why somebody else could have written what ``path`` says."""
    if not hasattr(os, "getuid"):
        yield "this system does not say who may write to a file"
        return
    # The app is imported from the working directory, so that one counts, too.
    here = os.getcwd()  # noqa: PTH109 - pathlib takes 5 ms to import
    for each in (os.path.dirname(path), path, f"{path}-wal", here):  # noqa: PTH120 - as above
        try:
            status = os.stat(each)  # noqa: PTH116 - pathlib takes 5 ms to import
        except FileNotFoundError:
            continue
        if status.st_uid not in (os.getuid(), 0):
            yield f"{each} belongs to another user"
        if status.st_mode & _OTHERS_MAY_WRITE:
            yield f"other users may write to {each}"


def _say_which(path: str, command: str) -> str:
    return f"say which app to run: `litequeue {command} {path} -A MODULE:APP`"


# Importing it


def load(wanted: Wanted, path: str, *, rebind: bool = False) -> LiteQueue:
    """Import the app and see that it uses the file at ``path``.

    Raises `ImproperlyConfigured` in one sentence for everything that can be wrong with it.
    """
    from litequeue.context import importing
    from litequeue.finding import find_app
    from litequeue.os_signals import Stopped

    name = wanted.name
    _refuse_a_file(wanted, path)
    try:
        with importing(name):
            app = find_app(name)
    except (EnqueuedAtImport, Stopped):
        raise
    except NotRegistered as error:
        raise ImproperlyConfigured(f"{error}{_apps_in(wanted, path)}") from error
    except ImproperlyConfigured as error:
        more = _apps_in(wanted, path) if "not a LiteQueue app" in str(error) else ""
        if isinstance(error, ScheduleError):  # it may be one of many
            more = f" ({_place(error)})"
        raise ImproperlyConfigured(f"{error}{more}") from error
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(_missing(wanted, path, error)) from error
    except LiteQueueError as error:
        raise ImproperlyConfigured(f"cannot use {name!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ImproperlyConfigured(
            f"importing {name!r} failed: {_what(error)}; "
            f"see it all with {wanted.how(path, name, verbose=True)}"
        ) from error
    if os.path.realpath(app.path) != os.path.realpath(path):
        if not rebind or wanted.recorded:
            raise ImproperlyConfigured(
                f"{name} uses {app.path}, not {path}; run {wanted.how(app.path, name)}, "
                f"or add {'-A and ' if wanted.recorded else ''}--rebind"
            )
        app.rebind(path)
    pyproject.give_to(app.conf)
    return app


def _missing(wanted: Wanted, path: str, error: ModuleNotFoundError) -> str:
    """Tell a module that is not there from one that wants another that is not there."""
    name, here = wanted.name, os.getcwd()  # noqa: PTH109 - pathlib takes 5 ms to import
    module = name.partition(":")[0]
    if error.name is None or not f"{module}.".startswith(f"{error.name}."):
        return (
            f"importing {name!r} failed: it needs the module {error.name!r}, which is not "
            f"installed ({_place(error)}); install it in this environment: {sys.prefix}"
        )
    whose = f", which {path} names," if wanted.recorded else ""
    return (
        f"cannot import {name!r}{whose}: there is no module {error.name!r} in {here} or on the "
        f"Python path; go to the directory that has it, or say -A MODULE:APP"
    )


def _refuse_a_file(wanted: Wanted, path: str) -> None:
    """Raise `ImproperlyConfigured` for a file where an app should be, before it is imported."""
    from litequeue.cli.parameters import as_app

    name = wanted.name
    if name.endswith(".py"):
        module = as_app(name).partition(":")[0]
        raise ImproperlyConfigured(f"-A names a module, not a file: say {wanted.how(path, module)}")
    if os.sep in name or os.path.isfile(name):  # noqa: PTH113 - pathlib takes 5 ms to import
        raise ImproperlyConfigured(
            f"-A names an app, and {name!r} is a file: say {wanted.how(name, 'MODULE:APP')}"
        )


def _apps_in(wanted: Wanted, path: str) -> str:
    """Return how to name an app that is there."""
    from litequeue.app import LiteQueue

    module = wanted.name.partition(":")[0]
    there = vars(sys.modules.get(module, object)).items()
    found = sorted(key for key, value in there if issubclass(type(value), LiteQueue))
    if not found:
        return f"; no app is in {module}: make one with `app = LiteQueue(...)`"
    return f"; say {wanted.how(path, f'{module}:{found[0]}')}"


def _what(error: BaseException) -> str:
    """Return the kind of an error, its words and its place."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    return f"{type(error).__name__}: {clean(error)} ({_place(error)})"


def _place(error: BaseException) -> str:
    """Return the last line that is neither the import system's nor ours."""
    ours = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 - pathlib takes 5 ms to import
    found = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in found if not f.filename.startswith(("<frozen importlib", ours))]
    frames = theirs or found
    return f"{frames[-1].filename}:{frames[-1].lineno}"
