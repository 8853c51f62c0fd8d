"""Which of the registered workers are alive, for who waits for their answers."""

from __future__ import annotations

from litequeue.store.workers import Owner
from litequeue.worker.liveness import Life, judge


def is_alive(owner: Owner, *, now: float, silence: float) -> bool:
    """Tell whether a worker lives: by proof, else by a heartbeat within ``silence`` seconds."""
    life = judge(owner.identity)
    if life is Life.UNSEEN:
        return now - owner.heartbeat < silence
    return life is Life.ALIVE
