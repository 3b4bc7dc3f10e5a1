"""Champions: by their own record, their segment's and everyone's, and no leader by a hair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.config import EvaluateConfig, ModelsConfig
from clepsydra.models.intervals import quantile_columns
from clepsydra.pipelines.evaluate.champions import choose_champions
from clepsydra.pipelines.evaluate.evidence import gather_evidence, pool_evidence
from clepsydra.pipelines.evaluate.nodes import score_backtests
from helpers import make_task

MODELS = ModelsConfig.model_validate(
    {
        name: {"engine": "statsforecast", "options": {"model": "Naive"}}
        for name in ("ref", "good", "odd")
    }
)
COMBINED = ModelsConfig.model_validate(
    {**MODELS.model_dump(), "both": {"engine": "median", "options": {"of": ["good", "odd"]}}}
)
# Of 14 steps, of 23 and of 2, of which the last one learns from all series.
UNLIKE = ModelsConfig.model_validate(
    {
        "ref": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
        "good": {"engine": "autoregression"},
        "odd": {"engine": "window_regression"},
        "both": {"engine": "median", "options": {"of": ["good", "odd"]}},
    }
)
TASK = make_task(freq="D", season_lengths=[7], horizon=1)
DAYS = pd.date_range("2013-01-07", periods=30, freq="D")

Errors = Mapping[str, Mapping[str, float | Sequence[float]]]


def choose(
    errors: Errors,
    models: ModelsConfig = COMBINED,
    ids: list[str] | None = None,
    windows: int = 10,
    roles: tuple[str, ...] = ("select",),
    segments: Mapping[str, str] | None = None,
    steps: Mapping[str, int] | None = None,
    levels: Mapping[str, float] | None = None,
    lent: Mapping[tuple[str, str], int] | None = None,
    shards: Mapping[str, int] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Champions from the absolute error of every series and model in each window.

    Series are of no segment, of a thousand steps and a level of five, if it is not said otherwise;
    an error that is
    missing is one of a window without an actual. In the last `lent` windows that select,
    and all after them, another one stood in for a model of a series; in the first ones if negative.
    Series are in shard 0, if it is not said otherwise; there is one more shard than it takes.
    """
    names = ("select",) * windows + ("report",) * 2
    table = pd.DataFrame({"role": names, "cutoff": DAYS[: windows + 2]})
    rows = [
        (uid, model, cutoff, cutoff, 10.0 + 0 * error, 10.0 + error)
        for uid, by_model in errors.items()
        for model, sizes in by_model.items()
        for cutoff, error in zip(table["cutoff"], np.resize(sizes, windows + 2), strict=True)
    ]
    backtests = pd.DataFrame(rows, columns=["unique_id", "model", "cutoff", "ds", "y", "y_hat"])
    backtests[quantile_columns()] = np.nan
    borrowed = pd.Series(backtests[["unique_id", "model"]].itertuples(index=False, name=None))
    number = backtests.groupby(["unique_id", "model"]).cumcount()
    count = borrowed.map(dict(lent or {})).fillna(0)
    backtests["is_fallback"] = (number < -count) | ((count > 0) & (number >= windows - count))
    unique_ids = pd.Series(ids or list(errors), name="unique_id")
    scales = pd.DataFrame({"unique_id": unique_ids, "scale": 1.0, "squared_scale": 1.0})
    metrics = score_backtests(backtests, table, scales)[0]
    cutoffs = [DAYS[windows], DAYS[windows + 2]]
    segments = describe(unique_ids, cutoffs, segments or {}, steps or {}, levels or {})
    future = pd.DataFrame({"unique_id": unique_ids, "ds": DAYS[-1]})
    evaluate = EvaluateConfig(**options)
    shard = unique_ids.map(shards or {}).fillna(0).astype(int)
    parts = [
        [frame[frame["unique_id"].isin(its)] for frame in (metrics, backtests, segments)]
        for its in (unique_ids[shard == number] for number in range(shard.max() + 2))
    ]
    gathered = [gather_evidence(*part, table, models, roles) for part in parts]
    evidence, spread = zip(*gathered, strict=True)
    records, noise = pool_evidence(models, evaluate, *evidence, *spread, n_shards=len(parts))
    found = [
        choose_champions(its, records, noise, part[2], table, future, TASK, models, evaluate, roles)
        for its, part in zip(evidence, parts, strict=True)
    ]
    whole = pd.concat(found).set_index("unique_id").loc[unique_ids]
    return whole.reset_index()


def describe(
    ids: pd.Series,
    cutoffs: Sequence[Any],
    segments: Mapping[str, str],
    steps: Mapping[str, int],
    levels: Mapping[str, float],
) -> pd.DataFrame:
    """What `segment_series` returns; nothing but length and level may be wrong with a series."""
    table = pd.DataFrame({"unique_id": ids, "segment": ids.map(dict(segments)).astype(object)})
    table["steps"] = table["usable"] = [steps.get(uid, 1000) for uid in ids]
    level = pd.Series([levels.get(uid, 5.0) for uid in ids])
    table = table.assign(low=0.2 * level, high=1.8 * level, largest=1.8 * level)
    table = table.assign(usual=level, mean=level)
    return pd.concat([table.assign(cutoff=cutoff) for cutoff in cutoffs], ignore_index=True)


def chosen(errors: Errors, models: ModelsConfig = COMBINED, **options: Any) -> dict[str, str]:
    found = choose(errors, models, **options)
    return dict(zip(found["unique_id"], found["model"], strict=True))


def test_the_best_model_is_chosen_and_a_series_without_windows_gets_the_best_of_all() -> None:
    errors = {uid: {"ref": 1.0, "good": 0.5, "odd": 2.0} for uid in "ab"}
    found = choose(errors, MODELS, ids=["a", "b", "unseen"])
    assert found["model"].tolist() == ["good"] * 3
    assert (
        found["reason"][0]
        == "52% of ref's error on its own windows, 52% over all series, blended 52%"
    )
    assert found["reason"][2] == "no window of its own: the best model over all series"


def test_only_the_windows_that_select_count() -> None:
    errors = {"a": {"ref": [1.0] * 12, "good": [0.9] * 12, "odd": [2.0] * 10 + [0.0] * 2}}
    assert chosen(errors, MODELS) == {"a": "good"}


def test_a_model_that_another_one_stands_in_for_is_no_champion() -> None:
    errors = {uid: {"ref": 1.0, "good": 0.5, "odd": 0.8} for uid in "ab"}
    assert chosen(errors, MODELS, lent={("a", "good"): 5}) == {"a": "good", "b": "good"}
    assert chosen(errors, MODELS, lent={("a", "good"): 6}) == {"a": "odd", "b": "good"}
    found = choose(
        errors, MODELS, ids=["a", "b", "unseen"], lent={(uid, "good"): 9 for uid in "ab"}
    )
    assert found["model"].tolist() == ["odd"] * 3


def test_a_model_that_failed_in_older_windows_only_may_be_champion() -> None:
    """As one does that needs more steps than the series had then."""
    errors = {uid: {"ref": 1.0, "good": 0.5, "odd": 0.8} for uid in "ab"}
    assert chosen(errors, MODELS, lent={("a", "good"): -9}) == {"a": "good", "b": "good"}


def test_windows_without_an_actual_tell_nothing_of_who_failed() -> None:
    none, hit = [np.nan] * 4, [0.5] * 6
    errors = {
        uid: {"ref": [1.0] * 6 + none, "good": hit + none, "odd": [0.8] * 6 + none} for uid in "ab"
    }
    errors = {
        uid: {name: [*sizes, 1, 1] for name, sizes in its.items()} for uid, its in errors.items()
    }
    assert chosen(errors, MODELS, lent={("a", "good"): -6}) == {"a": "odd", "b": "good"}


def test_models_are_compared_on_the_same_series() -> None:
    """One that fails where all are bad does not seem better for it."""
    easy = {f"easy{n}": {"ref": 1.0, "good": 0.8, "odd": 0.75} for n in range(4)}
    hard = {f"hard{n}": {"ref": 1.0, "good": 1.0, "odd": 1.0} for n in range(6)}
    lent = {(uid, "good"): 10 for uid in hard}
    found = choose(easy | hard, MODELS, ids=[*easy, *hard, "unseen"], lent=lent)
    found = found.set_index("unique_id")["model"]
    assert set(found[[*easy, "unseen"]]) == {"odd"}


def test_the_reference_may_be_champion_where_another_one_stands_in_for_it() -> None:
    errors = {uid: {"ref": 1.0, "good": 1.5, "odd": 2.0} for uid in "ab"}
    lent = {("a", "ref"): 10, ("a", "good"): 10}
    assert chosen(errors, MODELS, lent=lent) == {"a": "ref", "b": "ref"}


def test_shrinkage_weighs_the_record_of_all_against_its_own() -> None:
    errors = {f"s{n}": {"ref": 1.0, "good": 0.8, "odd": 1.2} for n in range(9)}
    errors["own way"] = {"ref": 1.0, "good": 0.9, "odd": 0.7}
    assert chosen(errors, MODELS, shrinkage=0)["own way"] == "odd"
    assert chosen(errors, MODELS, shrinkage=100)["own way"] == "good"
    assert chosen(errors, MODELS, shrinkage=0)["s1"] == "good"


NOISY = [0.6, 1.0] * 6


def test_a_combination_is_taken_where_a_model_is_better_by_less_than_the_noise() -> None:
    """Of a tenth on average, where the difference is a fifth up and down every day."""
    errors = {uid: {"ref": 1.0, "good": NOISY, "odd": 1.5, "both": 0.83} for uid in "abc"}
    assert set(chosen(errors, MODELS).values()) == {"good"}
    found = choose(errors, ids=[*"abc", "unseen"])
    assert set(found["model"]) == {"both"}
    assert found["reason"].str.endswith("; good is better by less than the windows' noise").all()


@pytest.mark.parametrize(
    ("both", "good", "windows"),
    [
        pytest.param(0.83, 0.8, 10, id="always better"),
        pytest.param(0.95, NOISY, 10, id="better by more than the noise"),
    ],
)
def test_a_model_that_is_better_for_sure_is_taken_before_a_combination(
    both: float, good: Any, windows: int
) -> None:
    errors = {uid: {"ref": 1.0, "good": good, "odd": 1.5, "both": both} for uid in "abc"}
    assert set(chosen(errors, windows=windows).values()) == {"good"}


def test_too_few_windows_to_know_the_noise_choose_the_combination() -> None:
    errors = {uid: {"ref": 1.0, "good": 0.5, "odd": 1.5, "both": 0.9} for uid in "abc"}
    assert set(chosen(errors, windows=4).values()) == {"both"}
    assert set(chosen(errors, windows=5).values()) == {"good"}


def test_a_combination_takes_the_place_of_no_reference() -> None:
    errors = {uid: {"ref": NOISY, "good": 1.3, "odd": 1.4, "both": 0.81} for uid in "abcd"}
    assert set(chosen(errors).values()) == {"ref"}
    errors = {uid: {"ref": 0.82, "good": NOISY, "odd": 1.4, "both": 0.83} for uid in "abcd"}
    assert set(chosen(errors).values()) == {"good"}


def test_series_that_differ_are_no_noise() -> None:
    errors = {
        "a": {"ref": 1.0, "good": 0.2, "odd": 0.9, "both": 1.0},
        "b": {"ref": 1.0, "good": 1.0, "odd": 0.9, "both": 0.22},
    }
    assert chosen(errors, shrinkage=10)["a"] == "good"


@pytest.mark.parametrize("error", [0.0, 3.0])
def test_where_all_models_are_alike_the_reference_is_champion(error: float) -> None:
    errors = {uid: dict.fromkeys(("ref", "good", "odd", "both"), error) for uid in "ab"}
    found = choose(errors)
    assert found["model"].tolist() == ["ref", "ref"]
    assert not found["reason"].str.contains("noise").any()


def test_a_reference_that_is_never_wrong_is_champion() -> None:
    errors = {uid: {"ref": 0.0, "good": 1.0, "odd": 2.0, "both": 1.0} for uid in "ab"}
    assert chosen(errors) == {"a": "ref", "b": "ref"}


def test_of_two_combinations_the_better_one_is_taken() -> None:
    models = ModelsConfig.model_validate(
        {
            **COMBINED.model_dump(),
            "three": {"engine": "median", "options": {"of": ["ref", "good", "odd"]}},
        }
    )
    both = {"ref": 1.0, "good": NOISY, "odd": 1.5, "both": 0.83, "three": 0.82}
    assert set(chosen({"a": both, "b": both}, models).values()) == {"three"}


def test_without_any_score_the_reference_is_champion() -> None:
    unscored = {"ref": np.nan, "good": np.nan, "odd": np.nan, "both": np.nan}
    found = choose({"a": unscored, "b": unscored})
    assert found["model"].tolist() == ["ref", "ref"]


def test_what_is_promoted_is_chosen_from_the_windows_that_reported_too() -> None:
    later = {"ref": 1.0, "good": [*[0.5] * 10, 5.0, 5.0], "odd": 0.8, "both": 0.9}
    errors = dict.fromkeys("abc", later)
    assert set(chosen(errors, MODELS).values()) == {"good"}
    assert set(chosen(errors, MODELS, roles=("select", "report")).values()) == {"odd"}


sizes = st.floats(0.01, 5.0)
some_errors = st.dictionaries(
    st.sampled_from("abcdef"),
    st.fixed_dictionaries(dict.fromkeys(["ref", "good", "odd", "both"], sizes)),
    min_size=1,
)

CURVED = {f"c{n}": {"ref": 1.0, "good": 0.5, "odd": 0.9, "both": 0.95} for n in range(12)}
LUMPY = {f"l{n}": {"ref": 1.0, "good": 1.3, "odd": 0.8, "both": 1.2} for n in range(4)}
OF = {uid: "curved" if uid in CURVED else "lumpy" for uid in [*CURVED, *LUMPY]}


def of_new(
    segment: str | None,
    errors: Errors | None = None,
    models: ModelsConfig = COMBINED,
    **options: Any,
) -> tuple[str, str]:
    """Champion of a new series of this segment beside twelve curved and four lumpy ones; why."""
    errors = {**CURVED, **LUMPY, **(errors or {})}
    segments = OF if segment is None else {**OF, "new": segment}
    found = choose(errors, models, [*CURVED, *LUMPY, "new"], segments=segments, **options)
    its = found.set_index("unique_id").loc["new"]
    return its["model"], its["reason"]


@pytest.mark.parametrize(
    ("segment", "model", "reason"),
    [
        (
            "curved",
            "good",
            "the best model for 12 series of the segment 'curved' (52% of ref's error, ",
        ),
        (
            "lumpy",
            "odd",
            "the best model for 4 series of the segment 'lumpy' (81% of ref's error, ",
        ),
        ("unheard of", "good", "the best model over all series"),
        (None, "good", "the best model over all series"),
    ],
)
def test_a_series_without_windows_is_told_by_its_segment(
    segment: str | None, model: str, reason: str
) -> None:
    name, why = of_new(segment, shrinkage=10)
    assert name == model
    assert why.startswith(f"no window of its own: {reason}")


def test_a_segment_of_few_windows_is_told_by_all_series() -> None:
    """Four series of ten windows: forty, and then a thousand that all others are worth."""
    assert of_new("lumpy", shrinkage=10)[0] == "odd"
    assert of_new("lumpy", shrinkage=1000)[0] == "good"


@pytest.mark.parametrize(("windows", "model"), [(4, "odd"), (5, "good")])
def test_a_series_of_few_windows_leans_on_its_segment_and_one_of_more_on_all(
    windows: int, model: str
) -> None:
    its = dict.fromkeys(["ref", "good", "odd", "both"], [1.0] * windows + [np.nan] * 8)
    name, why = of_new("lumpy", {"new": its}, shrinkage=30)
    assert name == model
    assert ("in 5 series of the segment 'lumpy'" in why) == (windows < 5)


def test_windows_without_an_actual_count_for_nothing() -> None:
    """It has seen one window of ten, in which what is best for the others was bad."""
    its = {"ref": 1.0, "good": 1.2, "odd": 0.4, "both": 2.0}
    once = {model: [size] + [np.nan] * 9 for model, size in its.items()}
    assert of_new(None, {"new": once}, shrinkage=10)[0] == "good"
    assert of_new(None, {"new": its}, shrinkage=10)[0] == "odd"


@pytest.mark.parametrize(
    ("steps", "model", "said"),
    [
        (23, "good", ""),
        (22, "odd", "; good cannot forecast it (too short: 22 steps, 23 needed)"),
        (2, "odd", "; good cannot forecast it (too short: 2 steps, 23 needed)"),
    ],
)
def test_a_short_series_gets_no_model_that_needs_more_steps(
    steps: int, model: str, said: str
) -> None:
    name, why = of_new("curved", models=UNLIKE, steps={"new": steps}, shrinkage=10)
    assert name == model
    assert why.endswith(said or "over all series)")


@settings(max_examples=15)
@given(some_errors, st.integers(1, 6), st.sampled_from([0.0, 140.0]))
def test_the_unit_of_a_series_changes_no_champion(
    errors: Errors, windows: int, shrinkage: float
) -> None:
    how: dict[str, Any] = {"windows": windows, "shrinkage": shrinkage}
    large = next(iter(errors))
    scaled = {**errors, large: {name: 1000 * size for name, size in errors[large].items()}}
    assert chosen(scaled, **how) == chosen(errors, **how)


def test_a_combination_needs_two_members_that_can_forecast() -> None:
    errors = {uid: {"ref": 1.0, "good": 0.9, "odd": 0.8, "both": 0.5} for uid in CURVED}
    name, why = of_new("curved", errors, UNLIKE, steps={"new": 9})
    assert name == "odd"
    assert why.endswith("; both cannot forecast it (good: too short: 9 steps, 23 needed)")
    third = {"engine": "window_regression", "options": {"log": False}}
    both = {"engine": "median", "options": {"of": ["good", "odd", "third"]}}
    specs = {**UNLIKE.model_dump(), "third": third, "both": both}
    errors = {uid: {**its, "third": 0.9} for uid, its in errors.items()}
    assert of_new("curved", errors, ModelsConfig.model_validate(specs), steps={"new": 9})[0] == (
        "both"
    )


def test_a_series_that_no_model_can_forecast_gets_the_reference() -> None:
    name, why = of_new("curved", models=UNLIKE, steps={"new": 1})
    assert name == "ref"
    assert why == "no model can forecast it yet (ref: too short: 1 steps, 14 needed)"


def test_a_series_of_which_nothing_is_known_yet_is_told_by_the_others() -> None:
    assert of_new("curved", models=UNLIKE, steps={"new": 0})[0] == "good"


def test_without_any_score_a_short_series_gets_the_first_model_that_can_forecast_it() -> None:
    unscored = dict.fromkeys(["ref", "good", "odd", "both"], np.nan)
    found = choose({"a": unscored, "b": unscored}, UNLIKE, steps={"b": 9})
    assert found["model"].tolist() == ["ref", "odd"]
    assert found["reason"][1].startswith("nothing is known of any model: the first that can")


@settings(max_examples=15)
@given(some_errors, st.integers(1, 6), st.sampled_from([0.0, 1.0, 140.0]))
def test_with_one_segment_all_is_as_without_any(
    errors: Errors, windows: int, shrinkage: float
) -> None:
    how: dict[str, Any] = {"windows": windows, "shrinkage": shrinkage, "ids": [*"abcdef"]}
    without = choose(errors, **how)
    pd.testing.assert_frame_equal(
        choose(errors, segments=dict.fromkeys("abcdef", "x"), **how), without
    )


@settings(max_examples=15)
@given(
    some_errors,
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["x", "y"])),
    st.sampled_from([0.0, 1.0, 140.0]),
)
def test_where_there_are_windows_enough_segments_change_nothing(
    errors: Errors, segments: dict[str, str], shrinkage: float
) -> None:
    how: dict[str, Any] = {"windows": 5, "shrinkage": shrinkage}
    found = choose(errors, segments=segments, **how)
    pd.testing.assert_frame_equal(found, choose(errors, **how))
    sizes = pd.DataFrame(errors).T
    least = 0.05 * sizes["ref"]
    own = sizes.add(least, axis=0).div(sizes["ref"] + least, axis=0)
    score = (5 * own + shrinkage * np.exp(np.log(own).mean())) / (5 + shrinkage)
    taken = found.set_index("unique_id")["model"]
    for unique_id, its in score.iterrows():
        if taken[unique_id] != "both":
            assert its[taken[unique_id]] == pytest.approx(its.min())


some_windows = st.lists(st.one_of(sizes, st.just(np.nan)), min_size=8, max_size=8)


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.fixed_dictionaries(dict.fromkeys(["ref", "good", "odd", "both"], some_windows)),
        min_size=1,
    ),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 7)),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["x", "y"])),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([0, 1, 9, 22])),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([1e-4, 5e3, 1e6, 1e9])),
    st.dictionaries(st.tuples(st.sampled_from("abcdef"), st.just("good")), st.integers(-6, 6)),
    st.sampled_from([("select",), ("select", "report")]),
)
def test_champions_are_the_same_in_any_shards(
    errors: Errors,
    shards: dict[str, int],
    segments: dict[str, str],
    steps: dict[str, int],
    levels: dict[str, float],
    lent: dict[tuple[str, str], int],
    roles: tuple[str, ...],
) -> None:
    how: dict[str, Any] = {"segments": segments, "steps": steps, "lent": lent, "roles": roles}
    how |= {"levels": levels, "windows": 6, "ids": [*"abcdef"], "models": UNLIKE}
    pd.testing.assert_frame_equal(choose(errors, shards=shards, **how), choose(errors, **how))


@pytest.mark.parametrize("number", [0, 1])
def test_a_series_is_far_from_all_others_not_from_those_of_its_shard(number: int) -> None:
    """Of twelve series of a level of five, two tiny ones and a new one, which lies with these."""
    tiny = {uid: {"ref": 1.0, "good": 2.0, "odd": 0.3, "both": 2.0} for uid in ("t0", "t1")}
    errors = {**CURVED, **tiny}
    how: dict[str, Any] = {
        "models": UNLIKE,
        "ids": [*errors, "new"],
        "steps": {"new": 9},
        "levels": dict.fromkeys(tiny, 1e-6),
    }
    found = choose(errors, shards=dict.fromkeys([*tiny, "new"], number), **how)
    its = found.set_index("unique_id").loc["new"]
    assert its["model"] == "odd"
    how["levels"] = {**how["levels"], "new": 1e-6}
    found = choose(errors, shards=dict.fromkeys([*tiny, "new"], number), **how)
    its = found.set_index("unique_id").loc["new"]
    assert its["model"] == "ref"
    assert its["reason"].startswith("no model can forecast it yet")


@pytest.mark.parametrize("later", [(9.0, 0.1, 5.0, 5.0), (0.1, 9.0, 9.0, 0.1)])
def test_windows_that_report_change_no_champion_that_they_judge(later: tuple[float, ...]) -> None:
    errors = {
        uid: {
            model: [size] * 10 + [other] * 2
            for (model, size), other in zip(its.items(), later, strict=True)
        }
        for uid, its in {**CURVED, **LUMPY}.items()
    }
    how: dict[str, Any] = {"shrinkage": 10}
    assert of_new("lumpy", errors, **how) == of_new("lumpy", **how)
    how["roles"] = ("select", "report")
    assert of_new("lumpy", errors, **how) != of_new("lumpy", **how)
