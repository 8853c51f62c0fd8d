"""``litequeue worker``: run jobs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from litequeue.cli import apps, pyproject
from litequeue.cli.parameters import Command, database_argument, looks_like_an_app
from litequeue.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from litequeue.app import LiteQueue
    from litequeue.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
POOLS: Final = ("prefork", "threads", "solo", "aio", "gevent")
UNBUILT: Final[dict[str, str | None]] = {
    "--autoscale": "MAX,MIN",
    "--time-limit": "SECONDS",
    "--soft-time-limit": "SECONDS",
    "--max-tasks-per-child": "N",
    "--max-memory-per-child": "KIB",
    "--burst": None,
    "--reload": None,
    "--no-beat": None,
}
"""Options that are to come, and what they take: none of them is accepted and forgotten."""


def _refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value:
        raise click.UsageError(f"the option {param.opts[0]} is not built yet", ctx)


def _options_to_come(function: F) -> F:
    for name, takes in reversed(UNBUILT.items()):
        function = click.option(
            name, metavar=takes, is_flag=takes is None, callback=_refuse, expose_value=False,
            hidden=True,
        )(function)  # fmt: skip
    return function


def _pool(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value != "prefork":
        raise click.UsageError(f"the pool {value!r} (-P {value}) is not built yet", ctx)
    return value


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
@click.option("-c", "--concurrency", type=click.IntRange(1, 1000),
              help="How many jobs to run at once (default: the number of CPUs).")  # fmt: skip
@click.option("-P", "--pool", type=click.Choice(POOLS), default="prefork", show_default=True,
              callback=_pool, expose_value=False, help="How jobs are run.")  # fmt: skip
@click.option("-Q", "--queues", default="", help="Comma-separated; default: every queue.")
@click.option("-n", "--hostname", "name", help="The worker's name (default: host and pid).")
@click.option("-l", "--loglevel", "level", default="INFO", show_default=True,
              type=click.Choice(LEVELS, case_sensitive=False))  # fmt: skip
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
@click.option("--rebind", is_flag=True, help="Use DB even if the app was made for another file.")
@click.option("--start-method", type=click.Choice(["fork", "spawn"]),
              help="How children are made (default: fork, unless it is unsafe).")  # fmt: skip
@_options_to_come
def worker(
    db: str,
    app_name: str | None,
    concurrency: int | None,
    queues: str,
    name: str | None,
    level: str,
    log_format: str,
    rebind: bool,
    start_method: str | None,
) -> int:
    """Run the jobs in DB until stopped.

    Ctrl-C or SIGTERM: finish what runs, give back the rest.  Ctrl-C again or SIGQUIT: stop now.
    """
    from litequeue.configured import URL_VARIABLE
    from litequeue.store.filesystem import normalise

    refuse_namesake()
    path = normalise(db)
    settings = pyproject.settings()
    wanted = apps.choose(app_name, path)
    wanted_queues = tuple(part.strip() for part in queues.split(",") if part.strip())
    from litequeue import log

    log.configure(**_logs(settings, level, log_format))
    os.environ[URL_VARIABLE] = path
    here = os.getcwd()  # noqa: PTH109 - pathlib takes 5 ms to import
    if here not in sys.path:
        sys.path.insert(0, here)

    def load() -> LiteQueue:
        app = apps.load(wanted, path, rebind=rebind)
        log.set_up(**_logs(app.conf, level, log_format))
        _say_hello(app, wanted.name, path, wanted_queues)
        return app

    from litequeue.worker.supervisor import Supervisor, WorkerOptions

    options = WorkerOptions(
        path=path,
        app_name=wanted.name,
        load=load,
        settings=settings,
        concurrency=concurrency,
        queues=wanted_queues,
        name=name,
        start_method=start_method,
    )
    return Supervisor(options).run()


def _logs(conf: Settings, level: str, log_format: str) -> dict[str, Any]:
    """Return how to log: the arguments of `log.configure`."""
    return {
        "level": level.upper(),
        "log_format": conf.worker_log_format,
        "task_log_format": conf.worker_task_log_format,
        "json": log_format == "json",
        "hijack": conf.worker_hijack_root_logger,
    }


def refuse_namesake() -> None:
    """Raise when the unrelated distribution named litequeue is installed beside ours.

    Both put a package ``litequeue`` into the same folder, so one overwrites the other's files.
    """
    import importlib.metadata

    try:
        version = importlib.metadata.version("litequeue")
    except importlib.metadata.PackageNotFoundError:
        return
    raise ImproperlyConfigured(
        f"another project, litequeue {version} by litements, is installed in this environment and "
        "shares our folder; run `pip uninstall litequeue`, then reinstall litequeue-jobs"
    )


def _say_hello(app: LiteQueue, name: str, path: str, queues: tuple[str, ...]) -> None:
    import logging

    from litequeue import __version__
    from litequeue.store import driver

    logger = logging.getLogger("litequeue.worker")
    guarded = " (WAL-reset bug guarded)" if driver.has_wal_reset_bug() else ""
    logger.info("litequeue %s · %s · SQLite %s%s · worker pid %d", __version__, path,
                driver.VERSION, guarded, os.getpid())  # fmt: skip
    logger.info("app %s · queues %s · %s durability", name, ", ".join(queues) or "all",
                app.conf.durability)  # fmt: skip
    logger.info("tasks %s", ", ".join(sorted(app.tasks)) or "none: is everything imported?")
