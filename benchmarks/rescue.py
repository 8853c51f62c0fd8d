"""How soon a job runs again after SIGKILL: `python -m benchmarks.rescue --help`.

Three campaigns, one job at a time, each killed once while it runs:
child    the process that runs the job; from the kill to the job's second start
beside   all processes of its worker, while another worker is at rest; from the kill
after    all processes of the only worker; from the start of the next one
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks import machine
from benchmarks.probe import prepare_process
from benchmarks.rows import quantile
from benchmarks.table import console, verdict_text
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from litequeue.result import AsyncResult

PATIENCE = 30
"""Seconds until a job that does not start again counts as lost."""
READY_MARK = "Ready in "


class Journal:
    """What the tasks wrote: which job started, in which process, when."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open()
        self._starts: dict[int, list[tuple[int, float]]] = {}

    def start(self, number: int, ordinal: int) -> tuple[int, float]:
        """Wait for a job's first (0) or second (1) start; return its process and its moment."""
        deadline = time.monotonic() + PATIENCE
        while len(self._starts.get(number, ())) <= ordinal:
            if time.monotonic() > deadline:
                raise TimeoutError(f"start {ordinal + 1} of job {number} did not happen")
            self._read()
            time.sleep(0.001)
        return self._starts[number][ordinal]

    def _read(self) -> None:
        for line in self._file:
            number, process, moment = map(int, line.split())
            self._starts.setdefault(number, []).append((process, moment / 1e9))


class Campaign:
    """One store, and the jobs that are sent to be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        os.environ["LITEQUEUE_URL"] = str(folder / "jobs.sqlite")
        os.environ["JOURNAL"] = str(folder / "journal")
        from benchmarks.apps.rescue import hold

        self.task = hold
        self.journal = Journal(folder / "journal")
        self.numbers = count()
        self.logs = count()

    def worker(self, children: int) -> Worker:
        """Start a worker, not ready yet."""
        file, app = os.environ["LITEQUEUE_URL"], "benchmarks.apps.rescue:app"
        command = [sys.executable, "-m", "litequeue", "worker", file, "-A", app]
        command += ["-c", str(children), "-l", "INFO"]
        return Worker(command, self.folder / f"worker-{next(self.logs)}.log")

    def ready_worker(self, children: int) -> Worker:
        worker = self.worker(children)
        worker.wait_until_ready(READY_MARK)
        return worker

    @contextmanager
    def running_job(self) -> Iterator[tuple[int, int]]:
        """Yield a job's number and its process, at some moment while it runs; then let it end."""
        number = next(self.numbers)
        result: AsyncResult[int] = self.task.delay(number)
        process, _ = self.journal.start(number, 0)
        time.sleep(random.uniform(0, 0.05))
        yield number, process
        if result.get(timeout=PATIENCE) != number:
            raise AssertionError(f"job {number} has the result of another")

    def second_start(self, number: int) -> float:
        return self.journal.start(number, 1)[1]


def child(campaign: Campaign, kills: int) -> list[float]:
    seconds = []
    with campaign.ready_worker(children=2):
        for _ in range(kills):
            with campaign.running_job() as (number, process):
                killed = time.monotonic()
                os.kill(process, signal.SIGKILL)
                seconds.append(campaign.second_start(number) - killed)
    return seconds


def beside(campaign: Campaign, kills: int) -> list[float]:
    seconds = []
    with ExitStack() as stack:
        workers = [stack.enter_context(campaign.ready_worker(children=1)) for _ in range(2)]
        for _ in range(kills):
            with campaign.running_job() as (number, process):
                owner = next(each for each in workers if each.has(process))
                killed = owner.kill()
                seconds.append(campaign.second_start(number) - killed)
            workers.remove(owner)
            workers.append(stack.enter_context(campaign.ready_worker(children=1)))
    return seconds


def after(campaign: Campaign, kills: int) -> list[float]:
    seconds = []
    with ExitStack() as stack:
        worker = stack.enter_context(campaign.ready_worker(children=2))
        for _ in range(kills):
            with campaign.running_job() as (number, _process):
                worker.kill()
                worker = stack.enter_context(campaign.worker(children=2))
                seconds.append(campaign.second_start(number) - worker.began)
    return seconds


CAMPAIGNS: dict[str, tuple[Callable[[Campaign, int], list[float]], float]] = {
    "child": (child, 1.0),
    "beside": (beside, 2.0),
    "after": (after, 2.0),
}
"""With the p99 that is required, in seconds."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rescue",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=60, help="in each campaign (60)")
    parser.add_argument("--only", choices=CAMPAIGNS, help="one campaign")
    parser.add_argument(
        "--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the store goes: a disk"
    )
    return parser.parse_args()


def main() -> int:
    prepare_process()
    chosen = options()
    load, sync = machine.load(), machine.sync_milliseconds(chosen.dir)
    judged = not machine.objections(load, [sync], chosen.dir)
    table = Table(title="seconds until a killed job runs again")
    for heading in ("campaign", "kills", "p50", "p99", "longest", "required p99", "verdict"):
        table.add_column(heading, justify="right")
    passed = judged
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.dir) as folder:
        campaign = Campaign(Path(folder))
        for name in [chosen.only] if chosen.only else CAMPAIGNS:
            kill, bound = CAMPAIGNS[name]
            seconds = kill(campaign, chosen.kills)
            p50, p99 = quantile(seconds, 0.5), quantile(seconds, 0.99)
            passed = passed and p99 <= bound
            figures = [f"{each:.3f}" for each in (p50, p99, max(seconds))]
            verdict = verdict_text(p99 <= bound, judged=judged)
            table.add_row(name, str(len(seconds)), *figures, f"≤ {bound:g}", verdict)
    out = console()
    out.print(table)
    out.print(f"fdatasync p50 {sync:.3f} ms, load average {load:.2f} at the start", highlight=False)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
