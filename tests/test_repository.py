"""What the repository promises about itself: its name, its commands, and the map of its code."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import tomllib
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

INSTALLS_THE_OTHER_PROJECT = re.compile(
    r"""\b (?: pip[\d.]* | pipx | uv | poetry | pdm ) \s+ (?:\w+\s+)? (?: install | add ) \b
        [^\n|;&#]*? (?<![\w./:=-]) litequeue (?![\w/-])""",
    re.VERBOSE,
)
MAKE_TARGET = re.compile(r"^([a-z][a-z-]*):[^=\n]*?(?:## *(.+))?$", re.MULTILINE)
RUFF_CODE_LINE = re.compile(r'^\s+"([A-Z]+\d*)",\s*# .*\w')
SUPPRESSION = re.compile(r"# (?:noqa|type: ignore)\b(.*)")
REASON_AFTER_CODES = re.compile(r"(?:: ?[A-Z0-9, ]+|\[[\w, -]+\])\s+(?:# |-+ )\w")
NAMED_FUNCTION = re.compile(r"`litequeue/([\w/]+)\.py:([A-Za-z_][\w.]*)(?:\([^`]*\))?`")


def repository_files(*patterns: str) -> list[Path]:
    """Tracked files, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def make_targets() -> dict[str, str]:
    found = MAKE_TARGET.findall((ROOT / "Makefile").read_text("utf-8"))
    return dict(found)


class TestName:
    """The name litequeue on PyPI belongs to another project."""

    @pytest.mark.parametrize(
        "rest", ["{}", "-U {}", "'{}'", '"{}[celery]"', "{}==0.1", "rich {}", "--user {} rich"]
    )
    @pytest.mark.parametrize("tool", ["pip", "pip3", "python -m pip", "uv pip", "pipx"])
    def test_the_pattern_sees_an_install_of_the_other_project(self, tool: str, rest: str) -> None:
        assert INSTALLS_THE_OTHER_PROJECT.search(f"{tool} install {rest.format('litequeue')}")

    @pytest.mark.parametrize(
        "line",
        [
            "pip install litequeue-jobs",
            "pip install 'litequeue-jobs[celery]'",
            "pip install -e .",
            "pip install -e ./litequeue/",
            "pip install git+https://example.org/litequeue",
            "pip install rich  # litequeue needs it",
            "pip install rich && litequeue demo",
        ],
    )
    def test_the_pattern_lets_the_rest_through(self, line: str) -> None:
        assert not INSTALLS_THE_OTHER_PROJECT.search(line)

    def test_no_file_tells_anyone_to_install_the_other_project(self) -> None:
        wrong = [
            f"{path.relative_to(ROOT)}: {match[0]}"
            for path in repository_files()
            for match in INSTALLS_THE_OTHER_PROJECT.finditer(path.read_text("utf-8", "replace"))
        ]
        assert wrong == []

    def test_the_wheel_has_our_name_and_the_package_its_own(self) -> None:
        project = PYPROJECT["project"]
        assert project["name"] == "litequeue-jobs"
        assert project["scripts"] == {"litequeue": "litequeue.cli:main"}
        assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["litequeue"]

    def test_an_upload_by_mistake_is_refused(self) -> None:
        assert "Private :: Do Not Upload" in PYPROJECT["project"]["classifiers"]


class TestCommands:
    def test_the_makefile_has_what_the_documents_name(self) -> None:
        targets = make_targets()
        documented = {name for name, help_text in targets.items() if help_text}
        assert {"demo", "test", "check", "bench", "crash", "help"} <= documented
        assert len(documented) <= 13

    def test_every_target_says_what_it_is_for(self) -> None:
        assert [name for name, help_text in make_targets().items() if not help_text] == []

    def test_make_alone_prints_the_targets(self) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        printed = subprocess.run(
            ["make"], cwd=ROOT, env=inherited, check=True, capture_output=True, text=True
        ).stdout
        for name, help_text in make_targets().items():
            assert re.search(rf"make {name} +{re.escape(help_text)}", printed)

    def test_ci_runs_what_the_readme_tells_people_to_run(self) -> None:
        script = ROOT / ".ci" / "run"
        lines = [line.strip() for line in script.read_text("utf-8").splitlines()]
        commands = [line for line in lines if line and not line.startswith("#")]
        assert os.access(script, os.X_OK)
        assert commands[:2] == ["set -eu", 'cd "$(dirname "$0")/.."']
        readme = (ROOT / "README.md").read_text("utf-8")
        for command in commands[2:]:
            program, *targets = command.split()
            assert program == "make"
            for target in targets:
                assert target in make_targets()
                told = re.search(rf"\bmake\b[ a-z]*\b{target}\b", readme)
                assert told, f"README.md does not name `make {target}`"


class TestReasons:
    def test_every_ruff_ignore_has_its_reason_beside_it(self) -> None:
        lint = PYPROJECT["tool"]["ruff"]["lint"]
        ignored = [*lint["ignore"], *(c for cs in lint["per-file-ignores"].values() for c in cs)]
        text = (ROOT / "pyproject.toml").read_text("utf-8")
        explained = [m[1] for line in text.splitlines() if (m := RUFF_CODE_LINE.match(line))]
        assert sorted(explained) == sorted(ignored)

    def test_every_suppressed_warning_has_its_reason_after_it(self) -> None:
        bare = [
            f"{path.relative_to(ROOT)}:{number}"
            for path in repository_files("*.py")
            if path != Path(__file__).resolve()
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
            if (found := SUPPRESSION.search(line)) and not REASON_AFTER_CODES.match(found[1])
        ]
        assert bare == []

    @pytest.mark.parametrize(
        ("comment", "explained"),
        [
            ("# noqa: S311 - a jitter is no secret", True),
            ("# noqa: S311, S608 -- both are ours", True),
            ("# type: ignore[attr-defined]  # missing in the stubs", True),
            ("# noqa: S311", False),
            ("# noqa", False),
            ("# type: ignore[attr-defined]", False),
        ],
    )
    def test_what_counts_as_a_reason(self, comment: str, explained: bool) -> None:
        found = SUPPRESSION.search(comment)
        assert found
        assert bool(REASON_AFTER_CODES.match(found[1])) is explained


class TestMap:
    def test_the_functions_that_the_architecture_names_exist(self) -> None:
        text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
        named = sorted(set(NAMED_FUNCTION.findall(text)))
        assert len(named) >= 8, "one job, eight files: the list is missing or not in its form"
        missing = []
        for path, dotted in named:
            name = "litequeue." + path.removesuffix("/__init__").replace("/", ".")
            try:
                reduce(getattr, dotted.split("."), importlib.import_module(name))
            except (ImportError, AttributeError) as error:
                missing.append(f"litequeue/{path}.py:{dotted} ({error})")
        assert missing == []
