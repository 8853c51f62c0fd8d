"""A screen that nobody sees, with a pointer that clicks as a person's does."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from tests.conftest import wait_until


class Screen:
    """An X server, asked through its own protocol."""

    def __init__(self, name: str) -> None:
        from Xlib.display import Display

        self.name = name
        self.display: Any = Display(name)
        self.root: Any = self.display.screen().root

    def window(self, title: str) -> Any:
        """Return the window of this title, None while there is none."""
        for window in self.root.query_tree().children:
            for each in (window, *window.query_tree().children):
                if each.get_wm_name() == title:
                    return window
        return None

    def outermost(self, id: int) -> Any:
        """Return the window of the screen in which the window ``id`` lies."""
        window = self.display.create_resource_object("window", id)
        while (parent := window.query_tree().parent) != self.root:
            window = parent
        return window

    def click(self, x: int, y: int) -> None:
        from Xlib import X
        from Xlib.ext import xtest

        xtest.fake_input(self.display, X.MotionNotify, x=x, y=y)
        for event in (X.ButtonPress, X.ButtonRelease):
            xtest.fake_input(self.display, event, 1)
        self.display.sync()

    def bring_to_front(self, window: Any) -> None:
        from Xlib import X

        window.configure(stack_mode=X.Above)
        self.display.sync()

    def close_window(self, window: Any) -> None:
        """Press the cross in the title bar, which is the window manager's to tell."""
        from Xlib import X
        from Xlib.protocol import event

        protocols, delete = map(self.display.intern_atom, ("WM_PROTOCOLS", "WM_DELETE_WINDOW"))
        for each in (window, *window.query_tree().children):
            if delete in each.get_wm_protocols():
                data = (32, [delete, X.CurrentTime, 0, 0, 0])
                each.send_event(event.ClientMessage(window=each, client_type=protocols, data=data))
        self.display.sync()

    def picture(self, window: Any) -> Image.Image:
        """Return what a window looks like."""
        from Xlib import X

        place = window.get_geometry()
        area = place.x, place.y, place.width, place.height
        image = self.root.get_image(*area, X.ZPixmap, 0xFFFFFFFF)
        return Image.frombytes("RGB", area[2:], image.data, "raw", "BGRX")


@contextlib.contextmanager
def new_screen(folder: Path) -> Iterator[Screen]:
    told, tells = os.pipe()
    with (folder / "xvfb.log").open("w") as log, os.fdopen(told) as answer:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(tells), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
            pass_fds=[tells], stdout=log, stderr=log,
        )  # fmt: skip
        os.close(tells)
        try:
            screen = Screen(f":{answer.readline().strip()}")
            yield screen
            screen.display.close()
        finally:
            server.terminate()
            wait_until(lambda: server.poll() is not None)
