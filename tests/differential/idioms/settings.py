"""Settings in a module, with a prefix; the app reads them by the module's name."""

from __future__ import annotations

CELERY_TASK_DEFAULT_QUEUE = "from-module"
CELERY_RESULT_EXPIRES = 3600
UNRELATED = "left alone"
