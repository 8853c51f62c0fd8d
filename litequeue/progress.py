"""`watch`: wait for a result, and show on the terminal how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litequeue.result import AsyncResult, ResultSet

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from litequeue.result import Progress

REFRESH: Final = 0.2
"""Seconds between two looks at the file, for a bar."""
EVERY: Final = 10.0
"""Seconds between two lines where there is no terminal."""


def watch(
    result: AsyncResult[Any] | ResultSet[Any],
    description: str | None = None,
    timeout: float | None = None,
    *,
    console: Console | None = None,
    every: float = EVERY,
    **options: Any,
) -> Any:
    """Wait for a job, a group or a workflow as ``result.get()`` does, and show its progress.

    On a terminal that is a bar, which ``description`` stands before; elsewhere a line whenever
    something has changed, at most one in ``every`` seconds.  It goes to stderr, or to ``console``.
    ``timeout`` is in seconds; ``options`` are those of ``get()``.  Returns and raises as that does;
    raises TypeError for what is no result.
    """
    from rich.console import Console

    if not isinstance(result, AsyncResult | ResultSet):
        raise TypeError(
            f"watch() waits for a result, and {result!r:.80} is none; "
            "send it first, with .delay(), or make a result of an id: app.AsyncResult(id)"
        )
    shown = Console(stderr=True) if console is None else console
    title = description or getattr(result, "name", None) or "progress"
    if shown.is_terminal or shown.is_jupyter:
        return _with_bar(result, title, timeout, shown, options)
    return _with_lines(result, title, timeout, shown, every, options)


def _with_bar(
    result: Any, title: str, timeout: float | None, console: Console, options: dict[str, Any]
) -> Any:
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failures]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        line = bar.add_task(escape(title), total=None, failures="")

        def show() -> None:
            _move(bar, line, result.progress())

        show()
        try:
            return result.get(timeout, on_interval=show, **{"interval": REFRESH, **options})
        finally:
            show()


def _move(bar: Bar, line: TaskID, now: Progress) -> None:
    bar.update(
        line,
        total=now.total,
        completed=now.fraction * now.total,
        failures=f"{now.failed:,} failed" if now.failed else "",
    )


def _with_lines(
    result: Any,
    title: str,
    timeout: float | None,
    console: Console,
    every: float,
    options: dict[str, Any],
) -> Any:
    last: Progress | None = None

    def show() -> None:
        nonlocal last
        now = result.progress()
        if now != last:
            last = now
            console.print(f"{title}: {_line(now)}", markup=False, highlight=False, soft_wrap=True)

    show()
    try:
        return result.get(timeout, on_interval=show, **{"interval": every, **options})
    finally:
        show()


def _line(now: Progress) -> str:
    """Return "3/10 (30 %), 1 failed, 2 running"."""
    parts = [f"{now.ended:,}/{now.total:,} ({now.fraction:.0%})"]
    parts += [f"{now.failed:,} failed"] * bool(now.failed)
    parts += [f"{now.running:,} running"] * bool(now.running)
    return ", ".join(parts)
