"""Celery with its defaults, on a Redis server of its own that is both broker and result backend."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.systems import PATIENCE


class RedisServer:
    """redis-server with its defaults, on a free loopback port, with its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--dir", str(folder), "--logfile", "redis.log"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self.url = f"redis://127.0.0.1:{self.port}"
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self) -> None:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                return
        raise TimeoutError("redis-server did not start within 5 seconds")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class CelerySystem:
    ready_mark: ClassVar[str] = " ready."
    import_statement: ClassVar[str | None] = "from celery import Celery"
    has_bulk: ClassVar[bool] = False

    def __init__(self, redis: RedisServer) -> None:
        self.redis = redis
        os.environ["CELERY_BROKER_URL"] = f"{redis.url}/0"
        os.environ["CELERY_RESULT_BACKEND"] = f"{redis.url}/1"
        from benchmarks.apps.celery import began

        self.began = began

    def worker(self, *, verbose: bool = False) -> list[str]:
        level = "INFO" if verbose else "WARNING"
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.apps.celery", "worker"]
        return [*command, "-c", "2", "-l", level]

    def enqueue(self, count: int) -> list[Any]:
        return [self.began.delay(1, 2) for _ in range(count)]

    def enqueue_many(self, count: int) -> list[Any]:
        raise NotImplementedError("Celery sends jobs one at a time")

    def moments(self, jobs: list[Any]) -> list[int]:
        # `delay` has subscribed this process to every result. Reading them while the worker runs
        # would take a CPU from it, so ask Redis itself, now and then, for the last one.
        store = self.began.backend
        while not store.client.exists(store.get_key_for_task(jobs[-1].id)):
            time.sleep(0.02)
        return [job.get(timeout=PATIENCE) for job in jobs]

    def call(self) -> int:
        moment: int = self.began.delay(1, 2).get(timeout=PATIENCE)
        return moment

    def close(self) -> None:
        self.redis.stop()


def open_in(folder: Path) -> CelerySystem:
    return CelerySystem(RedisServer(folder))
