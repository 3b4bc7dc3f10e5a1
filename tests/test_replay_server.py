"""The server that stands in for the live portals answers and fails as they do."""

from __future__ import annotations

import csv
import http.client
import io
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pandas as pd
import pytest

from replay_server import ReplayServer, Weather, eco2mix, quarter_hours

TR = "/catalog/datasets/eco2mix-national-tr"
WHERE = "date_heure in [date'{}T00:00:00+00:00' TO date'{}T23:59:59+00:00']"
# The clocks of Paris go forward on 31 March 2024 and back on 27 October.
SPRING = quarter_hours("2024-03-29", "2024-04-02")
AUTUMN = quarter_hours("2024-10-26", "2024-10-28")


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    table = eco2mix(SPRING, known_until="2024-04-02 10:00")
    with ReplayServer({"eco2mix-national-tr": table}) as running:
        yield running


def fetch(url: str, **params: Any) -> bytes:
    with urlopen(f"{url}?{urlencode(params)}", timeout=10) as answer:
        return answer.read()


def refused(url: str, **params: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(HTTPError) as caught:
        fetch(url, **params)
    with caught.value as error:
        return error.code, json.loads(error.read())


def export(server: ReplayServer, **params: Any) -> list[dict[str, str]]:
    text = fetch(f"{server.odre_url}{TR}/exports/csv", **params).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text), delimiter=";"))


def test_records_come_in_pages(server):
    url = f"{server.odre_url}{TR}/records"
    pages = [
        json.loads(fetch(url, limit=100, offset=offset, order_by="date_heure"))
        for offset in range(0, 500, 100)
    ]
    assert {page["total_count"] for page in pages} == {5 * 96}
    assert [len(page["results"]) for page in pages] == [100, 100, 100, 100, 80]
    times = [record["date_heure"] for page in pages for record in page["results"]]
    assert times == sorted(times)
    assert times[0] == "2024-03-28T23:00:00+00:00"
    assert len(json.loads(fetch(url))["results"]) == 10
    assert pages[0]["results"][0]["consommation"] == int(SPRING.iloc[0])
    assert pages[-1]["results"][-1]["consommation"] is None


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"limit": 101}, "Invalid value for limit API parameter: 101 was found but -1 <= limit"),
        ({"limit": 100, "offset": 9950}, "sum of offset + limit API parameter: 10050 was found"),
        ({"select": "conso"}, "Unknown field: conso"),
        ({"where": "conso > 3"}, "Unknown field: conso"),
        ({"where": "gar=bage"}, "ODSQL syntax exception"),
        ({"where": "date_heure > 'soon'"}, "ODSQL syntax exception"),
        ({"timezone": "Mars"}, "Invalid value for timezone"),
    ],
)
def test_wrong_requests_are_refused(server, params, said):
    code, content = refused(f"{server.odre_url}{TR}/records", **params)
    assert code == 400
    assert said in content["message"]
    assert content["error_code"]


def test_unknown_places_are_not_found(server):
    assert refused(f"{server.odre_url}/catalog/datasets/other/records")[0] == 404
    assert refused(f"{server.odre_url}{TR}/exports/xml")[0] == 404
    assert refused(f"{server.url}/other")[0] == 404


def test_an_export_has_a_mark_a_header_and_every_row(server):
    body = fetch(f"{server.odre_url}{TR}/exports/csv")
    assert body.startswith(b"\xef\xbb\xbfperimetre;nature;date;heure;date_heure;consommation;")
    assert not fetch(f"{server.odre_url}{TR}/exports/csv", with_bom="false").startswith(b"\xef")
    rows = export(server)
    assert len(rows) == 5 * 96
    assert [row["date_heure"] for row in rows] != sorted(row["date_heure"] for row in rows)
    assert list(export(server, select="date_heure,consommation", limit=1)[0]) == [
        "date_heure",
        "consommation",
    ]
    assert "Consommation (MW)" in export(server, use_labels="true", limit=1)[0]
    assert len(json.loads(fetch(f"{server.odre_url}{TR}/exports/json"))) == 5 * 96


def test_days_can_be_asked_for_in_utc_and_shown_in_paris(server):
    rows = export(server, where=WHERE.format("2024-03-30", "2024-03-30"), order_by="date_heure")
    assert [rows[0]["date_heure"], rows[-1]["date_heure"]] == [
        "2024-03-30T00:00:00+00:00",
        "2024-03-30T23:45:00+00:00",
    ]
    assert len(rows) == 96
    local = export(
        server,
        where="date = '2024-04-01' and consommation is not null",
        order_by="date_heure desc",
        timezone="Europe/Paris",
    )
    assert [local[0]["date_heure"], local[0]["heure"]] == ["2024-04-01T23:45:00+02:00", "23:45"]
    assert export(server, where=WHERE.format("2020-01-01", "2020-12-31")) == []
    half_open = "date_heure in [date'2024-03-30' TO date'2024-03-31'["
    assert len(export(server, where=half_open)) == 96


def test_values_that_are_not_there_yet_are_empty(server):
    rows = export(server, order_by="date_heure")
    known = [row["consommation"] != "" for row in rows]
    assert known == [row["date_heure"] < "2024-04-02T10:00" for row in rows]
    assert all(row["prevision_j1"] for row in rows)


def test_clocks_that_change_leave_every_day_with_96_rows():
    spring, autumn = eco2mix(SPRING), eco2mix(AUTUMN)
    assert set(spring["date"].value_counts()) == set(autumn["date"].value_counts()) == {96}
    twice = spring.loc[spring["date_heure"].duplicated(), "date_heure"]
    hour = pd.date_range("2024-03-31 01:00", periods=4, freq="15min", tz="UTC")
    assert sorted(twice) == list(hour)
    assert spring.groupby("date_heure")["consommation"].nunique().max() == 1
    absent = AUTUMN.index.difference(pd.DatetimeIndex(autumn["date_heure"]))
    hour = pd.date_range("2024-10-27 00:00", periods=4, freq="15min", tz="UTC")
    assert list(absent) == list(hour)


def test_consolidated_data_are_by_the_half_hour():
    table = eco2mix(SPRING, half_hourly=True)
    assert (table["consommation"].notna() == table["date_heure"].dt.minute.isin([0, 30])).all()


def test_weather_is_an_array_a_variable(server):
    null = pd.Timestamp("2024-03-02 05:00", tz="UTC")
    server.weather = Weather(nulls={null})
    place = {"latitude": 48.86, "longitude": 2.35, "hourly": "temperature_2m"}
    days = {"start_date": "2024-03-01", "end_date": "2024-03-02"}
    answer = json.loads(fetch(server.open_meteo_url, **place, **days, timezone="UTC"))
    hourly = answer["hourly"]
    assert [hourly["time"][0], hourly["time"][-1]] == ["2024-03-01T00:00", "2024-03-02T23:00"]
    assert len(hourly["time"]) == len(hourly["temperature_2m"]) == 48
    assert [i for i, value in enumerate(hourly["temperature_2m"]) if value is None] == [29]
    assert answer["utc_offset_seconds"] == 0
    local = json.loads(fetch(server.open_meteo_url, **place, **days, timezone="Europe/Paris"))
    assert local["utc_offset_seconds"] == 3600
    assert local["hourly"]["temperature_2m"][1:] == hourly["temperature_2m"][:-1]
    several = {**place, "latitude": "48.86,43.3", "longitude": "2.35,5.37"}
    assert len(json.loads(fetch(server.open_meteo_url, **several, **days))) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"end_date": "2050-01-01"},
            "Parameter 'end_date' is out of allowed range from 2016-01-01",
        ),
        ({"start_date": "soon"}, "Invalid date format"),
        ({"latitude": "north"}, "latitude"),
        ({"hourly": "temperature"}, "Invalid String value temperature"),
        ({"timezone": "Mars"}, "Invalid timezone"),
    ],
)
def test_wrong_requests_for_weather_are_refused(server, changes, said):
    right = {"latitude": 48.86, "longitude": 2.35, "hourly": "temperature_2m"}
    right |= {"start_date": "2024-03-01", "end_date": "2024-03-02"}
    code, content = refused(server.open_meteo_url, **{**right, **changes})
    assert code == 400
    assert content["error"] is True
    assert said in content["reason"]


def test_faults_strike_as_often_as_told_and_only_where_told(server):
    server.fail(429, "exports", times=2, retry_after="7")
    url = f"{server.odre_url}{TR}/exports/csv"
    assert json.loads(fetch(f"{server.odre_url}{TR}/records"))["total_count"] == 480
    for _ in range(2):
        with pytest.raises(HTTPError) as caught:
            fetch(url)
        with caught.value as error:
            assert [error.code, error.headers["Retry-After"]] == [429, "7"]
    assert len(export(server)) == 480
    assert [request.status for request in server.asked("exports")] == [429, 429, 200]
    assert server.asked("records")[0].params == {}
    server.fail(500)
    server.forget()
    assert len(export(server)) == 480
    assert len(server.requests) == 1


def test_bodies_are_cut(server):
    server.cut(times=2)
    with pytest.raises(http.client.IncompleteRead):
        export(server)
    with pytest.raises(http.client.IncompleteRead):
        fetch(f"{server.odre_url}{TR}/records", limit=100)
    server.drop()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        export(server)
    assert server.requests[-1].status == 0
    assert len(export(server)) == 480


def test_an_interrupted_export_says_so_in_its_last_line(server):
    server.interrupt("exports")
    *rows, last = fetch(f"{server.odre_url}{TR}/exports/csv").decode().splitlines()
    assert 400 < len(rows) < 480
    assert last.startswith("Streaming interrupted")
    assert all(row.count(";") == rows[0].count(";") for row in rows)


def test_answers_can_be_slow_and_closing_does_not_wait_for_them():
    with ReplayServer({"eco2mix-national-tr": eco2mix(SPRING)}) as server:
        server.delay(60)
        began = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            urlopen(f"{server.odre_url}{TR}/records", timeout=0.5).read()
    assert time.monotonic() - began < 10


def test_what_it_knows_can_change(server):
    table = server.datasets["eco2mix-national-tr"]
    first = {"order_by": "date_heure", "limit": 1}
    before = int(export(server, **first)[0]["consommation"])
    revised = table.assign(consommation=table["consommation"] + 7)
    server.datasets["eco2mix-national-tr"] = revised
    assert int(export(server, **first)[0]["consommation"]) == before + 7
    server.datasets["eco2mix-national-tr"] = table.rename(columns={"consommation": "conso"})
    assert "conso" in export(server, **first)[0]
    text = table["consommation"].astype(object).map(lambda cell: f"{cell} MW")
    server.datasets["eco2mix-national-tr"] = table.assign(consommation=text)
    assert export(server, **first)[0]["consommation"] == f"{before} MW"
    url = f"{server.odre_url}{TR}/exports/csv"
    server.datasets["eco2mix-national-tr"] = table.drop(columns="consommation")
    assert refused(url, select="date_heure,consommation")[1]["error_code"] == "ODSQLError"
