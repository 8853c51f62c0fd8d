"""How processes are started, watched and replaced; the clock is moved by hand."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC
from pathlib import Path

import pytest

from litequeue import LiteQueue, os_signals
from litequeue.config import Settings
from litequeue.job import Lease
from litequeue.locks import HeldLock
from litequeue.os_signals import STOP_SIGNALS, WakePipe
from litequeue.store.workers import Identity
from litequeue.worker import children, consumer_process, link, nursery, supervisor
from litequeue.worker.channel import Channel
from litequeue.worker.child import ChildSpec, Ties, serve
from litequeue.worker.children import Children
from litequeue.worker.consumer import ConsumerOptions
from litequeue.worker.consumer_process import SILENCE, ConsumerProcess
from litequeue.worker.link import Death, Link
from litequeue.worker.nursery import ChildOptions, Spawns
from litequeue.worker.pool_plan import plan_pool
from litequeue.worker.pools import Recycling
from litequeue.worker.slots import Running, Slots, Stage
from litequeue.worker.supervisor import Supervisor, WorkerOptions
from litequeue.worker.time_limits import Alarm
from tests.conftest import FakeClock, wait_until

CAUGHT = (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD)
NO_ROOM = OSError(errno.EAGAIN, "Resource temporarily unavailable")


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """What a worker does to the signals of its process is undone."""
    before = {number: signal.getsignal(number) for number in CAUGHT}
    descriptor = signal.set_wakeup_fd(-1)
    yield
    signal.set_wakeup_fd(descriptor)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def pipe(_own_signals: None) -> Iterator[WakePipe]:
    pipe = WakePipe(CAUGHT)
    yield pipe
    pipe.close()


class Sleepers:
    """Stands in for `fork`: its processes only wait for their end."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self.failures = 0

    def __call__(self) -> int:
        if self.failures:
            self.failures -= 1
            raise NO_ROOM
        pid = os.fork()
        while pid == 0:
            signal.pause()
        self.pids.append(pid)
        return pid

    def end(self) -> None:
        for pid in self.pids:
            kill_and_reap(pid)


def kill_and_reap(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        return  # the code under test did it


def is_dead(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sleepers]:
    sleepers = Sleepers()
    monkeypatch.setattr(consumer_process, "fork", sleepers)
    monkeypatch.setattr(nursery, "fork", sleepers)
    yield sleepers
    sleepers.end()


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    slots = Slots.create(str(tmp_path / "w.slots"), children=6)
    slots.count = 3
    return slots


@pytest.fixture
def ties(channel: Channel, slots: Slots) -> Iterator[Ties]:
    alarm, baton = Alarm(), os.pipe()
    yield Ties(channel=channel, slots=slots, alarm=alarm, baton=baton)
    alarm.close()
    for end in baton:
        os.close(end)


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    channel = Channel(str(tmp_path / "w"))
    yield channel
    channel.close()


# Signals


def test_a_signal_of_a_forked_child_is_not_told_to_its_parent(
    pipe: WakePipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = os.fork

    def fork_into_an_interrupt() -> int:
        pid = fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return pid

    monkeypatch.setattr(os, "fork", fork_into_an_interrupt)
    pid = os_signals.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert set(pipe.read()) <= {signal.SIGCHLD}
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130), (signal.SIGQUIT, 1)],
)
@pytest.mark.parametrize("early", [True, False])
def test_a_stop_signal_ends_what_no_loop_watches(
    pipe: WakePipe, number: signal.Signals, code: int, early: bool
) -> None:
    if early:
        os.kill(os.getpid(), number)

    def stop() -> None:
        try:
            if not early:
                os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # while it cleans up

    with pytest.raises(SystemExit) as caught:
        pipe.ending_at_once(stop)
    assert caught.value.code == code
    assert caught.value.__context__ is None


def ends_early(pipe: WakePipe, import_the_app: Callable[[], None]) -> bool:
    """Tell whether SIGTERM ends an import that would take 30 seconds."""
    began = time.monotonic()
    with pytest.raises(SystemExit) as caught:
        pipe.ending_at_once(import_the_app)
    return caught.value.code == 0 and time.monotonic() - began < 20


def test_a_signal_that_python_has_noted_and_not_looked_at_ends_it(pipe: WakePipe) -> None:
    """As one that came right before a call that blocks: it is in the pipe, and nobody is told."""

    def import_the_app() -> None:
        os.write(pipe._write_fd, bytes([signal.SIGTERM]))
        time.sleep(30)

    assert ends_early(pipe, import_the_app)


def test_one_that_comes_at_the_very_end_is_for_the_loop(pipe: WakePipe) -> None:
    def import_the_app() -> None:
        os.write(pipe._write_fd, bytes([signal.SIGCHLD]))
        time.sleep(0.5)

    pipe.ending_at_once(import_the_app)
    assert signal.SIGCHLD in pipe.read()


def test_one_whose_exception_was_swallowed_comes_again(pipe: WakePipe) -> None:
    """As in an import that catches everything, or in a finaliser."""

    def import_the_app() -> None:
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    assert ends_early(pipe, import_the_app)


def test_none_is_raised_once_the_work_is_done(
    pipe: WakePipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the thread that insists would go on for ever."""
    quieten = os_signals._quieten

    def quieten_late(numbers: Iterable[signal.Signals]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        quieten(numbers)

    monkeypatch.setattr(os_signals, "_quieten", quieten_late)
    assert pipe.ending_at_once(lambda: 42) == 42
    assert signal.SIGTERM in pipe.read()


def test_handlers_that_foreign_code_set_are_ours_again(pipe: WakePipe) -> None:
    ours = signal.getsignal(signal.SIGTERM)

    def import_the_app() -> None:
        for number in CAUGHT:
            signal.signal(number, signal.SIG_IGN)

    pipe.ending_at_once(import_the_app)
    assert {signal.getsignal(number) for number in CAUGHT} == {ours}


# The consumer


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Link]]:
    """What the consumers would read from."""
    ends: list[Link] = []

    def pair() -> tuple[Link, Link]:
        ours, theirs = link.link_pair()
        ends.append(Link(theirs.socket.dup()))
        return ours, theirs

    monkeypatch.setattr(consumer_process, "link_pair", pair)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def consumer(
    app: LiteQueue,
    tmp_path: Path,
    slots: Slots,
    ties: Ties,
    channel: Channel,
    clock: FakeClock,
    sleepers: Sleepers,
    ends: list[Link],
) -> Iterator[ConsumerProcess]:
    identity = Identity(
        name="w", nonce="n", boot="", namespace="", pid=0, start_time=0, directory=str(tmp_path)
    )
    lock = HeldLock(str(tmp_path / "w.lock"))
    consumer = ConsumerProcess(
        ConsumerOptions(path=app.path, settings=app.conf, identity=identity),
        channel,
        slots,
        ties.alarm,
        lock,
        poll=select.poll(),
        clock=clock,
        close_in_child=lambda: None,
    )
    yield consumer
    sleepers.end()
    consumer.end(0.0)
    lock.close()


def test_no_room_for_a_consumer_is_a_pause(
    consumer: ConsumerProcess, sleepers: Sleepers, ends: list[Link], clock: FakeClock
) -> None:
    sleepers.failures = 2
    consumer.start()
    consumer.tell_stop()
    assert not consumer.is_running
    for _ in range(2):
        pause = consumer.time_left()
        assert pause is not None
        assert pause > 0
        clock.advance(pause)
        consumer.look_after()
    assert consumer.pid == sleepers.pids[-1]
    assert list(ends[-1].receive()) == [(link.STOP,)]


def test_a_consumer_that_somebody_else_reaped_is_dead(
    consumer: ConsumerProcess, sleepers: Sleepers, clock: FakeClock
) -> None:
    consumer.start()
    sleepers.end()
    consumer.look_after()
    assert not consumer.is_running
    clock.advance(1.0)
    consumer.look_after()
    assert consumer.pid == sleepers.pids[1]


def test_a_silent_consumer_is_killed_unless_nobody_watched(
    consumer: ConsumerProcess,
    sleepers: Sleepers,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    consumer.start()
    clock.advance(SILENCE + 1.0)
    consumer.begin_anew()
    consumer.look_after()
    assert not caplog.records
    clock.advance(SILENCE + 1.0)
    consumer.look_after()
    wait_until(lambda: is_dead(sleepers.pids[0]))


def test_what_a_consumer_does_not_read_waits_for_it(
    consumer: ConsumerProcess, ends: list[Link]
) -> None:
    """A consumer that stands still would otherwise stop its supervisor, which is to replace it."""
    consumer.start()
    for number in range(60):
        consumer.tell_death(Death(((number, 1, 0.0),), "x" * 50_000, True))
    consumer.tell_stop()
    heard: list[tuple[object, ...]] = []

    def hear() -> bool:
        heard.extend(ends[0].receive())
        consumer.look_after()
        return heard[-1] == (link.STOP,)

    wait_until(hear)
    assert [fields[1] for fields in heard[:-1]] == list(range(1, 61))


class Program:
    """Stands in for `Popen`: notes which signals the program would not hear."""

    held: set[int]
    command: list[str]

    def __init__(self, command: list[str], **options: object) -> None:
        assert options["pass_fds"]
        type(self).command = command
        type(self).held = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        self.pid = Sleepers()()
        self.returncode: int | None = None


@pytest.mark.parametrize("what", ["consumer", "child"])
def test_a_program_of_the_worker_hears_no_signal_before_it_can_ignore_it(
    consumer: ConsumerProcess,
    pool: Children,
    slots: Slots,
    sleepers: Sleepers,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    monkeypatch.setattr("subprocess.Popen", Program)
    if what == "consumer":
        consumer.spawns = True
        consumer.start()
        sleepers.pids.append(consumer.pid)
    else:
        slots.count = 1
        pool._nursery = Spawns(pool._app, pool._options, pool._ties)
        pool.fill()
        sleepers.pids.extend(pool.pids())
    assert set(CAUGHT) <= Program.held
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_consumer_that_is_a_program_is_told_what_it_needs_and_no_secret(
    consumer: ConsumerProcess,
    app: LiteQueue,
    sleepers: Sleepers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("subprocess.Popen", Program)
    app.conf.update(
        result_expires=5, security_key="hush", task_routes=lambda *_: None, timezone=UTC
    )
    consumer.spawns = True
    consumer.start()
    sleepers.pids.append(consumer.pid)
    assert "hush" not in " ".join(Program.command)
    options = json.loads(Program.command[-1])["options"]
    assert options["path"] == app.path
    settings = Settings(**options["settings"])
    assert (settings.result_expires, settings.durability) == (5.0, "full")
    assert Identity(**options["identity"]).name == "w"


# Children


@pytest.fixture
def pool(app: LiteQueue, ties: Ties, clock: FakeClock, sleepers: Sleepers) -> Iterator[Children]:
    options = ChildOptions(
        app_name="a:app", hostname="w", nonce="n", pool="prefork", method="fork", patience=20.0,
        recycling=Recycling(), close_in_child=lambda: None,
    )  # fmt: skip
    yield Children(app, options, ties, clock)
    sleepers.end()


def test_no_room_for_children_is_one_line_and_a_pause(
    pool: Children, sleepers: Sleepers, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    sleepers.failures = 1
    pause = pool.fill()
    assert pause
    assert (len(pool), len(caplog.records)) == (0, 1)
    assert pool.fill() == pause
    clock.advance(pause)
    assert pool.fill() is None
    assert len(pool) == 3


def test_a_child_that_never_listens_is_killed_told_once_and_tried_ever_later(
    pool: Children, clock: FakeClock, caplog: pytest.LogCaptureFixture, slots: Slots
) -> None:
    slots.count = 1
    pauses = []
    for _ in range(3):
        pool.fill()
        caplog.clear()
        clock.advance(19.0)
        pool.kill_late_starters()
        assert not caplog.records
        clock.advance(2.0)
        pool.kill_late_starters()
        pool.kill_late_starters()
        (death,) = bury_one(pool)
        assert not death.blame
        assert len(caplog.records) == 1
        pauses.append(pool.fill())
        clock.advance(pauses[-1] or 0.0)
    assert pauses == [0.5, 1.0, 2.0]


def bury_one(pool: Children) -> list[Death]:
    return wait_until(lambda: list(pool.bury()))


def serve_all(pool: Children, slots: Slots, ties: Ties) -> None:
    """Have the sleepers look like children that have read their batons."""
    pool.fill()
    os.read(ties.baton[0], len(pool))
    for index in pool._children:
        slots.set_stage(index, Stage.SERVING)


def test_there_is_a_baton_for_every_child_that_is_missing(
    pool: Children, slots: Slots, ties: Ties, sleepers: Sleepers
) -> None:
    assert pool._batons() == 3
    serve_all(pool, slots, ties)
    assert pool.is_ready()
    pool.balance()
    assert pool._batons() == 0
    kill_and_reap(sleepers.pids[1])
    list(pool.bury())
    pool.balance()
    assert pool._batons() == 1


def test_a_smaller_pool_dismisses_idle_children_first(
    pool: Children, slots: Slots, ties: Ties
) -> None:
    serve_all(pool, slots, ties)
    slots.begin(0, 5, 1.0, 6)
    slots.begin(2, 6, 1.0, 7)
    slots.count = 2
    assert pool.balance()
    assert [slots.is_dismissed(index) for index in range(3)] == [False, True, False]
    assert pool._batons() == 0
    slots.count = 3
    pool.balance()
    assert pool._batons() == 0, "who is dismissed keeps its place until it has left"
    slots.set_stage(1, Stage.LEAVING)
    pool.balance()
    assert pool._batons() == 1, "and is not asked back"


def test_who_is_replaced_gives_way_when_it_leaves(
    pool: Children, slots: Slots, ties: Ties, sleepers: Sleepers
) -> None:
    serve_all(pool, slots, ties)
    pool.replace_all()
    assert pool.has_dismissed()
    pool.fill()
    assert len(pool) == 6, "new ones are started at once, and wait"
    pool.balance()
    assert pool._batons() == 0
    slots.set_stage(1, Stage.LEAVING)
    pool.balance()
    assert pool._batons() == 1


def test_only_a_child_that_still_runs_it_is_killed_for_a_job(
    pool: Children, slots: Slots, ties: Ties
) -> None:
    serve_all(pool, slots, ties)
    late = Running(5, 1.0, 6, 0.0, 9.0)
    slots.begin(0, 5, 1.0, 6, 0.0, 9.0)
    slots.begin(1, 7, 1.0, 8, 0.0, 9.0)
    pool.endings.end_late(0, late)
    pool.endings.end_late(1, late)
    (death,) = bury_one(pool)
    assert (death.sentence, death.sentenced, death.runs) == ("time_limit", 6, ((5, 6, 1.0),))
    assert not death.blame
    stopped = os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WCONTINUED | os.WNOHANG | os.WNOWAIT)
    assert stopped is None or stopped.si_code == os.CLD_CONTINUED


def test_children_that_die_one_after_the_other_raise_an_alarm(
    pool: Children, slots: Slots, ties: Ties, caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    slots.count = 1
    for _ in range(children.CRASHES):
        serve_all(pool, slots, ties)
        kill_and_reap(next(iter(pool.pids())))
        list(pool.bury())
        pool.balance()
        clock.advance(1.0)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


def test_a_child_that_somebody_else_reaped_is_dead(
    pool: Children, clock: FakeClock, sleepers: Sleepers
) -> None:
    pool.fill()
    kill_and_reap(sleepers.pids[1])
    (death,) = pool.bury()
    assert f"child {sleepers.pids[1]} ended" in death.reason
    assert death.blame
    assert pool.pids() == {sleepers.pids[0], sleepers.pids[2]}


# The supervisor


@pytest.fixture
def boss(_own_signals: None, app: LiteQueue, clock: FakeClock) -> Iterator[Supervisor]:
    options = WorkerOptions(path=app.path, app_name="a:app", load=lambda: app, settings=app.conf)
    boss = Supervisor(options, clock)
    yield boss
    boss._clean_up()
    boss._signals.close()


def test_who_waits_long_for_its_children_looks_less_often(
    boss: Supervisor, clock: FakeClock
) -> None:
    boss._consumer.tell_exit()  # none is due
    boss._load()
    assert boss._sleep_time() == supervisor.STARTING
    clock.advance(supervisor.SOON)
    assert boss._sleep_time() == supervisor.SLOW_START


@pytest.mark.parametrize("stood_still", [True, False])
def test_children_have_their_time_anew_when_nobody_watched(
    boss: Supervisor,
    pool: Children,
    clock: FakeClock,
    stood_still: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    boss._pool = pool
    pool.fill()
    for _ in range(1 if stood_still else 7):
        clock.advance(21.0 if stood_still else 3.0)
        boss._notice_standstill()
    pool.kill_late_starters()
    assert len(caplog.records) == (0 if stood_still else 3)


@pytest.mark.parametrize(("seconds", "patience"), [(1.0, 15.0), (10.0, 40.0)])
def test_children_may_take_as_long_as_the_import_took(
    boss: Supervisor, clock: FakeClock, seconds: float, patience: float
) -> None:
    load = boss._options.load

    def load_slowly() -> LiteQueue:
        clock.advance(seconds)
        return load()

    object.__setattr__(boss._options, "load", load_slowly)
    app = boss._load()
    assert boss._child_options(app, plan_pool(app.conf, None)).patience == patience


@pytest.mark.parametrize("own_session", [True, False])
def test_orphans_are_reaped_and_our_own_are_not(own_session: bool) -> None:
    def start_and_end(then: Callable[[], object]) -> int:
        pid = os.fork()
        if pid == 0:
            then()
            os._exit(0)
        wait_until(lambda: is_dead(pid))
        return pid

    orphan = start_and_end(os.setsid)
    ours = start_and_end(os.setsid if own_session else os.getpid)
    supervisor.reap_all_but({ours})
    with pytest.raises(ChildProcessError):
        os.waitpid(orphan, os.WNOHANG)
    assert os.waitpid(ours, os.WNOHANG)[0] == ours


@pytest.mark.usefixtures("_own_signals")
def test_a_child_whose_worker_is_gone_leaves_quietly(
    tmp_path: Path, ties: Ties, slots: Slots, channel: Channel
) -> None:
    app = LiteQueue(tmp_path / "jobs.sqlite")

    @app.task(name="t")
    def task() -> None:
        """Do nothing."""

    lease = Lease(1, 2, 1, "a", "t", "[[],{}]", None, "q", 0, 0, 0, None, None, None)
    assert channel.submit(lease)
    channel.outcomes_out.close()
    os.write(ties.baton[1], b"+")
    serve(app, ChildSpec(index=0, hostname="w", nonce="0f", supervisor=1), ties)
    running = slots.running(0)
    assert running is not None, "whoever takes the job back sees that it ran"
    assert (running.seq, running.token) == (1, 2)
