"""Beat, the periodic sender: in every worker, or alone.

Any number of them may serve one file.  A tick is a row that exists once, written in the commit of
its job, so none of them has to lead: whoever comes first sends, the others find it done.
"""

from __future__ import annotations

from typing import NoReturn

from litequeue.schedules.absent import error_of


def __getattr__(name: str) -> NoReturn:
    """Say why there is none of Celery's names of this module."""
    raise error_of(__name__, name)
