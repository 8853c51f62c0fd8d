"""The task, for Celery with its defaults, which reads the addresses of broker and backend from
CELERY_BROKER_URL and CELERY_RESULT_BACKEND."""

from __future__ import annotations

import time

from celery import Celery

app = Celery("benchmarks.apps.celery")


@app.task
def began(x: int, y: int) -> int:
    return time.monotonic_ns()
