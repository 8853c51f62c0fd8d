"""``litequeue worker``: run jobs."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Final

import click

from litequeue.app import URL_VARIABLE, LiteQueue, find_app
from litequeue.config import settings_from_environment
from litequeue.context import importing
from litequeue.exceptions import EnqueuedAtImport, ImproperlyConfigured, LiteQueueError
from litequeue.store.filesystem import normalise
from litequeue.worker.supervisor import Supervisor, WorkerOptions

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
IMPORT_FAILED: Final = 4


@click.command()
@click.argument("db", type=click.Path(dir_okay=False))
@click.option("-A", "--app", "app_name", required=True, metavar="MODULE:APP",
              help="The app whose tasks to run, as myapp.tasks:app.")  # fmt: skip
@click.option("-c", "--concurrency", type=click.IntRange(1, 1000),
              help="How many jobs to run at once (default: the number of CPUs).")  # fmt: skip
@click.option("-Q", "--queues", default="", help="Comma-separated; default: every queue.")
@click.option("-n", "--hostname", "name", help="The worker's name (default: host and pid).")
@click.option("-l", "--loglevel", "level", default="INFO", show_default=True,
              type=click.Choice(LEVELS, case_sensitive=False))  # fmt: skip
@click.option("--rebind", is_flag=True, help="Use DB even if the app was made for another file.")
@click.option("--start-method", type=click.Choice(["fork", "spawn"]),
              help="How children are made (default: fork, unless it is unsafe).")  # fmt: skip
def worker(
    db: str,
    app_name: str,
    concurrency: int | None,
    queues: str,
    name: str | None,
    level: str,
    rebind: bool,
    start_method: str | None,
) -> int:
    """Run the jobs in DB until stopped.

    Ctrl-C or SIGTERM: finish what runs, give back the rest.  Ctrl-C again or SIGQUIT: stop now.
    """
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    refuse_namesake()
    path = normalise(db)
    os.environ[URL_VARIABLE] = path
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    settings = settings_from_environment()
    wanted = tuple(part.strip() for part in queues.split(",") if part.strip())

    def load() -> LiteQueue:
        app = load_app(app_name, path, rebind=rebind)
        _say_hello(app, app_name, path, wanted)
        return app

    options = WorkerOptions(
        path=path,
        app_name=app_name,
        load=load,
        settings=settings,
        concurrency=concurrency,
        queues=wanted,
        name=name,
        start_method=start_method,
    )
    return Supervisor(options).run()


def load_app(name: str, path: str, *, rebind: bool = False) -> LiteQueue:
    """Import the app and see that it uses the file at ``path``.

    Raises `ImproperlyConfigured` in one sentence for everything that can be wrong with ``name``.
    """
    try:
        with importing(name):
            app = find_app(name)
    except (EnqueuedAtImport, ImproperlyConfigured):
        raise
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(
            f"cannot import {name!r}: there is no module {error.name!r} in {Path.cwd()} "
            f"or on the Python path; -A names it as MODULE:APP"
        ) from error
    except LiteQueueError as error:
        raise ImproperlyConfigured(f"cannot use {name!r}: {error}") from error
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise ImproperlyConfigured(
            f"importing {name!r} failed: {type(error).__name__}: {error} "
            f"({last.filename}:{last.lineno}); see it all with `litequeue -v worker ...`"
        ) from error
    if os.path.realpath(app.path) != os.path.realpath(path):
        if not rebind:
            raise ImproperlyConfigured(
                f"{name} uses {app.path}, not {path}; run `litequeue worker {app.path} -A {name}`, "
                "or add --rebind"
            )
        app.rebind(path)
    return app


def refuse_namesake() -> None:
    """Raise when the unrelated distribution named litequeue is installed beside ours.

    Both put a package ``litequeue`` into the same folder, so one overwrites the other's files.
    """
    try:
        version = importlib.metadata.version("litequeue")
    except importlib.metadata.PackageNotFoundError:
        return
    raise ImproperlyConfigured(
        f"another project, litequeue {version} by litements, is installed in this environment and "
        "shares our folder; run `pip uninstall litequeue`, then reinstall litequeue-jobs"
    )


def _say_hello(app: LiteQueue, name: str, path: str, queues: tuple[str, ...]) -> None:
    from litequeue import __version__
    from litequeue.store import driver

    logger = logging.getLogger("litequeue.worker")
    guarded = " (WAL-reset bug guarded)" if driver.has_wal_reset_bug() else ""
    logger.info("litequeue %s · %s · SQLite %s%s · worker pid %d", __version__, path,
                driver.VERSION, guarded, os.getpid())  # fmt: skip
    logger.info("app %s · queues %s · %s durability", name, ", ".join(queues) or "all",
                app.conf.durability)  # fmt: skip
    logger.info("tasks %s", ", ".join(sorted(app.tasks)) or "none: is everything imported?")
