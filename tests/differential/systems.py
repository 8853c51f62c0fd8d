"""The two systems under test: how the program is made for each, and how each is run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.conftest import wait_until

ROOT: Final = Path(__file__).parents[2]
BACKEND: Final = "tests.differential.celery_place:Backend"
PROGRAM: Final = Path(__file__).parent / "idioms"
WORKER_NAME: Final = "idioms@here"
QUEUES: Final = "main,named,globbed,matched,chosen"
WITH_A_WORKER: Final = (
    "tasks",
    "calling",
    "results",
    "retries",
    "states",
    "classes",
    "routing",
    "signals",
    "limits",
    "signatures",
)
WITHOUT: Final = ("configuration", "eager")
"""Topics that make apps of their own, in a process of their own."""

IMPORTS: Final = {
    "from celery import Celery": "from litequeue import LiteQueue as Celery",
    "from celery import": "from litequeue import",
    "from celery.canvas import": "from litequeue.canvas import",
    "from celery.exceptions import": "from litequeue.exceptions import",
    "from celery.result import": "from litequeue.result import",
    "from celery.signals import": "from litequeue.signals import",
    "from celery.utils.log import": "from litequeue.log import",
    "from kombu import": "from litequeue.routing import",
}
"""The whole difference between the two programs: how a line begins, and how it then does."""
ELSEWHERE: Final = re.compile(r"^from (?:celery|kombu)[ .]", re.MULTILINE)


def for_litequeue(text: str) -> str:
    """Return a module of the program with its imports changed, and nothing else."""
    lines = []
    for line in text.splitlines():
        found = next((old for old in IMPORTS if re.match(rf"{re.escape(old)}\b", line)), None)
        lines.append(line if found is None else IMPORTS[found] + line[len(found) :])
    return "\n".join(lines) + ("\n" if text else "")


def write_program(place: Path, *, litequeue: bool) -> None:
    """Copy the program to ``place``, for one system or the other."""
    for source in PROGRAM.rglob("*.py"):
        target = place / "idioms" / source.relative_to(PROGRAM)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text("utf-8")
        target.write_text(for_litequeue(text) if litequeue else text, "utf-8")


@dataclass(frozen=True, slots=True)
class System:
    """One of the two: its name, its worker, and the environment of all its processes."""

    name: str
    place: Path
    worker: list[str]
    environment: dict[str, str]
    ready: str
    stop: signal.Signals

    @property
    def log(self) -> Path:
        return self.place / "worker.log"

    def observe(self) -> dict[str, Any]:
        """Run every idiom; return what was observed of each."""
        with self.log.open("wb") as log:
            worker = subprocess.Popen(
                self.worker,
                cwd=self.place,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            alone = self._start_driver(WITHOUT)
            wait_until(lambda: self._is_ready(worker), timeout=30)
            observed = self._read(self._start_driver(WITH_A_WORKER))
            return observed | self._read(alone)
        finally:
            self._stop(worker)

    def _is_ready(self, worker: subprocess.Popen[bytes]) -> bool:
        said = self.log.read_text(errors="replace")
        assert worker.poll() is None, f"{self.name}'s worker ended:\n{said}"
        return self.ready in said

    def _start_driver(self, topics: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "idioms", *topics],
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _read(self, driver: subprocess.Popen[str]) -> dict[str, Any]:
        try:
            printed, complaints = driver.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            driver.kill()
            printed, complaints = driver.communicate()
        said = self.log.read_text(errors="replace")
        assert driver.returncode == 0, f"{self.name}: {complaints}\nits worker said:\n{said}"
        (self.place / f"driver-{driver.pid}.log").write_text(complaints)
        observed: dict[str, Any] = json.loads(printed)
        return observed

    def _stop(self, worker: subprocess.Popen[bytes]) -> None:
        """End all its processes; Celery's warm and cold stops take 5 s more, and prove nothing."""
        if worker.poll() is None:
            os.killpg(worker.pid, self.stop)
        try:
            worker.wait(15)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _environment(place: Path, *, broker: str, backend: str, settings: Any) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(place), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "IDIOMS_PLACE": str(place),
        "IDIOMS_BROKER": broker,
        "IDIOMS_BACKEND": backend,
        "IDIOMS_SETTINGS": json.dumps(settings),
        "IDIOMS_WORKER_NAME": WORKER_NAME,
        "IDIOMS_WORKER_LOG": str(place / "worker.log"),
    }


def celery(place: Path) -> System:
    """Celery with its messages and its results in directories."""
    folders = {name: place / name for name in ("messages", "processed", "control", "results")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    write_program(place, litequeue=False)
    settings = {
        "broker_transport": "tests.differential.celery_place:Transport",
        "broker_transport_options": {
            "data_folder_in": str(folders["messages"]),
            "data_folder_out": str(folders["messages"]),
            "processed_folder": str(folders["processed"]),
            "control_folder": str(folders["control"]),
            "store_processed": True,
            "polling_interval": 0.01,
        },
    }
    options = ["-n", WORKER_NAME, "-c", "2", "-Q", QUEUES, "--without-gossip", "--without-mingle"]
    return System(
        "celery",
        place,
        [sys.executable, "-m", "celery", "-A", "idioms.proj", "worker", *options, "-l", "INFO"],
        _environment(
            place,
            broker="filesystem://",
            backend=f"{BACKEND}+file://{folders['results']}",
            settings=settings,
        ),
        ready=" ready.",
        stop=signal.SIGKILL,
    )


def litequeue(place: Path) -> System:
    """The queue in one file."""
    place.mkdir(parents=True)
    write_program(place, litequeue=True)
    file = str(place / "jobs.sqlite")
    options = ["-A", "idioms.proj:app", "-n", WORKER_NAME, "-c", "2", "-Q", QUEUES]
    return System(
        "litequeue",
        place,
        [sys.executable, "-m", "litequeue", "worker", file, *options, "-l", "INFO"],
        _environment(place, broker=file, backend=file, settings={}),
        ready="Ready in",
        stop=signal.SIGTERM,
    )


if __name__ == "__main__":
    kind, where = sys.argv[1:]
    system = {"celery": celery, "litequeue": litequeue}[kind](Path(where))
    json.dump(system.observe(), sys.stdout, indent=1, sort_keys=True)
