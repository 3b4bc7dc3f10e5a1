"""The flights and their sums: an airport is forecast what its carriers are."""

from __future__ import annotations

import pandas as pd
import pytest

from environments import EnvironmentLine, copy_environment

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> EnvironmentLine:
    """`kedro run --env flights_hierarchy` as it is committed, into a data folder of its own."""
    made = copy_environment(tmp_path_factory.mktemp("sums"), "flights_hierarchy")
    made.said = made.run().stdout
    return made


def test_what_is_published_adds_up_at_every_airport_and_carrier(line: EnvironmentLine) -> None:
    forecasts = line.forecasts()
    levels = line.read("03_primary/levels.parquet")
    assert levels.groupby("level")["unique_id"].nunique().to_dict() == {
        "total": 1,
        "origin": 3,
        "carrier": 16,
        "origin, carrier": 35,
    }
    wide = forecasts.pivot(index="unique_id", columns="ds", values="y_hat")
    assert wide.shape == (55, 24)
    sums = levels.merge(wide, left_on="bottom_id", right_index=True)
    sums = sums.groupby("unique_id")[list(wide.columns)].sum()
    assert (sums - wide).abs().max(axis=None) <= 1e-6
    assert (wide == wide.round()).all(axis=None)
    assert (wide >= 0).all(axis=None)
    quantiles = forecasts.filter(regex=r"^q0\.")
    assert (quantiles.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert (quantiles >= 0).all(axis=None)


def test_every_sum_is_more_accurate_and_the_table_says_what_is_not(line: EnvironmentLine) -> None:
    table = line.read("08_reporting/reconciliation.parquet").set_index("level")
    sums = table.loc[["total", "origin", "carrier"]]
    assert (sums[["mae_ratio", "mase_ratio"]] <= 1).all(axis=None)
    assert (table["mae_ratio"] <= 1.02).all()
    higher = (table[["mae_ratio", "mase_ratio"]] > 1 + 1e-9).any(axis=1)
    assert ((table["note"] != "") == higher).all()
    assert "total (1): MAE" in line.said


def test_all_levels_together_are_what_the_verdict_is_over(line: EnvironmentLine) -> None:
    table = line.read("08_reporting/reconciliation.parquet").set_index("level")
    scores = line.read("08_reporting/champion_scores.parquet")
    assert len(scores) == 55
    assert table.loc["all levels", "mase_before"] == pytest.approx(scores["mase"].mean())


def test_reconciled_backtests_add_up_too(line: EnvironmentLine) -> None:
    backtests = line.read("07_model_output/reconciled_backtests.parquet")
    levels = line.read("03_primary/levels.parquet")
    wide = backtests.pivot(index="unique_id", columns=["cutoff", "ds"], values="y_hat")
    sums = levels.set_index(["unique_id", "bottom_id"]).index
    parts = pd.DataFrame(
        wide.loc[sums.get_level_values("bottom_id")].to_numpy(), index=sums, columns=wide.columns
    )
    found = parts.groupby(level="unique_id").sum()
    assert (found - wide).abs().max(axis=None) <= 1e-6
