"""Celery's settings that are not ours: those still to come, and those that mean nothing here."""

from __future__ import annotations

from typing import Final

NOT_BUILT: Final = frozenset(
    [
        "task_default_rate_limit",
    ]
)
_NO_BROKER: Final = "there is no broker and no connection, only a file"
WITHOUT_EFFECT: Final = {
    "beat_enable_remote_control": "what is scheduled is changed in the file: litequeue schedule DB",
    "beat_schedule_filename": "what is scheduled is in the queue's own file",
    "beat_scheduler": "what is scheduled is in the queue's own file",
    "beat_sync_every": "every tick is on disk with its job, in one commit",
    "control_exchange": _NO_BROKER,
    "event_queue_expires": "events stay in the file until event_ring_size newer ones have come",
    "event_serializer": "there are no events on a wire",
    "result_accept_content": "accept_content holds for arguments and results",
    "result_chord_expires": "results of a group stay as long as all others do",
    "result_chord_join_timeout": "the end of a group is counted in the file, and nobody waits",
    "result_chord_retry_interval": "the end of a group is counted in the file, and nobody waits",
    "task_acks_on_failure": "a failed job stays in the file, as FAILURE",
    "task_acks_on_failure_or_timeout": "a failed job stays in the file, as FAILURE",
    "task_acks_on_timeout": "a failed job stays in the file, as FAILURE",
    "task_default_delivery_mode": "every job is on disk",
    "task_queue_max_priority": "a priority may be any whole number",
    "task_repr_maxlevels": "the log cuts by length: see Task.resultrepr_maxsize",
    "task_retry_on_worker_lost": "a job whose worker died runs again, task_max_deliveries times",
    "task_store_errors_even_if_ignored": "errors are always kept",
    "worker_deduplicate_successful_tasks": "a job completes once",
    "worker_direct": "a job is not sent to one worker",
    "worker_disable_prefetch": "a worker takes what its children can run, and gives it back",
    "worker_enable_soft_shutdown_on_idle": "an idle worker has nothing to lose",
    "worker_eta_task_limit": "jobs that are due later stay in the file",
    "worker_log_color": "the log has no colours",
    "enable_utc": "the file holds moments, which have no time zone",
    "result_extended": "name, arguments, worker and queue of a job are always kept",
    "result_persistent": "results are in the file, like everything else",
    "result_cache_max": "results are read from the file",
    "task_protocol": "a job is a row",
    "task_remote_tracebacks": "tracebacks are always kept as text",
    "worker_cancel_long_running_tasks_on_connection_loss": _NO_BROKER,
    "worker_disable_rate_limits": "no task has a rate limit",
    "worker_lost_wait": "a child's last outcome is read before its death counts",
    "worker_pool_restarts": "a pool can always be restarted",
    "worker_prefetch_multiplier": "a worker takes what its children can run, and gives it back",
    "worker_state_db": "what is revoked is in the queue's own file",
}
_OTHER_BACK_ENDS: Final = (
    *("arangodb_", "azureblockblob_", "cache_backend", "cassandra_", "cosmosdbsql_", "couchbase_"),
    *("couchdb_", "database_", "dynamodb_", "elasticsearch_", "gcs_", "mongodb_", "riak_", "s3_"),
)
_FOREIGN: Final = {
    "broker_": _NO_BROKER,
    "redis_": _NO_BROKER,
    "result_backend_": "results are in the file",
    **dict.fromkeys(_OTHER_BACK_ENDS, "results are in the file, and its tables are ours"),
    "control_queue_": _NO_BROKER,
    "event_queue_": _NO_BROKER,
}


def without_effect(name: str) -> str | None:
    """Say why a setting of Celery's means nothing here; None for a name that is not Celery's."""
    if name in WITHOUT_EFFECT:
        return WITHOUT_EFFECT[name]
    return next((why for prefix, why in _FOREIGN.items() if name.startswith(prefix)), None)
