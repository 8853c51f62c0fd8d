"""A clock that can be put to sleep."""

from __future__ import annotations

from tests.conftest import FakeClock


class Laptop(FakeClock):
    """A machine that can be suspended: its monotonic clock stops then, as in Linux."""

    asleep = 0.0

    def boottime(self) -> float:
        return self.steady + self.asleep

    def suspend(self, seconds: float) -> None:
        self.asleep += seconds
        self.wall += seconds
