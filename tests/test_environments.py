"""The environments in `conf/`: each is accepted, and says what its files are like."""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from clepsydra import settings
from clepsydra.config import (
    CalendarConfig,
    CleaningConfig,
    HierarchyConfig,
    ModelsConfig,
    SourceConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
    parse_as_of,
)
from environments import ENVIRONMENTS, SHARED, data_set, read_configuration
from line_runner import PROJECT


def sources_of(environment: str) -> dict[str, SourceConfig]:
    return dict(SourcesConfig.model_validate(read_configuration(environment)["sources"]).items())


def columns_of(source: SourceConfig, file: Path) -> list[str]:
    """The header of a file, read without this project."""
    if file.suffix == ".parquet":
        return pq.read_schema(file).names
    with file.open(encoding=source.encoding, newline="") as lines:
        return next(csv.reader(lines, delimiter=source.separator or ","))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_is_accepted(environment: str) -> None:
    parameters = read_configuration(environment)
    for key, model in {
        "sources": SourcesConfig,
        "task": TaskConfig,
        "cleaning": CleaningConfig,
        "calendar": CalendarConfig,
        "windows": WindowsConfig,
        "models": ModelsConfig,
        "hierarchy": HierarchyConfig,
    }.items():
        model.model_validate(parameters[key])
    parse_as_of(parameters["as_of"])
    assert set(parameters) == set(read_configuration("base"))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_keeps_its_data_apart_and_names_no_place_on_this_machine(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLEPSYDRA_SHARED_DATA", raising=False)
    assert read_configuration(environment, "globals")["data_root"] == f"data/{environment}"
    for name, source in sources_of(environment).items():
        if source.package:
            assert importlib.util.find_spec(source.package), name
        elif source.path:
            assert source.path.startswith("../shared/data/"), name
        else:
            assert source.http, name


@pytest.mark.parametrize("environment", SHARED)
def test_its_files_have_the_columns_it_names(environment: str) -> None:
    data_set(environment)
    for name, source in sources_of(environment).items():
        assert source.path
        files = sorted((PROJECT / source.path).parent.glob(Path(source.path).name))
        assert files, f"{name}: {source.path}"
        for file in files:
            absent = set(source.needed_columns()) - set(columns_of(source, file))
            assert not absent, f"{name}: {file.name}"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_its_covariates_have_names_of_their_own(environment: str) -> None:
    parameters = read_configuration(environment)
    names = [
        column
        for source in sources_of(environment).values()
        if source.role == "covariate"
        for column in source.renames.values()
    ]
    names += CalendarConfig.model_validate(parameters["calendar"]).columns
    assert len(names) == len(set(names))
    assert all(name.isidentifier() and name == name.lower() for name in names)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_windows_leave_history_to_learn_from(environment: str) -> None:
    """The first window of the shortest series begins after two seasons."""
    parameters = read_configuration(environment)
    task = TaskConfig.model_validate(parameters["task"])
    windows = WindowsConfig.model_validate(parameters["windows"])
    steps = {"fr_load": 32_000, "vic_electricity": 52_000, "uci_air_quality": 9_000}
    steps |= {"m4_hourly": 700, "m5_small": 1_941, "rte": 90 * 24, "flights_hierarchy": 8_000}
    day = {"h": 24, "30min": 48, "D": 1}[task.freq]
    horizon, gap = (
        int(span.removesuffix("D")) * day if isinstance(span, str) else span
        for span in (task.horizon, task.gap)
    )
    used = (windows.calibrate + windows.select + windows.report) * horizon + gap
    assert steps[environment] - used >= 2 * task.season_length


def test_the_live_environment_asks_the_portals_for_days(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = sources_of("rte")
    live = {name: source.http for name, source in sources.items() if source.http}
    assert len(live) == 11
    assert {http.url for http in live.values() if http} == {
        "https://odre.opendatasoft.com/api/explore/v2.1/catalog/datasets/eco2mix-national-tr"
        "/exports/csv",
        "https://historical-forecast-api.open-meteo.com/v1/forecast",
    }
    places = set()
    for name, http in live.items():
        assert http and http.window, name
        places.add((http.params.get("latitude"), http.params.get("longitude")))
        if sources[name].known == "in_advance":
            # Yesterday is known, today is a gap, tomorrow is the horizon.
            assert http.window.ahead == 2, name
    assert len(places) == 11
    assert read_configuration("rte")["as_of"] == dt.datetime.now(ZoneInfo("Europe/Paris")).strftime(
        "%Y-%m-%d"
    )


def test_shared_data_is_beside_the_project_or_where_the_variable_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve = settings.CONFIG_LOADER_ARGS["custom_resolvers"]["shared_data"]
    monkeypatch.delenv("CLEPSYDRA_SHARED_DATA", raising=False)
    assert resolve() == "../shared/data"
    monkeypatch.setenv("CLEPSYDRA_SHARED_DATA", "")
    assert resolve() == "../shared/data"
    monkeypatch.setenv("CLEPSYDRA_SHARED_DATA", "elsewhere")
    assert resolve() == "elsewhere"
    load = sources_of("fr_load")["load"]
    assert load.path == "elsewhere/fr_load/Total Load - Day Ahead _ Actual_*.csv"


def test_today_is_a_day_of_the_zone() -> None:
    resolve = settings.CONFIG_LOADER_ARGS["custom_resolvers"]["today"]
    east, west = (dt.date.fromisoformat(resolve(f"Etc/GMT{hours}")) for hours in ("-14", "+12"))
    assert dt.timedelta(days=1) <= east - west <= dt.timedelta(days=2)
    assert west <= dt.date.fromisoformat(resolve()) <= east
    with pytest.raises(ValueError, match="unknown time zone 'Europe/Gotham'"):
        resolve("Europe/Gotham")


def test_a_typing_error_in_an_environment_is_refused() -> None:
    raw = read_configuration("fr_load")["sources"]
    raw["load"]["intervall"] = raw["load"].pop("interval")
    with pytest.raises(ValidationError, match="intervall"):
        SourcesConfig.model_validate(raw)
