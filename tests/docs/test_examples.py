"""The examples run as their texts say."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest
from PIL import Image

from tests.conftest import wait_until
from tests.docs.pages import ROOT, read
from tests.docs.smtp import MailServer
from tests.integration.processes import Site, Worker

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


TESTED_ELSEWHERE = {"container", "desktop_qt", "desktop_tk", "systemd"}
"""By tests/integration/test_systemd.py, which runs its unit's command, and tests/desktop."""


def test_every_example_is_tested() -> None:
    there = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert there - TESTED_ELSEWHERE == {"flask_app", "folder_watcher", "thumbnails"}


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
        sheet = pictures / "all.small.ppm"
        assert done.stdout.splitlines() == [str(sheet)]
        made = sorted(path for path in pictures.glob("*.small.ppm") if path != sheet)
        assert len(made) == 4
        for path in made:
            original = path.with_name(path.name.replace(".small", "")).read_bytes()
            assert path.read_bytes() == example.shrink(original, 64)
        parts = [example.parse(path.read_bytes()) for path in made]
        columns, rows, pixels = example.parse(sheet.read_bytes())
        assert (columns, rows) == (64, sum(part[1] for part in parts))
        assert pixels == b"".join(part[2] for part in parts)
        assert len(list(pictures.iterdir())) == 9  # nothing unfinished is left

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


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Shop:
    """The Flask app as its users and its administrator see it."""

    FOLDER = EXAMPLES / "flask_app"

    def __init__(self, site: Site, smtp_port: int) -> None:
        shutil.copytree(self.FOLDER, site.folder, dirs_exist_ok=True)
        self.site = site
        self.env = {"SMTP_HOST": "localhost", "SMTP_PORT": str(smtp_port)}
        self.port = free_port()
        command = [sys.executable, "-m", "flask", "--app", "app", "run", "--port", str(self.port)]
        self.site.start(command, log=site.folder / "flask.log", **self.env)
        wait_until(self.is_up, 20.0)

    def is_up(self) -> bool:
        try:
            return "Send" in self.get("/")
        except urllib.error.URLError:
            return False

    def work(self) -> Worker:
        """Start a worker as the README says."""
        log = self.site.folder / f"worker-{len(self.site.workers)}.log"
        command = [sys.executable, "-m", "litequeue", "worker", "jobs.sqlite"]
        worker = Worker(self.site.start(command, log=log, **self.env), log, self.site.path)
        self.site.workers.append(worker)
        worker.wait_until_ready()
        return worker

    def open(self, path: str, body: bytes | None = None, **headers: str) -> Any:
        request = urllib.request.Request(f"http://localhost:{self.port}{path}", body, headers)
        return urllib.request.urlopen(request, timeout=20)

    def get(self, path: str) -> str:
        with self.open(path) as answer:
            return str(answer.read().decode())

    def sent_to(self, path: str, body: bytes, **headers: str) -> str:
        """Send a form; return the id of the job whose page is the answer."""
        with self.open(path, body, **headers) as answer:
            return str(answer.url.rpartition("/")[2])

    def key(self) -> str:
        found = re.search(r'name="key" value="(\w+)"', self.get("/"))
        assert found
        return found[1]

    def mail(self, **form: str) -> str:
        return self.sent_to("/mail", urlencode(form).encode())

    def upload(self, data: bytes) -> str:
        body = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        return self.sent_to("/pictures", body + data + b"\r\n--x--\r\n", **kind)

    def state(self, id: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.get(f"/jobs/{id}/state"))
        return answer

    def wait_for_state(self, id: str, state: str) -> dict[str, Any]:
        wait_until(lambda: self.state(id)["state"] == state, 30.0)
        return self.state(id)


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    server = MailServer(free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def shop(site: Site, mail_server: MailServer) -> Shop:
    return Shop(site, mail_server.port)


class TestFlaskApp:
    MAIL: Mapping[str, str] = {"to": "ann@example.org", "subject": "Hello", "text": "World"}

    def test_a_double_click_sends_one_mail(self, shop: Shop, mail_server: MailServer) -> None:
        key = shop.key()
        first = shop.mail(key=key, **self.MAIL)
        assert shop.mail(key=key, **self.MAIL) == first
        shop.work()
        shop.wait_for_state(first, "SUCCESS")
        second = shop.mail(key=shop.key(), **self.MAIL)
        shop.wait_for_state(second, "SUCCESS")
        first_mail, second_mail = mail_server.mails
        assert first_mail["Message-ID"] == f"<{first}@localhost>"
        assert second_mail["Message-ID"] == f"<{second}@localhost>"
        assert (first_mail["To"], first_mail["Subject"]) == ("ann@example.org", "Hello")
        with pytest.raises(urllib.error.HTTPError, match="409"):
            shop.mail(key=key, **{**self.MAIL, "text": "another"})

    def test_a_worker_killed_while_it_sends_loses_no_mail(
        self, shop: Shop, mail_server: MailServer
    ) -> None:
        mail_server.gate.clear()
        worker = shop.work()
        id = shop.mail(key=shop.key(), **self.MAIL)
        wait_until(lambda: mail_server.conversations == 1)
        worker.kill_all()
        assert mail_server.mails == []
        mail_server.gate.set()
        shop.work()
        shop.wait_for_state(id, "SUCCESS")
        (mail,) = mail_server.mails
        assert mail["Message-ID"] == f"<{id}@localhost>"

    def test_a_mail_server_that_is_away_is_tried_again(
        self, shop: Shop, mail_server: MailServer
    ) -> None:
        mail_server.stop()
        shop.work()
        id = shop.mail(key=shop.key(), **self.MAIL)
        assert "refused" in shop.wait_for_state(id, "RETRY")["error"]
        mail_server.start()
        shop.wait_for_state(id, "SUCCESS")
        assert len(mail_server.mails) == 1

    def test_an_address_that_is_refused_fails_at_once(self, shop: Shop) -> None:
        shop.work()
        id = shop.mail(key=shop.key(), **{**self.MAIL, "to": "nobody@example.org"})
        assert "no such mailbox" in shop.wait_for_state(id, "FAILURE")["error"]

    def test_a_picture_is_made_smaller_in_sight(self, shop: Shop) -> None:
        picture = io.BytesIO()
        Image.linear_gradient("L").resize((6000, 3000)).save(picture, "PNG")
        shop.work()
        id = shop.upload(picture.getvalue())
        assert "progress" in shop.get(f"/jobs/{id}")
        seen = []
        wait_until(lambda: seen.append(shop.state(id)) or seen[-1]["state"] == "SUCCESS", 30.0)
        progress = [each["info"]["current"] for each in seen if each["state"] == "PROGRESS"]
        assert progress
        assert progress == sorted(progress)
        for name, size in zip(seen[-1]["info"], [1600, 800, 400, 200], strict=True):
            with shop.open(f"/pictures/{name}") as answer:
                assert Image.open(io.BytesIO(answer.read())).size == (size, size // 2)

    def test_what_is_no_picture_fails_with_its_reason(self, shop: Shop) -> None:
        shop.work()
        id = shop.upload(b"GIF? no")
        assert "cannot identify image" in shop.wait_for_state(id, "FAILURE")["error"]

    def test_an_unknown_job_is_not_found(self, shop: Shop) -> None:
        for path in ("/jobs/nosuch", "/jobs/nosuch/state"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                shop.get(path)

    def test_it_is_small(self) -> None:
        lines = [path.read_text().count("\n") for path in Shop.FOLDER.glob("*.py")]
        assert sum(lines) < 150


class Watching:
    """The folder watcher at work, and what it has printed."""

    FOLDER = EXAMPLES / "folder_watcher"

    def __init__(self, site: Site) -> None:
        shutil.copy(self.FOLDER / "watcher.py", site.folder)
        site.path = site.folder / "watcher.sqlite"
        self.site = site
        self.inbox = site.folder / "inbox"
        self.inbox.mkdir()

    def watch(self) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.site.folder / f"watcher-{len(list(self.site.folder.glob('watcher-*')))}.log"
        return self.site.start([sys.executable, "watcher.py", "inbox"], log=log), log

    def drop(self, name: str, text: str) -> str:
        """Put a file in whole, as a download does; return the line to be printed."""
        unfinished = self.inbox / f".{name}"
        unfinished.write_text(text)
        unfinished.rename(self.inbox / name)
        checksum = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{name}: {len(text.splitlines())} lines, {checksum}"

    def jobs(self) -> list[tuple[str, str]]:
        """Return the id and the state of every job in the file."""
        if not self.site.path.exists():
            return []
        connection = sqlite3.connect(f"file:{self.site.path}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT id, state FROM litequeue_jobs").fetchall()
        except sqlite3.OperationalError:  # it is just being made
            return []
        finally:
            connection.close()


@pytest.fixture
def watching(site: Site) -> Watching:
    return Watching(site)


class TestFolderWatcher:
    @pytest.mark.parametrize("has_watchfiles", [True, False], ids=["watchfiles", "plain"])
    def test_results_come_as_files_do(self, watching: Watching, has_watchfiles: bool) -> None:
        if not has_watchfiles:
            watching.site.write("watchfiles.py", "raise ImportError('not installed')")
        watching.site.worker(app="watcher:app")
        expected = {watching.drop("before.txt", "a\nb\n")}
        _, log = watching.watch()
        wait_until(lambda: set(log.read_text().splitlines()) == expected)
        expected.add(watching.drop("after.txt", "c\n" * 1000))
        wait_until(lambda: set(log.read_text().splitlines()) == expected)
        expected.add(watching.drop("after.txt", "changed\n"))
        wait_until(lambda: set(log.read_text().splitlines()) == expected)
        assert len(watching.jobs()) == len(log.read_text().splitlines()) == 3

    def test_killed_and_started_again_it_does_nothing_twice(self, watching: Watching) -> None:
        expected = {watching.drop(f"{number}.txt", f"{number}\n") for number in range(20)}
        process, _ = watching.watch()
        wait_until(lambda: len(watching.jobs()) >= 5)
        process.kill()
        process.wait()
        _, log = watching.watch()
        wait_until(lambda: len(watching.jobs()) == 20)
        worker = watching.site.worker(app="watcher:app")
        wait_until(lambda: len(log.read_text().splitlines()) >= 1)
        worker.kill_all()
        watching.site.worker(app="watcher:app")
        wait_until(lambda: set(log.read_text().splitlines()) == expected)
        assert [state for _, state in watching.jobs()] == ["SUCCESS"] * 20

    def test_a_file_that_is_gone_is_told_so_at_once(self, watching: Watching) -> None:
        watching.drop("gone.txt", "text")
        _, log = watching.watch()
        wait_until(lambda: len(watching.jobs()) == 1)
        (watching.inbox / "gone.txt").unlink()
        watching.site.worker(app="watcher:app")
        wait_until(lambda: "gone.txt: " in log.read_text() and "No such file" in log.read_text())

    def test_the_readme_names_the_commands_of_the_program(self) -> None:
        said = load(Watching.FOLDER / "watcher.py").__doc__ or ""
        commands = read(Watching.FOLDER / "README.md").commands
        assert len(commands) == 2
        assert all(command in said for command in commands)
