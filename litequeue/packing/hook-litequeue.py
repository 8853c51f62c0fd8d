"""What PyInstaller does not see: modules loaded by name."""  # noqa: INP001 - no package, a place

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from PyInstaller.utils.hooks import (  # type: ignore[import-untyped]  # it has no types
    collect_submodules,
    copy_metadata,
)

hiddenimports: list[str] = collect_submodules("litequeue", on_error="ignore")
datas: list[tuple[str, str]]
try:
    datas = copy_metadata("litequeue-jobs")  # `-m litequeue --version` reads it
except PackageNotFoundError:  # a checkout that was not installed
    datas = []
