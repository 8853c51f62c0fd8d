"""`Running`: what a task asks for and says while a job of it runs.

What it hands on, by `replace` and `add_to_chord`, it only plans: the store makes it true together
with the end of the attempt.  What a `step` came to is stored at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast, overload

from litequeue.calling import UNBUILT_RETRY_OPTIONS, refuse_options
from litequeue.canvas import Signature, maybe_signature, signature
from litequeue.canvas.members import checked
from litequeue.context import DIRECT, current_request
from litequeue.exceptions import Ignore, ImproperlyConfigured, ResultTooLarge, Retry
from litequeue.routing import Queue

if TYPE_CHECKING:
    from litequeue.retry import RetryPolicy

T = TypeVar("T")
A = ParamSpec("A")

_AWAITED: Final = "~"
"""Before the stored result of a step that was awaited; neither JSON nor an envelope begins so."""


class Running:
    """The part of a `litequeue.Task` that speaks of the job which runs."""

    app: Any = None
    """The `LiteQueue` that the task is registered with."""
    name: str = ""
    """The name under which workers know it; "module.function" unless it is given."""

    @property
    def request(self) -> Any:
        """The job of this task that runs here; ``called_directly`` is true when there is none."""
        request = current_request.get()
        return DIRECT if request is None or request.task != self.name else request

    def retry(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | float | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        *,
        queue: str | Queue | None = None,
        exchange: str | None = None,
        routing_key: str | None = None,
        priority: int | None = None,
        expires: datetime | float | str | None = None,
        **options: Any,
    ) -> Retry:
        """Give up this attempt and run the job again later; does not return (Celery's `retry`).

        ``countdown`` is in seconds (default: the task's ``default_retry_delay``); ``args`` and
        ``kwargs`` replace the job's own, ``queue``, ``priority`` and ``expires`` move it.  When no
        retry is left, raises ``exc`` or `MaxRetriesExceededError`.  With ``throw`` false the
        `Retry` is returned: the job runs again however this attempt ends.
        """
        from litequeue.retrying import Changes, plan_retry

        refuse_options(options, UNBUILT_RETRY_OPTIONS, "retry()")
        changes = Changes(
            args=args, kwargs=kwargs, queue=queue, exchange=exchange, routing_key=routing_key,
            priority=priority, expires=expires,
        )  # fmt: skip
        planned = plan_retry(
            self, changes, exc=exc, eta=eta, countdown=countdown, max_retries=max_retries
        )
        if throw:
            raise planned
        return planned

    def retry_policy(self) -> RetryPolicy:
        """Return when and how often a failed job of this task runs again."""
        from litequeue.retrying import policy_of

        return policy_of(self)

    def update_state(
        self,
        task_id: str | None = None,
        state: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Show ``state``, as "PROGRESS", and ``meta`` for the job until its verdict.

        They are read as `AsyncResult.state` and `AsyncResult.info`.  A ready state, as "FAILURE",
        becomes the verdict if the task then raises `Ignore`.  Raises `NotSerializable`, and
        `ImproperlyConfigured` outside a job when ``task_id`` is not given.
        """
        id = task_id or self.request.id
        if id is None:
            raise ImproperlyConfigured("update_state() outside a job needs the task_id to speak of")
        self.app.update_state(id, state, meta)

    def set_progress(self, current: float, total: float | None = None, **meta: Any) -> None:
        """Show the state "PROGRESS", with ``current``, ``total`` and ``percent`` in the meta.

        Further ``meta`` is shown beside them.  Outside a job it does nothing.  Raises
        `NotSerializable`.
        """
        if self.request.called_directly:
            return
        percent = round(100 * current / total, 1) if total else None
        told = {"current": current, "total": total, "percent": percent, **meta}
        self.update_state(state="PROGRESS", meta=told)

    def send_event(
        self, type_: str, retry: bool = True, retry_policy: Any = None, **fields: Any
    ) -> None:
        """Store an event of your own about the running job; ``fields`` are what JSON holds.

        ``retry`` and ``retry_policy`` are Celery's, for connections, and change nothing here.
        """
        self.app.send_event(type_, uuid=self.request.id, **fields)

    # What it hands on

    def replace(self, sig: Signature[T]) -> T:
        """Have ``sig`` run instead, under the id of this job; does not return (Celery's `replace`).

        What waits for the job waits for ``sig`` then, and gets its result; of a group that is the
        list.  It begins with the end of this attempt, in one commit.  Raises
        `ImproperlyConfigured` for a chain of nothing and for a part of another chord.
        """
        replacement: Any = maybe_signature(
            checked(sig, "what replaces a task is a signature"), app=self.app
        )
        if "chord" in replacement.options:
            raise ImproperlyConfigured(
                "a signature that replaces a task must not be part of a chord; replace it by the "
                "whole chord"
            )
        request = self.request
        from litequeue.canvas.nesting import bounded

        with bounded(replacement):
            replacement = _ending_in_one(replacement.clone(), self.app)
            if not request.called_directly:
                replacement.freeze(request.id)
                _inherit(replacement, request)
        return cast(T, self.on_replace(replacement))

    def on_replace(self, sig: Signature[Any]) -> Any:
        """Be called with the signature that replaces the job; return what this method returns."""
        request = self.request
        if request.is_eager:
            from litequeue.result.group_result import value_here

            return value_here(sig.apply())
        if request.called_directly:
            sig.apply_async()
        else:
            kept = not request.ignore_result
            plan = self.app.plan_workflow(sig, task_id=request.id, is_needed=kept)
            if request.is_replaced:
                request.plans[0] = plan
            else:
                request.plans.insert(0, plan)
            request.is_replaced = True
        raise Ignore("Replaced by new task")

    def add_to_chord(self, sig: Signature[Any], lazy: bool = False) -> Any:
        """Make ``sig`` a member of the chord that this job is a member of; return its handle.

        It begins when this attempt ends with a result.  With ``lazy`` the signature is returned,
        and becomes a member when it is sent, while the job runs.  Raises ValueError for a job that
        is in no chord.
        """
        request = self.request
        name = None if request.called_directly or request.is_eager else request.group
        group = None if name is None else self.app.store.group(name)
        # Of a group that is still being stored (size None) the file does not know the target yet.
        if group is None or (group.size is not None and group.target is None):
            raise ValueError(
                "Current task is not member of any chord, so none can be added to; send the "
                "signature by itself"
            )
        if lazy:
            return sig.set(group_id=name)
        handle = sig.freeze()
        request.plans.append(self.app.plan_workflow(sig, member_of=name))
        return handle

    # Durable steps

    @overload
    def step(
        self,
        name: str,
        fn: Callable[A, Coroutine[Any, Any, T]],
        /,
        *args: A.args,
        **kwargs: A.kwargs,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(self, name: str, fn: Callable[A, T], /, *args: A.args, **kwargs: A.kwargs) -> T: ...
    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Return what ``fn`` returns, and remember it: a later attempt of the job reads it back.

        The result is on disk when this returns, and is what is read back, also the first time.
        Of an ``async def`` function, or where ``fn`` returns an awaitable, await this.  A step is
        known by its ``name``.  What ``fn`` raises is raised, and not remembered; a job that is
        killed between the end of ``fn`` and the commit runs it again.  Outside a job it only calls
        ``fn``.  Raises ValueError for a name that this attempt has used, `NotSerializable`,
        `ResultTooLarge`, and `Ignore` where the job was given to somebody else meanwhile.
        """
        request = self.request
        if request.called_directly:
            return fn(*args, **kwargs)
        steps = _Steps(self.app, request)
        text = steps.begin(name)
        if text is not None:
            value = steps.read(name, text.removeprefix(_AWAITED))
            return _at_once(value) if text.startswith(_AWAITED) else value
        with steps.doing(name):
            value = fn(*args, **kwargs)
            if not inspect.isawaitable(value):
                return steps.keep(name, value)
        return _awaited(steps, name, value)


def _ending_in_one(sig: Any, app: Any) -> Any:
    """Return a signature with one result; raises `ImproperlyConfigured` for one with none."""
    if sig.subtask_type == "chain" and not sig.tasks:
        raise ImproperlyConfigured(
            "a chain of nothing cannot replace a task; return the result instead"
        )
    last: Any = sig
    while last.subtask_type in ("chain", "chord"):
        last = last.body if last.subtask_type == "chord" else signature(last.tasks[-1])
    if last.subtask_type == "group":
        return sig | Signature("celery.accumulate", kwargs={"index": 0}, app=app)
    return sig


def _inherit(sig: Any, request: Any) -> None:
    """Give a replacement the stamps of the job that it replaces, and how often that happened."""
    level = (request.replaced_task_nesting or 0) + 1
    _mark(sig, level)
    stamps: Mapping[str, Any] = request.stamps or {}
    new = {name: value for name, value in stamps.items() if name not in sig.options}
    if new:
        sig.stamp(**new)


def _mark(sig: Any, level: int) -> None:
    """Set the header "replaced_task_nesting" of all that a signature sends."""
    kind = sig.subtask_type
    if kind in ("chain", "group"):
        for each in sig.tasks:
            _mark(each, level)
    elif kind == "chord":
        for each in sig.header_group().tasks:
            _mark(each, level)
        _mark(sig.body, level)
    else:
        headers = sig.options.get("headers") or {}
        sig.set(headers={**headers, "replaced_task_nesting": level})


async def _at_once(value: T) -> T:
    return value


async def _awaited(steps: _Steps, name: str, value: Awaitable[Any]) -> Any:
    with steps.doing(name):
        return steps.keep(name, await value, prefix=_AWAITED)


class _Steps:
    """The durable steps of the job that runs."""

    def __init__(self, app: Any, request: Any) -> None:
        self._app = app
        self._request = request

    def begin(self, name: Any) -> str | None:
        """Return what an earlier attempt remembered, None where none did; the name is used."""
        request = self._request
        if not isinstance(name, str) or not name:
            raise ValueError(f"a step is known by its name, a text, not {name!r:.80}")
        if request.stepped is None:
            request.stepped = set()
        if name in request.stepped:
            raise ValueError(
                f"the step {name!r} is there twice in one attempt, and only its name tells what it "
                f'came to; give each a name of its own, as "{name} 2"'
            )
        if request.remembered is None:
            request.remembered = self._stored()
        request.stepped.add(name)
        text: str | None = request.remembered.get(name)
        return text

    def _stored(self) -> dict[str, str]:
        request = self._request
        if request.is_eager or request.claim <= 1:  # nobody ran before
            return {}
        steps: dict[str, str] = self._app.store.steps_of(request.id)
        return steps

    def doing(self, name: str) -> _Doing:
        """Return a block that frees the name if it raises: nothing came of the step."""
        return _Doing(self._request.stepped, name)

    def read(self, name: str, text: str) -> Any:
        """Return the value in the text of a step."""
        return self._app.codec.loads(text, context=self._context(name))

    def keep(self, name: str, value: Any, *, prefix: str = "") -> Any:
        """Remember the value of a step; return it as it will be read back."""
        app, request = self._app, self._request
        text = app.codec.dumps(value, context=self._context(name))
        size, limit = len(text.encode()), app.conf.result_max_size
        if size > limit:
            raise ResultTooLarge(
                f"the step {name!r} returned {size:,} bytes and result_max_size is {limit:,}; "
                "store the data elsewhere and return its name"
            )
        read = self.read(name, text)
        kept = prefix + text
        if not request.is_eager and not app.store.remember_step(
            request.id, token=request.token, name=name, text=kept
        ):
            raise Ignore(f"the job was given to somebody else before the step {name!r} ended")
        request.remembered[name] = kept
        return read

    def _context(self, name: str) -> str:
        """Return what a signature binds the result to: neither a job's nor another step's."""
        id = self._request.id
        return f"step:{len(id)}:{id}:{name}"


class _Doing:
    """A step that is being done."""

    def __init__(self, used: set[str], name: str) -> None:
        self._used = used
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Free the name if nothing came of it."""
        if error is not None:
            self._used.discard(self._name)
