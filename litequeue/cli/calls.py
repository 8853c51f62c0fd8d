"""A call of a task as it is typed: its arguments, and whether the task takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from litequeue.cli.failure import NO_SUCH_THING, Failure
from litequeue.nearest import did_you_mean

if TYPE_CHECKING:
    from litequeue.facts import TaskFacts
    from litequeue.store import Database


def known_task(database: Database, task: str, *, force: bool) -> TaskFacts | None:
    """Return what the file knows of a task; raises `Failure` for one that no app has."""
    from litequeue.store import registry

    known = {facts.name: facts for facts in registry.tasks(database)}
    if task in known or force:
        return known.get(task)
    if not known:
        raise Failure(
            f"no app has used {database.path} yet, so its tasks are not known: start a worker "
            f"with `litequeue worker {database.path} -A MODULE:APP`, or add --force",
            code=NO_SUCH_THING,
        )
    raise Failure(
        f"no task {task!r}{did_you_mean(task, [*known])}; "
        f"see `litequeue tasks {database.path}`, or add --force",
        code=NO_SUCH_THING,
    )


def task_of(ctx: click.Context, database: Database, task: str, wanted: Sequence[str]) -> TaskFacts:
    """Return what the file knows of a task; raises `click.UsageError` where it knows nothing."""
    facts = known_task(database, task, force=True)
    if facts is None:
        raise click.UsageError(
            f"no app has recorded the task {task!r}, so its own {' and '.join(wanted)} cannot be "
            f"known: say a value, as --{wanted[0]} {'default' if wanted[0] == 'queue' else 0}",
            ctx,
        )
    return facts


def check_call(
    ctx: click.Context,
    facts: TaskFacts | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    force: bool,
) -> None:
    """Raise `click.UsageError` for arguments that the task does not take."""
    if facts is None or force:
        return
    from litequeue.cli.signature import misfit

    why = misfit(facts.signature, args, kwargs)
    if why is not None:
        call = f"{facts.name}{facts.signature}"
        raise click.UsageError(f"{call}: {why}; check them, or add --force", ctx)


def arguments(
    ctx: click.Context, words: Iterable[str], args_text: str | None, kwargs_text: str | None
) -> tuple[list[Any], dict[str, Any]]:
    """Return what the task is to be called with; raises `click.UsageError`."""
    args: list[Any] = _given_json(ctx, "--args", args_text, list)
    kwargs: dict[str, Any] = _given_json(ctx, "--kwargs", kwargs_text, dict)
    for word in words:
        name, equals, value = word.partition("=")
        is_json, parsed = _parsed(word)
        if is_json:
            args.append(parsed)
        elif equals and name.isidentifier():
            if name in kwargs:
                raise click.UsageError(f"the argument {name!r} is given twice", ctx)
            is_json, parsed = _parsed(value)
            kwargs[name] = parsed if is_json else value
        else:
            _refuse(ctx, word)
    return args, kwargs


def is_argument(word: str) -> bool:
    """Tell an argument from the name of a task."""
    return _parsed(word)[0] or "=" in word


def _given_json(ctx: click.Context, option: str, text: str | None, kind: type) -> Any:
    if text is None:
        return kind()
    _, value = _parsed(text)
    if not isinstance(value, kind):
        what = "list, as '[1, 2]'" if kind is list else "object, as '{\"x\": 1}'"
        raise click.UsageError(f"{option} is a JSON {what}, not {text!r}", ctx)
    return value


def _parsed(text: str) -> tuple[bool, Any]:
    """Return whether the text is JSON, and its value."""
    try:
        return True, json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False, None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _refuse(ctx: click.Context, word: str) -> NoReturn:
    if word.startswith("-"):
        raise click.UsageError(f"no such option: {word}", ctx)
    quoted = json.dumps(word, ensure_ascii=False)
    raise click.UsageError(f"the argument {word!r} is no JSON; write text as '{quoted}'", ctx)
