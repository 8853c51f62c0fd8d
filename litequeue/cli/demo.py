"""``litequeue demo``: show on real work what the queue promises."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from litequeue.demo.play import Report


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1, 60), metavar="S",
              help="Seconds of work (default: the whole library, for at least 10).")  # fmt: skip
@click.option("-c", "--concurrency", type=click.IntRange(1, 64),
              help="Children of the worker (default: the number of CPUs, at most 8).")  # fmt: skip
def demo(seconds: float | None, concurrency: int | None) -> int:
    """Kill a worker while it works, and lose nothing.

    Python's standard library is parsed through a queue meanwhile.  Everything happens in a
    temporary directory.  Exit code 0: every result is there, once, and right.
    """
    from litequeue.config import ENVIRONMENT_PREFIX

    # The demo shows the defaults: what is set here is meant for somebody's real queue.
    for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
        del os.environ[name]
    from rich.console import Console

    from litequeue.demo import play

    console = Console(highlight=False)
    with Stage(console) as stage:
        report = play.run(stage, seconds=seconds, lanes=concurrency)
    console.print(table_of(report))
    failures = report.failures()
    for words in failures:
        console.print(f"[red]✗[/] {words}")
    if not failures:
        console.print("[green]✓[/] every result is there, once, and equal to plain Python's")
    return 1 if failures else 0


class Stage:
    """Shows what happens: a live bar on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._what, self._total, self._told = "", 0, 0
        self._bar = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> Stage:
        """Start to show."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def say(self, text: str) -> None:
        """Tell one fact."""
        self._console.print(text, soft_wrap=True)

    def begin(self, what: str, total: int) -> None:
        """Start to show the progress of ``what``."""
        self._what, self._total, self._told = what, total, 0
        self._bar = self._progress.add_task(what, total=total)

    def reached(self, done: int) -> None:
        """Move the bar, or print a line for every tenth part."""
        self._progress.update(self._bar, completed=done)
        tenths = done * 10 // max(1, self._total)
        if self._progress.disable and tenths > self._told:
            self._told = tenths
            self.say(f"{done:>7,} of {self._total:,} {self._what}")


def table_of(report: Report) -> Table:
    """Put the report into a table."""
    from rich.table import Table

    table = Table("what", "found", title="what became of the jobs", title_justify="left")
    table.columns[1].justify = "right"
    present = report.jobs - report.missing
    table.add_row("results there", f"{present:,} of {report.jobs:,}")
    table.add_row("equal to plain Python", f"{report.jobs - len(report.wrong):,}")
    table.add_row("verdicts recorded", f"{report.verdicts:,}")
    table.add_row("jobs with exactly one verdict", f"{report.judged_once:,}")
    table.add_row("files with a syntax error (expected)", f"{report.syntax_errors:,}")
    table.add_row("jobs that ran twice because of the kills", f"{len(report.rescues):,}")
    for kill in report.kills:
        times = [r.seconds for r in report.rescues if r.kill is kill and r.seconds is not None]
        table.add_row(f"{kill.what} killed: its jobs ran again after", _range(times))
    table.add_row("SQLite's integrity_check", report.damage[0] if report.damage else "ok")
    table.add_row("processes and files left behind", f"{len(report.left_behind)}")
    table.add_row("time in all", f"{report.seconds:.1f} s")
    return table


def _range(times: list[float]) -> str:
    if not times:
        return "it hit no job"
    least, most = f"{min(times):.3f} s", f"{max(times):.3f} s"
    return least if len(times) == 1 else f"{least} to {most}"
