"""Measure litequeue beside the limit, huey and Celery on Redis: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, yardstick
from benchmarks.measures import MEASURES, QUICK, Series, Sizes
from benchmarks.probe import Probe, prepare_process
from benchmarks.rows import ROWS, Row, Runs
from benchmarks.systems import NAMES
from benchmarks.table import calibrated, calibration, comparison, console, verdict

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Bench:
    """One run: what is measured, and what has come of it."""

    rows: list[Row]
    systems: list[str]
    sizes: Sizes
    directory: Path
    load: float = field(default_factory=machine.load)
    syncs: list[float] = field(default_factory=list)
    runs: Runs = field(default_factory=dict)

    def repeat(self, number: int, count: int) -> None:
        """Measure everything once, system after system within each measure."""
        self.syncs.append(machine.sync_milliseconds(self.directory))
        samples: dict[str, Series] = {system: {} for system in self.systems}
        if program := self.yardstick():
            say(f"repetition {number} of {count}: yardstick")
            samples[yardstick.NAME] = self.yardstick_samples(program)
        for measure in self.measures():
            say(f"repetition {number} of {count}: {measure}")
            for system, series in self.take(measure):
                samples[system] |= series
        for system, series in samples.items():
            self.runs.setdefault(system, []).append(series)
        self.syncs.append(machine.sync_milliseconds(self.directory))

    def measures(self) -> list[str]:
        needed = {row.measure for row in self.rows}
        return [name for name in MEASURES if name in needed]

    def take(self, measure: str) -> Iterator[tuple[str, Series]]:
        if measure == "idle":  # workers at rest do not disturb each other: one minute for all
            yield from self.take_together(measure)
            return
        for system in self.systems:
            with self.probe(measure, system) as probe:
                yield system, probe.samples()

    def take_together(self, measure: str) -> Iterator[tuple[str, Series]]:
        with ExitStack() as stack:
            probes = [
                (system, stack.enter_context(self.probe(measure, system)))
                for system in self.systems
            ]
            for system, probe in probes:
                yield system, probe.samples()

    def probe(self, measure: str, system: str) -> Probe:
        return Probe(measure, system, self.directory, self.sizes)

    def yardstick(self) -> str | None:
        return yardstick.path() if "limit" in self.systems and self.yardstick_rows() else None

    def yardstick_rows(self) -> list[Row]:
        return [row for row in self.rows if row.name in yardstick.ROWS]

    def yardstick_samples(self, program: str) -> Series:
        return yardstick.samples(program, self.sizes.drain_bulk, self.directory)

    def report(self) -> bool:
        """Print the tables; return whether all that was required is shown."""
        objections = machine.objections(self.load, self.syncs, self.directory)
        judged = not objections
        out = console()
        out.print(comparison(self.rows, self.systems, self.runs, judged=judged))
        answers = [verdict(row, self.runs) for row in self.rows]
        if self.yardstick():
            out.print(calibration(self.yardstick_rows(), self.runs, judged=judged))
            answers += [calibrated(row, self.runs) for row in self.yardstick_rows()]
        for name, value in self.context().items():
            out.print(f"{name}: {value}", highlight=False)
        for objection in objections:
            out.print(f"[yellow]not judged: {objection}[/yellow]")
        return judged and False not in answers

    def context(self) -> dict[str, Any]:
        syncs = f"{min(self.syncs):.3f} .. {max(self.syncs):.3f} ms"
        load = f"{self.load:.2f} at the start, {machine.load():.2f} at the end"
        return {"fdatasync p50": syncs, "load average": load, **machine.description()}

    def save(self) -> Path:
        moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        path = RESULTS / f"{moment}.json"
        content = {"sizes": asdict(self.sizes), "context": self.context(), "samples": self.runs}
        path.write_text(json.dumps(content, indent=1))
        return path


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def names(allowed: Sequence[str], what: str) -> Any:
    """Return a type for argparse: names out of `allowed`, separated by commas."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := sorted(set(chosen) - set(allowed)):
            raise argparse.ArgumentTypeError(
                f"no {what} {', '.join(unknown)}; there are {', '.join(allowed)}"
            )
        return [name for name in allowed if name in chosen]

    return parse


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    row_names = [row.name for row in ROWS]
    parser.add_argument(
        "--only", type=names(NAMES, "system"), default=list(NAMES), metavar="SYSTEM,..."
    )
    parser.add_argument(
        "--rows", type=names(row_names, "row"), default=row_names, metavar="ROW,...",
        help=", ".join(row_names),
    )  # fmt: skip
    parser.add_argument("--reps", type=int, default=3, help="repetitions (3)")
    parser.add_argument("--quick", action="store_true", help="small samples, for a first look")
    parser.add_argument(
        "--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the stores go: a disk"
    )
    return parser.parse_args()


def main() -> int:
    prepare_process()
    chosen = options()
    bench = Bench(
        rows=[row for row in ROWS if row.name in chosen.rows],
        systems=chosen.only,
        sizes=QUICK if chosen.quick else Sizes(),
        directory=chosen.dir,
    )
    for number in range(chosen.reps):
        bench.repeat(number + 1, chosen.reps)
    passed = bench.report()
    say(f"all samples: {bench.save()}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
