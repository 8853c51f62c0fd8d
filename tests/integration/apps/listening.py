"""An app with a receiver for every signal of the worker and its jobs.

Receivers belong to the process, so no test imports this: it sends jobs by name.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from litequeue import LiteQueue, Reject, signals
from tests.integration.apps.record import record
from tests.integration.tasks import wait_for_gate

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))

# Connected weakly: the module holds them, as an app would.


def hear(signal: Any, sender: Any, **arguments: Any) -> None:
    """Tell who sent what, and where."""
    named = sender if isinstance(sender, str) else getattr(sender, "name", type(sender).__name__)
    plain = {
        name: value
        for name, value in arguments.items()
        if isinstance(value, str | int | float | None)
    }
    if "request" in arguments:
        plain["id"] = arguments["request"].id
    record(signal.name, sender=named, given=sorted(arguments), **plain)
    # A receiver of import_modules imports: as in Celery, the worker does not go on without.
    if os.environ.get("RECEIVERS") == "raise" and signal.name != "import_modules":
        raise RuntimeError("a receiver's own mistake")


for each in signals.ALL:
    # A receiver of setup_logging replaces the worker's own, which the tests read.
    if not isinstance(each, signals.UnsentSignal) and each is not signals.setup_logging:
        each.connect(hear)


@signals.worker_init.connect
def prepare(**kwargs: Any) -> None:
    """Do in the supervisor what no fork may copy, as far as the test asks for it."""
    what = os.environ.get("PREPARE")
    if what == "file":
        app.AsyncResult("nobody's").state  # noqa: B018 - opens the file
    if what == "thread":
        threading.Thread(target=threading.Event().wait, name="left-over", daemon=True).start()


@signals.task_failure.connect
def die_of_it(sender: Any, **kwargs: Any) -> None:
    if sender is suicide and os.environ.get("ERRANDS") == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(bind=True)
def end(self: Any, how: str) -> None:
    if how == "fail":
        raise ValueError("as asked")
    if how == "reject":
        raise Reject("not mine")
    if self.request.retries == 0:
        raise self.retry(exc=OSError("not now"), countdown=0.0)


@app.task(bind=True)
def hold(self: Any, name: str) -> str:
    record("holds", id=self.request.id, name=name)
    wait_for_gate(name)
    return name


@app.task(bind=True)
def suicide(self: Any) -> None:
    record("dies", id=self.request.id)
    os.kill(os.getpid(), signal.SIGKILL)
