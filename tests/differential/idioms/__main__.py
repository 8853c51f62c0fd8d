"""Run the idioms of the named topics; print one JSON object: what was observed of each."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from typing import Any

from idioms.observe import IDIOMS, JOURNAL


def observe(name: str) -> Any:
    try:
        return json.loads(json.dumps(IDIOMS[name]()))
    except Exception as error:
        sys.stderr.write(f"--- {name}\n{traceback.format_exc()}")
        return {"broke": type(error).__name__, "text": str(error)}


for topic in sys.argv[1:]:
    importlib.import_module(f"idioms.{topic}")
assert JOURNAL.parent.is_dir()
json.dump({name: observe(name) for name in IDIOMS}, sys.stdout)
