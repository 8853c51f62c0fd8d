"""Runs an example as its users do, and tells whoever asks what its window shows.

python driven.py SOCKET EXAMPLE [ARGUMENT ...]: questions come over the socket, a word each, and are
answered by the window's own thread.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

BEAT = 0.01


class Tap:
    """Answers in the thread of the window, and notices when that thread stands still."""

    def __init__(self, window: Any, path: str) -> None:
        self.window = window
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(path + ".new")
        self.listening.listen()
        Path(path + ".new").rename(path)  # whoever finds it is answered
        self.beat_at = time.monotonic()
        self.stood_still = 0.0
        self.shares: list[float] = []

    def beat(self) -> None:
        now = time.monotonic()
        self.stood_still = max(self.stood_still, now - self.beat_at - BEAT)
        self.beat_at = now
        if self.shares[-1:] != [self.share()]:
            self.shares.append(self.share())
        if select.select([self.listening], [], [], 0)[0]:
            asker = self.listening.accept()[0]
            with asker:
                asker.sendall(json.dumps(self.answer()).encode())

    def answer(self) -> dict[str, Any]:
        still, self.stood_still = self.stood_still, 0.0
        return {
            "id": self.id(),
            "stood_still": still,
            "shares": self.shares,
            "working": self.window.worker.is_working,
            "status": self.status(),
            "files": self.files(),
            "buttons": {name: self.button(name) for name in ("start", "cancel")},
        }

    def id(self) -> int:
        """Return the number of the window, or of one in it; 0 while it is not shown."""

    def share(self) -> float: ...
    def status(self) -> str: ...
    def files(self) -> dict[str, str]: ...
    def button(self, name: str) -> list[int] | None:
        """Return the middle of a button on the screen, None while it cannot be pressed."""


class TkTap(Tap):
    def beat(self) -> None:
        super().beat()
        self.window.root.after(int(BEAT * 1000), self.beat)

    def id(self) -> int:
        root = self.window.root
        return int(root.winfo_id()) if root.winfo_viewable() else 0

    def share(self) -> float:
        return float(self.window.bar["value"])

    def status(self) -> str:
        return str(self.window.status["text"])

    def files(self) -> dict[str, str]:
        table = self.window.files
        return dict(table.item(row, "values") for row in table.get_children())

    def button(self, name: str) -> list[int] | None:
        button = getattr(self.window, f"{name}_button")
        if button.instate(["disabled"]):
            return None
        middle = button.winfo_width() // 2, button.winfo_height() // 2
        return [button.winfo_rootx() + middle[0], button.winfo_rooty() + middle[1]]


class QtTap(Tap):
    def __init__(self, window: Any, path: str) -> None:
        from PySide6.QtCore import QTimer

        super().__init__(window, path)
        self.timer = QTimer(interval=int(BEAT * 1000))
        self.timer.timeout.connect(self.beat)
        self.timer.start()

    def id(self) -> int:
        return int(self.window.winId()) if self.window.isVisible() else 0

    def share(self) -> float:
        return max(0.0, self.window.bar.value() / 1000)

    def status(self) -> str:
        return str(self.window.status.text())

    def files(self) -> dict[str, str]:
        table = self.window.files
        rows = range(table.rowCount())
        return {table.item(row, 0).text(): table.item(row, 1).text() for row in rows}

    def button(self, name: str) -> list[int] | None:
        button = getattr(self.window, f"{name}_button")
        if not button.isEnabled():
            return None
        middle = button.mapToGlobal(button.rect().center())
        return [middle.x(), middle.y()]


def main() -> None:
    path, example = sys.argv[1], Path(sys.argv[2])
    sys.argv[:] = [str(example / "window.py"), *sys.argv[3:]]
    sys.path[0] = str(example)
    import window

    tap = TkTap if "tk" in example.name else QtTap
    build = window.Window._build
    taps: list[Tap] = []

    def build_and_tap(self: Any, folder: Path) -> None:
        build(self, folder)
        taps.append(tap(self, path))
        taps[0].beat()

    window.Window._build = build_and_tap
    try:
        window.main()
    finally:
        taps[0].listening.close()


if __name__ == "__main__":
    main()
