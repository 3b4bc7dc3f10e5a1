"""A plan keeps to its budget, and leaves nothing that names what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.config import ModelsConfig
from clepsydra.models.planning import Estimate, choose, everything, only
from clepsydra.models.registry import fallback_chain
from clepsydra.models.timing import Schedule, Timing, Timings, sample, total_seconds

PLAIN = {"engine": "naive2"}


def models_of(**others: Any) -> ModelsConfig:
    """A reference and three models, then these."""
    names = dict.fromkeys(["reference", "a", "b", "c"], PLAIN)
    return ModelsConfig.model_validate({**names, **others})


def combined(*members: str) -> dict[str, Any]:
    return {"engine": "median", "options": {"of": list(members)}}


def costing(**seconds: float) -> Any:
    return lambda name, _: Estimate(0.0, seconds[name], 2)


def test_models_are_taken_in_their_order_while_they_fit() -> None:
    plan = choose(models_of(), 100.0, 7, costing(reference=10.0, a=80.0, b=30.0, c=5.0))
    assert plan["model"].tolist() == ["reference", "a", "b", "c"]
    assert plan["runs"].tolist() == [True, True, False, True]
    assert plan["seconds"].tolist() == [10.0, 80.0, 30.0, 5.0]
    assert plan["reason"].tolist() == [
        "fits: 10 s of the 100 s",
        "fits: 80 s of the 100 s",
        "left out: 30 s expected, 10 s left",
        "fits: 5 s of the 100 s",
    ]
    assert set(plan["series"]) == {7}
    assert set(plan["measured_on"]) == {2}
    assert set(plan["took"]) == {0.0}


def test_a_model_that_could_not_be_measured_is_left_out_with_the_reason() -> None:
    estimates = {
        "reference": Estimate(0.0, 1.0, 2),
        "a": Estimate(5.0, problem="more than 5 s for a fit and a forecast of one series"),
        "b": Estimate(0.0, 94.5, 2),
        "c": Estimate(0.0, 93.5, 2),
    }
    plan = choose(models_of(), 100.0, 7, lambda name, _: estimates[name])
    assert plan["runs"].tolist() == [True, False, False, True]
    assert plan["took"].tolist() == [0.0, 5.0, 0.0, 0.0]
    assert plan["reason"].tolist()[1:3] == [
        "left out: more than 5 s for a fit and a forecast of one series",
        "left out: 94 s expected, 94 s left",
    ]


def test_measuring_takes_a_quarter_of_the_budget_and_what_is_not_needed_is_for_others() -> None:
    shares = {}

    def estimate(name: str, seconds: float) -> Estimate:
        shares[name] = seconds
        return Estimate(1.0 if name == "reference" else seconds, 0.0, 2)

    choose(models_of(), 100.0, 7, estimate)
    assert shares == {"reference": 6.25, **dict.fromkeys("abc", pytest.approx(8.0))}


def test_a_reference_that_takes_longer_than_all_there_is_runs_alone() -> None:
    plan = choose(models_of(), 1.0, 7, costing(reference=10.0, a=0.1, b=0.1, c=0.1))
    assert plan["runs"].tolist() == [True, False, False, False]
    assert plan["reason"].tolist()[:2] == [
        "the reference: 10 s expected, 1 s left",
        "left out: nothing is left of the 1 s",
    ]


def test_what_the_reference_combines_always_runs() -> None:
    models = ModelsConfig.model_validate(
        {"both": combined("b", "a"), **dict.fromkeys(["a", "b", "c"], PLAIN)}
    )
    plan = choose(models, 1.0, 7, costing(a=10.0, b=10.0, c=10.0))
    assert dict(zip(plan["model"], plan["runs"], strict=True)) == {
        "both": True,
        "a": True,
        "b": True,
        "c": False,
    }


def test_a_combination_needs_two_of_its_models_unless_it_has_one() -> None:
    models = models_of(
        all=combined("a", "b", "c"), two=combined("a", "c"), one=combined("a"), no=combined("c")
    )
    plan = choose(models, 10.0, 7, costing(reference=1.0, a=1.0, b=1.0, c=99.0))
    reasons = dict(zip(plan["model"], plan["reason"], strict=True))
    assert reasons["all"] == "combines 2 of 3 models"
    assert reasons["two"] == "left out: 1 of 2 models, 2 needed"
    assert reasons["one"] == "combines 1 of 1 models"
    assert reasons["no"] == "left out: 0 of 1 models, 1 needed"
    planned = only(models, set(plan.loc[plan["runs"], "model"]))
    assert list(planned.root) == ["reference", "a", "b", "all", "one"]
    assert planned.members("all") == ["a", "b"]
    assert planned.members("one") == ["a"]
    assert models.members("all") == ["a", "b", "c"], "what was configured is as it was"


def test_fallbacks_are_models_that_run() -> None:
    models = models_of(
        some={**PLAIN, "fallback": ["c", "a"]},
        none={**PLAIN, "fallback": ["c"]},
        last_season={**PLAIN, "fallback": []},
    )
    planned = only(models, {"reference", "a", "b", "some", "none", "last_season"})
    assert fallback_chain("some", planned) == ["a"]
    assert fallback_chain("none", planned) == ["reference"]
    assert fallback_chain("last_season", planned) == []


def test_all_models_are_as_they_were() -> None:
    options = {"estimator": "sklearn.linear_model.Ridge", "rolling_means": {48: [24]}}
    models = models_of(ridge={"engine": "mlforecast", "options": options}, all=combined("a", "c"))
    assert only(models, set(models.root)) == models
    plan = everything(models, 3)
    assert plan["runs"].all()
    assert plan["seconds"].isna().all()
    assert plan["took"].eq(0.0).all()
    assert set(plan["measured_on"]) == {0}
    some = choose(models_of(), 9.0, 3, costing(reference=1.0, a=1.0, b=1.0, c=1.0))
    assert plan.dtypes.equals(some.dtypes)


@given(
    costs=st.lists(
        st.tuples(st.none() | st.floats(0, 100), st.floats(0, 20)), min_size=4, max_size=4
    ),
    budget=st.floats(0.01, 200),
)
def test_what_runs_fits_and_what_does_not_has_a_reason(
    costs: list[tuple[float | None, float]], budget: float
) -> None:
    models = models_of(all=combined("a", "b", "c"))
    estimates = {
        name: Estimate(took, seconds, 2, "" if seconds is not None else "more than 9 s")
        for name, (seconds, took) in zip(models.root, costs, strict=False)
    }
    measuring = []

    def estimate(name: str, seconds: float) -> Estimate:
        found = replace(estimates[name], took=min(estimates[name].took, max(seconds, 0.0)))
        measuring.append(found.took)
        return found

    plan = choose(models, budget, 3, estimate).set_index("model")
    assert plan.index.tolist() == list(models.root)
    assert plan.loc["reference", "runs"]
    taken = plan.index[plan["runs"]].drop(["reference", "all"], errors="ignore")
    assert plan["took"].sum() == pytest.approx(sum(measuring))
    assert sum(measuring) <= max(budget / 4, 4 * 1.0) + 1e-6
    spent = sum(measuring) + plan.loc[[*taken, "reference"], "seconds"].sum()
    assert spent <= budget + 1e-6 or plan.loc[taken, "seconds"].sum() == 0
    assert plan["reason"].str.len().gt(0).all()
    assert plan.loc[~plan["runs"], "reason"].str.startswith("left out: ").all()
    planned = only(models, set(plan.index[plan["runs"]]))
    assert planned.reference == "reference"
    assert set(planned.root) == set(plan.index[plan["runs"]])


# Timing


@given(number=st.integers(1, 20), lengths=st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_a_sample_has_the_longest_series_and_is_part_of_larger_ones(
    number: int, lengths: list[int]
) -> None:
    table = pd.Series(lengths, [f"s{place}" for place in range(len(lengths))])
    found = sample(table, number)
    assert len(found) == len(set(found)) == min(number, len(lengths))
    assert table[found[0]] == max(lengths)
    assert table[found].is_monotonic_decreasing
    assert set(found) <= set(sample(table, 2 * number))
    shuffled = table.sample(frac=1, random_state=number)
    assert sample(shuffled, number) == found


@given(
    call=st.floats(0, 2),
    each=st.floats(0.001, 1),
    first=st.floats(0, 30),
    parts=st.integers(1, 8),
    by_rows=st.booleans(),
)
def test_a_cost_that_grows_evenly_is_told_exactly(
    call: float, each: float, first: float, parts: int, by_rows: bool
) -> None:
    def timing(series: int) -> Timing:
        size = 50 * series if by_rows else series
        return Timing(series, 50 * series, call + each * size, 0.5 * (call + each * size))

    one = timing(1)
    timings = Timings(first + one.fit + one.predict, (timing(2), timing(8)))
    found = total_seconds(timings, Schedule(3, 10, parts, 2, 1000.0, by_rows))
    expected = (3 + 0.5 * 10) * (parts * call + each * 1000) + parts * first
    assert found == pytest.approx(expected / 2, rel=1e-6)


def test_one_sample_or_a_faster_larger_one_is_taken_as_it_is() -> None:
    schedule = Schedule(1, 1, 1, 1, 100)
    alone = total_seconds(Timings(0.0, (Timing(4, 9, 1.0, 1.0),)), schedule)
    faster = (Timing(2, 9, 3.0, 3.0), Timing(4, 9, 1.0, 1.0))
    assert alone == total_seconds(Timings(0.0, faster), schedule) == pytest.approx(50.0)
