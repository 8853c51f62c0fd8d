"""Code without annotations, as most of Celery's users have: nothing in it is an error."""
# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# pyright: standard

from __future__ import annotations

from litequeue import LiteQueue, Task
from litequeue.signals import task_failure, worker_ready

app = LiteQueue("jobs.sqlite", task_cls=Task, task_acks_late=True)
app.conf.update(accept_content=["json"], result_expires=3600)


class Base(Task):
    autoretry_for = (OSError,)
    _connection = None

    @property
    def connection(self):
        return self._connection

    def before_start(self, task_id, args, kwargs):
        super().before_start(task_id, args, kwargs)

    def on_success(self, retval, task_id, args, kwargs):
        pass

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        super().on_failure(exc, task_id, args, kwargs, einfo)

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        pass

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        pass

    def shadow_name(self, args, kwargs, options):
        return "name"

    def __call__(self, *args, **kwargs):
        return self.run(*args, **kwargs)

    def apply_async(self, *args, **kwargs):
        return super().apply_async(*args, **kwargs)


@app.task
def add(x, y):
    return x + y


@app.task(bind=True, base=Base)
def bound(self, x):
    print(self.connection, self.request.id)
    raise self.retry(exc=ValueError(x), countdown=5)


class Run(Base):
    name = "run"

    def run(self, x, y=None):
        return x


@worker_ready.connect
def on_ready(sender, **kwargs):
    print(sender)


@task_failure.connect(sender=add)
def on_task_failure(sender=None, task_id=None, exception=None, **kwargs):
    print(task_id)


def calls():
    add.delay(1, y=2).get(timeout=10, propagate=False)
    bound.apply_async((1,), countdown=3)
    app.register_task(Run()).delay(1)
    app.send_task("anything", args=[1], kwargs={"y": 2})
    app.conf["task_acks_late"] = True
