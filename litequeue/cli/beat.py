"""``litequeue beat``: send what is due, and run nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from litequeue.cli import apps, pyproject
from litequeue.cli.output import note
from litequeue.cli.parameters import Command, database_argument
from litequeue.cli.worker import LEVELS, logs, make_importable, refuse_namesake, refused
from litequeue.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from litequeue.app import LiteQueue
    from litequeue.cli.apps import Wanted

LONGEST_SLEEP: Final = 30.0
"""Seconds: how soon a beat sees that the clock was set."""
_SYSTEMD: Final = "have systemd choose, as docs/how-to/stop-and-deploy.md shows"
UNBUILT: Final = {
    "--schedule": "beat has no file of its own: what it sends and has sent is in the queue file; "
    "leave the option out",
    "--scheduler": "beat is the only scheduler, and its entries are in the queue file; leave the "
    "option out",
    "--hostname": "a beat answers nobody, so it needs no name; leave the option out",
    "--enable-remote-control": "a beat answers no commands: `litequeue schedule DB` tells what was "
    "sent, and how late",
    "--detach": "beat stays in the foreground: have systemd run it, as docs/how-to/"
    "stop-and-deploy.md shows, or your shell (&)",
    "--logfile": "beat logs to standard error: say 2>>beat.log, or leave it to systemd",
    "--pidfile": "beat writes no pid file: any number of beats may run; leave the option out",
    "--uid": f"beat runs as whoever starts it: {_SYSTEMD}",
    "--gid": f"beat runs as whoever starts it: {_SYSTEMD}",
    "--umask": "beat makes no file that others may read; leave the option out",
    "--executable": "beat runs in the Python that starts it: say /path/to/python -m litequeue beat",
}
"""Options of Celery's, and what to do instead: none of them is accepted and forgotten."""
_NAMES: Final = {
    "--schedule": ("-s", "--schedule"),
    "--scheduler": ("-S", "--scheduler"),
    "--hostname": ("-n", "--hostname"),
    "--logfile": ("-f", "--logfile"),
}
_FLAGS: Final = frozenset(["--enable-remote-control", "--detach"])
_ADVICE: Final = re.compile(r"[;,] (so )?say which\b.*", re.DOTALL)


@click.command(cls=Command, example="litequeue beat jobs.sqlite -A tasks:app")
@database_argument
@click.option("-A", "--app", "app_name", envvar="LITEQUEUE_APP", metavar="MODULE:APP",
              help="The app whose entries to send, too (default: the one the file remembers).",
              )  # fmt: skip
@click.option("--max-interval", type=click.FloatRange(0.01, LONGEST_SLEEP), metavar="SECONDS",
              help="Look at the clock this often, even if nothing is due (default: 30).",
              )  # fmt: skip
@click.option("-l", "--loglevel", "level", default="INFO", show_default=True,
              type=click.Choice(LEVELS, case_sensitive=False))  # fmt: skip
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
@click.option("--rebind", is_flag=True, help="Use DB even if the app was made for another file.")
@click.option("--no-enable-remote-control", is_flag=True, hidden=True, expose_value=False,
              help="As it is by default.")  # fmt: skip
@refused(UNBUILT, names=_NAMES, flags=_FLAGS)
def beat(
    db: str,
    app_name: str | None,
    max_interval: float | None,
    level: str,
    log_format: str,
    rebind: bool,
) -> int:
    """Send what is due, and run nothing.

    Every worker does that, too, unless it was started with --no-beat.  Any number of them may
    serve one file: nothing is sent twice.  Ctrl-C or SIGTERM ends it.
    """
    from litequeue import log
    from litequeue.beat.service import serve
    from litequeue.place import normalise

    refuse_namesake()
    path = normalise(db)
    settings = pyproject.settings()
    wanted = _choose(app_name, path)
    log.configure(**logs(settings, level, log_format))
    make_importable(path)
    app: LiteQueue | None = None
    if wanted is not None:
        app = apps.load(wanted, path, rebind=rebind)
        settings = app.conf
        log.set_up(**logs(settings, level, log_format))
    longest = settings.beat_max_loop_interval if max_interval is None else max_interval
    return serve(path, settings=settings, app=app, max_interval=longest)


def _choose(app_name: str | None, path: str) -> Wanted | None:
    """Return the app, None where none can be told: what the file holds is sent in any case."""
    try:
        return apps.choose(app_name, path, "beat")
    except ImproperlyConfigured as error:
        why = _ADVICE.sub("", str(error))
        note(f"litequeue: beat sends what {path} holds, and takes no entries from code ({why}); "
             "-A MODULE:APP would say which")  # fmt: skip
        return None
