"""What an app does with its workers: it makes them, steers them, and hears what they tell."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from litequeue.clock import Clock
from litequeue.declarations import Declarations

if TYPE_CHECKING:
    from litequeue.control import Control
    from litequeue.events import Events


class Operations(Declarations):
    """The part of an app that has to do with workers."""

    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self._control: Control | None = None

    @property
    def control(self) -> Control:
        """Remote control of the workers of this file."""
        if self._control is None:
            from litequeue.control import Control

            app: Any = self  # with the file, which only the whole app has
            self._control = Control(
                app,
                lambda owner: upward("litequeue.worker.liveness").is_alive(
                    owner, now=self.clock.now(), silence=self.conf.visibility_timeout
                ),
            )
        return self._control

    @property
    def events(self) -> Events:
        """What has happened to jobs and workers."""
        from litequeue.events import Events

        app: Any = self
        return Events(app)

    def send_event(self, type: str, **fields: Any) -> None:
        """Store an event of your own, "order-shipped", with ``fields`` that JSON can hold."""
        self.events.send(type, **fields)

    def worker(self, **options: Any) -> Any:
        """Return a worker that runs in this process; see `litequeue.worker.embedded`."""
        return upward("litequeue.worker.embedded").EmbeddedWorker(self, **options)

    def Worker(self, **options: Any) -> Any:
        """Return a worker whose ``start()`` runs `litequeue worker` in this process.

        Options are those of the command line, by their long names: ``concurrency=4``.
        """
        return upward("litequeue.cli.in_process").Worker(self, options)

    def Beat(self, **options: Any) -> Any:
        """Return a beat whose ``run()`` sends what is due until it is stopped, as a process.

        ``max_interval`` is how many seconds it sleeps at most.
        """
        return upward("litequeue.beat.service").Service(self, **options)

    def worker_main(self, argv: Sequence[str] | None = None) -> None:
        """Run `litequeue worker` in this process: ``["worker", "--loglevel=INFO"]``.

        ``argv`` is the command line of this program by default.  Raises ValueError when it is not
        that of a worker, ImproperlyConfigured when the app is no global of a module, and ends
        with SystemExit.
        """
        upward("litequeue.cli.in_process").worker_main(self, argv)


def upward(module: str) -> Any:
    """Import a part of the library that stands above this one, the only way it is done."""
    return importlib.import_module(module)
