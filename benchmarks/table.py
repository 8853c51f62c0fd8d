"""The samples of all systems as tables, with a verdict per row."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import yardstick
from benchmarks.rows import RIVALS, SUBJECT, Row, Runs, median

WIDTH = 160
"""Columns that all figures need; a narrower terminal wraps the lines, and loses none."""
NOTHING = "-"


def console() -> Console:
    return Console(width=max(WIDTH, Console().width))


def verdict(row: Row, runs: Runs) -> bool | None:
    """Tell whether litequeue keeps all that is required; None if it cannot be told."""
    answers = [bound.holds(row, runs) for bound in row.required]
    if False in answers:
        return False
    return None if None in answers or not answers else True


def comparison(rows: Sequence[Row], systems: Sequence[str], runs: Runs, *, judged: bool) -> Table:
    rivals = [name for name in RIVALS if name in systems and SUBJECT in systems]
    ratios = [f"{SUBJECT}\n/ {rival}" for rival in rivals]
    table = new_table("median, lowest..highest", [*systems, *ratios, "required", "verdict"])
    for row in rows:
        answers = (row.ratio(runs, SUBJECT, rival) for rival in rivals)
        table.add_row(
            row.title,
            *(cell(row.figures(runs, system), row.digits) for system in systems),
            *(ratio_text(answer) for answer in answers),
            "\n".join(bound.text(row) for bound in row.required) or NOTHING,
            verdict_text(verdict(row, runs), judged=judged),
        )
    return table


def new_table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, show_lines=True)
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def cell(figures: list[float], digits: int) -> str:
    middle = median(figures)
    if middle is None:
        return NOTHING
    spread = f"{min(figures):,.{digits}f}..{max(figures):,.{digits}f}"
    return f"{middle:,.{digits}f}\n[dim]{spread}[/dim]"


def ratio_text(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.2f}"


def verdict_text(passed: bool | None, *, judged: bool) -> str:
    if passed is None:
        return NOTHING
    if not judged:
        return "[yellow]machine\nloaded[/yellow]"
    return "[green]pass[/green]" if passed else "[red]FAIL[/red]"


def calibrated(row: Row, runs: Runs) -> bool | None:
    """Tell whether our limit comes close enough to the yardstick; a better one is only harder."""
    ratio = row.ratio(runs, "limit", yardstick.NAME)
    if ratio is None:
        return None
    loss = 1 - ratio if row.more_is_better else ratio - 1
    return loss <= yardstick.TOLERANCE


def calibration(rows: Sequence[Row], runs: Runs, *, judged: bool) -> Table:
    headings = ("limit", yardstick.NAME, "ratio", "verdict")
    table = new_table("the limit beside its yardstick", headings)
    for row in rows:
        table.add_row(
            row.title,
            *(cell(row.figures(runs, system), row.digits) for system in ("limit", yardstick.NAME)),
            ratio_text(row.ratio(runs, "limit", yardstick.NAME)),
            verdict_text(calibrated(row, runs), judged=judged),
        )
    return table
