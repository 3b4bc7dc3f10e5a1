"""A hierarchy goes through the whole line by configuration alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from line_runner import Line

MODELS = {
    "seasonal_naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
    "linear": {
        "engine": "mlforecast",
        "options": {"estimator": "sklearn.linear_model.LinearRegression"},
    },
}
LEVELS = ["total", "region", "item", ["shop", "item"]]


@pytest.fixture
def shops(tmp_path: Path, make_line: Callable[..., Line]) -> Callable[..., Line]:
    """A function from levels to a line over three shops in two regions that sell two items."""
    random = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=120, freq="D")
    rows = [
        pd.DataFrame({"shop": shop, "item": item, "day": days.strftime("%Y-%m-%d")}).assign(
            sales=random.poisson(2 + (days.dayofweek >= 5) * 3 * (item == "tea"))
        )
        for shop in ("one", "two", "three")
        for item in ("tea", "milk")
    ]
    pd.concat(rows).to_csv(tmp_path / "sales.csv", index=False)
    where = pd.DataFrame({"shop": ["one", "two", "three"], "region": ["north", "north", "south"]})
    where.to_csv(tmp_path / "shops.csv", index=False)

    def make(levels: list[Any], **changes: Any) -> Line:
        where = {"role": "attributes", "path": f"{tmp_path}/shops.csv", "join": ["shop"]}
        sales = {"role": "target", "path": f"{tmp_path}/sales.csv", "id": ["shop", "item"]}
        return make_line(
            as_of="latest",
            n_shards=2,
            sources={
                "sales": {**sales, "time": "day", "value": "sales"},
                "shops": {**where, "columns": ["region"]},
            },
            task={
                "freq": "D",
                "season_lengths": [7],
                "horizon": 7,
                "minimum": 0,
                "integer": True,
                "fill": "zero",
            },
            calendar={"columns": ["dayofweek"], "country": None},
            models=MODELS,
            windows={"calibrate": 2, "select": 2, "report": 2},
            hierarchy={"levels": levels},
            **changes,
        )

    return make


def test_what_is_published_adds_up_on_every_level(shops: Callable[..., Line]) -> None:
    line = shops(LEVELS)
    done = line.run()
    forecasts = line.forecasts()
    levels = line.read("03_primary/levels.parquet")
    assert set(forecasts["unique_id"]) == set(levels["unique_id"])
    assert set(levels.loc[levels["level"] == "region", "unique_id"]) == {
        "region=north",
        "region=south",
    }
    wide = forecasts.pivot(index="unique_id", columns="ds", values="y_hat")
    sums = levels.merge(wide, left_on="bottom_id", right_index=True)
    sums = sums.groupby("unique_id")[list(wide.columns)].sum()
    assert (sums - wide).abs().max(axis=None) <= 1e-6
    assert (wide == wide.round()).all(axis=None)
    assert (wide >= 0).all(axis=None)
    base = line.read("07_model_output/base_forecasts.parquet")
    made = base.pivot(index="unique_id", columns="ds", values="y_hat")
    assert (made.loc["total"] != made.loc[levels["bottom_id"].unique()].sum()).any()
    table = line.read("08_reporting/reconciliation.parquet")
    assert table["level"].tolist() == ["total", "region", "item", "shop, item", "all levels"]
    assert table["series"].tolist() == [1, 2, 2, 6, 11]
    assert "hierarchy " in done.stdout
    assert "region (2): MAE" in done.stdout
    page = (line.data / "08_reporting/report.html").read_text()
    assert "region (2): MAE" in page
    series = line.read("03_primary/series.parquet").set_index("unique_id")
    assert series.loc["one-tea", "level"] == "shop, item"
    # Nothing is left of the sums when they are no longer declared.
    shops([]).run("--pipelines=collect,clean")
    panel = line.read("03_primary/panel.parquet")
    assert set(panel["unique_id"]) == set(levels["bottom_id"])
    assert "level" not in line.read("03_primary/series.parquet")


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        (["total", "colour", ["shop", "item"]], "hierarchy.levels: the series have no column 'c"),
        (["total", "region"], "hierarchy.levels: the last level, 'region', does not tell"),
        ([["shop", "item"]], "'levels' names one level only"),
    ],
)
def test_what_makes_no_hierarchy_stops_the_line_with_a_message(
    shops: Callable[..., Line], levels: list[Any], says: str
) -> None:
    done = shops(levels).run("--pipelines=collect,clean", check=False)
    assert done.returncode == 1
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
