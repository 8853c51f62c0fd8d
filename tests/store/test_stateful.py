from __future__ import annotations

import pytest
from hypothesis import settings

from tests.store.machine import QueueMachine

TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40)


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestQueueForLonger(QueueMachine.TestCase):
    """The planted mistakes are found among far fewer; this looks for those nobody thought of."""

    settings = settings(max_examples=400, stateful_step_count=40)
