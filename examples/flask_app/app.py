"""A small site that leaves the slow work to a queue: it answers at once, a worker does the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from flask import (
    Blueprint,
    Flask,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from jobs import queue, resize, send_mail
from werkzeug.wrappers import Response

from litequeue.exceptions import DuplicateJob

site = Blueprint("site", __name__)


@site.get("/")
def index() -> str:
    # Whoever clicks twice sends the same key twice, and that is one job.
    return render_template("index.html", key=uuid4().hex)


@site.post("/mail")
def mail() -> Response:
    form = request.form
    job = send_mail.apply_async(
        (form["to"], form["subject"], form["text"]), idempotency_key=form["key"]
    )
    return redirect(url_for(".show", id=job.id), 303)


@site.errorhandler(DuplicateJob)
def sent_before(error: DuplicateJob) -> tuple[str, int]:
    return "This form was sent before with another text; load the page again.", 409


@site.post("/pictures")
def picture() -> Response:
    source = Path(current_app.config["UPLOADS"]) / uuid4().hex
    request.files["picture"].save(source)
    job = resize.delay(str(source))
    return redirect(url_for(".show", id=job.id), 303)


@site.get("/pictures/<name>")
def small(name: str) -> Response:
    return send_from_directory(current_app.config["UPLOADS"], name)


@site.get("/jobs/<id>")
def show(id: str) -> str:
    if not queue.AsyncResult(id).exists():
        abort(404)
    return render_template("job.html", id=id)


@site.get("/jobs/<id>/state")
def state(id: str) -> dict[str, Any]:
    job = queue.AsyncResult(id)
    if not job.exists():
        abort(404)
    state, info = job.state, job.info
    if isinstance(info, BaseException):  # it failed, or is about to be tried again
        return {"state": state, "error": str(info)}
    return {"state": state, "info": info}


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(UPLOADS="uploads", MAX_CONTENT_LENGTH=20_000_000)
    app.config.from_prefixed_env()
    uploads = Path(app.config["UPLOADS"]).resolve()
    uploads.mkdir(exist_ok=True)
    app.config["UPLOADS"] = str(uploads)
    app.register_blueprint(site)
    return app
