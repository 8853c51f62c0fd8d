"""A mail server in this process, which says no and hesitates when it is told to."""

from __future__ import annotations

import asyncio
import threading
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler


class MailServer(MessageHandler):
    """Keeps what it gets.  While ``gate`` is clear, conversations stay half finished."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.mails: list[Message] = []
        self.conversations = 0
        self.gate = threading.Event()
        self.gate.set()
        self._controller: Any = None

    def start(self) -> None:
        self._controller = Controller(self, hostname="localhost", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        self.gate.set()
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        self.conversations += 1
        await asyncio.to_thread(self.gate.wait)
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def handle_message(self, message: Message) -> None:
        self.mails.append(message)
