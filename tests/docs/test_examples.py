"""The examples run as their texts say."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import ROOT, read
from tests.integration.processes import Site

EXAMPLES = ROOT / "examples"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    place = Site(tmp_path)
    yield place
    place.close()


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested_here() -> None:
    assert [path.name for path in EXAMPLES.iterdir() if path.is_dir()] == ["thumbnails"]


class TestThumbnails:
    FOLDER = EXAMPLES / "thumbnails"

    def test_it_runs_as_its_readme_says(self, site: Site) -> None:
        shutil.copy(self.FOLDER / "thumbnails.py", site.folder)
        example = load(self.FOLDER / "thumbnails.py")
        site.path = site.folder / "thumbnails.sqlite"
        site.worker(app="thumbnails:app")
        pictures = site.folder / "pictures"
        example.paint(pictures, count=4, size=128)
        done = site.run("thumbnails.py", "pictures")
        assert done.returncode == 0, done.stderr
        made = sorted(pictures.glob("*.small.ppm"))
        assert done.stdout.splitlines() == [str(path) for path in made]
        assert len(made) == 4
        for path in made:
            original = path.with_name(path.name.replace(".small", "")).read_bytes()
            assert path.read_bytes() == example.shrink(original, 64)
        assert len(list(pictures.iterdir())) == 8  # nothing unfinished is left

    def test_the_readme_names_the_commands_of_the_program(self) -> None:
        said = load(self.FOLDER / "thumbnails.py").__doc__ or ""
        commands = read(self.FOLDER / "README.md").commands
        assert len(commands) == 2
        assert all(command in said for command in commands)

    def test_a_pixel_is_the_mean_of_those_it_stands_for(self) -> None:
        shrink = load(self.FOLDER / "thumbnails.py").shrink
        picture = b"P6 4 2 255\n" + bytes([0, 0, 9, 4, 0, 9, 8, 2, 9, 8, 2, 9] * 2)
        assert shrink(picture, 2) == b"P6 2 1 255\n" + bytes([2, 0, 9, 8, 2, 9])
        with pytest.raises(ValueError, match="not a PPM"):
            shrink(b"GIF89a", 2)
