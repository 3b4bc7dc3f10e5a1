"""The search for options: what it proposes, and that it learns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.config import Dimension
from clepsydra.models.search import Search


def dimension(**values: Any) -> Dimension:
    return Dimension.model_validate(values)


LEAVES = dimension(low=15, high=127, log=True)
RATE = dimension(low=0.02, high=0.2, log=True)
STEPS = dimension(low=0.5, high=3, step=0.75)
LAGS = dimension(choices=[[24], [24, 48], None, True])
SPACE = {"params.leaves": LEAVES, "params.rate": RATE, "steps": STEPS, "lags": LAGS}


def asked(space: dict[str, Dimension], own: dict[str, Any], scores: list[float | None]) -> list:
    search = Search(space, own, len(scores))
    found = []
    for score in scores:
        found.append(search.ask())
        if found[-1] is None:
            return found[:-1]
        search.tell(score)
    return found


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    st.lists(st.none() | st.floats(0, 10), min_size=12, max_size=30),
    st.fixed_dictionaries(
        {},
        optional={
            "params.leaves": st.integers(1, 200),
            "params.rate": st.floats(0.01, 0.5) | st.just("fast"),
            "steps": st.sampled_from([0.5, 0.6, 2, 2.0]),
            "lags": st.sampled_from([[24], [25], None, 1, True]),
        },
    ),
)
def test_the_first_are_the_models_own_and_others_are_in_the_space(
    scores: list[float | None], own: dict[str, Any]
) -> None:
    first, *others = asked(SPACE, own, scores)
    assert first == own
    assert len(others) == len(scores) - 1
    for options in others:
        assert list(options) == list(SPACE)
        assert options["params.leaves"] in range(15, 128)
        assert type(options["params.leaves"]) is int
        assert 0.02 <= options["params.rate"] <= 0.2
        assert options["steps"] in (0.5, 1.25, 2.0, 2.75)
        assert any(options["lags"] is choice for choice in LAGS.choices or [])
    assert asked(SPACE, own, scores) == [first, *others]


@pytest.mark.parametrize(
    ("own", "others"),
    [
        ({"a": 2, "b": True}, 5),
        # Not in the space, or not said: then none of its combinations has been tried.
        ({"a": 9, "b": True}, 6),
        ({"a": 2, "b": 1}, 6),
        ({"b": True}, 6),
        ({}, 6),
    ],
)
def test_a_small_space_is_tried_whole_and_once(own: dict[str, Any], others: int) -> None:
    space = {"a": dimension(low=1, high=3), "b": dimension(choices=[True, False])}
    enough = asked(space, own, [1.0] * 50)
    assert enough[0] == own
    assert len(enough) == 1 + others == len({repr(options) for options in enough})
    assert asked(space, own, [1.0] * (1 + others)) == enough
    assert len(asked(space, own, [1.0] * others)) == others


def test_the_models_own_options_are_learnt_from() -> None:
    """Those that follow a good start are nearer to it than those that follow a bad one."""

    def mean_leaves(own_score: float) -> float:
        search = Search({"leaves": LEAVES}, {"leaves": 120}, 40)
        found = []
        for number in range(40):
            options = search.ask()
            search.tell(own_score if number == 0 else 5.0)
            found.append(options["leaves"] if options else 0)
        return sum(found[20:]) / 20

    assert mean_leaves(0.0) > mean_leaves(10.0)


def test_options_that_fail_are_kept_away_from() -> None:
    search = Search({"a": RATE, "b": dimension(choices=["works", "fails"])}, {}, 60)
    found = []
    for _ in range(60):
        options = search.ask() or {}
        found.append(options.get("b"))
        search.tell(1.0 if options.get("b") == "works" else None)
    assert found[1:21].count("fails") > 5
    assert found[40:].count("fails") < 5


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    asked(SPACE, {"params.leaves": 31}, [1.0, None] * 8)
    assert capfd.readouterr() == ("", "")
