"""Vector autoregression: series that explain each other, group by group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.vector_ar.var_model import VAR
from toys import daily_windows, run

from clepsydra.models.base import History, quantile_columns
from clepsydra.models.vector import VarModel
from helpers import make_series, make_task

TASK = make_task(season_lengths=[4])


@pytest.fixture(scope="module")
def history() -> History:
    """`b` is what `a` was a step before; `c` and `d` have nothing to do with them."""
    random = np.random.default_rng(0)
    a = random.normal(size=400)
    values = {"a": a, "b": np.roll(a, 1), "c": random.normal(size=400), "d": 1e3 * np.roll(a, 2)}
    frames = [make_series(uid, "2013-01-01", y) for uid, y in values.items()]
    rows = pd.concat(frames, ignore_index=True).drop(columns="is_imputed")
    static = pd.DataFrame({"unique_id": list("abcd"), "kind": ["x", "x", "y", "y"]})
    return History(rows, static)


def future(history: History, steps: int) -> pd.DataFrame:
    last = history.rows["ds"].max()
    ds = pd.date_range(last, periods=steps + 1, freq="h")[1:]
    ids = list(history.ids)
    return pd.MultiIndex.from_product([ids, ds], names=["unique_id", "ds"]).to_frame(index=False)


def test_a_series_is_explained_by_the_steps_before_of_another(history: History) -> None:
    one = VarModel(TASK, 3, lags=2, difference_season=False)
    found = one.predict(one.fit(history), history, future(history, 3), 3)
    a = history.rows.query("unique_id == 'a'")["y"].to_numpy()
    b = found.query("unique_id == 'b'")
    assert abs(b["y_hat"].iloc[0] - a[-1]) < 1e-6
    assert b["q0.975"].iloc[0] - b["q0.025"].iloc[0] < 1e-3
    width = (b["q0.975"] - b["q0.025"]).iloc[1:]
    np.testing.assert_allclose(width, 2 * 1.96 * np.std(a), rtol=0.1)
    d = found.query("unique_id == 'd'")["y_hat"]
    np.testing.assert_allclose(d.iloc[:2], 1e3 * a[-2:], rtol=1e-5)
    assert list(found.columns) == ["unique_id", "ds", "y_hat", *quantile_columns()]


def test_forecasts_and_intervals_are_those_of_the_library(history: History) -> None:
    one = VarModel(TASK, 5, lags=2, difference_season=False)
    found = one.predict(one.fit(history), history, future(history, 5), 5)
    wide = history.rows.pivot(index="ds", columns="unique_id", values="y")
    mean, low, high = VAR(wide.to_numpy()).fit(2).forecast_interval(wide.to_numpy()[-2:], 5)
    by_column = {
        name: found.pivot(index="ds", columns="unique_id", values=name).to_numpy()
        for name in ("y_hat", "q0.025", "q0.975")
    }
    np.testing.assert_allclose(by_column["y_hat"], mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(by_column["q0.025"], low, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(by_column["q0.975"], high, rtol=1e-4, atol=1e-4)


def test_groups_do_not_know_of_each_other(history: History) -> None:
    one = VarModel(TASK, 2, lags=2, group_by="kind", difference_season=False)
    whole = one.predict(one.fit(history), history, future(history, 2), 2)
    other = history.only(pd.Index(["c", "d"]))
    alone = one.predict(one.fit(other), other, future(other, 2), 2)
    pd.testing.assert_frame_equal(
        whole[whole["unique_id"].isin(["c", "d"])].reset_index(drop=True), alone, check_exact=True
    )
    assert one.attributes == ("kind",)


def test_a_season_is_put_back_and_errors_add_up_over_seasons() -> None:
    random = np.random.default_rng(0)
    season = np.tile([10.0, 20.0, 30.0, 40.0], 60)
    frames = [
        make_series(uid, "2013-01-01", season + random.normal(scale=0.1, size=240))
        for uid in ("a", "b")
    ]
    history = History.of(pd.concat(frames, ignore_index=True).drop(columns="is_imputed"))
    one = VarModel(TASK, 8)
    found = one.predict(one.fit(history), history, future(history, 8), 8)
    a = found.query("unique_id == 'a'")
    np.testing.assert_allclose(a["y_hat"], season[:8], atol=0.6)
    width = (a["q0.975"] - a["q0.025"]).to_numpy()
    assert (width[4:] > width[:4]).all()


def test_a_group_too_large_for_its_history_and_a_series_alone_are_not_forecast(
    history: History,
) -> None:
    rows = history.rows[history.rows["ds"] < "2013-01-03"].reset_index(drop=True)
    short = History(rows, history.static)
    with pytest.raises(ValueError, match="give 'group_by' an attribute with small groups"):
        VarModel(TASK, 2, lags=6).predict(None, short, future(short, 2), 2)
    one = VarModel(TASK, 2, lags=2, group_by="kind")
    part = history.only(pd.Index(["a", "c", "d"]))
    whole = one.predict(None, history, future(history, 2), 2)
    found = one.predict(None, part, future(part, 2), 2)
    pd.testing.assert_frame_equal(
        whole[whole["unique_id"].isin(["c", "d"])].reset_index(drop=True), found, check_exact=True
    )


def test_a_group_is_forecast_without_a_series_that_cannot_be_shown(history: History) -> None:
    one = VarModel(TASK, 2, lags=2)
    state = one.fit(history)
    part = history.only(pd.Index(["a", "c", "d"]))
    assert set(one.predict(state, part, future(part, 2), 2)["unique_id"]) == {"a", "c", "d"}


def test_a_series_that_repeats_its_season_takes_nothing_from_the_others(history: History) -> None:
    """Its seasonal difference is always zero: it has no equation, and is in nobody else's."""
    one = VarModel(TASK, 2, lags=2)
    clock = make_series("clock", "2013-01-01", np.arange(400) % 4).drop(columns="is_imputed")
    rows = pd.concat([history.rows, clock], ignore_index=True)
    whole = History(rows.sort_values(["unique_id", "ds"], ignore_index=True), history.static)
    alone = one.predict(None, history, future(history, 2), 2)
    pd.testing.assert_frame_equal(one.predict(None, whole, future(whole, 2), 2), alone)


@pytest.mark.parametrize("able", [True, False])
def test_a_group_that_has_no_equations_leaves_the_others_theirs(
    history: History, monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    forecast = VarModel._forecast

    def fails(self: VarModel, y: pd.DataFrame, *rest: Any) -> Any:
        if able and "c" in y:
            return forecast(self, y, *rest)
        raise np.linalg.LinAlgError("3-th leading minor not positive definite")

    monkeypatch.setattr(VarModel, "_forecast", fails)
    one = VarModel(TASK, 2, lags=2, group_by="kind")
    if able:
        found = one.predict(None, history, future(history, 2), 2)
        assert set(found["unique_id"]) == {"c", "d"}
        return
    with pytest.raises(np.linalg.LinAlgError, match="3-th leading minor"):
        one.predict(None, history, future(history, 2), 2)


def test_a_group_with_too_few_steps_is_not_forecast_in_smaller_ones() -> None:
    """A joint model that fails fails as a whole: half a group would be another model."""
    random = np.random.default_rng(0)
    frames = [make_series(uid, "2013-01-01", random.normal(10, 1, 240)) for uid in "abcdefgh"]
    many = VarModel(make_task(), 24, lags=12)
    found = run(many, pd.concat(frames, ignore_index=True), daily_windows(1))
    assert set(found.failures["unique_id"]) == set("abcdefgh")
    assert found.failures["reason"].str.contains("give 'group_by' an attribute").all()
