"""The window: choose a folder, see its checksums come in, change your mind.

python window.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Thread

from jobs import Batch, app
from PySide6.QtCore import Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QGridLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from litequeue import freeze_support


class Window(QWidget):
    """Everything here runs in the main thread, and nothing here waits."""

    told = Signal(str, float, str)
    """What a batch tells from threads of its own; Qt brings it to this one."""
    done = Signal()
    left = Signal()

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.batch: Batch | None = None
        self.shares: dict[str, float] = {}
        self.rows: dict[str, int] = {}
        self.leaving: Thread | None = None
        self.has_left = False
        # Every window has one, and one of them works; when it closes, another one does.
        self.worker = app.worker(pool="threads", concurrency=2, single=True)
        self.worker.start()
        self.setWindowTitle("Checksums")
        self._build(folder)
        self.told.connect(self.tell)
        self.done.connect(self.finish)
        self.left.connect(self.close)

    def _build(self, folder: Path) -> None:
        self.folder = QLineEdit(str(folder))
        self.choose_button = QPushButton("Choose…", clicked=self.choose)
        self.start_button = QPushButton("Start", clicked=self.start)
        self.cancel_button = QPushButton("Cancel", clicked=self.cancel, enabled=False)
        self.bar = QProgressBar(maximum=1000)
        self.files = QTableWidget(0, 2)
        self.files.setHorizontalHeaderLabels(["File", "SHA-256"])
        self.files.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.status = QLabel("Choose a folder, and press Start.")
        grid = QGridLayout(self)
        grid.addWidget(self.folder, 0, 0)
        grid.addWidget(self.choose_button, 0, 1)
        grid.addWidget(self.start_button, 0, 2)
        grid.addWidget(self.bar, 1, 0, 1, 2)
        grid.addWidget(self.cancel_button, 1, 2)
        grid.addWidget(self.files, 2, 0, 1, 3)
        grid.addWidget(self.status, 3, 0, 1, 3)
        self.resize(640, 360)

    def choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder", self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    def start(self) -> None:
        self.files.setRowCount(0)
        self.shares.clear()
        self.rows.clear()
        self.start_button.setEnabled(False)
        self.cancel_button.setEnabled(True)
        self.batch = Batch(Path(self.folder.text()), self.told.emit, self.done.emit)

    def cancel(self) -> None:
        if self.batch is not None:
            self.batch.cancel()

    def tell(self, path: str, share: float, words: str) -> None:
        self.shares[path] = share
        if path not in self.rows:
            self.rows[path] = row = self.files.rowCount()
            self.files.insertRow(row)
            self.files.setItem(row, 0, QTableWidgetItem(Path(path).name))
        self.files.setItem(self.rows[path], 1, QTableWidgetItem(words))
        self.bar.setValue(int(1000 * sum(self.shares.values()) / len(self.shares)))
        done = sum(share == 1.0 for share in self.shares.values())
        self.status.setText(f"{done} of {len(self.shares)} files")

    def finish(self) -> None:
        self.status.setText(f"{len(self.shares)} of {len(self.shares)} files, finished")
        self.batch = None
        self.start_button.setEnabled(True)
        self.cancel_button.setEnabled(False)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Leave nothing behind: this takes a moment, and another thread takes it."""
        if self.has_left:
            return
        event.ignore()
        if self.leaving is None:
            self.status.setText("closing…")
            self.leaving = Thread(target=self._leave)
            self.leaving.start()

    def _leave(self) -> None:
        if self.batch is not None:
            self.batch.close()
        self.worker.stop(timeout=2)
        self.has_left = True
        self.left.emit()


def main() -> None:
    freeze_support()
    program = QApplication(sys.argv)
    window = Window(Path(sys.argv[1] if len(sys.argv) > 1 else Path.home()))
    window.show()
    sys.exit(program.exec())


if __name__ == "__main__":
    main()
