"""``litequeue worker``: run jobs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from litequeue import built_in
from litequeue.cli import apps, pyproject
from litequeue.cli.parameters import Command, database_argument, looks_like_an_app
from litequeue.exceptions import ImproperlyConfigured
from litequeue.worker.naming import expand
from litequeue.worker.queue_choice import ORDERS, parse

if TYPE_CHECKING:
    from litequeue.app import LiteQueue
    from litequeue.config import Settings
    from litequeue.worker.queue_choice import QueueChoice

T = TypeVar("T")
SECONDS = click.FloatRange(min=0.001)
F = TypeVar("F", bound=Callable[..., Any])

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
UNBUILT: Final = {
    "--schedule": "beat has no file of its own: what it sends and has sent is in the queue file; "
    "leave the option out",
    "--scheduler": "beat is the only scheduler, and its entries are in the queue file; leave the "
    "option out",
    "--statedb": "a worker has no file of its own: what is revoked is in the queue file; "
    "leave the option out",
    "--detach": "a worker stays in the foreground: have systemd run it, as docs/how-to/"
    "stop-and-deploy.md shows, or your shell (&)",
}
"""Options of Celery's, and what to do instead: none of them is accepted and forgotten."""
_NAMES: Final = {
    "--schedule": ("-s", "--schedule", "--schedule-filename"),
    "--statedb": ("-S", "--statedb"),
    "--detach": ("-D", "--detach"),
}
_FLAGS: Final = frozenset(["--detach"])


def refused(
    sentences: Mapping[str, str],
    *,
    names: Mapping[str, tuple[str, ...]],
    flags: Collection[str] = (),
) -> Callable[[F], F]:
    """Add options that are answered with a sentence; ``names`` says how else they are written."""

    def refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value is not None and value is not False:
            (sentence,) = (sentences[name] for name in param.opts if name in sentences)
            raise click.UsageError(sentence, ctx)

    def add_them(function: F) -> F:
        for name in reversed([*sentences]):
            # A value is optional: the sentence is the same, whatever stands behind the option.
            kind: dict[str, Any] = {"is_flag": name in flags}
            if name not in flags:
                kind["flag_value"] = ""
            function = click.option(
                *names.get(name, (name,)), callback=refuse, expose_value=False, hidden=True, **kind
            )(function)  # fmt: skip
        return function

    return add_them


def _concurrency(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    if value == "auto":
        return os.cpu_count() or 1
    from litequeue.worker.slots import MOST_LINES

    if value.isascii() and value.isdigit() and 1 <= int(value) <= MOST_LINES:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 to {MOST_LINES:,}")


def _bounds(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Read MAX,MIN; as in Celery, a lone MAX has 0 at least, which is 1 here."""
    if value is None:
        return None
    most, _, least = value.partition(",")
    parts = [part.strip() for part in (most, least or "1")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise click.BadParameter(f"{value!r} is not MAX,MIN, as in --autoscale 10,2")
    high, low = int(parts[0]), max(1, int(parts[1]))
    if not low <= high <= 1000:
        raise click.BadParameter(f"{value!r}: MAX is from MIN to 1,000, and MIN at least 1")
    return high, low


def _nothing_more(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    """Refuse what follows DB; an app there is one that lacks its -A."""
    if not value:
        return
    db = ctx.params.get("db", "jobs.sqlite")
    if looks_like_an_app(value[0]):
        raise click.UsageError(
            f"{value[0]!r} lacks its -A: say `litequeue worker {db} -A {value[0]}`", ctx
        )
    raise click.UsageError(f"one worker serves one file, and {value[0]!r} is too many", ctx)


@click.command(cls=Command, example="litequeue worker jobs.sqlite -A tasks:app")
@database_argument
@click.argument("more", nargs=-1, metavar="", callback=_nothing_more, expose_value=False)
@click.option("-A", "--app", "app_name", envvar="LITEQUEUE_APP", metavar="MODULE:APP",
              help="The app whose tasks to run (default: the one the file remembers).")  # fmt: skip
@click.option("-c", "--concurrency", callback=_concurrency, metavar="N|auto",
              help="How many jobs to run at once (default: the number of CPUs).")  # fmt: skip
@click.option("-P", "--pool", metavar="POOL",
              help="How jobs are run: prefork (default), threads, solo, aio, gevent, or "
              "module:Class.")  # fmt: skip
@click.option("--autoscale", callback=_bounds, metavar="MAX,MIN",
              help="Run so many jobs at once as wait, between these bounds.")  # fmt: skip
@click.option("-Q", "--queues", default="", metavar="Q1,Q2",
              help="Queues, patterns (mail.*), weights (a=3,b=1); default: all.")  # fmt: skip
@click.option("-X", "--exclude-queues", "excluded", default="", metavar="Q1,Q2",
              help="Queues, or patterns, to leave to others.")  # fmt: skip
@click.option("--queue-order", "order", type=click.Choice(ORDERS),
              help="priority: all queues as one; strict: in the order of -Q.")  # fmt: skip
@click.option("--time-limit", type=SECONDS, metavar="SECONDS",
              help="Kill jobs that run longer, unless their task says otherwise.")  # fmt: skip
@click.option("--soft-time-limit", type=SECONDS, metavar="SECONDS",
              help="Raise SoftTimeLimitExceeded in jobs that run longer.")  # fmt: skip
@click.option("--max-tasks-per-child", type=click.IntRange(1), metavar="N",
              help="Replace a child process after so many jobs.")  # fmt: skip
@click.option("--max-memory-per-child", type=click.IntRange(1), metavar="KIB",
              help="Replace a child process that has grown larger.")  # fmt: skip
@click.option("--burst", is_flag=True, help="Stop once no job is left that could run now.")
@click.option("--max-jobs", type=click.IntRange(1), metavar="N", help="Stop after so many jobs.")
@click.option("--max-time", type=SECONDS, metavar="SECONDS", help="Stop after so much time.")
@click.option("-E", "--task-events", "events", is_flag=True,
              help="Write events, for litequeue events and app.events.")  # fmt: skip
@click.option("--reload", is_flag=True, help="Start anew when the code changes (extra: reload).")
@click.option("-n", "--hostname", "name", metavar="NAME",
              help="The worker's name; %h, %n, %d are the host, its name, its domain.")  # fmt: skip
@click.option("-l", "--loglevel", "level", default="INFO", show_default=True,
              type=click.Choice(LEVELS, case_sensitive=False))  # fmt: skip
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
@click.option("--rebind", is_flag=True, help="Use DB even if the app was made for another file.")
@click.option("--start-method", type=click.Choice(["fork", "forkserver", "spawn"]),
              help="How children are made (default: fork, unless it is unsafe).")  # fmt: skip
@click.option("-B", "--beat", is_flag=True, hidden=True, help="As it is by default.")
@click.option("--no-beat", is_flag=True, help="Leave sending periodic jobs to others.")
@refused(UNBUILT, names=_NAMES, flags=_FLAGS)
def worker(
    db: str,
    app_name: str | None,
    queues: str,
    excluded: str,
    order: str | None,
    autoscale: tuple[int, int] | None,
    burst: bool,
    max_jobs: int | None,
    max_time: float | None,
    reload: bool,
    name: str | None,
    level: str,
    log_format: str,
    rebind: bool,
    beat: bool,
    no_beat: bool,
    **chosen: Any,
) -> int:
    """Run the jobs in DB until stopped.

    Ctrl-C or SIGTERM: finish what runs, give back the rest.  Ctrl-C again or SIGQUIT: stop now.
    """
    from litequeue.place import normalise

    refuse_namesake()
    if beat and no_beat:
        raise click.UsageError("say --beat, which is the default, or --no-beat, not both")
    path = normalise(db)
    settings = pyproject.settings()
    wanted = apps.choose(app_name, path)
    choice = _usage(lambda: parse(queues, excluded, order))
    overrules = _overrules(chosen, autoscale)
    if name is not None:
        _usage(lambda: expand(name))
    from litequeue import log

    log.configure(**logs(settings, level, log_format))
    if reload:
        from litequeue.worker.reload import end_with_parent, is_reloaded, run_reloading

        if not is_reloaded():
            return run_reloading()
        end_with_parent()
    here = make_importable(path)

    def load() -> LiteQueue:
        app = apps.load(wanted, path, rebind=rebind)
        log.set_up(**logs(app.conf, level, log_format))
        _say_hello(app, wanted.name, path, choice)
        return app

    from litequeue.worker.restart import hear_again, start_anew
    from litequeue.worker.supervisor import Supervisor, WorkerOptions

    options = WorkerOptions(
        path=path,
        app_name=wanted.name,
        load=load,
        settings=settings,
        overrules=overrules,
        queues=choice,
        name=name,
        autoscale=autoscale,
        burst=burst,
        max_jobs=max_jobs,
        max_time=max_time,
        beat=not no_beat,
    )
    supervisor = Supervisor(options)
    hear_again()
    code = supervisor.run()
    if supervisor.starts_anew:
        start_anew(here)
    return code


_SETTINGS: Final = {
    "concurrency": "worker_concurrency",
    "pool": "worker_pool",
    "time_limit": "task_time_limit",
    "soft_time_limit": "task_soft_time_limit",
    "max_tasks_per_child": "worker_max_tasks_per_child",
    "max_memory_per_child": "worker_max_memory_per_child",
    "start_method": "worker_pool_start_method",
    "events": "worker_send_task_events",
}
"""Options of the command that are settings: they win over the app's."""


def _overrules(chosen: Mapping[str, Any], autoscale: tuple[int, int] | None) -> dict[str, Any]:
    pool = chosen["pool"]
    if pool is not None:
        from litequeue.worker.pools import OPTIONS, find_pool, refuse_unhonoured

        wanted = {name: value for name, value in chosen.items() if name in OPTIONS}
        wanted |= {"autoscale": autoscale, "concurrency": (chosen["concurrency"] or 0) > 1}
        _usage(lambda: refuse_unhonoured(find_pool(pool), wanted))
    soft, hard = chosen["soft_time_limit"], chosen["time_limit"]
    if soft is not None and hard is not None and soft > hard:
        raise click.UsageError(
            f"--soft-time-limit {soft:g} is longer than --time-limit {hard:g}; make it shorter"
        )
    return {_SETTINGS[name]: value for name, value in chosen.items() if value not in (None, False)}


def _usage(read: Callable[[], T]) -> T:
    """Return what ``read`` reads of the command line; what is wrong with it is a usage error."""
    try:
        return read()
    except ImproperlyConfigured as error:
        raise click.UsageError(str(error)) from None


def make_importable(path: str) -> str:
    """Let apps be imported from the working directory and use this file; return the directory."""
    from litequeue.place import URL_VARIABLE

    os.environ[URL_VARIABLE] = path
    here = os.getcwd()  # noqa: PTH109 - pathlib takes 5 ms to import
    if here not in sys.path:
        sys.path.insert(0, here)
    return here


def logs(conf: Settings, level: str, log_format: str) -> dict[str, Any]:
    """Return how to log: the arguments of `log.configure`."""
    return {
        "level": level.upper(),
        "log_format": conf.worker_log_format,
        "task_log_format": conf.worker_task_log_format,
        "json": log_format == "json",
        "hijack": conf.worker_hijack_root_logger,
        "redirect": conf.worker_redirect_stdouts_level if conf.worker_redirect_stdouts else None,
    }


def refuse_namesake() -> None:
    """Raise when the unrelated distribution named litequeue is installed beside ours.

    Both put a package ``litequeue`` into the same folder, so one overwrites the other's files.
    """
    # importlib.metadata would tell, and be 2 MB of memory for all that the worker lives.
    found = [each.name for folder in sys.path for each in Path(folder).glob("litequeue-*-info")]
    if not found:
        return
    version = found[0].removeprefix("litequeue-").rpartition(".")[0]
    raise ImproperlyConfigured(
        f"another project, litequeue {version} by litements, is installed in this environment and "
        "shares our folder; run `pip uninstall litequeue`, then reinstall litequeue-jobs"
    )


def _say_hello(app: LiteQueue, name: str, path: str, queues: QueueChoice) -> None:
    import logging

    from litequeue import __version__
    from litequeue.store import driver

    logger = logging.getLogger("litequeue.worker")
    guarded = " (WAL-reset bug guarded)" if driver.has_wal_reset_bug() else ""
    logger.info("litequeue %s · %s · SQLite %s%s · worker pid %d", __version__, path,
                driver.VERSION, guarded, os.getpid())  # fmt: skip
    logger.info("app %s · queues %s · %s durability", name, ", ".join(queues.names or ()) or "all",
                app.conf.durability)  # fmt: skip
    own = sorted(name for name in app.tasks if not name.startswith(built_in.PREFIXES))
    logger.info("tasks %s", ", ".join(own) or "none: is everything imported?")
