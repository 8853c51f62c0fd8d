"""Retries: asked for, automatic, limited, and what the task sees of them."""

from __future__ import annotations

from typing import Any

from celery.exceptions import MaxRetriesExceededError, Retry
from celery.signals import task_retry
from idioms.observe import got, idiom, note, noted, outcome, tried, wait_for_notes, wait_until
from idioms.proj import app


class PaymentError(Exception):
    """An exception of the program's own."""


@task_retry.connect
def on_retry(sender: Any, request: Any, reason: Any, einfo: Any, **more: Any) -> None:
    note(f"retry {request.id}", [sender.name, round(reason.when), type(reason.exc).__name__])


@app.task(bind=True)
def third_time_lucky(self: Any) -> list[int]:
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return [self.request.retries, self.max_retries]


@app.task(bind=True, max_retries=1)
def spent_with_exception(self: Any) -> None:
    try:
        raise ValueError("the cause")
    except ValueError as error:
        raise self.retry(exc=error, countdown=0) from error


@app.task(bind=True, max_retries=1)
def spent_while_handling(self: Any) -> None:
    try:
        raise ValueError("the cause")
    except ValueError:
        self.retry(countdown=0)


@app.task(bind=True, max_retries=1)
def spent(self: Any) -> None:
    self.retry(countdown=0)


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def spent_and_caught(self: Any) -> str:
    try:
        self.retry()
    except MaxRetriesExceededError:
        return f"gave up after {self.request.retries}"
    return "unreachable"


@app.task(bind=True, max_retries=None)
def for_ever(self: Any) -> int:
    if self.request.retries < 5:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task(bind=True)
def limited_by_the_call(self: Any) -> None:
    note(f"runs {self.request.id}")
    raise self.retry(exc=KeyError("k"), countdown=0, max_retries=2)


@app.task(bind=True)
def with_other_arguments(self: Any, step: int, *, label: str = "") -> list[Any]:
    if step < 2:
        raise self.retry(args=(step + 1,), kwargs={"label": label + "x"}, countdown=0)
    return [step, label]


@app.task(bind=True)
def returned_retry(self: Any) -> str:
    if self.request.retries:
        return "again"
    retry = self.retry(countdown=0, throw=False)
    note(f"returned {self.request.id}", type(retry).__name__)
    raise retry


@app.task(bind=True)
def caught_retry(self: Any) -> str:
    if self.request.retries:
        return "again"
    try:
        self.retry(countdown=0)
    except Retry:
        note(f"caught {self.request.id}")
        raise
    return "unreachable"


@app.task(
    bind=True,
    autoretry_for=(ZeroDivisionError,),
    retry_kwargs={"max_retries": 2, "countdown": 0},
)
def automatic(self: Any, lucky: int) -> int:
    note(f"runs {self.request.id}", self.request.retries)
    if self.request.retries < lucky:
        return 1 // 0
    return self.request.retries


@app.task(
    bind=True,
    autoretry_for=(LookupError,),
    dont_autoretry_for=(IndexError,),
    default_retry_delay=0,
    max_retries=1,
)
def automatic_except(self: Any, kind: str) -> None:
    note(f"runs {self.request.id}")
    raise {"key": KeyError, "index": IndexError}[kind](kind)


@app.task(autoretry_for=(OSError,), retry_backoff=True, retry_jitter=False)
def backoff() -> None:
    raise ConnectionError("down")


@app.task(autoretry_for=(OSError,), retry_backoff=5, retry_jitter=False)
def backoff_of_five() -> None:
    raise ConnectionError("down")


@app.task(autoretry_for=(OSError,), retry_backoff=900, retry_jitter=False)
def backoff_limited() -> None:
    raise ConnectionError("down")


@app.task(autoretry_for=(OSError,), retry_backoff=900, retry_backoff_max=60, retry_jitter=False)
def backoff_limited_by_option() -> None:
    raise ConnectionError("down")


@app.task(autoretry_for=(OSError,), default_retry_delay=70)
def delay_by_option() -> None:
    raise ConnectionError("down")


@app.task(autoretry_for=(OSError,))
def delay_by_default() -> None:
    raise ConnectionError("down")


@app.task(bind=True)
def delay_of_the_call(self: Any) -> None:
    raise self.retry(exc=PaymentError("declined"), countdown=50)


@app.task
def annotated() -> None:
    pass


@app.task(bind=True)
def moved(self: Any) -> str:
    if not self.request.retries:
        raise self.retry(countdown=0, queue="named")
    return str(self.request.delivery_info["routing_key"])


@app.task(bind=True)
def see_original(self: Any) -> list[Any]:
    if not self.request.retries:
        raise self.retry(countdown=0)
    return [self.request.id, self.request.delivery_info["routing_key"]]


@idiom
def retry_until_it_works() -> Any:
    result = third_time_lucky.delay()
    return [got(result), len(wait_for_notes(f"retry {result.id}", 2))]


@idiom
def retries_spent() -> Any:
    return [outcome(spent_with_exception.delay()), got(spent_and_caught.delay())]


@idiom
def retries_spent_without_a_cause() -> Any:
    seen = outcome(spent.delay())
    return [seen["state"], seen["raised"]]


@idiom
def retries_spent_while_handling() -> Any:
    seen = outcome(spent_while_handling.delay())
    return [seen["state"], seen["raised"]]


@idiom
def retry_without_limit() -> Any:
    return got(for_ever.delay())


@idiom
def limit_of_one_call() -> Any:
    result = limited_by_the_call.delay()
    seen = outcome(result)
    return [seen["state"], seen["raised"], len(noted(f"runs {result.id}"))]


@idiom
def retry_with_other_arguments() -> Any:
    return got(with_other_arguments.delay(0, label="a"))


@idiom
def retry_without_throwing() -> Any:
    result = returned_retry.delay()
    return [got(result), noted(f"returned {result.id}")]


@idiom
def retry_is_an_exception() -> Any:
    result = caught_retry.delay()
    return [got(result), len(noted(f"caught {result.id}"))]


@idiom
def retry_keeps_id_and_queue() -> Any:
    result = see_original.apply_async(queue="named")
    id, queue = got(result)
    return [id == result.id, queue]


@idiom
def retry_in_another_queue() -> Any:
    return got(moved.delay())


@idiom
def retries_of_a_result() -> Any:
    result = third_time_lucky.delay()
    got(result)
    return result.retries


@idiom
def autoretry() -> Any:
    lucky, unlucky = automatic.delay(2), automatic.delay(9)
    return [got(lucky), noted(f"runs {lucky.id}"), outcome(unlucky), noted(f"runs {unlucky.id}")]


@idiom
def autoretry_with_exceptions() -> Any:
    key, index = automatic_except.delay("key"), automatic_except.delay("index")
    seen = [outcome(key), outcome(index)]
    return [seen, len(noted(f"runs {key.id}")), len(noted(f"runs {index.id}"))]


@idiom
def delays_before_the_first_retry() -> Any:
    tasks = [
        backoff,
        backoff_of_five,
        backoff_limited,
        backoff_limited_by_option,
        delay_by_option,
        delay_by_default,
        delay_of_the_call,
    ]
    results = [task.delay() for task in tasks]
    return [wait_for_notes(f"retry {result.id}")[0] for result in results]


@idiom
def state_between_attempts() -> Any:
    result = delay_by_option.delay()
    wait_until(lambda: result.state == "RETRY")
    return [result.ready(), repr(result.info), "ConnectionError" in result.traceback]


@idiom
def task_annotations() -> Any:
    return [
        [task.max_retries, task.default_retry_delay, task.resultrepr_maxsize]
        for task in (annotated, third_time_lucky)
    ]


@idiom
def retry_of_a_direct_call() -> Any:
    return tried(spent_with_exception)
