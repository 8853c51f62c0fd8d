"""What a handful of ratios says about the true one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

STUDENT = {
    2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 7: 1.943, 8: 1.895, 9: 1.860, 10: 1.833,
}  # fmt: skip
"""By the number of samples: the 95 % quantile of Student's t, so that 90 % lie within both."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The median of some ratios, and the ends of the 90 % confidence interval of the true one."""

    median: float
    low: float
    high: float


def interval(ratios: Sequence[float]) -> Interval:
    """Estimate the true ratio from 2 to 10 samples.

    Raises KeyError for another number of samples, ValueError for a ratio that is not positive.
    """
    # Student's t on logarithms: noise multiplies a ratio, and half as fast must weigh as much as
    # twice as fast. Not the bootstrap, which never looks beyond the samples it has: of five, its
    # 90 % intervals hold the truth in 80 % of all cases only.
    logs = [math.log(ratio) for ratio in ratios]
    reach = STUDENT[len(logs)] * statistics.stdev(logs) / math.sqrt(len(logs))
    middle = statistics.fmean(logs)
    return Interval(statistics.median(ratios), math.exp(middle - reach), math.exp(middle + reach))
