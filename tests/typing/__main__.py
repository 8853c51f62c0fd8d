"""Print where mypy, pyright and the files disagree; exit 1 if they do."""

from __future__ import annotations

import sys

from tests.typing.checkers import CHECKERS, FILES, complaints, differences

found = [
    f"{checker}: {each}"
    for checker in CHECKERS
    for said in [complaints(checker)]
    for path in FILES
    for each in differences(path, said)
]
sys.exit("\n".join(found) or None)
