"""What is made of the settings: the codec, the router, the time zone."""

from __future__ import annotations

from datetime import tzinfo

from litequeue import fork_gate
from litequeue.config import Settings
from litequeue.exceptions import ImproperlyConfigured
from litequeue.routing import Router
from litequeue.serialization import Codec, Types


class Configured:
    """Made when it is first needed, and made anew when a setting has changed since."""

    def __init__(self, conf: Settings, types: Types) -> None:
        self._conf = conf
        self._types = types
        self._version = -1

    def codec(self) -> Codec:
        """Return what turns arguments and results into text and back."""
        self._renew()
        return self._codec

    def router(self) -> Router:
        """Return what decides which queue a job goes to."""
        self._renew()
        return self._router

    def zone(self) -> tzinfo | None:
        """Return where datetimes without a zone are meant; raises `ImproperlyConfigured`."""
        zone = self._conf.timezone
        if zone is None or isinstance(zone, tzinfo):
            return zone
        from zoneinfo import ZoneInfo

        try:
            return ZoneInfo(zone)
        except (KeyError, ValueError, TypeError) as error:
            raise ImproperlyConfigured(
                f"timezone {zone!r} is not in this machine's time zone database; "
                'say it as "Europe/Berlin"'
            ) from error

    def _renew(self) -> None:
        conf = self._conf
        if self._version == conf.version:
            return
        with fork_gate.first_use():
            version = conf.version
            self._codec = Codec(
                task_serializer=conf.task_serializer,
                result_serializer=conf.result_serializer,
                accept_content=conf.accept_content,
                task_compression=conf.task_compression,
                result_compression=conf.result_compression,
                compression_threshold=conf.compression_threshold,
                security_key=conf.security_key,
                max_inflated=max(conf.result_max_size, conf.task_max_arguments_size),
                types=self._types,
            )
            self._router = Router(
                conf.task_queues,
                conf.task_routes,
                default_queue=conf.task_default_queue,
                default_exchange=conf.task_default_exchange,
                default_exchange_type=conf.task_default_exchange_type,
                default_routing_key=conf.task_default_routing_key,
                create_missing=conf.task_create_missing_queues,
            )
            self._version = version
