"""Custom task classes: hooks, options as attributes, resources of a process, class-based tasks."""

from __future__ import annotations

import os
from typing import Any

from celery import Task
from idioms.observe import got, idiom, note, noted, outcome, wait_for_notes, wait_until
from idioms.proj import app


class Hooked(Task):
    """Notes every hook that is called."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        note(task_id, ["before_start", list(args), kwargs])

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        note(task_id, ["on_success", retval, list(args), kwargs])

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(task_id, ["on_retry", repr(exc), list(args), "Traceback" in str(einfo)])

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(task_id, ["on_failure", repr(exc), list(args), "Traceback" in str(einfo)])

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        note(task_id, ["after_return", status, repr(retval), list(args), einfo is None])


class Patient(Task):
    """Carries options as attributes."""

    autoretry_for = (ZeroDivisionError,)
    max_retries = 2
    default_retry_delay = 0
    ignore_result = False


class WithResource(Task):
    """Makes its resource when first asked, once per process."""

    _resource: Any = None

    @property
    def resource(self) -> Any:
        if self._resource is None:
            self._resource = object()
            note("resource", os.getpid())
        return self._resource


class Loud(Task):
    """Changes every call of its tasks."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return f"{super().__call__(*args, **kwargs)}!"


class OfTheApp(app.Task):
    """Inherits from the app's own base class."""

    def shout(self, words: str) -> str:
        return words.upper()


class Tenant(Task):
    """Adds a header to every call of its tasks."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        headers = {"tenant": "blue", **(options.pop("headers", None) or {})}
        return super().apply_async(args, kwargs, headers=headers, **options)


class Shadowed(Task):
    """Names every call of its tasks after its arguments."""

    def shadow_name(self, args: Any, kwargs: Any, options: Any) -> str:
        return f"{self.name} of {args[0]}"


class Coloured(Task):
    """Carries an attribute of its own."""

    colour = "red"


class Adder(Task):
    """A task that is a class."""

    name = "sums.adder"
    step = 100

    def run(self, x: int, y: int) -> int:
        return self.step + x + y


class Unnamed(Task):
    """A task class without a name of its own."""

    def run(self) -> str:
        return str(self.name)


adder = app.register_task(Adder())
unnamed = app.register_task(Unnamed())


@app.task(base=Hooked)
def hooked(x: int, *, y: int = 0) -> float:
    return x / y


@app.task(bind=True, base=Hooked, max_retries=1)
def hooked_retry(self: Any, x: int) -> str:
    if self.request.retries == 0:
        raise self.retry(exc=ValueError(x), countdown=0)
    return "second"


@app.task(bind=True, base=Patient)
def patient(self: Any) -> float:
    note(f"runs {self.request.id}")
    return 1 / 0


@app.task(bind=True, base=Patient, max_retries=5)
def more_patient(self: Any) -> int:
    return int(self.max_retries)


@app.task(bind=True, base=WithResource)
def use_resource(self: Any) -> list[Any]:
    return [os.getpid(), self.resource is self.resource]


@app.task(base=WithResource)
def use_resource_unbound() -> bool:
    return use_resource_unbound.resource is use_resource_unbound.resource


@app.task(base=Loud)
def greet(name: str) -> str:
    return f"hello {name}"


@app.task(bind=True, base=Coloured)
def coloured(self: Any) -> str:
    return str(self.colour)


@app.task(bind=True, base=Shadowed)
def shadowed(self: Any, x: int) -> Any:
    return self.request.shadow


@app.task(bind=True, base=Tenant)
def tenant(self: Any) -> Any:
    return (self.request.headers or {}).get("tenant")


@app.task(bind=True, base=OfTheApp)
def shout(self: Any, words: str) -> list[Any]:
    return [self.shout(words), isinstance(self, Task)]


@idiom
def hooks_of_success() -> Any:
    result = hooked.delay(6, y=3)
    got(result)
    return wait_for_notes(result.id, 3)


@idiom
def hooks_of_failure() -> Any:
    result = hooked.delay(6)
    wait_until(result.ready)
    return wait_for_notes(result.id, 3)


@idiom
def hooks_of_retry() -> Any:
    result = hooked_retry.delay(6)
    got(result)
    last = {"on_retry", "after_return"}  # of either attempt, which may run side by side
    wait_until(lambda: last <= {fact[0] for fact in noted(result.id)})
    return sorted(noted(result.id), key=str)


@idiom
def options_of_a_base() -> Any:
    result = patient.delay()
    seen = outcome(result)
    return [seen, len(noted(f"runs {result.id}")), patient.max_retries, patient.default_retry_delay]


@idiom
def options_of_a_base_overridden() -> Any:
    return [more_patient.max_retries, got(more_patient.delay()), Patient.max_retries]


@idiom
def resource_of_a_process() -> Any:
    results = [use_resource.delay() for _ in range(8)]
    seen = [got(result) for result in results]
    made = noted("resource")
    return [all(same for _, same in seen), sorted({pid for pid, _ in seen}) == sorted(made)]


@idiom
def resource_of_each_task() -> Any:
    return got(use_resource_unbound.delay())


@idiom
def call_overridden() -> Any:
    return [got(greet.delay("you")), greet("me")]


@idiom
def apply_async_overridden() -> Any:
    seen = [tenant.delay(), tenant.apply_async(headers={"tenant": "red"})]
    return [got(result) for result in seen]


@idiom
def shadow_name_overridden() -> Any:
    return got(shadowed.delay(3))


@idiom
def base_of_the_app() -> Any:
    return [got(shout.delay("quiet")), issubclass(OfTheApp, Task), shout.shout("direct")]


@idiom
def class_based_task() -> Any:
    return [
        adder.name,
        adder.name in app.tasks,
        got(adder.delay(1, 2)),
        adder(3, 4),
        got(app.send_task("sums.adder", (5, 6))),
        unnamed.name,
        got(unnamed.delay()),
    ]


@idiom
def class_based_task_checks_arguments() -> Any:
    try:
        adder.delay(1)
    except TypeError as error:
        return type(error).__name__
    return "accepted"


@idiom
def attributes_of_ones_own() -> Any:
    return [coloured.colour, got(coloured.delay())]


@idiom
def instances() -> Any:
    return [isinstance(hooked, Hooked), isinstance(greet, Task), isinstance(adder, Adder)]
