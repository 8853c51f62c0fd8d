from __future__ import annotations

import builtins
import inspect
import pickle
import re

import celery.exceptions
import pytest

import litequeue
from litequeue import exceptions

CLASSES = {
    name: kind
    for name, kind in vars(exceptions).items()
    if inspect.isclass(kind) and kind.__module__ == exceptions.__name__
}
NOT_FOR_TASKS = {
    *("reraise", "CeleryCommandException"),
    *("CDeprecationWarning", "CPendingDeprecationWarning", "CeleryWarning", "FixupWarning"),
    *("DuplicateNodenameWarning", "DuplicateTaskNameWarning", "NotConfigured", "SecurityWarning"),
}
DRAWN = re.compile(r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+)", re.MULTILINE)


def drawn_tree() -> dict[str, str | None]:
    """Return {class: parent} as the module's docstring draws it."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    text = (exceptions.__doc__ or "").partition("\n\n")[2].partition("\n\nA docstring")[0]
    for line in DRAWN.finditer(text):
        depth = len(line["indent"]) // 4 - 1
        path[depth:] = [line["name"]]
        parents[line["name"]] = path[depth - 1] if depth else None
    return parents


def make(kind: type[Exception]) -> Exception:
    return kind("some-id", "text") if kind is exceptions.RemoteError else kind("some-id")


def test_the_docstring_draws_every_class_under_its_parent() -> None:
    drawn = drawn_tree()
    assert set(drawn) == set(CLASSES)
    for name, parent in drawn.items():
        parents = {CLASSES[parent]} if parent else {Exception, SystemExit}
        assert parents & {*CLASSES[name].__bases__}, name


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_has_words(name: str) -> None:
    kind = CLASSES[name]
    assert str(make(kind))
    if "__init__" not in vars(kind) and issubclass(kind, exceptions.LiteQueueError):
        assert str(kind()) == kind.__doc__


def test_the_public_ones_are_exported() -> None:
    exported = {name for name in litequeue.__all__ if name in CLASSES}
    not_raised_by_calls = {
        "ForkedMidTransaction",
        "NotAQueue",
        "QueueNotFound",
        "RejectedError",
        "ResultTooLarge",
        "SchemaMismatch",
        "SoftTimeLimitExceeded",
        "TaskPredicate",
        "Terminated",
        "TimeLimitExceeded",
        "UnsafeFilesystem",
        "WorkerShutdown",
        "WorkerTerminate",
    }
    assert exported == set(CLASSES) - not_raised_by_calls
    for name in exported:
        assert getattr(litequeue, name) is CLASSES[name]


def test_they_can_be_caught_as_what_they_are_to_python() -> None:
    assert issubclass(exceptions.TimeoutError, builtins.TimeoutError)
    assert issubclass(exceptions.NotSerializable, TypeError)
    assert issubclass(exceptions.PayloadTooLarge, ValueError)
    assert issubclass(exceptions.NotRegistered, KeyError)


def test_control_flow_is_not_swallowed_by_a_handler_of_errors() -> None:
    for kind in (exceptions.Retry, exceptions.Ignore, exceptions.Reject):
        assert not issubclass(kind, exceptions.LiteQueueError)
    for leaving in (exceptions.WorkerShutdown, exceptions.WorkerTerminate):
        assert not issubclass(leaving, Exception)


def test_not_registered_reads_as_a_sentence_and_not_as_a_key() -> None:
    assert str(exceptions.NotRegistered("no such task")) == "no such task"


@pytest.mark.parametrize("name", ["DuplicateJob", "EnqueueUncertain", "JobNotFound"])
def test_errors_about_a_job_carry_its_id(name: str) -> None:
    error = CLASSES[name]("018f-id")
    assert error.id == "018f-id"
    assert "018f-id" in str(error)


def test_an_uncertain_enqueue_names_the_way_out() -> None:
    error = exceptions.EnqueueUncertain("018f-id", OSError("disk on fire"))
    assert "task_id='018f-id'" in str(error)
    assert "disk on fire" in str(error)


def test_a_remote_error_keeps_type_message_and_traceback() -> None:
    error = exceptions.RemoteError("app.Oops", "it broke", "Traceback ...")
    assert (error.type, error.message) == ("app.Oops", "it broke")
    assert error.remote_traceback == "Traceback ..."
    assert str(error) == "app.Oops: it broke"
    assert str(exceptions.RemoteError("app.Oops", "")) == "app.Oops"


def test_retry_says_when_and_why() -> None:
    retry = exceptions.Retry(exc=ValueError("no"), when=2.5)
    assert (retry.when, str(retry)) == (2.5, "Retry in 2.5s: ValueError('no')")
    assert str(exceptions.Retry("later")) == "later"


def test_reject_keeps_its_reason() -> None:
    rejection = exceptions.Reject("bad input", requeue=True)
    assert (rejection.reason, rejection.requeue, str(rejection)) == ("bad input", True, "bad input")
    assert str(exceptions.Reject()) == "rejected"


def test_errors_survive_a_pickle_as_process_pools_need() -> None:
    for kind in (exceptions.QueueBusy, exceptions.TaskRevokedError, exceptions.TimeoutError):
        again = pickle.loads(pickle.dumps(kind("words")))
        assert type(again) is kind
        assert str(again) == "words"


@pytest.mark.parametrize(
    ("celerys", "ours"),
    [
        ("BackendError", exceptions.StoreError),
        ("CeleryError", exceptions.LiteQueueError),
        ("OperationalError", exceptions.StoreError),
    ],
)
def test_what_celerys_users_catch_is_there(celerys: str, ours: type[Exception]) -> None:
    assert getattr(exceptions, celerys) is ours
    for refused in (exceptions.QueueBusy("busy"), exceptions.QueueFull("full")):
        with pytest.raises(getattr(exceptions, celerys)):
            raise refused


def test_every_exception_of_celerys_is_here_or_says_why_not() -> None:
    unheard_of, absent = [], set()
    for name in set(celery.exceptions.__all__) - NOT_FOR_TASKS:
        try:
            getattr(exceptions, name)
        except AttributeError:
            unheard_of.append(name)
        except ImportError:
            absent.add(name)
    assert unheard_of == []
    assert absent == set(exceptions._ABSENT)


def test_importing_what_is_not_built_says_so() -> None:
    with pytest.raises(ImportError, match="InvalidTaskError: a job that cannot be read"):
        exec("from litequeue.exceptions import InvalidTaskError")
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        exec("from litequeue.exceptions import Nonsense")


def test_a_name_that_nobody_has_is_no_attribute() -> None:
    assert not hasattr(exceptions, "Nonsense")
