"""What happens in the background: mail is sent, pictures are made smaller."""

from __future__ import annotations

import os
import smtplib
from email.message import EmailMessage
from pathlib import Path

from PIL import Image

from litequeue import LiteQueue, Task

queue = LiteQueue("jobs.sqlite")

SMTP_HOST = os.environ.get("SMTP_HOST", "localhost")
SMTP_PORT = int(os.environ.get("SMTP_PORT", "8025"))
SERVER_IS_AWAY = (
    ConnectionError,
    TimeoutError,
    smtplib.SMTPConnectError,
    smtplib.SMTPServerDisconnected,
)
WIDTHS = (1600, 800, 400, 200)


@queue.task(bind=True, autoretry_for=SERVER_IS_AWAY, max_retries=10, retry_backoff=True)
def send_mail(self: Task, to: str, subject: str, text: str) -> str:
    """Hand a mail to the SMTP server and return its Message-ID.

    A worker that dies between the server's yes and its own note of it sends the mail again.  It
    then has the same Message-ID, by which mail programs tell that they have it already.
    """
    mail = EmailMessage()
    mail["Message-ID"] = f"<{self.request.id}@{SMTP_HOST}>"
    mail["From"] = "shop@example.org"
    mail["To"] = to
    mail["Subject"] = subject
    mail.set_content(text)
    with smtplib.SMTP(SMTP_HOST, SMTP_PORT, timeout=20) as server:
        server.send_message(mail)
    return str(mail["Message-ID"])


@queue.task(bind=True)
def resize(self: Task, picture: str) -> list[str]:
    """Write smaller copies of a picture beside it and return their names."""
    source = Path(picture)
    made = []
    with Image.open(source) as image:
        for number, width in enumerate(WIDTHS):
            self.set_progress(number, len(WIDTHS))
            small = image.convert("RGB")
            small.thumbnail((width, width))
            target = source.with_name(f"{source.stem}-{width}.jpeg")
            unfinished = target.with_suffix(f".{os.getpid()}")
            small.save(unfinished, "JPEG")
            unfinished.replace(target)
            made.append(target.name)
    return made
