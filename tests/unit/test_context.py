from __future__ import annotations

import contextvars
from pathlib import Path

import pytest

from litequeue import LiteQueue
from litequeue.context import importing, refuse_at_import
from litequeue.exceptions import EnqueuedAtImport


def test_outside_an_import_nothing_is_refused() -> None:
    refuse_at_import("delay()")


def test_delay_and_get_are_refused_while_a_worker_imports_the_app(tmp_path: Path) -> None:
    app = LiteQueue(tmp_path / "jobs.sqlite")

    @app.task
    def job() -> None: ...

    with importing("shop.tasks:app"):
        with pytest.raises(EnqueuedAtImport, match=r"delay\(\) was called .* shop\.tasks:app"):
            job.delay()
        with pytest.raises(EnqueuedAtImport, match=r"delay\(\)"):
            job.apply_async(countdown=1)
        with pytest.raises(EnqueuedAtImport, match=r"enqueue_many\(\)"):
            app.enqueue_many([(job, ())])
        with pytest.raises(EnqueuedAtImport, match=r"get\(\)"):
            app.AsyncResult("x").get()
    assert not Path(app.path).exists()


def test_the_error_names_the_users_line_and_the_guard(tmp_path: Path) -> None:
    app = LiteQueue(tmp_path / "jobs.sqlite")

    @app.task
    def job() -> None: ...

    with importing("shop:app"), pytest.raises(EnqueuedAtImport) as caught:
        job.delay()
    line = caught.traceback[0].lineno + 1
    assert f"at {__file__}:{line};" in str(caught.value)
    assert 'if __name__ == "__main__":' in str(caught.value)


def test_the_mark_ends_with_the_import_even_if_it_fails() -> None:
    with pytest.raises(ZeroDivisionError), importing("shop:app"):
        raise ZeroDivisionError
    refuse_at_import("delay()")


def test_other_contexts_are_not_marked() -> None:
    elsewhere = contextvars.copy_context()
    with importing("shop:app"):
        elsewhere.run(refuse_at_import, "delay()")
