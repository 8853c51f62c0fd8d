"""One measure of one system, in a process of its own: nothing of another run is left in it.

`python -m benchmarks.probe MEASURE SYSTEM FOLDER SIZES` prints the samples as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from benchmarks.measures import Series, Sizes, measure
from benchmarks.worker import ROOT

WITHIN = 600
"""Seconds until a probe is given up."""


class Probe:
    """A probe that has been started on a fresh folder."""

    def __init__(self, measure: str, system: str, directory: Path, sizes: Sizes) -> None:
        os.sync()  # the disk owes nothing for the run before
        self.title = f"{measure} of {system}"
        self.folder = tempfile.TemporaryDirectory(prefix="bench-", dir=directory)
        size = json.dumps(dataclasses.asdict(sizes))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.probe", measure, system, self.folder.name, size],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def samples(self) -> Series:
        """Wait for the probe to end; return what it printed."""
        output, _ = self.process.communicate(timeout=WITHIN)
        if self.process.returncode:
            raise SystemExit(f"{self.title} failed, see above")
        series: Series = json.loads(output)
        return series


def prepare_process() -> None:
    """Do what every program of the benchmarks does first.

    SIGTERM ends it by an exception, so that nothing which was started is left behind. Python may
    write byte code, whatever the shell says: an installed program has it.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def main() -> None:
    prepare_process()
    name, system, folder, sizes = sys.argv[1:]
    print(json.dumps(measure(name, system, Path(folder), Sizes(**json.loads(sizes)))))


if __name__ == "__main__":
    main()
