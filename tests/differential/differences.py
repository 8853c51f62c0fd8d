"""Where litequeue does otherwise than Celery, on purpose: what either shows, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Difference:
    """One idiom that the two answer differently.

    ``row`` is the name of the row in docs/reference/from-celery.md that explains it.
    """

    celery: Any
    litequeue: Any
    row: str
    reason: str


DIFFERENCES: Final[dict[str, Difference]] = {
    "all_states": Difference(
        celery=["FAILURE", "PENDING", "RECEIVED", "RETRY", "REVOKED", "STARTED", "SUCCESS"],
        litequeue=[
            "FAILURE",
            "IGNORED",
            "PENDING",
            "RECEIVED",
            "REJECTED",
            "RETRY",
            "REVOKED",
            "STARTED",
            "SUCCESS",
        ],
        row="IGNORED and REJECTED",
        reason="Both are final states here, so that nobody waits for such a job",
    ),
    "always_eager_refuses_what_does_not_travel": Difference(
        celery="EncodeError",
        litequeue="NotSerializable",
        row="What JSON does not take",
        reason="One exception of litequeue's own, with the path to the value",
    ),
    "always_eager_serializes": Difference(
        celery="list",
        litequeue="tuple",
        row="Tuples",
        reason="A tuple stays a tuple on its way through JSON",
    ),
    "attributes_given_to_the_decorator": Difference(
        celery="red",
        litequeue=None,
        row="Unknown options",
        reason="A misspelt option is an error, attributes belong into a base class",
    ),
    "class_based_task_checks_arguments": Difference(
        celery="accepted",
        litequeue="TypeError",
        row="Arguments of class-based tasks",
        reason="They are checked at the call as those of functions are",
    ),
    "conf_of_an_unknown_name": Difference(
        celery=None,
        litequeue="ImproperlyConfigured",
        row="Unknown settings",
        reason="A misspelt setting is an error, with the nearest name",
    ),
    "default_of_the_default_queue": Difference(
        celery="celery",
        litequeue="default",
        row="Default queue",
        reason="The name says what it is, and task_default_queue changes it",
    ),
    "exception_of_ones_own": Difference(
        celery={"raised": "OutOfStockError", "state": "FAILURE", "text": "tea"},
        litequeue={
            "raised": "RemoteError",
            "state": "FAILURE",
            "text": "idioms.results.OutOfStockError: tea",
        },
        row="Exceptions of your own",
        reason="A class that a file names is never imported, it comes as RemoteError",
    ),
    "get_of_an_unknown_id": Difference(
        celery="TimeoutError",
        litequeue="JobNotFound",
        row="Unknown ids",
        reason="The file knows every job, so nobody waits for one that never was",
    ),
    "ignored": Difference(
        celery="PENDING",
        litequeue="IGNORED",
        row="IGNORED and REJECTED",
        reason="Celery leaves such a job as it was, here it has ended",
    ),
    "more_request_fields": Difference(
        celery={
            "callbacks": None,
            "chain": None,
            "chord": None,
            "correlation_id": True,
            "errbacks": None,
            "group": None,
            "origin": True,
            "redelivered": False,
            "timelimit": [None, None],
        },
        litequeue={
            "callbacks": None,
            "chain": None,
            "chord": None,
            "correlation_id": True,
            "errbacks": None,
            "group": None,
            "origin": False,
            "redelivered": False,
            "timelimit": [None, None],
        },
        row="Request fields",
        reason="The file does not know who sent a job",
    ),
    "numbers_as_keys": Difference(
        celery={"1": "one"},
        litequeue="NotSerializable",
        row="What JSON does not take",
        reason="A key that would arrive as text is refused where it is sent",
    ),
    "other_defaults": Difference(
        celery={
            "accept_content": ["json"],
            "enable_utc": True,
            "result_extended": False,
            "result_serializer": "json",
            "task_always_eager": False,
            "task_annotations": None,
            "task_create_missing_queues": True,
            "task_default_priority": None,
            "task_eager_propagates": False,
            "task_ignore_result": False,
            "task_queues": None,
            "task_routes": None,
            "task_serializer": "json",
            "task_track_started": False,
            "timezone": None,
        },
        litequeue={
            "accept_content": ["json"],
            "enable_utc": "no such setting",
            "result_extended": "no such setting",
            "result_serializer": "json",
            "task_always_eager": False,
            "task_annotations": None,
            "task_create_missing_queues": True,
            "task_default_priority": 0,
            "task_eager_propagates": False,
            "task_ignore_result": False,
            "task_queues": None,
            "task_routes": None,
            "task_serializer": "json",
            "task_track_started": True,
            "timezone": None,
        },
        row="Other defaults",
        reason="Without a broker and time zones in the file, some settings have no meaning",
    ),
    "rejected": Difference(
        celery="FAILURE",
        litequeue="REJECTED",
        row="IGNORED and REJECTED",
        reason="The state says who decided, the task and not an exception",
    ),
    "state_set_from_outside": Difference(
        celery=["PROGRESS", {"done": 1}],
        litequeue=["PENDING", None],
        row="Unknown ids",
        reason="A state belongs to a job, and there is none with this id",
    ),
    "state_while_running": Difference(
        celery=["PENDING", "done"],
        litequeue=["STARTED", "done"],
        row="STARTED",
        reason="The file knows what runs, so the state always says it",
    ),
    "states_and_sets": Difference(
        celery={
            "exception": ["FAILURE", "RETRY", "REVOKED"],
            "names": [
                "PENDING",
                "RECEIVED",
                "STARTED",
                "SUCCESS",
                "FAILURE",
                "RETRY",
                "REVOKED",
                "REJECTED",
                "IGNORED",
            ],
            "propagate": ["FAILURE", "REVOKED"],
            "ready": ["FAILURE", "REVOKED", "SUCCESS"],
            "unready": ["PENDING", "RECEIVED", "REJECTED", "RETRY", "STARTED"],
        },
        litequeue={
            "exception": ["FAILURE", "RETRY", "REVOKED"],
            "names": [
                "PENDING",
                "RECEIVED",
                "STARTED",
                "SUCCESS",
                "FAILURE",
                "RETRY",
                "REVOKED",
                "REJECTED",
                "IGNORED",
            ],
            "propagate": ["FAILURE", "REJECTED", "REVOKED"],
            "ready": ["FAILURE", "IGNORED", "REJECTED", "REVOKED", "SUCCESS"],
            "unready": ["PENDING", "RECEIVED", "RETRY", "STARTED"],
        },
        row="IGNORED and REJECTED",
        reason="Both are final states here, so that nobody waits for such a job",
    ),
    "types_that_come_back": Difference(
        celery=[
            "datetime.datetime(2026, 11, 5, 0, 0, tzinfo=datetime.timezone.utc)",
            "Decimal('1.10')",
            "UUID('00000000-0000-0000-0000-000000000007')",
            "[1, 2]",
            "{'a': [1]}",
        ],
        litequeue=[
            "datetime.datetime(2026, 11, 5, 0, 0, tzinfo=datetime.timezone.utc)",
            "Decimal('1.10')",
            "UUID('00000000-0000-0000-0000-000000000007')",
            "(1, 2)",
            "{'a': [1]}",
        ],
        row="Tuples",
        reason="A tuple stays a tuple on its way through JSON",
    ),
    "types_that_travel": Difference(
        celery=[
            ["datetime", "2026-11-05 12:30:00+00:00"],
            ["date", "2026-11-05"],
            ["UUID", "12345678-1234-5678-1234-567812345678"],
            ["Decimal", "1.10"],
            ["bytes", "b'bytes'"],
            ["list", "[1, 2]"],
            ["NoneType", "None"],
            ["float", "1.5"],
            ["str", "snow ☃"],
        ],
        litequeue=[
            ["datetime", "2026-11-05 12:30:00+00:00"],
            ["date", "2026-11-05"],
            ["UUID", "12345678-1234-5678-1234-567812345678"],
            ["Decimal", "1.10"],
            ["bytes", "b'bytes'"],
            ["tuple", "(1, 2)"],
            ["NoneType", "None"],
            ["float", "1.5"],
            ["str", "snow ☃"],
        ],
        row="Tuples",
        reason="A tuple stays a tuple on its way through JSON",
    ),
    "unknown_option": Difference(
        celery=None,
        litequeue="TypeError",
        row="Unknown options",
        reason="A misspelt option is an error",
    ),
    "what_does_not_travel": Difference(
        celery="EncodeError",
        litequeue="NotSerializable",
        row="What JSON does not take",
        reason="One exception of litequeue's own, with the path to the value",
    ),
}
