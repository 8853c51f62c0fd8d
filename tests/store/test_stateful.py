from __future__ import annotations

from hypothesis import settings

from tests.store.machine import QueueMachine

TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=150, stateful_step_count=40)
