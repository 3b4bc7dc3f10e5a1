"""What models lose at each time, against a loop, and on the same steps for all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.models.intervals import LEVELS, quantile_columns
from clepsydra.models.losses import losses_over_time, pool_losses
from clepsydra.models.metrics import score_groups
from helpers import make_series

QUANTILES = quantile_columns()
SCALES = pd.DataFrame(
    {
        "unique_id": ["a", "b", "flat", "new"],
        "scale": [2.0, 5.0, 0.0, np.nan],
        "squared_scale": [6.0, 40.0, 0.0, np.nan],
    }
)


def make_forecasts() -> pd.DataFrame:
    """Three windows of four steps, of which one has no quantiles."""
    random = np.random.default_rng(0)
    tables = []
    for unique_id in SCALES["unique_id"]:
        actuals = make_series(unique_id, "2024-01-01", random.gamma(2, 10, size=12))
        for model in ("m", "n"):
            y_hat = actuals["y"] + random.normal(scale=3, size=12)
            tables.append(actuals.assign(model=model, y_hat=y_hat))
    table = pd.concat(tables, ignore_index=True)
    table["cutoff"] = table["ds"].dt.floor("4h") - pd.Timedelta("1h")
    table[QUANTILES] = table[["y_hat"]].to_numpy() + np.linspace(-4, 4, len(QUANTILES))
    table.loc[table["ds"].dt.hour < 4, QUANTILES] = np.nan
    return table


@pytest.fixture
def forecasts() -> pd.DataFrame:
    return make_forecasts()


def loss(row: pd.Series, metric: str, size: float) -> float:
    """One loss from its formula; missing where there is none."""
    scales = SCALES.set_index("unique_id").loc[row["unique_id"]]
    error = abs(row["y"] - row["y_hat"])
    pinball = [
        level * max(row["y"] - row[name], 0) + (1 - level) * max(row[name] - row["y"], 0)
        for level, name in zip(LEVELS, QUANTILES, strict=True)
    ]
    return {
        "mae": error,
        "rmse": error**2,
        "mase": error / scales["scale"] if scales["scale"] > 0 else np.nan,
        "rmsse": error**2 / scales["squared_scale"] if scales["squared_scale"] > 0 else np.nan,
        "wql": 2 * sum(pinball) / len(pinball) / size,
    }[metric]


@pytest.mark.parametrize("metric", ["mae", "rmse", "mase", "rmsse", "wql"])
def test_losses_are_means_over_the_series(forecasts: pd.DataFrame, metric: str) -> None:
    shuffled = forecasts.sample(frac=1, random_state=0)
    found = losses_over_time(shuffled, SCALES)
    found = found[found["metric"] == metric].set_index(["model", "cutoff", "ds"])
    sizes = forecasts.dropna().groupby("unique_id")["y"].mean()
    expected = {}
    for key, rows in forecasts.groupby(["model", "cutoff", "ds"]):
        values = [loss(row, metric, sizes[row["unique_id"]]) for _, row in rows.iterrows()]
        known = [value for value in values if not np.isnan(value)]
        if known:
            expected[key] = (sum(known) / len(known), len(known))
    assert found.index.tolist() == sorted(expected)
    assert len(found) == (16 if metric == "wql" else 24)
    for key, (mean, series) in expected.items():
        assert found.loc[key, "loss"] == pytest.approx(mean)
        assert found.loc[key, "series"] == series == (2 if metric in ("mase", "rmsse") else 4)


def test_the_mean_over_the_times_is_the_metric(forecasts: pd.DataFrame) -> None:
    found = losses_over_time(forecasts, SCALES).groupby(["metric", "model"])["loss"].mean()
    scores = score_groups(forecasts, SCALES).groupby(["metric", "model"])["value"].mean()
    for metric in ("mae", "mase", "wql"):
        np.testing.assert_allclose(found[metric], scores[metric])


def test_only_steps_that_every_model_has_are_compared(forecasts: pd.DataFrame) -> None:
    first = forecasts["ds"].min()
    here = (forecasts["unique_id"] == "a") & (forecasts["model"] == "n")
    partly = forecasts.copy()
    partly.loc[here & (forecasts["ds"] == first), "y_hat"] = np.nan
    found = losses_over_time(partly[~(here & (forecasts["ds"] == forecasts["ds"].max()))], SCALES)
    mae = found[found["metric"] == "mae"]
    assert mae.groupby("ds")["series"].agg(list).tolist() == [[3, 3], *[[4, 4]] * 10, [3, 3]]


def test_a_model_that_has_no_loss_at_all_does_not_stop_the_others(forecasts: pd.DataFrame) -> None:
    silent = forecasts[forecasts["model"] == "m"].assign(model="silent", y_hat=np.nan)
    silent[QUANTILES] = np.nan
    found = losses_over_time(pd.concat([forecasts, silent]), SCALES)
    pd.testing.assert_frame_equal(found, losses_over_time(forecasts, SCALES))


def test_actuals_that_are_missing_or_all_zero_have_no_loss_to_compare(
    forecasts: pd.DataFrame,
) -> None:
    assert losses_over_time(forecasts.assign(y=np.nan), SCALES).empty
    zeros = losses_over_time(forecasts.assign(y=0.0), SCALES)
    assert set(zeros["metric"]) == {"mae", "rmse", "mase", "rmsse"}
    assert losses_over_time(forecasts.iloc[:0], SCALES).empty


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 5), min_size=4, max_size=4),
    st.sets(st.tuples(st.sampled_from(["a", "b", "flat", "new"]), st.sampled_from(["m", "n"]))),
    st.sets(st.tuples(st.sampled_from(["a", "b", "flat", "new"]), st.integers(0, 11)), max_size=8),
)
def test_losses_of_parts_are_those_of_the_whole(
    shards: list[int], silent: set[tuple[str, str]], missing: set[tuple[str, int]]
) -> None:
    """Also where a model is silent on all series of a part, or on all that there are."""
    table = make_forecasts()
    without = pd.MultiIndex.from_frame(table[["unique_id", "model"]]).isin(list(silent))
    table.loc[without, ["y_hat", *QUANTILES]] = np.nan
    hours = pd.MultiIndex.from_arrays([table["unique_id"], table["ds"].dt.hour])
    table.loc[hours.isin(list(missing)) & (table["model"] == "m"), "y_hat"] = np.nan
    shard = table["unique_id"].map(dict(zip(SCALES["unique_id"], shards, strict=True)))
    parts = [losses_over_time(table[shard == number], SCALES) for number in range(6)]
    whole = losses_over_time(table, SCALES)
    pd.testing.assert_frame_equal(pool_losses(*parts), whole, check_dtype=len(whole) > 0)


def test_a_model_that_one_part_lacks_is_compared_on_the_others(forecasts: pd.DataFrame) -> None:
    here = forecasts["unique_id"] == "a"
    parts = forecasts[here & (forecasts["model"] == "m")], forecasts[~here]
    found = pool_losses(*(losses_over_time(part, SCALES) for part in parts))
    mae = found[found["metric"] == "mae"]
    assert mae["series"].unique().tolist() == [3]
    assert mae["model"].value_counts().to_dict() == {"m": 12, "n": 12}
