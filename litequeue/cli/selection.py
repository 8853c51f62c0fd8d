"""The filters that `jobs`, `retry`, `revoke` and `purge` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from litequeue.cli.parameters import STATES, Duration, Name, State
from litequeue.clock import SYSTEM

if TYPE_CHECKING:
    from litequeue.store.listing import Selection

F = TypeVar("F", bound=Callable[..., Any])


def filters(function: F) -> F:
    """Add --state, --task, --queue and --since."""
    for option in (
        click.option("--since", type=Duration(), metavar="DURATION",
                     help="Only jobs accepted less than this ago: 90s, 10m, 1h, 2d."),
        click.option("-Q", "--queue", "queues", type=Name(), multiple=True,
                     help="Only jobs of this queue; several are allowed."),
        click.option("--task", type=Name(), metavar="GLOB",
                     help="Only jobs of this task; * and ? stand for others."),
        click.option("--state", "wanted", type=State(), multiple=True,
                     help="Only jobs in this state; several are allowed."),
    ):  # fmt: skip
        function = option(function)
    return function


def selection(
    *,
    wanted: Iterable[str] = (),
    task: str | None = None,
    queues: Sequence[str] = (),
    since: float | None = None,
) -> Selection:
    """Return what the filters say, for the store; raises `click.UsageError` for -Q with no name."""
    from litequeue.store.listing import Selection

    named = [STATES[name] for name in wanted]
    chosen = split(queues)
    if queues and not chosen:  # which would mean all of them
        raise click.UsageError("-Q names no queue")
    return Selection(
        phases=tuple(phase for phases, _ in named for phase in phases),
        states=tuple(state for _, states in named for state in states),
        task=task,
        queues=chosen,
        since=None if since is None else SYSTEM.now() - since,
    )


def split(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in "a,b" and "c"."""
    return tuple(part for name in names for each in name.split(",") if (part := each.strip()))
