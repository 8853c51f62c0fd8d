"""The consumer as its supervisor sees it: start it, replace it when it dies or falls silent.

It can be replaced alone: the leases belong to the supervisor's identity, the sockets and the
slots outlive it, and whatever it had not acknowledged is told to the next one again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from litequeue import log
from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.entry import Entry
from litequeue.facts import AppFacts
from litequeue.freezing import command
from litequeue.locks import HeldLock
from litequeue.os_signals import fork, ignore_stop_signals, signals_held
from litequeue.store.workers import Identity
from litequeue.worker import link as messages
from litequeue.worker.channel import Channel
from litequeue.worker.consumer import Consumer, ConsumerOptions
from litequeue.worker.introduction import about_app, about_entries
from litequeue.worker.link import Death, Link, Manifest, link_pair
from litequeue.worker.queue_choice import QueueChoice
from litequeue.worker.slots import Slots
from litequeue.worker.time_limits import Alarm
from litequeue.worker.titles import set_title

logger: Final = logging.getLogger("litequeue.worker")

SILENCE: Final = 10.0
"""Seconds without a beat after which the consumer is replaced: it may hold the write lock."""
HEALTHY: Final = 1.0
LONGEST_PAUSE: Final = 10.0
_SETTINGS: Final = (
    "durability", "queue_busy_timeout", "result_expires", "result_failure_expires",
)  # fmt: skip
"""What a consumer that is a program needs of them; some others are no text, or a secret."""


class ConsumerProcess:
    """One consumer after another, and what each of them has to be told.

    ``lock`` is the worker's, which the consumer holds, too.  With ``spawns`` the next ones are
    programs of their own: this process is no longer fit to be copied.
    """

    def __init__(
        self,
        options: ConsumerOptions,
        channel: Channel,
        slots: Slots,
        alarm: Alarm,
        lock: HeldLock,
        *,
        poll: select.poll,
        clock: Clock,
        close_in_child: Callable[[], None],
    ) -> None:
        self._options = options
        self._channel = channel
        self._slots = slots
        self._alarm = alarm
        self._lock = lock
        self.spawns = False
        self._poll = poll
        self._clock = clock
        self._close_in_child = close_in_child
        self._pid = 0
        self._link: Link | None = None
        self._unsent: deque[tuple[Any, ...]] = deque()
        self._manifest: Manifest | None = None
        self._defined: tuple[str, Sequence[Entry]] | None = None
        self._changed = ""
        self._stopping = False
        self._leaving = False
        self._deaths: dict[int, Death] = {}
        self._death_count = 0
        self._release_told = False
        self._started = 0.0
        self._beats = (-1, 0.0)
        self._pause = 0.0
        self._due = 0.0

    @property
    def pid(self) -> int:
        """Return the process, 0 for none."""
        return self._pid

    @property
    def is_running(self) -> bool:
        """Tell whether there is a process."""
        return bool(self._pid)

    @property
    def has_untold(self) -> bool:
        """Tell whether a death has not been acknowledged."""
        return bool(self._deaths)

    # Telling it

    def tell_manifest(self, manifest: Manifest, app: AppFacts) -> None:
        """Say what the worker knows of the app, and what people may know of it."""
        self._manifest = manifest
        for message in about_app(manifest, app):
            self._send(*message)

    def tell_entries(self, owner: str, entries: Sequence[Entry]) -> None:
        """Say what the code of ``owner`` has beat send, again until the file holds it."""
        self._defined = (owner, entries)
        for message in about_entries(owner, entries):
            self._send(*message)

    def tell_death(self, death: Death) -> None:
        """Report a dead child, again to every next consumer until it is acknowledged."""
        self._death_count += 1
        self._deaths[self._death_count] = death
        self._send(messages.DIED, self._death_count, *dataclasses.astuple(death))

    def tell_nudge(self) -> None:
        """Ask it to have idle children look whether they were dismissed."""
        self._send(messages.NUDGE)

    def tell_stop(self) -> None:
        """Ask it to claim no more."""
        self._stopping = True
        self._send(messages.STOP)

    def tell_release(self) -> None:
        """Ask it, once, to give back all leases: no child is left."""
        if not self._release_told and self._link is not None:
            self._release_told = True
            self._send(messages.RELEASE)

    def tell_exit(self) -> None:
        """Ask it to leave; it will not be replaced any more."""
        self._leaving = True
        self._send(messages.EXIT)

    def listen(self) -> list[tuple[Any, ...]]:
        """Return the messages for the supervisor that have arrived."""
        heard: list[tuple[Any, ...]] = []
        if self._link is None:
            return heard
        try:
            for kind, *fields in self._link.receive():
                if kind == messages.ACKNOWLEDGED:
                    self._deaths.pop(fields[0], None)
                elif kind == messages.RECONCILED:
                    self._defined = None
                elif kind == messages.CHANGED:
                    self._changed = fields[0]
                else:
                    heard.append((kind, *fields))
        except EOFError:
            self._cut_link()  # its death is noticed by waiting for it
        return heard

    def close_in_child(self) -> None:
        """Close our end of the link in a forked child, or the consumer would never see its end."""
        if self._link is not None:
            self._link.close()

    # Keeping it alive

    def start(self) -> None:
        """Start a consumer, or plan another try where the system has no room for one."""
        self._started = self._clock.monotonic()
        try:
            self._pid, self._link = self._make()
        except OSError as error:
            self._plan_next(f"no consumer could be started ({error})")
            return
        self._poll.register(self._link.socket, select.POLLIN)
        self.begin_anew()

    def look_after(self) -> None:
        """Notice a death or a silence, and start the next consumer when it is due."""
        if self._pid and self._has_died():
            self._pid = 0
            self._cut_link()
            if not self._leaving:
                self._plan_next("the consumer died")
        if self._pid:
            self._flush()
            self._watch_beats()
        elif not self._leaving and self._clock.monotonic() >= self._due:
            self._start_next()

    def time_left(self) -> float | None:
        """Return the seconds until the next consumer is due, None while there is one."""
        if self._pid or self._leaving:
            return None
        return max(0.0, self._due - self._clock.monotonic())

    def end(self, patience: float) -> None:
        """See it leave, by force after ``patience`` seconds."""
        deadline = self._clock.monotonic() + patience
        while self._pid and not self._has_died():
            if self._clock.monotonic() > deadline:
                self._kill()
            self._clock.sleep(0.002)
        self._pid = 0
        self._cut_link()

    def begin_anew(self) -> None:
        """Count its silence from now on: nobody watched, or it is new."""
        self._beats = (self._slots.beats(), self._clock.monotonic())

    def _has_died(self) -> bool:
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:  # somebody else has reaped it
            return True

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def _plan_next(self, why: str) -> None:
        now = self._clock.monotonic()
        quick = now - self._started < HEALTHY
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or 0.1) if quick else 0.0
        self._due = now + self._pause
        logger.error("%s; the next one starts in %g s", why, self._pause)

    def _start_next(self) -> None:
        self.start()
        self._unsent.clear()  # it is told everything, here
        if self._manifest is not None:
            self._send(messages.MANIFEST, *dataclasses.astuple(self._manifest))
        if self._defined is not None:
            self.tell_entries(*self._defined)
        if self._changed:
            self._send(messages.CHANGED, self._changed)
        for number, death in self._deaths.items():
            self._send(messages.DIED, number, *dataclasses.astuple(death))
        self._release_told = False
        if self._stopping:
            self._send(messages.STOP)

    def _watch_beats(self) -> None:
        now, beats = self._clock.monotonic(), self._slots.beats()
        if beats != self._beats[0]:
            self._beats = (beats, now)
        elif now - self._beats[1] > SILENCE:
            logger.error("the consumer has been silent for %g s; it is replaced", SILENCE)
            self._kill()
            self._beats = (beats, now)

    def _send(self, kind: str, *fields: Any) -> None:
        self._unsent.append((kind, *fields))
        self._flush()

    def _flush(self) -> None:
        """Send what there is room for: a consumer that stands still must not stop us, too."""
        while self._link is not None and self._unsent:
            if not self._link.send(*self._unsent[0], wait=False):
                return
            self._unsent.popleft()

    def _cut_link(self) -> None:
        if self._link is not None:
            self._poll.unregister(self._link.socket)
            self._link.close()
            self._link = None

    def _make(self) -> tuple[int, Link]:
        ours, theirs = link_pair()
        with contextlib.closing(theirs):
            try:
                return self._spawn(theirs) if self.spawns else self._fork(ours, theirs), ours
            except OSError:
                ours.close()
                raise

    def _fork(self, ours: Link, theirs: Link) -> int:
        pid = fork()
        if pid == 0:
            self._become_consumer(ours, theirs)
        return pid

    def _spawn(self, theirs: Link) -> int:
        channel = self._channel
        sockets = [theirs.socket, channel.jobs_in, channel.jobs_out,
                   channel.outcomes_in, channel.outcomes_out]  # fmt: skip
        descriptors = [each.fileno() for each in sockets]
        pipes = [self._alarm.out, self._alarm.into]
        options = self._options
        order = {
            "options": {
                "path": options.path,
                "settings": {name: options.settings[name] for name in _SETTINGS},
                "identity": dataclasses.asdict(options.identity),
                "queues": dataclasses.asdict(options.queues),
                "burst": options.burst,
                "max_jobs": options.max_jobs,
                "beat": options.beat,
            },
            "sockets": descriptors,
            "pipes": pipes,
            "slots": self._slots.path,
            "spool": channel.spool,
            "logs": log.told(),
        }
        program = command("litequeue.worker.consumer_process", json.dumps(order))
        inherited = [*descriptors, *pipes, self._lock.fileno()]
        with signals_held():
            process = subprocess.Popen(program, pass_fds=inherited)
        process.returncode = 0  # Popen would reap by itself; only `look_after` does
        return process.pid

    def _become_consumer(self, ours: Link, theirs: Link) -> None:
        code = 1
        try:
            ours.close()
            self._close_in_child()
            ignore_stop_signals()
            set_title(f"consumer of {self._options.identity.name}")
            if self._is_let_in(theirs):
                Consumer(
                    self._options, theirs, self._channel, self._slots, self._alarm, self._clock
                ).run()
            code = 0
        except BaseException:
            logger.exception("the consumer failed")
        finally:
            logging.shutdown()
            os._exit(code)

    def _is_let_in(self, link: Link) -> bool:
        """Wait for the app where there is no file: one that cannot be imported leaves none."""
        poll = select.poll()
        poll.register(link.socket, select.POLLIN)
        while not os.path.exists(self._options.path):
            if poll.poll(SILENCE * 1000 / 4):
                return link.next_kind() not in (None, messages.EXIT)
            self._slots.beat()
        return True


def run_spawned(order: Mapping[str, Any]) -> None:
    """Run as a consumer that was started as a program; it also inherited the worker's lock."""
    ignore_stop_signals()
    log.configure(**order["logs"])
    options = order["options"]
    set_title(f"consumer of {options['identity']['name']}")
    link, *ends = (socket.socket(fileno=number) for number in order["sockets"])
    channel = Channel(order["spool"])
    channel.close()  # the ends it made: ours are the ones that were inherited
    channel.jobs_in, channel.jobs_out, channel.outcomes_in, channel.outcomes_out = ends
    Consumer(
        ConsumerOptions(
            path=options["path"],
            settings=Settings(**options["settings"]),
            identity=Identity(**options["identity"]),
            queues=QueueChoice.from_json(options["queues"]),
            burst=options["burst"],
            max_jobs=options["max_jobs"],
            beat=options["beat"],
        ),
        Link(link),
        channel,
        Slots(order["slots"]),
        Alarm((order["pipes"][0], order["pipes"][1])),
        SYSTEM,
    ).run()


if __name__ == "__main__":
    run_spawned(json.loads(sys.argv[1]))
