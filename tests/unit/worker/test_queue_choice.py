from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from dataclasses import asdict

import pytest

from litequeue.exceptions import ImproperlyConfigured
from litequeue.worker.queue_choice import QueueChoice, means, parse


def firsts(choice: QueueChoice, draws: int) -> Counter[str]:
    """Count which queue is looked at first."""
    return Counter(json.loads(choice.turns()[0])[0] for _ in range(draws))


def test_nothing_said_means_every_queue() -> None:
    assert parse("") == QueueChoice()
    for given in ((" , ", ""), ("", ",")):
        with pytest.raises(ImproperlyConfigured, match="names no queue"):
            parse(*given)
    assert QueueChoice().patterns is None
    assert QueueChoice().turns() == ()


def test_names_and_patterns_are_read_as_they_are() -> None:
    choice = parse("high, mail.* ,low", "mail.slow,*.tmp")
    assert choice.names == ("high", "mail.*", "low")
    assert choice.excluded == ("mail.slow", "*.tmp")
    assert choice.order == "priority"
    assert json.loads(choice.patterns or "") == ["high", "mail.*", "low"]
    assert choice.turns() == (), "all at once"


def test_in_strict_order_each_has_its_turn() -> None:
    turns = parse("first,second.*,third", order="strict").turns()
    assert [json.loads(turn) for turn in turns] == [["first"], ["second.*"], ["third"]]


def test_weights_make_the_order_weighted() -> None:
    choice = parse("high=3,low")
    assert (choice.order, choice.weights) == ("weighted", (3, 1))
    assert choice.names == ("high", "low")
    assert sorted(map(json.loads, choice.turns())) == [["high"], ["low"]]


@pytest.mark.parametrize("weights", [(3, 1), (1, 2, 5), (1, 1, 1, 1), (1000, 1)])
def test_a_queue_is_first_in_proportion_to_its_weight(weights: tuple[int, ...]) -> None:
    random.seed(5)
    choice = parse(",".join(f"q{index}={weight}" for index, weight in enumerate(weights)))
    seen = firsts(choice, 8000)
    for index, weight in enumerate(weights):
        assert seen[f"q{index}"] / 8000 == pytest.approx(weight / sum(weights), abs=0.02)


def test_without_weights_all_weigh_the_same() -> None:
    random.seed(5)
    seen = firsts(parse("a,b", order="weighted"), 4000)
    assert seen["a"] / 4000 == pytest.approx(0.5, abs=0.03)


def test_a_single_queue_needs_no_order() -> None:
    assert parse("only=7").turns() == ()
    assert parse("only", order="strict").turns() == ()


def test_an_equals_sign_may_be_part_of_a_name() -> None:
    assert parse("a=b=2").names == ("a=b",)


@pytest.mark.parametrize(
    "queues", ["high=", "high=0", "high=-1", "high=x", "=3", "high=1001", "a=²"]
)
def test_a_weight_is_a_number_from_1_to_1000(queues: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="weight from 1 to 1000"):
        parse(queues)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a,b,a",), "given twice"),
        (("a=2,a=3",), "given twice"),
        (("a=2,b", "", "strict"), "weights mean nothing"),
        (("a=2,b", "", "priority"), "weights mean nothing"),
        (("", "", "strict"), "name them with -Q"),
        (("", "x", "weighted"), "name them with -Q"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        parse(*arguments)


def test_json_keeps_a_choice() -> None:
    for choice in (QueueChoice(), parse("a=3,b", "c"), parse("a,b", order="strict")):
        assert QueueChoice.from_json(json.loads(json.dumps(asdict(choice)))) == choice


def test_a_queue_can_be_added_and_cancelled() -> None:
    choice = parse("a=3,b=2", "c")
    more = choice.with_queue("c")
    assert (more.names, more.weights, more.excluded) == (("a", "b", "c"), (3, 2, 1), ())
    assert more.with_queue("c") == more
    less = more.without_queue("a")
    assert (less.names, less.weights) == (("b", "c"), (2, 1))


def test_one_of_all_queues_is_cancelled_by_excluding_it() -> None:
    less = QueueChoice().without_queue("a")
    assert (less.names, less.excluded) == (None, ("a",))
    assert less.without_queue("b").excluded == ("a", "b")
    assert less.with_queue("a") == QueueChoice()
    assert parse("m.*").without_queue("m.a").excluded == ("m.a",)


def test_cancelling_twice_is_once() -> None:
    less = QueueChoice().without_queue("a").without_queue("a")
    assert less.excluded == ("a",)


def test_a_cancelled_queue_is_not_read_by_a_pattern_either() -> None:
    less = parse("a,*").without_queue("a")
    assert (less.names, less.excluded) == (("*",), ("a",))
    assert parse("a,b").without_queue("c") == parse("a,b"), "it was not read anyway"


def test_without_its_last_queue_a_worker_reads_none() -> None:
    choice = parse("a").without_queue("a")
    assert choice.names == ()
    assert choice.patterns == "[]"


NAMES = ("a", "b", "!", "^x", "]", "[a", "a]", "a-b", "mail", "mail.slow")
PATTERNS = (
    *("a", "*", "m??l", "mail.*", "[ab]", "[a-c]", "[!a]*", "[!a-c]", "[^a]*", "[^a-c]", "[^^]x"),
    *("[]a]", "[^]a]", "[a", "[!ab", "a[!]]"),
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_here_what_it_means_to_a_claim(pattern: str) -> None:
    file = sqlite3.connect(":memory:")
    said = {
        name: bool(file.execute("SELECT ?1 = ?2 OR ?1 GLOB ?2", (name, pattern)).fetchone()[0])
        for name in NAMES
    }
    file.close()
    assert {name: means([pattern], name) for name in NAMES} == said
