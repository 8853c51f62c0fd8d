"""Print where mypy, pyright and the files disagree, and what has no type; exit 1 if anything."""

from __future__ import annotations

import sys

from tests.typing.checkers import CHECKERS, FILES, complaints, differences, unknown_types

found = [
    f"{checker}: {each}"
    for checker in CHECKERS
    for said in [complaints(checker)]
    for path in FILES
    for each in differences(path, said)
]
sys.exit("\n".join(found + unknown_types()) or None)
