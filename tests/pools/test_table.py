from __future__ import annotations

import tests.pools.test_promises  # noqa: F401 - it makes the promises
from tests.pools.promises import PAGE, POOLS, PROMISES, generated


class TestTheTable:
    def test_the_page_says_what_is_tested(self) -> None:
        text = PAGE.read_text()
        assert text == generated(text), "write it anew: python -m tests.pools.promises"

    def test_only_known_pools_break_promises(self) -> None:
        assert {pool for each in PROMISES for pool in each.breaks} <= set(POOLS)
