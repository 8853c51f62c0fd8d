from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from litequeue.retry import RetryPolicy, backoff, is_spent

FACTORS = st.floats(0.01, 1000)
MAXIMA = st.floats(0.01, 10_000)
COUNTS = st.integers(0, 10_000)


@given(COUNTS, FACTORS, MAXIMA)
def test_backoff_doubles_up_to_its_maximum(retries: int, factor: float, maximum: float) -> None:
    delay = backoff(retries, factor=factor, maximum=maximum, jitter=False)
    assert delay <= maximum
    if delay < maximum:
        assert delay == factor * 2**retries
        assert backoff(retries + 1, factor=factor, maximum=maximum, jitter=False) == min(
            maximum, 2 * delay
        )


@given(COUNTS, FACTORS, MAXIMA, st.integers())
def test_jitter_takes_a_part_and_never_more(
    retries: int, factor: float, maximum: float, seed: int
) -> None:
    whole = backoff(retries, factor=factor, maximum=maximum, jitter=False)
    part = backoff(retries, factor=factor, maximum=maximum, jitter=True, random=Random(seed))
    assert 0 <= part <= whole


def test_jitter_spreads_over_the_whole_range() -> None:
    random = Random(1)
    delays = [backoff(3, factor=1, maximum=60, jitter=True, random=random) for _ in range(1_000)]
    assert min(delays) < 0.1
    assert max(delays) > 7.9


def test_without_backoff_the_delay_is_the_tasks_own() -> None:
    assert RetryPolicy(default_retry_delay=7).countdown(5) == 7


def test_with_backoff_the_delay_grows() -> None:
    policy = RetryPolicy(retry_backoff=2.0, retry_backoff_max=10.0, retry_jitter=False)
    assert [policy.countdown(retries) for retries in range(4)] == [2, 4, 8, 10]


def test_the_defaults_are_celerys() -> None:
    policy = RetryPolicy()
    assert (policy.max_retries, policy.default_retry_delay) == (3, 180)
    assert (policy.retry_backoff_max, policy.retry_jitter) == (600, True)
    assert not policy.retry_backoff


def test_only_listed_errors_ask_for_a_retry() -> None:
    policy = RetryPolicy(autoretry_for=(OSError,), dont_autoretry_for=(FileNotFoundError,))
    assert policy.wants(OSError())
    assert policy.wants(ConnectionResetError())
    assert not policy.wants(FileNotFoundError())
    assert not policy.wants(ValueError())
    assert not RetryPolicy().wants(Exception())


def test_a_job_is_spent_after_its_last_retry() -> None:
    assert not is_spent(2, 3)
    assert is_spent(3, 3)
    assert is_spent(0, 0)
    assert not is_spent(1_000_000, None)
