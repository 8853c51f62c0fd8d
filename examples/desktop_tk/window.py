"""The window: choose a folder, see its checksums come in, change your mind.

python window.py [folder]
"""

from __future__ import annotations

import sys
import tkinter as tk
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from tkinter import filedialog, ttk

from jobs import Batch, app

from litequeue import freeze_support


class Window:
    """Everything here runs in the main thread, and nothing here waits."""

    def __init__(self, root: tk.Tk, folder: Path) -> None:
        self.root = root
        self.batch: Batch | None = None
        self.shares: dict[str, float] = {}
        self.news: SimpleQueue[tuple[str, float, str] | None] = SimpleQueue()
        # Every window has one, and one of them works; when it closes, another one does.
        self.worker = app.worker(pool="threads", concurrency=2, single=True)
        self.worker.start()
        self._build(folder)
        root.title("Checksums")
        root.protocol("WM_DELETE_WINDOW", self.close)
        root.after(50, self.update)

    def _build(self, folder: Path) -> None:
        ttk.Style().theme_use("clam")
        frame = ttk.Frame(self.root, padding=10)
        frame.pack(fill="both", expand=True)
        self.folder = tk.StringVar(value=str(folder))
        ttk.Entry(frame, textvariable=self.folder, width=48).grid(row=0, column=0, sticky="ew")
        self.choose_button = ttk.Button(frame, text="Choose…", command=self.choose)
        self.choose_button.grid(row=0, column=1, padx=(6, 0))
        self.start_button = ttk.Button(frame, text="Start", command=self.start)
        self.start_button.grid(row=0, column=2, padx=(6, 0))
        self.bar = ttk.Progressbar(frame, maximum=1.0)
        self.bar.grid(row=1, column=0, columnspan=2, sticky="ew", pady=8)
        self.cancel_button = ttk.Button(frame, text="Cancel", command=self.cancel)
        self.cancel_button.grid(row=1, column=2, padx=(6, 0))
        self.cancel_button.state(["disabled"])
        self.files = ttk.Treeview(frame, columns=("file", "sum"), show="headings", height=8)
        for column, title, width in (("file", "File", 180), ("sum", "SHA-256", 540)):
            self.files.heading(column, text=title, anchor="w")
            self.files.column(column, width=width)
        self.files.grid(row=2, column=0, columnspan=3, sticky="nsew")
        self.status = ttk.Label(frame, text="Choose a folder, and press Start.")
        self.status.grid(row=3, column=0, columnspan=3, sticky="w", pady=(8, 0))
        frame.columnconfigure(0, weight=1)
        frame.rowconfigure(2, weight=1)

    def choose(self) -> None:
        chosen = filedialog.askdirectory(initialdir=self.folder.get())
        if chosen:
            self.folder.set(chosen)

    def start(self) -> None:
        self.files.delete(*self.files.get_children())
        self.shares.clear()
        self.start_button.state(["disabled"])
        self.cancel_button.state(["!disabled"])
        folder, put = Path(self.folder.get()), self.news.put
        self.batch = Batch(folder, lambda *news: put(news), lambda: put(None))

    def cancel(self) -> None:
        if self.batch is not None:
            self.batch.cancel()

    def update(self) -> None:
        """Show what is new, twenty times a second."""
        for _ in range(min(200, self.news.qsize())):
            news = self.news.get()
            if news is None:
                self._finish()
            else:
                self._show(*news)
        self.root.after(50, self.update)

    def _show(self, path: str, share: float, words: str) -> None:
        self.shares[path] = share
        if not self.files.exists(path):
            self.files.insert("", "end", path, values=(Path(path).name, words))
        self.files.set(path, "sum", words)
        self.bar["value"] = sum(self.shares.values()) / len(self.shares)
        done = sum(share == 1.0 for share in self.shares.values())
        self.status["text"] = f"{done} of {len(self.shares)} files"

    def _finish(self) -> None:
        self.status["text"] = f"{len(self.shares)} of {len(self.shares)} files, finished"
        self.batch = None
        self.start_button.state(["!disabled"])
        self.cancel_button.state(["disabled"])

    def close(self) -> None:
        """Leave nothing behind: this takes a moment, and another thread takes it."""
        self.root.protocol("WM_DELETE_WINDOW", lambda: None)
        self.status["text"] = "closing…"
        leaving = Thread(target=self._leave)
        leaving.start()
        self._wait_for(leaving)

    def _leave(self) -> None:
        if self.batch is not None:
            self.batch.close()
        self.worker.stop(timeout=2)

    def _wait_for(self, leaving: Thread) -> None:
        if leaving.is_alive():
            self.root.after(20, self._wait_for, leaving)
        else:
            self.root.destroy()


def main() -> None:
    freeze_support()
    root = tk.Tk()
    Window(root, Path(sys.argv[1] if len(sys.argv) > 1 else Path.home()))
    root.mainloop()


if __name__ == "__main__":
    main()
