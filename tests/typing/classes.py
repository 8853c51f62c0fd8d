"""Class-based tasks, and hooks overridden with the signatures that Celery's users write."""
# pyright: strict

from __future__ import annotations

from typing import Any, assert_type

from litequeue import AsyncResult, EagerResult, LiteQueue, Task
from litequeue.task import AsyncTask

app = LiteQueue("jobs.sqlite")


class Add(Task[[int, int], int]):
    name = "add"
    queue = "sums"
    max_retries = 5
    autoretry_for = (OSError,)
    retry_backoff = True
    retry_kwargs = {"max_retries": 3}
    default_retry_delay = 10
    throws = (KeyError,)
    ignore_result = False

    factor: int = 1

    def run(self, x: int, y: int) -> int:
        return self.factor * (x + y)


class Text(Task[[str], str]):
    def run(self, text: int) -> str:  # error
        return str(text)


class Fetch(AsyncTask[[str], int]):
    async def run(self, url: str) -> int:
        return len(url)


class FetchToo(Task[[str], int]):
    async def run(self, url: str) -> int:
        return len(url)


class Plain(Task):
    abstract = True

    def run(self, x: int) -> int:
        return x

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        return super().delay(*args, **kwargs)

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().before_start(task_id, args, kwargs)

    def on_success(
        self, retval: int, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        super().on_success(retval, task_id, args, kwargs)

    def on_failure(
        self,
        exc: Exception,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: object,
    ) -> None:
        super().on_failure(exc, task_id, args, kwargs, einfo)

    def on_retry(
        self,
        exc: BaseException,
        task_id: str,
        args: list[Any],
        kwargs: dict[str, Any],
        einfo: Any,
    ) -> None:
        super().on_retry(exc, task_id, args, kwargs, einfo)

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: Any,
    ) -> None:
        super().after_return(status, retval, task_id, args, kwargs, einfo)

    def shadow_name(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
    ) -> str:
        return f"plain {args}"


add = app.register_task(Add())
add_of_class = app.register_task(Add, name="add_again")
fetch = app.register_task(Fetch())
plain = app.register_task(Plain())


def right() -> None:
    assert_type(add, Add)
    assert_type(add_of_class, Add)
    assert_type(add.delay(1, 2), AsyncResult[int])
    assert_type(add.apply_async((1, 2)), AsyncResult[int])
    assert_type(add.apply((1, 2)), EagerResult[int])
    assert_type(add(1, 2), int)
    assert_type(add.factor, int)
    assert_type(fetch.delay("a"), AsyncResult[int])
    assert_type(fetch.delay("a").get(), int)
    assert_type(app.register_task(FetchToo).delay("a"), AsyncResult[int])
    assert_type(plain, Plain)
    assert_type(plain.delay("anything"), AsyncResult[Any])
    app.register_task(app.task(lambda: None, name="nothing"))


def wrong() -> None:
    add.delay("x", 2)  # error
    add.delay(1)  # error
    add.delay(1, 2, 3)  # error
    add("x", 2)  # error
    add.nonsense  # error
    fetch.delay(1)  # error
    app.register_task(right)  # error
    app.register_task(int)  # error
