"""Time limits, stamps, events of a task's own."""

from __future__ import annotations

import time
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from idioms.observe import got, idiom, note, outcome, refused, wait_for_notes
from idioms.proj import app

LONG = 60.0


@app.task
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.task(soft_time_limit=0.2, time_limit=20)
def sleep_limited(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.task(soft_time_limit=0.2)
def clean_up(seconds: float) -> str:
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded as error:
        return f"cleaned up, {isinstance(error, Exception)}"
    return "slept"


@app.task(time_limit=0.3)
def sleep_until_killed() -> None:
    time.sleep(LONG)


@app.task(bind=True, time_limit=20, soft_time_limit=10)
def limits_of(self: Any) -> list[Any]:
    return [*self.request.timelimit, self.request.time_limit, self.request.soft_time_limit]


@app.task(bind=True, soft_time_limit=0.2, max_retries=2)
def retry_when_late(self: Any) -> int:
    if self.request.retries == 0:
        try:
            time.sleep(LONG)
        except SoftTimeLimitExceeded:
            self.retry(countdown=0)
    return int(self.request.retries)


@app.task(bind=True, autoretry_for=(SoftTimeLimitExceeded,), default_retry_delay=0, max_retries=2)
def autoretry_when_late(self: Any) -> int:
    if self.request.retries == 0:
        time.sleep(LONG)
    return int(self.request.retries)


@app.task(bind=True)
def stamps_of(self: Any) -> list[Any]:
    return [list(self.request.stamped_headers or []), self.request.stamps or {}]


@app.task
def stamps_of_a_child() -> None:
    stamps_of_child.delay()


@app.task(bind=True)
def stamps_of_child(self: Any) -> None:
    note("stamps of a child", self.request.stamps or {})


@app.task(bind=True)
def tell(self: Any) -> str:
    self.send_event("task-halfway", done=5)
    return "told"


def ended(result: Any) -> list[Any]:
    seen = outcome(result)
    return [seen["state"], seen.get("raised"), seen.get("value")]


@idiom
def default_limits() -> Any:
    return [sleep.time_limit, sleep.soft_time_limit, sleep.send_events]


@idiom
def soft_limit_of_a_task() -> Any:
    return [ended(sleep_limited.delay(LONG)), ended(sleep_limited.delay(0))]


@idiom
def soft_limit_that_is_caught() -> Any:
    return [got(clean_up.delay(LONG)), got(clean_up.delay(0))]


@idiom
def soft_limit_of_a_call() -> Any:
    return [
        ended(sleep.apply_async((LONG,), soft_time_limit=0.2)),
        ended(sleep_limited.apply_async((0.4,), soft_time_limit=20)),
    ]


@idiom
def soft_limit_by_name() -> Any:
    return ended(app.send_task("idioms.limits.sleep", (LONG,), soft_time_limit=0.2))


@idiom
def hard_limit_of_a_task() -> Any:
    return ended(sleep_until_killed.delay())


@idiom
def hard_limit_of_a_call() -> Any:
    return ended(sleep.apply_async((LONG,), time_limit=0.3))


@idiom
def limits_in_the_request() -> Any:
    return [
        got(limits_of.delay()),
        got(limits_of.apply_async(time_limit=9, soft_time_limit=8)),
        got(limits_of.apply_async(soft_time_limit=8)),
    ]


@idiom
def retries_after_a_soft_limit() -> Any:
    return [
        got(retry_when_late.delay()),
        got(autoretry_when_late.apply_async(soft_time_limit=0.2)),
    ]


@idiom
def soft_limit_above_the_hard_one() -> Any:
    def wrong() -> None: ...

    return refused(lambda: app.task(soft_time_limit=5, time_limit=3)(wrong).delay())


@idiom
def stamps_of_a_call() -> Any:
    stamps = {"stamped_headers": ["tenant", "order"], "tenant": "ann", "order": 7}
    return [got(stamps_of.apply_async(**stamps)), got(stamps_of.delay())]


@idiom
def stamps_stay_with_their_job() -> Any:
    stamps_of_a_child.apply_async(stamped_headers=["tenant"], tenant="ann")
    return wait_for_notes("stamps of a child")


@idiom
def event_of_a_tasks_own() -> Any:
    return got(tell.delay())
