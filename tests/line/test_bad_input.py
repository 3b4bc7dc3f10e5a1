"""Bad input ends in an error that says what to do, or in a quarantine row; nothing is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from line_runner import Line

MODELS = {
    "seasonal_naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
    "smoothing": {
        "engine": "statsforecast",
        "options": {"model": "SeasonalExponentialSmoothingOptimized"},
    },
}


def daily_rows(days: int = 84) -> pd.DataFrame:
    """Two weekly series that every model can forecast."""
    times = pd.date_range("2024-01-01", periods=days, freq="D")
    week = np.arange(days) % 7
    frames = [
        pd.DataFrame({"shop": shop, "day": times, "sales": base + 3 * week + np.arange(days) % 5})
        for shop, base in (("north", 20), ("south", 50))
    ]
    rows = pd.concat(frames, ignore_index=True).astype({"sales": str})
    return rows.assign(day=rows["day"].dt.strftime("%Y-%m-%d"))


@pytest.fixture
def shops(tmp_path: Path, make_line: Callable[..., Line]) -> Callable[..., Line]:
    """A function from rows (or the text of a file) and changed keys to a line over them."""

    def make(rows: pd.DataFrame | str | None, source: dict | None = None, **changes) -> Line:
        folder = tmp_path / "feed"
        folder.mkdir(exist_ok=True)
        if isinstance(rows, str):
            (folder / "sales.csv").write_text(rows)
        elif rows is not None:
            rows.to_csv(folder / "sales.csv", index=False)
        feed = {"role": "target", "path": f"{folder}/*.csv", "id": "shop", "time": "day"}
        feed |= {"value": "sales", **(source or {})}
        task = {"freq": "D", "season_lengths": [7], "horizon": 7, "minimum": 0}
        return make_line(
            **{
                "as_of": "latest",
                "n_shards": 2,
                "sources": {"sales": feed},
                "task": task,
                "calendar": {},
                "models": MODELS,
                "windows": {"calibrate": 2, "select": 2, "report": 2},
                **changes,
            }
        )

    return make


def refused(line: Line, *options: str) -> str:
    """Run the first stages, which must fail with a message and no traceback; return the message."""
    return message_of(line.run("--pipelines=collect,clean,split", *options, check=False))


def message_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout[-2000:]
    message = done.stderr[done.stderr.rindex("Error: ") :]
    assert "Traceback" not in done.stderr
    return " ".join(message.split())


def test_missing_file(shops):
    message = refused(shops(None))
    assert "source 'sales': no file matches" in message
    assert "feed/*.csv" in message
    assert "correct 'path'" in message


@pytest.mark.parametrize("text", ["", "shop,day,sales\n"])
def test_empty_file(shops, text):
    message = refused(shops(text))
    assert "sales.csv' is empty" in message


def test_missing_column(shops):
    message = refused(shops(daily_rows().rename(columns={"sales": "revenue"})))
    assert "has no column 'sales'" in message
    assert "it has: 'shop', 'day', 'revenue'" in message


def test_unknown_time_zone(shops):
    message = refused(shops(daily_rows(), source={"timezone": "America/Gotham"}))
    assert "unknown time zone 'America/Gotham'" in message
    assert "IANA name such as" in message


def test_unknown_key_is_named(shops):
    message = refused(shops(daily_rows(), source={"seperator": ";"}))
    assert "sales.seperator" in message


@pytest.mark.parametrize(
    ("options", "changes", "said"),
    [
        ([], {"calender": {}}, "unknown parameter 'calender': did you mean 'calendar'?"),
        (["--params", "asof=2024-02-01"], {}, "unknown parameter 'asof': did you mean 'as_of'?"),
        (["--params", "n_shards=0"], {}, "n_shards is 0: it must be a whole number from 1 up"),
        (
            [],
            {"evaluate": {"segments": ["colour"]}},
            "evaluate.segments: the series have no column 'colour'. There are the parts of their",
        ),
    ],
)
def test_misspelt_or_wrong_parameters(shops, options, changes, said):
    assert said in refused(shops(daily_rows(), **changes), *options)


@pytest.mark.parametrize(
    "options", [["--runner=SequentialRunner"], ["--runner-params=processes=1"]]
)
def test_a_model_that_cannot_be_built_stops_the_run_before_the_data_are_cleaned(shops, options):
    models = {**MODELS, "trees": {"engine": "mlforecast", "options": {"estimator": "sklearn.Such"}}}
    line = shops(daily_rows(), models=models)
    done = line.run(*options, check=False)
    assert "model 'trees' (engine 'mlforecast')" in message_of(done)
    assert not (line.data / "03_primary/panel.parquet").exists()


def test_unknown_environment_and_broken_yaml(shops):
    line = shops(daily_rows())
    assert "nowhere" in refused(line, "--env", "nowhere")
    (line.conf / "test/parameters.yml").write_text("as_of: latest\nsources: {a: 1")
    assert "parameters.yml" in refused(line)


def test_as_of_long_after_the_data(shops):
    message = refused(shops(daily_rows()), "--params", "as_of=2030-01-01")
    assert "the last data of source 'sales' are of 2024-03-24" in message
    assert "correct as_of" in message


@pytest.mark.parametrize("stage", ["explore", "split"])
def test_later_stages_refuse_the_data_of_another_day(shops, stage):
    line = shops(daily_rows())
    line.run("--pipelines=collect,clean", "--params", "as_of=2024-03-20")
    done = line.run(f"--pipelines={stage}", "--params", "as_of=2024-03-22", check=False)
    assert done.returncode == 1
    assert "this run is as of 2024-03-22, but the data at hand are those of" in done.stderr


def test_decimal_commas_are_read_if_said_and_warned_of_if_not(shops):
    rows = daily_rows()
    rows["sales"] += ",5"
    done = shops(rows).run("--pipelines=collect,clean", check=False)
    assert "no row can be used" in done.stderr
    rows.loc[rows["shop"] == "south", "sales"] = "7"
    done = shops(rows).run("--pipelines=collect,clean")
    assert "WARNING Source 'sales': 84 of 168 rows are quarantined" in done.stdout
    line = shops(rows, source={"decimal": ","})
    line.run("--pipelines=collect,clean")
    assert line.read("08_reporting/quarantine.parquet").empty
    panel = line.read("03_primary/panel.parquet")
    assert (panel.loc[panel["unique_id"] == "north", "y"] % 1 == 0.5).all()


@pytest.mark.parametrize(
    ("as_of", "said"),
    [
        ("2023-12-31", "as_of 2023-12-31 is before the first data of source 'sales' (2024-01-01)"),
        ("tomorrow", "as_of is 'tomorrow': write a day as YYYY-MM-DD"),
    ],
)
def test_as_of_that_cannot_be(shops, as_of, said):
    assert said in refused(shops(daily_rows()), "--params", f"as_of={as_of}")


def test_history_too_short_for_windows(shops):
    message = refused(shops(daily_rows(days=20)))
    assert "room for" in message
    assert "shorten 'horizon'" in message


def test_text_where_a_number_belongs(shops):
    rows = daily_rows()
    rows.loc[3, "sales"] = "closed"
    line = shops(rows)
    line.run("--pipelines=collect,clean")
    rejected = line.read("08_reporting/quarantine.parquet")
    assert rejected[["source", "file", "line", "unique_id", "reason"]].to_numpy().tolist() == [
        ["sales", "sales.csv", 5, "north", "not a number"]
    ]
    assert "closed" in rejected["row"][0]
    panel = line.read("03_primary/panel.parquet")
    made = panel[panel["is_imputed"]]
    assert made[["unique_id", "ds"]].astype(str).to_numpy().tolist() == [["north", "2024-01-04"]]


def test_unreadable_time(shops):
    rows = daily_rows()
    rows.loc[5, "day"] = "2024-02-31"
    line = shops(rows)
    line.run("--pipelines=collect,clean")
    rejected = line.read("08_reporting/quarantine.parquet")
    assert rejected[["line", "reason"]].to_numpy().tolist() == [[7, "time not readable"]]


def test_duplicated_id_and_time(shops):
    rows = daily_rows()
    twice = pd.concat([rows, rows.loc[[10]].assign(sales="999")], ignore_index=True)
    line = shops(twice)
    line.run("--pipelines=collect,clean")
    rejected = line.read("08_reporting/quarantine.parquet")
    assert rejected[["line", "reason"]].to_numpy().tolist() == [
        [len(twice) + 1, "duplicate of an earlier row"]
    ]
    panel = line.read("03_primary/panel.parquet")
    assert not panel.duplicated(["unique_id", "ds"]).any()
    assert 999 not in set(panel["y"])


def test_one_point_and_constants_are_forecast_and_flagged(shops):
    rows = daily_rows()
    last_day = rows["day"].max()
    odd = pd.DataFrame(
        [("newborn", last_day, "12"), *(("flat", day, "5") for day in rows["day"].unique())],
        columns=rows.columns,
    )
    line = shops(pd.concat([rows, odd], ignore_index=True))
    done = line.run()
    chosen = line.read("08_reporting/renewed_champions.parquet").set_index("unique_id")
    assert chosen.loc["newborn"].tolist() == [
        "seasonal_naive",
        "no model can forecast it yet (seasonal_naive: too short: 1 steps, 14 needed)",
    ]
    series = line.read("03_primary/series.parquet").set_index("unique_id")
    assert series.loc["newborn", "flags"] == "single point, short"
    assert series.loc["flat", "flags"] == "constant"
    forecasts = line.forecasts()
    assert set(forecasts["unique_id"]) == {"north", "south", "newborn", "flat"}
    assert forecasts.notna().all(axis=None)
    assert set(forecasts.loc[forecasts["unique_id"] == "flat", "y_hat"]) == {5.0}
    assert set(forecasts.loc[forecasts["unique_id"] == "newborn", "y_hat"]) == {12.0}
    failures = line.read("08_reporting/forecast_failures.parquet")
    reasons = failures.set_index("unique_id")["reason"].to_dict()
    assert set(reasons) == {"flat", "newborn"}
    assert reasons["flat"] == "constant: every value is 5"
    assert "too short: 1 steps" in reasons["newborn"]
    scores = line.read("08_reporting/champion_scores.parquet").set_index("unique_id")
    assert scores.loc["flat", "note"] == "MASE scale is zero"
    assert scores.loc["newborn", "note"] == "no report window"
    assert "2 series without a MASE: 1 with scale zero, 1 too short" in done.stdout
