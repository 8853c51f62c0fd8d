"""How a worker stops: warm, soft, cold, or at once.  The signals are Celery's.

TERM or the first Ctrl-C: running jobs have `worker_grace` seconds, then they go back.  QUIT or the
second: they have `worker_soft_shutdown_timeout` seconds, or none.  The third: leave as it stands.
HUP: warm, and begin anew; unless it says that the worker's terminal is gone.
"""

from __future__ import annotations

import enum
import logging
import os
import signal
from typing import Final

from litequeue import signals
from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.worker import systemd
from litequeue.worker.channel import Channel
from litequeue.worker.children import Children
from litequeue.worker.consumer_process import ConsumerProcess
from litequeue.worker.restart import terminals

logger: Final = logging.getLogger("litequeue.worker")

FAREWELL: Final = 10.0
"""Seconds that the consumer has to give the last leases back."""
REMAP_VARIABLE: Final = "REMAP_SIGTERM"
"""Celery's: "SIGQUIT" makes SIGTERM a cold stop, for platforms that send nothing else."""


class Phase(enum.IntEnum):
    """How far a stop has come."""

    RUNNING = 0
    WARM = 1
    SOFT = 2
    COLD = 3
    LEAVING = 4
    GONE = 5


class Shutdown:
    """The stop of one worker.  ``starts_anew`` tells that it is to be started again."""

    def __init__(
        self, name: str, consumer: ConsumerProcess, channel: Channel, clock: Clock
    ) -> None:
        self.phase: Phase = Phase.RUNNING
        self.exit_code: int = 0
        self.starts_anew: bool = False
        self.pool: Children | None = None
        self._name = name
        self._consumer = consumer
        self._channel = channel
        self._clock = clock
        self._grace = self._soft_grace = 0.0
        self._interrupts = 0
        self._last_signal = ""
        self._deadline: float | None = None
        self._terminals = terminals()

    def set_graces(self, conf: Settings) -> None:
        """Learn how long running jobs may take to finish."""
        self._grace, self._soft_grace = conf.worker_grace, conf.worker_soft_shutdown_timeout

    @property
    def is_wanted(self) -> bool:
        """Tell whether the worker stops."""
        return self.phase is not Phase.RUNNING

    def time_left(self) -> float | None:
        """Return the seconds until the next step is due, None before the first."""
        return None if self._deadline is None else self._deadline - self._clock.monotonic()

    def on_signal(self, number: int) -> None:
        """Do what a signal of the operating system asks for."""
        if number == signal.SIGTERM and os.environ.get(REMAP_VARIABLE) == "SIGQUIT":
            number = signal.SIGQUIT
        if number == signal.SIGCHLD:
            return
        self._last_signal = signal.Signals(number).name
        if number == signal.SIGINT:
            self._interrupts += 1
        first = number == signal.SIGINT and self._interrupts == 1
        if number == signal.SIGHUP and terminals() == self._terminals:
            self.restart()
        elif first or number in (signal.SIGTERM, signal.SIGHUP):
            self.stop_warm()
        elif number == signal.SIGQUIT or (number == signal.SIGINT and self._interrupts == 2):
            self.exit_code = self.exit_code or 1
            self._stay_down()
            self.stop_soft()
        elif number == signal.SIGINT:
            self.leave_at_once()

    def on_early_hangup(self) -> None:
        """Begin anew, or end, after a SIGHUP that came before there was anything to finish."""
        self.starts_anew = terminals() == self._terminals
        self.phase = Phase.GONE

    def restart(self) -> None:
        """Stop warmly, to begin anew as a fresh program."""
        if not self.is_wanted:
            self.starts_anew = True
            systemd.notify("RELOADING=1", monotonic=self._clock.monotonic())
            self._announce("Warm")
            self._stop_gently(Phase.WARM, self._grace, "beginning anew")

    def stop_warm(self, why: str = "stopping") -> None:
        """Let running jobs finish; one that is being restarted does not begin anew."""
        self._stay_down()
        if not self.is_wanted:
            self._announce("Warm")
            self._stop_gently(Phase.WARM, self._grace, why)

    def _stay_down(self) -> None:
        """Forget that the worker was to begin anew, if it was: whoever says stop means it."""
        if self.starts_anew:
            self.starts_anew = False
            systemd.notify("STOPPING=1")

    def stop_soft(self) -> None:
        """Stop cold, after what `worker_soft_shutdown_timeout` leaves for running jobs."""
        if self.phase < Phase.SOFT:
            self._announce("Cold")
        if self.phase < Phase.SOFT and self._soft_grace:
            self._stop_gently(Phase.SOFT, self._soft_grace)
        else:
            self.stop_cold("asked to stop now")

    def _stop_gently(self, phase: Phase, grace: float, why: str = "stopping") -> None:
        self._consumer.tell_stop()
        self.phase = phase
        self._deadline = self._clock.monotonic() + grace
        logger.info("%s: running jobs have %g s to finish (Ctrl-C again: stop now)", why, grace)

    def stop_cold(self, why: str) -> None:
        """End the children; their jobs go back."""
        if self.phase >= Phase.COLD:
            return
        logger.warning("%s: unfinished jobs go back", why)
        self.phase = Phase.COLD
        self._deadline = self._clock.monotonic() + FAREWELL
        self._consumer.tell_stop()
        if self.pool is not None:
            self.pool.kill_all()

    def _announce(self, how: str) -> None:
        if not self.starts_anew:
            systemd.notify("STOPPING=1")
        signals.worker_shutting_down.send(
            sender=self._name, sig=self._last_signal, how=how, exitcode=self.exit_code
        )

    def proceed(self) -> None:
        """Take the next step once it is due."""
        due = self._deadline is not None and self._clock.monotonic() >= self._deadline
        if self.phase in (Phase.WARM, Phase.SOFT) and due:
            self.stop_cold("some jobs did not finish in time")
        elif self.phase is Phase.COLD:
            if not self._has_children() and not self._consumer.has_untold:
                self._consumer.tell_release()
            if due:
                logger.error("not all leases could be given back; the next worker will")
                self.leave_at_once()
        elif self.phase is Phase.LEAVING and (due or self._nobody_left()):
            self.leave_at_once()

    def fail(self, exit_code: int) -> None:
        """Give up: the consumer cannot go on."""
        self.exit_code = exit_code
        self.starts_anew = False
        if self.pool is not None:
            self.pool.kill_all()
        self.leave()

    def leave(self) -> None:
        """Every lease is settled or given back: send everybody home."""
        if self.phase < Phase.LEAVING:
            self.phase = Phase.LEAVING
            self._deadline = self._clock.monotonic() + FAREWELL
            self._consumer.tell_exit()
            self._channel.hang_up()
            if self.pool is not None:
                self.pool.let_go()

    def leave_at_once(self) -> None:
        """Wait for nobody."""
        if not self._nobody_left():
            self.exit_code = self.exit_code or 1
            self.starts_anew = False
        self.phase = Phase.GONE

    def _has_children(self) -> bool:
        return self.pool is not None and len(self.pool) > 0

    def _nobody_left(self) -> bool:
        return not self._consumer.is_running and not self._has_children()
