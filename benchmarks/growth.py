"""Is a file with millions of jobs as quick as one with a thousand? `make bench-growth`.

Each grown file is compared with a small one in interleaved pairs: both sides of a ratio are taken
one right after the other, in turns of who is first. README.md says what is measured, and how.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.growth_probe import QUICK, Sizes, arguments, vm_steps
from benchmarks.interval import STUDENT, Interval, interval
from benchmarks.probe import WITHIN, prepare_process
from benchmarks.seeding import bytes_needed, seed
from benchmarks.table import cell, console, new_table, verdict_text
from benchmarks.worker import ROOT

FLAT = 0.85
"""Required at least of a rate, at the lower end of its interval; of memory, at most the inverse."""
SAME_STEPS = 1.03
"""Required at most of the steps at full size, as a multiple of those in the small file."""
WAITING = 1000
"""Jobs that wait in every file; in the small one, there is nothing else."""
CASES = {
    "waiting": 1_000_000,
    "scheduled": 1_000_000,
    "parked": 1_000_000,
    "finished": 10_000_000,
}
QUICKER = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a look: its name there, its title here."""

    name: str
    title: str
    digits: int = 0
    is_rate: bool = True

    def ratio(self, pairs: Sequence[Pair]) -> Interval:
        return interval([pair.grown[self.name] / pair.small[self.name] for pair in pairs])

    def is_flat(self, ratio: Interval) -> bool:
        return ratio.low >= FLAT if self.is_rate else ratio.high <= 1 / FLAT

    @property
    def required(self) -> str:
        return f"low end ≥ {FLAT:g}" if self.is_rate else f"high end ≤ {1 / FLAT:.2f}"


FIGURES = (
    Figure("claim", "claim, jobs/s"),
    Figure("enqueue", "enqueue one at a time, jobs/s"),
    Figure("drain", "drain, jobs/s"),
    Figure("consumer", "peak memory of the consumer, MB", 1, is_rate=False),
    Figure("child", "peak memory of a child, MB", 1, is_rate=False),
    Figure("producer", "peak memory of a producer, MB", 1, is_rate=False),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """The figures of a small and of a grown file, taken one right after the other."""

    small: dict[str, float]
    grown: dict[str, float]


@dataclass(slots=True)
class Case:
    """One way to grow, and what came of it.  ``steps`` has those of small and of grown."""

    way: str
    count: int
    seconds: float = 0.0
    bytes: int = 0
    steps: dict[str, tuple[int, int]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.count:,} {self.way}"

    @property
    def jobs(self) -> dict[str, int]:
        """What is in the grown file, the oldest first."""
        if self.way == "waiting":
            return {"waiting": self.count}
        return {self.way: self.count, "waiting": WAITING}


def run(case: Case, pairs: int, sizes: Sizes, directory: Path) -> None:
    """Make the grown file, once; look at it and at small ones in turns."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as folder:
        file = Path(folder) / "jobs.sqlite"
        case.seconds = seed(file, case.jobs)
        case.bytes = file.stat().st_size
        say(f"{case.title}: made in {case.seconds:.0f} s, {case.bytes / 1e6:,.0f} MB")
        case.steps = count_steps(file, directory)
        for number in range(pairs):
            say(f"{case.title}: pair {number + 1} of {pairs}")
            if number % 2:
                small, grown = look_at_small(sizes, directory), look(file, sizes)
            else:
                grown, small = look(file, sizes), look_at_small(sizes, directory)
            case.pairs.append(Pair(small, grown))


def look(file: Path, sizes: Sizes) -> dict[str, float]:
    os.sync()  # the disk owes nothing for whatever was before
    command = arguments(file, sizes)
    done = subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True, timeout=WITHIN
    )
    if done.returncode:
        raise SystemExit(f"a look at {file} failed, see above")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def look_at_small(sizes: Sizes, directory: Path) -> dict[str, float]:
    """Look at a new small file: one that was looked at has grown."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as folder:
        return look(small_file(folder), sizes)


def count_steps(file: Path, directory: Path) -> dict[str, tuple[int, int]]:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as folder:
        small, grown = vm_steps(small_file(folder)), vm_steps(file)
    return {name: (small[name], grown[name]) for name in small}


def small_file(folder: str) -> Path:
    file = Path(folder) / "jobs.sqlite"
    seed(file, {"waiting": WAITING})
    return file


def report_rates(cases: Sequence[Case], *, judged: bool) -> bool:
    table = new_table(
        "median, lowest..highest",
        ("small", "grown", "grown / small\nmedian", "90 %\ninterval", "required", "verdict"),
    )
    passed = True
    for case in cases:
        for figure in FIGURES:
            ratio = figure.ratio(case.pairs)
            flat = figure.is_flat(ratio)
            passed &= flat
            table.add_row(
                f"[bold]{case.title}[/bold]\n{figure.title}",
                cell([pair.small[figure.name] for pair in case.pairs], figure.digits),
                cell([pair.grown[figure.name] for pair in case.pairs], figure.digits),
                f"{ratio.median:.2f}",
                f"{ratio.low:.2f}..{ratio.high:.2f}",
                figure.required,
                verdict_text(flat, judged=judged),
            )
    console().print(table)
    return passed


def report_steps(cases: Sequence[Case]) -> bool:
    """Show the steps; they are judged on any machine, because they have no noise."""
    table = new_table("steps of SQLite's virtual machine", ("small", "grown", "ratio", "verdict"))
    passed = True
    for case in cases:
        for name, (small, grown) in case.steps.items():
            same = grown <= small * SAME_STEPS
            passed &= same
            table.add_row(
                f"{case.title}: {name}",
                f"{small:,}",
                f"{grown:,}",
                f"{grown / small:.3f}",
                verdict_text(same, judged=True),
            )
    console().print(table)
    return passed


def report_files(cases: Sequence[Case]) -> None:
    for case in cases:
        print(f"{case.title}: {case.bytes / 1e6:,.0f} MB, made in {case.seconds:.0f} s")


def check_room(cases: Sequence[Case], directory: Path) -> None:
    """Say what room the largest file takes; they are made one after the other."""
    needed = max(bytes_needed(case.jobs.values()) for case in cases) / 1e9
    free = shutil.disk_usage(directory).free / 1e9
    facts = f"the largest file takes up to {needed:.1f} GB in {directory}, where {free:.1f} GB are"
    if free < 1.5 * needed + 1:
        raise SystemExit(f"{facts} free, which is too little: name another place with --dir")
    say(f"{facts} free")


def save(cases: Sequence[Case], sizes: Sizes, context: dict[str, str]) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = Path(__file__).parent / "results" / f"growth-{moment}.json"
    path.parent.mkdir(exist_ok=True)
    content = {
        "sizes": asdict(sizes),
        "context": context,
        "cases": [asdict(case) for case in cases],
    }
    path.write_text(json.dumps(content, indent=1))
    return path


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-growth", description=__doc__)
    parser.add_argument(
        "--pairs", type=int, default=5, choices=sorted(STUDENT), help="per case (5)"
    )
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--quick", action="store_true", help="files of a hundredth of the size")
    parser.add_argument(
        "--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the files go: a disk"
    )
    return parser.parse_args()


def main() -> int:
    prepare_process()
    chosen = options()
    load = machine.load()
    smaller = QUICKER if chosen.quick else 1
    sizes = QUICK if chosen.quick else Sizes()
    cases = [Case(way, CASES[way] // smaller) for way in chosen.only]
    check_room(cases, chosen.dir)
    syncs = [machine.sync_milliseconds(chosen.dir)]
    for case in cases:
        run(case, chosen.pairs, sizes, chosen.dir)
        syncs.append(machine.sync_milliseconds(chosen.dir))
    objections = machine.objections(load, syncs, chosen.dir)
    flat = report_rates(cases, judged=not objections)
    same = report_steps(cases)
    report_files(cases)
    context = {
        "fdatasync p50": f"{min(syncs):.3f} .. {max(syncs):.3f} ms",
        "load average": f"{load:.2f} at the start, {machine.load():.2f} at the end",
        **machine.description(),
    }
    for name, value in context.items():
        print(f"{name}: {value}")
    for objection in objections:
        print(f"rates and memory are not judged: {objection}")
    say(f"all samples: {save(cases, sizes, context)}")
    return 0 if flat and same and not objections else 1


if __name__ == "__main__":
    sys.exit(main())
