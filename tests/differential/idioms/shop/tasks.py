"""Tasks that nobody imports: the app discovers them."""

from __future__ import annotations

from celery import shared_task


@shared_task
def sell(thing: str) -> str:
    return f"sold {thing}"
