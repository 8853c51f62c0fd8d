"""What many tests share: a queue file, an app on it, a clock moved by hand, a wait for a fact."""

from __future__ import annotations

import compileall
import os
import re
import signal
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from litequeue import LiteQueue
from litequeue.config import ENVIRONMENT_PREFIX

T = TypeVar("T")
SAID = ("LITEQUEUE_URL", "LITEQUEUE_APP")
ROOT = Path(__file__).parents[1]
TEXT = "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY rowid"

# A shared machine is slow at times, and a failure must not hide behind "flaky".
settings.register_profile(
    "litequeue", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("litequeue")


class FakeClock:
    """A clock that a test moves.  `sleep` moves it too, so nothing ever waits."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.wall = now
        self.steady = 1_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def boottime(self) -> float:
        return self.steady

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds

    def set_wall(self, now: float) -> None:
        """Have somebody set the machine's clock: only the wall clock jumps."""
        self.wall = now


def wait_until(fact: Callable[[], T], timeout: float = 20.0, *, every: float = 0.005) -> T:
    """Return the first true value of ``fact()``; fail when there is none in ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not so after {timeout:g} s: {getattr(fact, '__qualname__', fact)}")
        time.sleep(every)


def pytest_configure(config: pytest.Config) -> None:
    """Compile once what the processes of the tests load.

    There are more than a thousand, and where PYTHONDONTWRITEBYTECODE is set each would do it anew.
    """
    if not hasattr(config, "workerinput"):  # xdist's own processes come later
        for folder in ("litequeue", "tests"):
            compileall.compile_dir(ROOT / folder, rx=re.compile(r"/test_[^/]*$"), quiet=2)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """What a command says to its process is not said to the next test; nor is a zone."""
    before = {name: os.environ.get(name) for name in SAID}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    time.tzset()  # what a test did to TZ is undone by now, and the C library forgets it only here


@pytest.fixture(autouse=True, scope="session")
def _nobodys_environment() -> Iterator[None]:
    """Whoever runs the tests may use litequeue too; those settings are not ours."""
    for number in (signal.SIGINT, signal.SIGQUIT):  # ignored where a shell runs us with "&"
        if signal.getsignal(number) is signal.SIG_IGN:
            default = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if default else signal.SIG_DFL)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def _schema_as_text() -> Iterator[None]:
    """A table's text is peewee's work, and the same in each of thousands of files."""
    from litequeue.store import migrations

    known: dict[Any, list[str]] = {}

    class Remembering(migrations.SchemaManager):
        def create_all(self, safe: bool = True, **options: Any) -> None:
            for statement in known.get(self.model, ()):
                self.database.execute_sql(statement)
            if self.model not in known:
                super().create_all(safe, **options)
                made = self.database.execute_sql(TEXT, (self.model._meta.table_name,))
                known[self.model] = [text for (text,) in made]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "SchemaManager", Remembering)
        yield


@pytest.fixture
def queue_path(tmp_path: Path) -> Path:
    """The path of a queue file that does not exist yet."""
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    return FakeClock()


@pytest.fixture
def app(queue_path: Path) -> Iterator[LiteQueue]:
    """An app on the queue file."""
    app = LiteQueue(queue_path)
    yield app
    app.close()


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Tests are about text that is not UTF-8, too, and the processes they run in talk UTF-8."""
    return encodable((yield))


def encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    return [encodable(item) for item in value] if isinstance(value, list | tuple) else value
