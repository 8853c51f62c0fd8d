from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue.exceptions import ImproperlyConfigured
from litequeue.routing import Exchange, Queue, Router

MEDIA = Exchange("media")
NEWS = Exchange("news", type="topic")
DECLARED = [
    Queue("default"),
    Queue("videos", MEDIA, routing_key="media.video"),
    Queue("images", MEDIA, routing_key="media.image"),
    Queue("feeds", NEWS, routing_key="feed.#"),
    Queue("sport", NEWS, routing_key="*.sport"),
]


def queue_of(router: Router, name: str = "tasks.add", **options: Any) -> Any:
    return router.route(name, (), {}, options)["queue"]


class TestDeclaring:
    def test_kombus_arguments_that_change_nothing_are_taken(self) -> None:
        exchange = Exchange("media", "direct", durable=True, delivery_mode=2)
        queue = Queue(
            "feeds",
            exchange,
            routing_key="media.feed",
            durable=True,
            max_priority=10,
            queue_arguments={"x-max-priority": 10},
            exclusive=False,
            expires=None,
        )
        assert queue == Queue("feeds", Exchange("media"), "media.feed")

    @pytest.mark.parametrize(
        "argument", ["expires", "message_ttl", "exclusive", "auto_delete", "max_length", "alias"]
    )
    def test_those_that_would_change_something_are_refused(self, argument: str) -> None:
        with pytest.raises(TypeError, match=rf"{argument} has no counterpart in one file"):
            Queue("feeds", **{argument: 1})

    def test_an_argument_in_rabbitmqs_own_form_is_seen(self) -> None:
        with pytest.raises(TypeError, match="x-message-ttl has no counterpart"):
            Queue("feeds", queue_arguments={"x-max-priority": 1, "x-message-ttl": 1})

    def test_unknown_arguments_are_refused(self) -> None:
        with pytest.raises(TypeError, match="takes no argument 'durabel'"):
            Queue("feeds", durabel=True)
        with pytest.raises(TypeError, match="takes no argument 'durabel'"):
            Exchange("media", durabel=True)

    def test_an_exchange_that_copies_is_refused(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="'all' is of type 'fanout'"):
            Exchange("all", "fanout")

    def test_an_exchange_may_be_given_by_name(self) -> None:
        assert Queue("feeds", "media").exchange == Exchange("media")

    def test_kombus_own_objects(self) -> None:
        exchange = SimpleNamespace(name="news", type="topic")
        kombus = SimpleNamespace(
            name="feeds", exchange=exchange, routing_key="feed.#", bindings=set(), expires=None
        )
        router = Router([kombus])
        assert queue_of(router, exchange="news", routing_key="feed.x.y") == "feeds"
        assert queue_of(router, exchange=exchange, routing_key="feed.x.y") == "feeds"
        assert queue_of(router, queue=kombus) == "feeds"

    def test_kombus_own_objects_are_held_to_the_same_rules(self) -> None:
        kombus = SimpleNamespace(name="feeds", exchange=None, routing_key=None, message_ttl=60)
        with pytest.raises(ImproperlyConfigured, match=r"'feeds'\): message_ttl has no counter"):
            Router([kombus])

    def test_a_mapping_of_declarations(self) -> None:
        router = Router(
            {
                "plain": {},
                "videos": {"exchange": "media", "binding_key": "media.video"},
                "images": {"exchange": MEDIA, "routing_key": "media.image"},
                "feeds": {"exchange": "news", "exchange_type": "topic", "routing_key": "feed.#"},
            }
        )
        assert queue_of(router, exchange="media", routing_key="media.video") == "videos"
        assert queue_of(router, exchange="media", routing_key="media.image") == "images"
        assert queue_of(router, routing_key="feed.rss") == "feeds"
        assert queue_of(router, routing_key="plain") == "plain"

    @pytest.mark.parametrize(
        ("queues", "said"),
        [
            ("feeds", "a list of queues or a mapping, not 'feeds'"),
            (7, "a list of queues or a mapping, not 7"),
            (["feeds"], "holds 'feeds', which is no Queue"),
            ([Queue("a"), Queue("a")], "'a' twice"),
            ({"a": {"ttl": 5}}, r"Queue\('a'\) takes no argument 'ttl'"),
            ({"a": {"exchange_type": "headers"}}, "of type 'headers'"),
            ([SimpleNamespace(name="", routing_key="")], "a queue is a name"),
        ],
    )
    def test_what_makes_no_sense_is_told_at_once(self, queues: Any, said: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=said):
            Router(queues)


class TestPrecedence:
    ROUTES: Mapping[str, Any] = {"tasks.add": {"queue": "routed", "priority": 3, "expires": 60}}

    def test_without_anything_it_is_the_default_queue(self) -> None:
        assert Router().route("tasks.add", (), {}, {}) == {"queue": "default"}
        assert Router(default_queue="celery").route("tasks.add") == {"queue": "celery"}

    def test_a_route_wins_over_the_default(self) -> None:
        routed = Router(routes=self.ROUTES).route("tasks.add", (1,), {}, {})
        assert routed == {"queue": "routed", "priority": 3, "expires": 60}

    def test_the_options_of_call_and_task_win_over_a_route(self) -> None:
        options = {"queue": "mine", "priority": 9, "countdown": 5}
        routed = Router(routes=self.ROUTES).route("tasks.add", (1,), {}, options)
        assert routed == {"queue": "mine", "priority": 9, "expires": 60, "countdown": 5}

    def test_none_means_not_given(self) -> None:
        options = {"queue": None, "priority": None}
        routed = Router(routes=self.ROUTES).route("tasks.add", (1,), {}, options)
        assert (routed["queue"], routed["priority"]) == ("routed", 3)
        assert queue_of(Router(), queue=None, routing_key=None) == "default"

    def test_a_route_without_a_queue_leaves_the_default_one(self) -> None:
        router = Router(routes={"tasks.add": {"priority": 5}})
        assert router.route("tasks.add") == {"queue": "default", "priority": 5}

    def test_without_routes_the_options_stay_as_they_are(self) -> None:
        options = {"queue": "mine", "priority": 1}
        assert Router().route("tasks.add", (), {}, options) == options
        assert Router().route("t", (), {}, {"priority": 1}) == {"queue": "default", "priority": 1}

    def test_neither_routes_nor_options_are_changed(self) -> None:
        routes = {"tasks.add": {"queue": "feeds", "routing_key": "feed.rss"}}
        options = {"exchange": NEWS, "expires": None}
        Router(DECLARED, routes).route("tasks.add", (), {}, options)
        assert routes == {"tasks.add": {"queue": "feeds", "routing_key": "feed.rss"}}
        assert options == {"exchange": NEWS, "expires": None}

    def test_nobody_can_change_the_default_for_others(self) -> None:
        with pytest.raises(TypeError):
            Router().route("tasks.add")["queue"] = "mine"  # type: ignore[index]  # the point


class TestRoutes:
    def test_by_name_with_a_queue_or_options(self) -> None:
        router = Router(routes={"a": "left", "b": {"queue": "right"}, "c": {"queue": Queue("up")}})
        assert [queue_of(router, name) for name in "abcd"] == ["left", "right", "up", "default"]

    def test_patterns(self) -> None:
        router = Router(
            routes={
                "feed.tasks.*": "feeds",
                re.compile(r"(video|image)\.tasks\..*"): {"queue": "media"},
            }
        )
        assert queue_of(router, "feed.tasks.import") == "feeds"
        assert queue_of(router, "feed.other") == "default"
        assert queue_of(router, "x.feed.tasks.import") == "default"
        assert queue_of(router, "image.tasks.resize") == "media"

    def test_only_a_star_makes_a_pattern(self) -> None:
        router = Router(routes={"task?": "no", "task[12]": "no"})
        assert queue_of(router, "task1") == "default"
        assert queue_of(router, "task?") == "no"

    def test_a_name_wins_over_patterns_and_these_over_later_ones(self) -> None:
        router = Router(routes={"a.*": "first", "*.b": "second", "a.b": "exact"})
        assert [queue_of(router, name) for name in ("a.b", "a.c", "c.b")] == [
            "exact",
            "first",
            "second",
        ]

    def test_the_first_of_several_that_answers_is_taken_whole(self) -> None:
        router = Router(routes=[{"a.*": "first"}, {"a.b": {"queue": "x", "priority": 5}}])
        assert router.route("a.b") == {"queue": "first"}

    def test_an_empty_route_ends_the_search(self) -> None:
        assert queue_of(Router(routes=[{"a": {}}, {"*": "rest"}]), "a") == "default"

    @pytest.mark.parametrize(
        "routes",
        [
            [("a.*", {"queue": "first"}), ("a.b", "second")],
            (("a.*", "first"), (re.compile("a.b"), "second")),
            [[("a.*", {"queue": "first"}), ("*.b", "second")]],
        ],
        ids=["list", "tuple", "list-in-list"],
    )
    def test_pairs_in_their_order(self, routes: Any) -> None:
        assert queue_of(Router(routes=routes), "a.b") == "first"

    def test_a_function_is_asked_as_celery_asks_it(self) -> None:
        asked = []

        def route(
            name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **kw: Any
        ) -> Any:
            asked.append((name, args, kwargs, options, task, kw))
            return {"a": {"queue": "dict"}, "b": "text"}.get(name)

        router, task = Router(routes=(route, {"*": "rest"})), object()
        routed = router.route("a", (1,), {"x": 2}, {"priority": 1, "expires": None}, task=task)
        assert routed == {"queue": "dict", "priority": 1}
        assert asked == [("a", (1,), {"x": 2}, {"priority": 1}, task, {})]
        assert queue_of(router, "b") == "text"
        assert queue_of(router, "c") == "rest"

    @pytest.mark.parametrize("name", ["routes_of_mine.choose", "routes_of_mine:choose"])
    def test_an_import_string_is_resolved_when_it_is_needed(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        router = Router(routes=name)
        module = ModuleType("routes_of_mine")
        module.choose = lambda *_, **__: "chosen"  # type: ignore[attr-defined]  # made here
        monkeypatch.setitem(sys.modules, "routes_of_mine", module)
        assert queue_of(router) == "chosen"
        monkeypatch.delitem(sys.modules, "routes_of_mine")
        assert queue_of(router) == "chosen"  # once is enough

    def test_an_import_string_that_leads_nowhere(self) -> None:
        router = Router(routes=["sys.no_such_thing"])
        with pytest.raises(ImproperlyConfigured, match=r"'sys.no_such_thing', which cannot be"):
            router.route("a")

    @pytest.mark.parametrize(
        ("routes", "said"),
        [
            (7, "task_routes holds 7"),
            ({"a": None}, "route of 'a' in task_routes is a queue or a mapping.*not None"),
            ({"a": ""}, "not ''"),
            ({"a": 7}, "not 7"),
            ({7: "a"}, "the key 7"),
            ({"a": {"quue": "x"}}, r"option 'quue', which no call takes \(did you mean 'queue'"),
            ({"a": {"queue": 7}}, "a queue is a name or a Queue, not 7"),
            (
                {"a": {"exchange": 7, "routing_key": "x"}},
                "an exchange is a name or an Exchange, not 7",
            ),
            ({"a": {"routing_key": "no"}}, "no queue takes routing key 'no'"),
            ([[("a", "b", "c")]], "which is no .pattern, route"),
            (("feed.*", {"queue": "feeds"}), "names 'feed.*', which is no function to import"),
            ("choose", "names 'choose', which is no function to import"),
        ],
    )
    def test_what_makes_no_sense_is_told_at_once(self, routes: Any, said: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=said):
            Router(routes=routes)

    @pytest.mark.parametrize(
        "option",
        ["concurrency_key", "link", "link_error", "soft_time_limit", "time_limit", "unique"],
    )
    def test_options_still_to_come_are_refused_by_name(self, option: str) -> None:
        with pytest.raises(NotImplementedError, match=option):
            Router(routes={"tasks.*": {"queue": "q", option: 5}})
        late = Router(routes=lambda *_, **__: {"queue": "q", option: 5})
        with pytest.raises(NotImplementedError, match=option):
            late.route("tasks.add")
        assert queue_of(Router(routes={"tasks.*": {"queue": "q", option: None}})) == "q"

    @pytest.mark.parametrize(
        "option",
        [
            "add_to_parent",
            "countdown",
            "eta",
            "headers",
            "idempotency_key",
            "retry",
            "retry_policy",
            "shadow",
            "task_id",
        ],
    )
    def test_options_that_only_a_call_takes_are_refused(self, option: str) -> None:
        words = rf"option '{option}', which only a call takes: say it in apply_async\(\)"
        with pytest.raises(ImproperlyConfigured, match=words):
            Router(routes={"tasks.*": {"queue": "q", option: 5}})
        late = Router(routes=lambda *_, **__: {option: 5})
        with pytest.raises(ImproperlyConfigured, match=words):
            late.route("tasks.add")

    @pytest.mark.parametrize("answer", [7, "", {"quue": "x"}, {5: 6, "quue": "x"}])
    def test_a_senseless_answer_of_a_function_is_told_when_it_comes(self, answer: Any) -> None:
        router = Router(routes=lambda *_, **__: answer)
        with pytest.raises(ImproperlyConfigured, match=r"the route of 'tasks\.add'"):
            router.route("tasks.add")


class TestKeys:
    @pytest.mark.parametrize(
        ("options", "queue"),
        [
            ({"exchange": "media", "routing_key": "media.video"}, "videos"),
            ({"exchange": MEDIA, "routing_key": "media.image"}, "images"),
            ({"routing_key": "media.image"}, "images"),
            ({"routing_key": "feed.rss.daily"}, "feeds"),
            ({"exchange": "news", "routing_key": "local.sport"}, "sport"),
            ({"exchange": "default"}, "default"),
            ({"exchange": "", "routing_key": "media.video"}, "videos"),
            # The two together win over a queue, whichever it is.
            ({"exchange": "media", "routing_key": "media.image", "queue": "videos"}, "images"),
            # A queue bound to a direct exchange, or to none that is known, wins over one of them.
            ({"routing_key": "media.image", "queue": "videos"}, "videos"),
            ({"exchange": "media", "queue": "default"}, "default"),
            ({"routing_key": "media.image", "queue": "new"}, "new"),
            # One bound to a topic exchange lends its exchange to the key.
            ({"routing_key": "local.sport", "queue": "feeds"}, "sport"),
            ({"queue": "feeds"}, "feeds"),
            # Of several that match, the named one.
            ({"routing_key": "feed.sport", "queue": "feeds"}, "feeds"),
            ({"routing_key": "feed.sport", "queue": "sport"}, "sport"),
        ],
    )
    def test_what_leads_where(self, options: dict[str, Any], queue: str) -> None:
        assert Router(DECLARED).route("tasks.add", (), {}, options) == {"queue": queue}
        routed = Router(DECLARED, routes={"tasks.add": options}).route("tasks.add")
        assert routed == {"queue": queue}

    def test_the_exchange_is_part_of_the_address(self) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"'media\.video' of exchange 'news'"):
            queue_of(Router(DECLARED), exchange="news", routing_key="media.video")

    @pytest.mark.parametrize("queue", ["feeds", "sport"])
    def test_a_queue_of_a_topic_exchange_keeps_the_key_there(self, queue: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"'media\.video' of exchange 'news'"):
            queue_of(Router(DECLARED), queue=queue, routing_key="media.video")

    def test_a_key_that_leads_nowhere_names_the_queues(self) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"videos \(media: media\.video\), images"):
            queue_of(Router(DECLARED), routing_key="media.text")

    def test_a_key_that_leads_to_two_queues_is_refused(self) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"leads to 'feeds' and 'sport'.*name the"):
            queue_of(Router(DECLARED), routing_key="feed.sport")

    def test_a_queue_without_exchange_and_key_has_the_default_ones(self) -> None:
        settings = {
            "default_queue": "tasks",
            "default_exchange": "work",
            "default_exchange_type": "topic",
            "default_routing_key": "task.default",
        }
        queues = [Queue("tasks", routing_key="task.#"), Queue("other"), Queue("mine", "mine", "x")]
        router = Router(queues, **settings)  # type: ignore[arg-type]  # all are texts
        assert queue_of(router, exchange="work", routing_key="task.x") == "tasks"
        assert queue_of(router, routing_key="task.default") == "tasks"  # not "other", too
        assert queue_of(router, exchange="work") == "tasks"

    def test_a_task_may_carry_its_key(self) -> None:
        """Options of a task come with those of the call, before the routes."""
        router = Router(DECLARED, {"tasks.add": {"exchange": "media", "priority": 1}})
        routed = router.route("tasks.add", (), {}, {"routing_key": "media.video"})
        assert routed == {"queue": "videos", "priority": 1}


WORD = st.sampled_from(["a", "b", "feed"])
WORDS = st.lists(WORD, min_size=1, max_size=5)


def topic(pattern: str, key: str) -> bool:
    queues = [Queue("other"), Queue("asked", Exchange("t", "topic"), pattern)]
    try:
        return bool(queue_of(Router(queues), exchange="t", routing_key=key) == "asked")
    except ImproperlyConfigured:
        return False


@given(WORDS, st.data())
def test_a_star_stands_for_any_one_word(words: list[str], data: st.DataObject) -> None:
    starred = [data.draw(st.sampled_from([word, "*"])) for word in words]
    assert topic(".".join(starred), ".".join(words))
    assert not topic(".".join([*starred, "*"]), ".".join(words))


@given(WORDS, WORDS, st.lists(WORD, max_size=3))
def test_a_hash_stands_for_any_number_of_words(
    before: list[str], after: list[str], between: list[str]
) -> None:
    pattern, key = ".".join([*before, "#", *after]), ".".join([*before, *between, *after])
    assert topic(pattern, key)
    assert not topic(pattern, "x." + key)
    assert not topic(pattern, key + ".x")


@given(WORDS, WORDS)
def test_without_wildcards_a_topic_is_itself(pattern: list[str], key: list[str]) -> None:
    assert topic(".".join(pattern), ".".join(key)) == (pattern == key)


class TestUndeclared:
    ROUTER = Router(DECLARED, create_missing=False)

    def test_a_queue_need_not_be_declared(self) -> None:
        assert queue_of(Router(DECLARED), queue="new") == "new"

    def test_unless_missing_ones_are_not_to_be_made(self) -> None:
        assert queue_of(self.ROUTER, queue="videos") == "videos"
        with pytest.raises(ImproperlyConfigured, match=r"'vidoes' .*\(did you mean 'videos'\?\)"):
            queue_of(self.ROUTER, queue="vidoes")

    def test_the_default_queue_is_no_exception(self) -> None:
        router = Router([Queue("a")], create_missing=False)
        assert queue_of(router, queue="a") == "a"
        with pytest.raises(ImproperlyConfigured, match="no queue 'default' in task_queues"):
            router.route("tasks.add")
        assert Router(create_missing=False).route("tasks.add") == {"queue": "default"}

    def test_a_route_to_one_is_told_at_once(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="no queue 'new' in task_queues"):
            Router(DECLARED, {"tasks.add": "new"}, create_missing=False)
