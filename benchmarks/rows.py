"""The rows of the table, and what is required in each."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.measures import Series

Runs = dict[str, list[Series]]
"""By system: the samples of each repetition."""
SUBJECT = "litequeue"
RIVALS = ("limit", "celery")
"""Those that litequeue is compared with in a column of ratios."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A required figure: of litequeue's own, or of its ratio to another system's."""

    value: float
    to: str | None = None

    def text(self, row: Row) -> str:
        sign = "≥" if row.more_is_better else "≤"
        return f"{sign} {self.value:g} x {self.to}" if self.to else f"{sign} {self.value:g}"

    def holds(self, row: Row, runs: Runs) -> bool | None:
        """Tell whether litequeue keeps it; None if a figure is missing."""
        if self.to:
            figure = row.ratio(runs, SUBJECT, self.to)
        else:
            figure = median(row.figures(runs, SUBJECT))
        if figure is None:
            return None
        return figure >= self.value if row.more_is_better else figure <= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a quantile of the samples that a measure yields."""

    name: str
    title: str
    measure: str
    series: str
    digits: int = 0
    quantile: float = 0.5
    more_is_better: bool = False
    required: tuple[Bound, ...] = ()

    def figures(self, runs: Runs, system: str) -> list[float]:
        """The figure of every repetition that has one."""
        samples = (run.get(self.series, []) for run in runs.get(system, []))
        return [quantile(each, self.quantile) for each in samples if each]

    def ratio(self, runs: Runs, system: str, other: str) -> float | None:
        """The median of the ratios in each repetition, so that a slow minute slows both sides."""
        mine, theirs = self.figures(runs, system), self.figures(runs, other)
        return median([a / b for a, b in zip(mine, theirs, strict=False)])


def quantile(samples: Iterable[float], share: float) -> float:
    ordered = sorted(samples)
    return statistics.median(ordered) if share == 0.5 else ordered[int(len(ordered) * share)]


def median(figures: list[float]) -> float | None:
    return statistics.median(figures) if figures else None


def faster(name: str, title: str, measure: str, *required: Bound) -> Row:
    return Row(name, title, measure, name, more_is_better=True, required=required)


def smaller(name: str, title: str, measure: str, digits: int, *required: Bound) -> Row:
    return Row(name, title, measure, name, digits, required=required)


def latency(series: str, title: str, percent: int, *required: Bound) -> Row:
    name, title = f"{series}-p{percent}", f"{title}, p{percent}, ms"
    return Row(name, title, "serve", series, 2, percent / 100, required=required)


ROWS = (
    faster("enqueue", "enqueue one at a time, jobs/s", "enqueue", Bound(0.6, "limit")),
    faster("bulk", "enqueue in one go, jobs/s", "enqueue", Bound(0.5, "limit")),
    faster("drain", "drain, jobs/s", "serve", Bound(0.7, "limit"), Bound(20, "celery")),
    latency("start", "enqueue to start", 50, Bound(1.5, "limit"), Bound(1, "celery")),
    latency("start", "enqueue to start", 99),
    latency("get", "delay().get()", 50, Bound(1.7, "limit"), Bound(1, "celery")),
    latency("get", "delay().get()", 99),
    smaller("cpu", "worker's CPU per job, µs", "serve", 0),
    smaller("idle", "worker's CPU when idle, %", "idle", 3, Bound(0.05)),
    smaller("pss", "worker's memory (PSS), MB", "serve", 1, Bound(60)),
    smaller("import", "import, ms above bare Python", "importing", 0, Bound(80)),
    smaller("ready", "worker start to ready, s", "ready", 2, Bound(0.5)),
)
