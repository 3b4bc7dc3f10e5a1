"""What the line makes of real files, against facts that plain pandas finds in the same files.

Nothing here reads the configuration: how a file is written is said a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from environments import EnvironmentLine, copy_environment, data_set

pytestmark = pytest.mark.e2e

HOUR = pd.Timedelta("1h")
CITIES = ["bayonne", "brest", "lille", "limoges", "lyon"]
CITIES += ["marseille", "nantes", "paris", "strasbourg", "toulouse"]


def line_of(environment: str) -> Callable[..., EnvironmentLine]:
    """A fixture: the environment's panel and its account, made once."""

    @pytest.fixture(scope="module", name=environment)
    def collect_and_clean(tmp_path_factory: pytest.TempPathFactory) -> EnvironmentLine:
        data_set(environment)
        line = copy_environment(tmp_path_factory.mktemp(environment), environment)
        line.run("--pipelines=collect,clean")
        return line

    return collect_and_clean


fr_load, vic_electricity, uci_air_quality, m4_hourly, m5_small = map(
    line_of, ["fr_load", "vic_electricity", "uci_air_quality", "m4_hourly", "m5_small"]
)


def panel_of(line: EnvironmentLine) -> pd.DataFrame:
    panel = line.read("03_primary/panel.parquet")
    assert not panel.duplicated(["unique_id", "ds"]).any()
    return panel


def one_series(line: EnvironmentLine, unique_id: str) -> pd.DataFrame:
    """A series of the panel by its naive UTC time."""
    panel = panel_of(line)
    return panel[panel["unique_id"] == unique_id].set_index("ds").sort_index()


def account(line: EnvironmentLine, source: str) -> pd.Series:
    """Rows by measure of a source, after seeing that none is lost, in all and in every series."""
    quality = line.read("08_reporting/quality_report.parquet")
    quality = quality[quality["source"] == source]
    table = quality.pivot_table(
        index="unique_id", columns="measure", values="value", aggfunc="sum", fill_value=0
    )
    fates = [name for name in table if name.startswith(("excluded: ", "quarantined: "))]
    assert (table["rows in"] == table[["rows kept", *fates]].sum(axis=1)).all()
    return table.sum()


def set_aside(measures: pd.Series, fate: str) -> int:
    """How many rows had that fate, for whatever reason."""
    return int(measures[measures.index.str.startswith(f"{fate}: ")].sum())


def events(line: EnvironmentLine, kind: str) -> pd.DataFrame:
    found = line.read("08_reporting/quality_events.parquet")
    assert list(found.columns) == [
        *("source", "unique_id", "kind", "start", "end", "steps", "note"),
    ]
    return found[found["kind"] == kind]


def gaps(line: EnvironmentLine, unique_id: str) -> list[tuple[pd.Timestamp, pd.Timestamp, int]]:
    found = events(line, "gap")
    found = found[found["unique_id"] == unique_id].sort_values("start")
    return list(found[["start", "end", "steps"]].itertuples(index=False, name=None))


def runs(
    missing: pd.DatetimeIndex, step: pd.Timedelta = HOUR
) -> list[tuple[pd.Timestamp, pd.Timestamp, int]]:
    """Start, end and number of steps of each run of missing times."""
    times = missing.to_series()
    groups = times.groupby((times.diff() != step).cumsum())
    return [(run.iloc[0], run.iloc[-1] + step, len(run)) for _, run in groups]


def clock_changes(first: pd.Timestamp, last: pd.Timestamp, zone: str) -> list[pd.Timestamp]:
    """The hours (naive UTC) from which on another offset holds."""
    hours = pd.date_range(first.floor("h"), last, freq="h")
    offsets = [
        hour.to_pydatetime().astimezone(ZoneInfo(zone)).utcoffset()
        for hour in hours.tz_localize("UTC")
    ]
    changed = pd.Series(offsets, index=hours)
    return list(hours[1:][(changed != changed.shift())[1:]])


def found_changes(line: EnvironmentLine) -> list[pd.Timestamp]:
    return sorted(set(events(line, "clock change")["start"]))


def assert_same(found: pd.Series, expected: pd.Series) -> None:
    """Same times and values; floats of single precision count as the same."""
    assert list(found.index) == list(expected.index)
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=1e-6)


# The load of France -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def load() -> pd.DataFrame:
    """`actual` and `day_ahead` by naive UTC hour, as of the whole files."""
    files = sorted(data_set("fr_load").glob("Total Load*.csv"))
    rows = pd.concat([pd.read_csv(file, na_values="N/A") for file in files])
    rows.columns = ["time", "day_ahead", "actual"]
    start = rows["time"].str.split(" - ").str[0]
    return rows.set_index(pd.to_datetime(start, format="%d.%m.%Y %H:%M")).drop(columns="time")


# 9:00 of 29 September 2024 in Paris.
FR_END = pd.Timestamp("2024-09-29 07:00")


def test_french_files_are_as_described(load):
    assert len(load) == 32_856
    assert load.index.is_unique
    assert (load.index.to_series().diff()[1:] == HOUR).all()
    assert load["actual"].isna().sum() == 36
    assert len(runs(load.index[load["actual"].isna()])) == 23
    assert load["day_ahead"].notna().all()


def test_french_load_keeps_every_row(fr_load, load):
    measures = account(fr_load, "load")
    before = load[load.index < FR_END]
    assert measures["rows in"] == len(before) == 32_815
    assert measures["excluded: no value"] == set_aside(measures, "excluded") == 36
    assert set_aside(measures, "quarantined") == 0
    assert measures["rows kept"] == 32_815 - 36


def test_french_hours_without_a_value_are_known_one_by_one(fr_load, load):
    known = load[load.index < FR_END]
    missing = known.index[known["actual"].isna()]
    series = one_series(fr_load, "france")
    assert list(series.index) == list(known.index)
    assert list(series.index[series["is_imputed"]]) == list(missing)
    assert list(missing[:2]) == [
        pd.Timestamp("2021-01-03 22:00"),
        pd.Timestamp("2021-02-24 08:00"),
    ]
    assert gaps(fr_load, "france") == runs(missing)
    assert (pd.Timestamp("2022-01-10 10:00"), pd.Timestamp("2022-01-10 16:00"), 6) in runs(missing)
    seen = series[~series["is_imputed"]]
    assert_same(seen["y"], known["actual"].dropna())


def test_french_clocks_change_seven_times(fr_load, load):
    expected = clock_changes(load.index[0], FR_END, "Europe/Paris")
    assert len(expected) == 7
    assert found_changes(fr_load) == expected


def test_french_weather_is_a_column_a_city_and_missing_where_the_files_are(fr_load):
    series = one_series(fr_load, "france")
    future = fr_load.read("03_primary/future.parquet").set_index("ds")
    for city in CITIES:
        raw = pd.read_parquet(data_set("fr_load") / f"weather_{city}.parquet")
        raw = raw.set_index(raw["time"].dt.tz_localize(None))["temperature_2m"]
        assert raw.index[raw.notna()][0] == pd.Timestamp("2021-03-23")
        assert_same(series[f"temperature_{city}"], raw[raw.index < FR_END])
        assert_same(future[f"temperature_{city}"], raw[raw.index.isin(future.index)])
        measures = account(fr_load, f"weather_{city}")
        assert measures["rows in"] == measures["rows kept"] == len(raw) == 32_880
        assert measures["missing cells: temperature_2m"] == raw.isna().sum() == 1_944


def test_impossible_percentages_of_clouds_do_not_reach_the_panel(fr_load):
    raw = pd.read_parquet(data_set("fr_load") / "weather_paris.parquet")["cloud_cover"]
    impossible = (raw < 0) | (raw > 100)
    assert impossible.sum() == 11
    assert set_aside(account(fr_load, "sky_paris"), "quarantined") == 11
    clouds = one_series(fr_load, "france")["clouds_paris"].dropna()
    assert clouds.between(0, 100).all()


def test_the_weather_reaches_the_end_of_tomorrow(fr_load):
    future = fr_load.read("03_primary/future.parquet").set_index("ds")
    assert list(future.index) == list(pd.date_range(FR_END, "2024-09-30 21:00", freq="h"))
    for name in ("temperature", "wind", "humidity", "clouds"):
        assert future[[f"{name}_{city}" for city in CITIES]].notna().all(axis=None)


def test_school_holidays_last_all_day_in_paris(fr_load):
    raw = pd.read_csv(data_set("fr_calendar") / "vacances_scolaires.csv").set_index("date")
    series = one_series(fr_load, "france")
    day = series.index.tz_localize("UTC").tz_convert("Europe/Paris").strftime("%Y-%m-%d")
    for zone in "abc":
        expected = raw.loc[day, f"vacances_zone_{zone}"].astype(int)
        assert 0.3 < expected.mean() < 0.4
        assert (series[f"school_holiday_{zone}"].to_numpy() == expected.to_numpy()).all()
    # A zone's winter holidays are not those of the others.
    assert (series["school_holiday_a"] != series["school_holiday_b"]).any()


def test_public_holidays_are_those_of_the_official_list(fr_load):
    raw = pd.read_csv(data_set("fr_calendar") / "jours_feries_metropole.csv")
    series = one_series(fr_load, "france")
    day = pd.Series(series.index.tz_localize("UTC").tz_convert("Europe/Paris").date).astype(str)
    official = set(raw["date"])
    assert (series["holiday_distance"].eq(0).to_numpy() == day.isin(official).to_numpy()).all()


# Electricity demand of Victoria -------------------------------------------------------------------


@pytest.fixture(scope="module")
def demand() -> pd.DataFrame:
    rows = pd.read_csv(data_set("vic_electricity") / "vic_electricity.csv")
    return rows.set_index(pd.to_datetime(rows["Time"]).dt.tz_localize(None))


# Midnight of 31 December 2014 in Melbourne.
VIC_END = pd.Timestamp("2014-12-30 13:00")


def test_australian_file_is_as_described(demand):
    assert len(demand) == 52_608
    assert (demand.index.to_series().diff()[1:] == pd.Timedelta("30min")).all()
    assert demand[["Demand", "Temperature", "Holiday"]].notna().all(axis=None)
    days = demand.groupby("Date").size()
    assert days[days != 48].to_dict() == {
        "2012-04-01": 50,
        "2012-10-07": 46,
        "2013-04-07": 50,
        "2013-10-06": 46,
        "2014-04-06": 50,
        "2014-10-05": 46,
    }


def test_australian_demand_is_whole(vic_electricity, demand):
    known = demand[demand.index < VIC_END]
    measures = account(vic_electricity, "demand")
    assert measures["rows in"] == measures["rows kept"] == len(known) == 52_608 - 48
    series = one_series(vic_electricity, "victoria")
    assert_same(series["y"], known["Demand"])
    assert not series["is_imputed"].any()
    assert events(vic_electricity, "gap").empty
    assert account(vic_electricity, "weather")["rows in"] == len(known)
    assert account(vic_electricity, "holidays")["rows in"] == len(demand)


def test_australian_clocks_change_on_the_days_that_are_not_24_hours_long(vic_electricity, demand):
    expected = clock_changes(demand.index[0], VIC_END, "Australia/Melbourne")
    local = [str(at.tz_localize("UTC").tz_convert("Australia/Melbourne").date()) for at in expected]
    days = demand.groupby("Date").size()
    assert local == list(days.index[days != 48])
    assert found_changes(vic_electricity) == expected


def test_australian_temperature_is_past_and_holidays_are_known(vic_electricity, demand):
    series = one_series(vic_electricity, "victoria")
    known = demand[demand.index < VIC_END]
    assert_same(series["temperature"], known["Temperature"])
    assert_same(series["holiday"], known["Holiday"])
    future = vic_electricity.read("03_primary/future.parquet").set_index("ds")
    assert "temperature" not in future
    assert_same(future["holiday"], demand.loc[demand.index >= VIC_END, "Holiday"])
    # In the file Easter Saturday is a day as any other; in the calendar it is none.
    local = series.index.tz_localize("UTC").tz_convert("Australia/Melbourne")
    differs = series["holiday"].eq(1).to_numpy() != series["holiday_distance"].eq(0).to_numpy()
    assert sorted(set(map(str, local[differs].date))) == ["2012-04-07", "2013-03-30", "2014-04-19"]


# Air quality --------------------------------------------------------------------------------------


POLLUTANTS = ["CO", "C6H6", "NMHC", "NO2", "NOx"]
# The hour after the last row, 4 April 2005 14.00.00 at UTC+1.
AIR_END = pd.Timestamp("2005-04-04 14:00")


@pytest.fixture(scope="module")
def air_lines() -> list[str]:
    file = data_set("uci_air_quality") / "AirQualityUCI.csv"
    return file.read_text(encoding="ascii").splitlines()


@pytest.fixture(scope="module")
def air(air_lines) -> pd.DataFrame:
    """Text cells by what the clock showed, without the rows that are only semicolons."""
    header, *lines = (line.split(";") for line in air_lines)
    rows = pd.DataFrame([line for line in lines if any(line)], columns=header)
    shown = pd.to_datetime(rows["Date"] + " " + rows["Time"], format="%d/%m/%Y %H.%M.%S")
    return rows.iloc[:, 2:15].set_index(shown)


def measured(air: pd.DataFrame, column: str) -> pd.Series:
    """Numbers by naive UTC time, missing where the file says -200."""
    values = air[column].str.replace(",", ".").astype(float)
    return values.mask(values == -200).set_axis(air.index - HOUR)


def test_air_file_is_as_described(air_lines, air):
    blank = [number for number, line in enumerate(air_lines, 1) if line and not line.strip(";")]
    assert [len(blank), blank[0], blank[-1]] == [114, 9_359, 9_472]
    assert len(air) == 9_357
    assert (air.index.to_series().diff()[1:] == HOUR).all()
    absent = air.isin(["-200", "-200,0"]).sum()
    assert absent.sum() == 16_701
    assert absent[[f"{name}(GT)" for name in POLLUTANTS]].tolist() == [
        *(1_683, 366, 8_443, 1_642, 1_639),
    ]


def test_air_clock_did_not_change(air):
    """Both Sundays have each hour once, and the morning rush moves by an hour between them."""
    for day in ("2004-03-28", "2004-10-31", "2005-03-27"):
        assert (air.index.strftime("%Y-%m-%d") == day).sum() == 24
    benzene = measured(air, "C6H6(GT)").set_axis(air.index)
    benzene = benzene[(benzene.index.dayofweek < 5) & benzene.index.hour.isin(range(5, 12))]
    summer = (benzene.index >= "2004-03-28") & (benzene.index < "2004-10-31")
    peak = {
        name: days.groupby(days.index.hour).mean().idxmax()
        for name, days in {"summer": benzene[summer], "winter": benzene[~summer]}.items()
    }
    assert peak == {"summer": 8, "winter": 9}


@pytest.mark.parametrize("name", POLLUTANTS)
def test_air_series_have_the_values_and_the_gaps_of_the_file(uci_air_quality, air, name):
    raw = measured(air, f"{name}(GT)")
    quality = uci_air_quality.read("08_reporting/quality_report.parquet")
    quality = quality[(quality["source"] == "pollutants") & (quality["unique_id"] == name)]
    measures = quality.groupby("measure")["value"].sum()
    assert measures["rows in"] == 9_357 + 114
    assert measures["excluded: blank line"] == 114
    assert measures["excluded: no value"] == raw.isna().sum()
    assert measures["rows kept"] == raw.notna().sum()
    series = one_series(uci_air_quality, name)
    assert_same(series.loc[~series["is_imputed"], "y"], raw.dropna())
    assert [series.index[0], series.index[-1] + HOUR] == [raw.index[0], AIR_END]
    assert list(series.index[series["is_imputed"]]) == list(raw.index[raw.isna()])
    within = raw[: raw.last_valid_index()]
    found = [gap for gap in gaps(uci_air_quality, name) if gap[1] < AIR_END]
    assert found == runs(within.index[within.isna()])


def test_air_rows_of_semicolons_are_counted_and_nothing_is_quarantined(uci_air_quality):
    # A row of a wide table is a row of each of its series.
    for source, copies in {"pollutants": 5, "sensors": 1}.items():
        measures = account(uci_air_quality, source)
        assert measures["rows in"] == copies * (9_357 + 114)
        assert measures["excluded: blank line"] == copies * 114
        assert set_aside(measures, "quarantined") == 0
    assert uci_air_quality.read("08_reporting/quarantine.parquet").empty


def test_air_hours_that_the_country_skipped_are_kept(uci_air_quality, air):
    changes = clock_changes(air.index[0] - HOUR, AIR_END, "Europe/Rome")
    assert list(map(str, changes)) == [
        *("2004-03-28 01:00:00", "2004-10-31 01:00:00", "2005-03-27 01:00:00"),
    ]
    assert found_changes(uci_air_quality) == changes
    series = one_series(uci_air_quality, "CO")
    shown = pd.Timestamp("2004-03-28 02:00")
    assert air.loc[shown, "CO(GT)"] == "1,7"
    assert series.loc[shown - HOUR, "y"] == 1.7


def test_air_sensors_are_covariates(uci_air_quality, air):
    series = one_series(uci_air_quality, "C6H6")
    for column, name in {"T": "temperature", "PT08.S5(O3)": "sensor_o3"}.items():
        raw = measured(air, column)
        values = raw.notna().to_numpy()
        assert_same(series.loc[values, name], raw[values])
        quality = account(uci_air_quality, "sensors")
        assert quality[f"missing cells: {column}"] == raw.isna().sum() == 366


def test_air_series_that_ended_is_flagged(uci_air_quality):
    series = uci_air_quality.read("03_primary/series.parquet").set_index("unique_id")
    assert sorted(series.index) == sorted(POLLUTANTS)
    assert series["flags"].str.contains("ended").to_dict() == {
        name: name == "NMHC" for name in POLLUTANTS
    }


# M4 -----------------------------------------------------------------------------------------------


M4_LAST = pd.Timestamp("2015-08-09 23:00")


@pytest.fixture(scope="module")
def competition() -> pd.DataFrame:
    """A column an hour, a row a series."""
    file = data_set("m4_hourly") / "Hourly-train.csv"
    return pd.read_csv(file, index_col="V1")


def test_m4_file_is_as_described(competition):
    assert competition.shape == (414, 960)
    assert competition.index.is_unique
    lengths = competition.notna().sum(axis=1)
    assert lengths.value_counts().to_dict() == {960: 245, 700: 169}
    for _, row in competition.iterrows():
        assert row.last_valid_index() == f"V{row.notna().sum() + 1}"


def test_m4_has_every_series_and_every_value(m4_hourly, competition):
    panel = panel_of(m4_hourly)
    lengths = competition.notna().sum(axis=1)
    assert panel.groupby("unique_id").size().to_dict() == lengths.to_dict()
    assert len(panel) == lengths.sum() == 353_500
    assert account(m4_hourly, "hourly")["rows kept"] == 353_500
    assert not panel["is_imputed"].any()
    # All end together, at the end that the configuration makes up.
    ends = panel.groupby("unique_id")["ds"].agg(["min", "max"])
    assert (ends["max"] == M4_LAST).all()
    assert (ends["min"] == M4_LAST - (lengths[ends.index] - 1) * HOUR).all()
    in_order = panel.sort_values(["unique_id", "ds"])
    for unique_id, found in in_order.groupby("unique_id")["y"]:
        assert found.tolist() == competition.loc[unique_id].dropna().tolist()
    assert events(m4_hourly, "gap").empty
    assert events(m4_hourly, "clock change").empty


# M5 -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> pd.DataFrame:
    rows = pd.read_csv(data_set("m5_small") / "m5_sales_exog_small.csv", parse_dates=["ds"])
    return rows.sort_values(["unique_id", "ds"], ignore_index=True)


def test_m5_file_is_as_described(shop):
    assert len(shop) == 15_752 == 8 * 1_969
    days = shop.groupby("unique_id")["ds"].agg(["min", "max", "nunique"])
    assert (days["nunique"] == 1_969).all()
    assert ((days["max"] - days["min"]).dt.days == 1_968).all()
    unpriced = shop[shop["sell_price"].isna()]
    assert unpriced.groupby("unique_id").size().to_dict() == {
        "FOODS_1_004": 399,
        "FOODS_1_008": 259,
        "FOODS_1_009": 399,
    }
    assert unpriced["y"].eq(0).all()
    firsts = shop.dropna(subset="sell_price").groupby("unique_id")["ds"].min()
    assert (unpriced["ds"] < unpriced["unique_id"].map(firsts)).all()


def test_m5_sales_are_whole(m5_small, shop):
    known = shop[shop["ds"] < "2016-05-23"]
    measures = account(m5_small, "sales")
    assert measures["rows in"] == measures["rows kept"] == len(known) == 8 * 1_941
    panel = panel_of(m5_small).sort_values(["unique_id", "ds"], ignore_index=True)
    assert panel["unique_id"].tolist() == known["unique_id"].tolist()
    assert panel["ds"].tolist() == known["ds"].tolist()
    assert panel["y"].tolist() == known["y"].tolist()
    assert not panel["is_imputed"].any()
    assert events(m5_small, "gap").empty
    assert events(m5_small, "clock change").empty


def test_m5_prices_and_events_are_joined_to_their_item_and_known_in_advance(m5_small, shop):
    measures = account(m5_small, "plan")
    assert measures["rows in"] == measures["rows kept"] == len(shop)
    assert measures["missing cells: sell_price"] == 1_057
    names = {"sell_price": "price", "event_type_Sporting": "event_sporting"}
    tables = {
        "03_primary/panel.parquet": shop[shop["ds"] < "2016-05-23"],
        "03_primary/future.parquet": shop[shop["ds"] >= "2016-05-23"],
    }
    for path, expected in tables.items():
        found = m5_small.read(path).sort_values(["unique_id", "ds"], ignore_index=True)
        assert len(found) == len(expected)
        for raw, name in names.items():
            np.testing.assert_allclose(found[name], expected[raw], rtol=1e-6)
