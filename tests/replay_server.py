"""A local HTTP server that speaks as the portals of `conf/rte` do, and fails as it is told.

Two APIs, as far as this project asks them:

- Opendatasoft Explore v2.1: `records` in pages with `limit` (at most 100) and `offset`, which reach
  the first 10,000; `exports/csv` and `exports/json`, which reach all; and `select`, `where`,
  `order_by` and `timezone`.
- Open-Meteo: one array a variable under `hourly`, with nulls.

What they answer is made up by the functions here, so that a test knows it exactly.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

__all__ = ["ReplayServer", "Weather", "eco2mix", "quarter_hours"]

PARIS = "Europe/Paris"
_EXPLORE = "/api/explore/v2.1"
_OPEN_METEO = "/v1/forecast"
_LABELS = {"date_heure": "Date et Heure", "consommation": "Consommation (MW)"}
_MOST_RECORDS, _LONGEST_PAGE = 10_000, 100


# Content ------------------------------------------------------------------------------------------


def quarter_hours(first: str, last: str) -> pd.Series:
    """A load that has days, weeks, seasons and noise, in whole megawatts.

    Args:
        first: first day in Paris.
        last: last day in Paris.

    Returns:
        MW by aware UTC time, a value a quarter-hour. A time has the same value in every series.
    """
    end = pd.Timestamp(last, tz=PARIS) + pd.DateOffset(days=1)
    times = pd.date_range(
        pd.Timestamp(first, tz=PARIS), end, freq="15min", inclusive="left"
    ).tz_convert("UTC")
    local = times.tz_convert(PARIS)
    hour = local.hour + local.minute / 60
    number = (times - pd.Timestamp("2020-01-01", tz="UTC")) // pd.Timedelta("15min")
    load = (
        52_000
        + 12_000 * np.cos(2 * np.pi * local.dayofyear / 365.25)
        - 6_000 * np.cos(2 * np.pi * (hour - 5) / 24)
        - 4_000 * (local.dayofweek >= 5)
        + number % 97
        + 13 * (number % 2)
    )
    return pd.Series(np.round(load).astype(int), index=times, name="consommation")


def eco2mix(
    load: pd.Series, known_until: str | None = None, half_hourly: bool = False
) -> pd.DataFrame:
    """The table that the portal makes of a load.

    A day has 96 rows, whatever clocks do. Of the hour that they repeat there is one only, the
    second; the hour that they skip is there, with the times and values of the hour after it.

    Args:
        load: from `quarter_hours`, of whole days in Paris.
        known_until: the rows of this time (UTC) and later have no consumption yet.
        half_hourly: only :00 and :30 have a consumption, as in consolidated data.

    Returns:
        Rows in no order.
    """
    naive = pd.date_range(
        load.index[0].tz_convert(PARIS).tz_localize(None),
        load.index[-1].tz_convert(PARIS).tz_localize(None),
        freq="15min",
    )
    times = naive.tz_localize(PARIS, ambiguous=False, nonexistent=pd.Timedelta("1h")).tz_convert(
        "UTC"
    )
    values = load.reindex(times).to_numpy()
    table = pd.DataFrame(
        {
            "perimetre": "France",
            "nature": "Données consolidées" if half_hourly else "Données temps réel",
            "date": naive.strftime("%Y-%m-%d"),
            "heure": naive.strftime("%H:%M"),
            "date_heure": times,
            "consommation": pd.array(values, dtype="Int64"),
            "prevision_j1": pd.array(values + 150, dtype="Int64"),
            "prevision_j": pd.array(values - 50, dtype="Int64"),
            "taux_co2": pd.array(values % 60 + 10, dtype="Int64"),
        }
    )
    unknown = pd.Series(False, index=table.index)
    if half_hourly:
        unknown |= ~table["date_heure"].dt.minute.isin([0, 30])
    if known_until:
        unknown |= table["date_heure"] >= pd.Timestamp(known_until, tz="UTC")
    table.loc[unknown, "consommation"] = pd.NA
    return table.sample(frac=1, random_state=0, ignore_index=True)


@dataclass
class Weather:
    """A made-up weather for every place and hour.

    Attributes:
        first: first day there is an answer for.
        last: last day there is an answer for: some days from now.
        nulls: hours (UTC) without a value.
        warmer: degrees added from an hour (UTC) on, as a later forecast does.
    """

    first: dt.date = dt.date(2016, 1, 1)
    last: dt.date = dt.date(2030, 1, 1)
    nulls: set[pd.Timestamp] = field(default_factory=set)
    warmer: dict[pd.Timestamp, float] = field(default_factory=dict)

    def temperature(self, latitude: float, longitude: float, hours: pd.DatetimeIndex) -> pd.Series:
        """Degrees Celsius by aware UTC hour, missing where there is none."""
        season = -9 * np.cos(2 * np.pi * (hours.dayofyear - 20) / 365.25)
        day = -4 * np.cos(2 * np.pi * (hours.hour - 3) / 24)
        place = 0.8 * (46 - latitude) + 0.1 * longitude
        degrees = pd.Series(np.round(12 + season + day + place, 1), index=hours)
        for start, more in self.warmer.items():
            degrees[hours >= start] += more
        return degrees.mask(hours.isin(list(self.nulls))).round(1)


# The server ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A request that came in, and how it was answered; status 0 if it was not."""

    path: str
    params: dict[str, str]
    status: int


@dataclass
class Fault:
    """What is to go wrong, how often, with requests whose path contains `path`."""

    kind: Literal["status", "cut", "interrupted", "drop", "slow"]
    path: str
    times: int
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Answer:
    """What is sent."""

    body: bytes
    content_type: str = "application/json; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    # Exports are made while they are sent: their length is not known before.
    in_chunks: bool = False


class RefusedError(Exception):
    """A request that the API does not answer as asked."""

    def __init__(self, status: int, content: dict[str, Any]):
        super().__init__(content)
        self.answer = Answer(json.dumps(content, ensure_ascii=False).encode(), status=status)


class ReplayServer:
    """Listens on a free port of 127.0.0.1 while its context is open.

    Attributes:
        datasets: tables of the portal by id. Change them to revise, rename or retype.
        weather: what Open-Meteo knows.
        requests: what was asked, in order.

    Examples:
        >>> from urllib.request import urlopen
        >>> table = eco2mix(quarter_hours("2024-03-01", "2024-03-02"))
        >>> with ReplayServer({"eco2mix-national-tr": table}) as server:
        ...     url = f"{server.odre_url}/catalog/datasets/eco2mix-national-tr/records?limit=0"
        ...     with urlopen(url) as answer:
        ...         answer.read()
        b'{"total_count": 192, "results": []}'
    """

    def __init__(
        self, datasets: dict[str, pd.DataFrame] | None = None, weather: Weather | None = None
    ):
        self.datasets = datasets or {}
        self.weather = weather or Weather()
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.closing = threading.Event()

    def __enter__(self) -> ReplayServer:
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def odre_url(self) -> str:
        """For the global `odre_url`."""
        return f"{self.url}{_EXPLORE}"

    @property
    def open_meteo_url(self) -> str:
        """For the global `open_meteo_url`."""
        return f"{self.url}{_OPEN_METEO}"

    def asked(self, path: str) -> list[Request]:
        """The requests so far whose path contains this."""
        with self._lock:
            return [request for request in self.requests if path in request.path]

    def forget(self) -> None:
        """Forget the requests so far, and the faults to come."""
        with self._lock:
            self.requests.clear()
            self._faults.clear()

    # What is to go wrong with the next requests whose path contains `path`. Faults wait in line.

    def fail(self, status: int, path: str = "", times: int = 1, **headers: str) -> None:
        """Answer with an error; a header such as `Retry-After` is `retry_after="1"`."""
        named = {name.replace("_", "-").title(): text for name, text in headers.items()}
        self._add(Fault("status", path, times, status, named))

    def cut(self, path: str = "", times: int = 1) -> None:
        """Close the connection in the middle of the body."""
        self._add(Fault("cut", path, times))

    def interrupt(self, path: str = "", times: int = 1) -> None:
        """End an export early with a sentence that says so, as the portal does, with status 200."""
        self._add(Fault("interrupted", path, times))

    def drop(self, path: str = "", times: int = 1) -> None:
        """Close the connection without an answer."""
        self._add(Fault("drop", path, times))

    def delay(self, seconds: float, path: str = "", times: int = 1) -> None:
        """Stop that long in the middle of the body."""
        self._add(Fault("slow", path, times, seconds=seconds))

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def next_fault(self, path: str) -> Fault | None:
        """The first fault in line for that path, used once."""
        with self._lock:
            for fault in self._faults:
                if fault.path in path and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def note(self, request: Request) -> None:
        """Remember a request."""
        with self._lock:
            self.requests.append(request)

    def answer(self, path: str, params: dict[str, str]) -> Answer:
        """What the APIs say to a request that goes well.

        Raises:
            RefusedError: the request is wrong.
        """
        if path == _OPEN_METEO:
            return _forecast(self.weather, params)
        found = re.fullmatch(rf"{_EXPLORE}/catalog/datasets/([^/]+)/(.+?)/?", path)
        if not found:
            raise RefusedError(
                404, {"error_code": "NotFoundResource", "message": "No such resource."}
            )
        name, action = found.groups()
        if name not in self.datasets:
            raise RefusedError(
                404,
                {
                    "error_code": "NotFoundResource",
                    "message": f"The requested dataset {name} does not exist.",
                },
            )
        with self._lock:
            table = self.datasets[name]
        if action == "records":
            return _records(table, params)
        if action == "exports/csv":
            return _csv_export(table, params)
        if action == "exports/json":
            return _json_export(table, params)
        raise RefusedError(404, {"error_code": "NotFoundResource", "message": "No such resource."})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may hang up; anything else is a defect of a test, and shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler_of(server: ReplayServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            params = dict(parse_qsl(url.query, keep_blank_values=True))
            fault = server.next_fault(url.path)
            if fault and fault.kind == "drop":
                server.note(Request(url.path, params, 0))
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            answer = _refused(fault) if fault and fault.kind == "status" else None
            if answer is None:
                try:
                    answer = server.answer(url.path, params)
                except RefusedError as refusal:
                    answer = refusal.answer
            server.note(Request(url.path, params, answer.status))
            self._send(answer, fault)

        def _send(self, answer: Answer, fault: Fault | None) -> None:
            kind = fault.kind if fault else None
            half = len(answer.body) // 2
            parts = [answer.body[:half], answer.body[half:]]
            if kind == "interrupted":
                late = len(answer.body) * 9 // 10
                whole_lines = answer.body[: answer.body.rindex(b"\n", 0, late) + 1]
                reason = b"Streaming interrupted due to the following error: Internal error."
                parts = [whole_lines, reason]
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            for name, text in answer.headers.items():
                self.send_header(name, text)
            if answer.in_chunks:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(sum(map(len, parts))))
            self.end_headers()
            self._write(parts[0], answer.in_chunks)
            if kind == "cut":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if fault and kind == "slow":
                self.wfile.flush()
                server.closing.wait(fault.seconds)
            self._write(parts[1], answer.in_chunks)
            if answer.in_chunks:
                self.wfile.write(b"0\r\n\r\n")

        def _write(self, body: bytes, in_chunks: bool) -> None:
            if in_chunks and body:
                body = b"%x\r\n%s\r\n" % (len(body), body)
            self.wfile.write(body)

    return Handler


def _refused(fault: Fault) -> Answer:
    said = {
        429: "Too many requests on the domain. Please contact the domain administrator.",
        503: "The service is temporarily unavailable.",
    }.get(fault.status, "An unexpected error has occurred.")
    body = json.dumps({"error_code": f"Error{fault.status}", "message": said}).encode()
    return Answer(body, status=fault.status, headers=fault.headers)


# Opendatasoft -------------------------------------------------------------------------------------


def _wrong_parameter(name: str, found: object, expected: str) -> RefusedError:
    return RefusedError(
        400,
        {
            "error_code": "InvalidRESTParameterError",
            "message": f"Invalid value for {name} API parameter: {found} was found but "
            f"{expected} is expected.",
        },
    )


def _number(params: dict[str, str], name: str, default: int) -> int:
    text = params.get(name, str(default))
    if not re.fullmatch(r"-?\d+", text):
        raise _wrong_parameter(name, text, "an integer")
    return int(text)


def _records(table: pd.DataFrame, params: dict[str, str]) -> Answer:
    limit, offset = _number(params, "limit", 10), _number(params, "offset", 0)
    if not -1 <= limit <= _LONGEST_PAGE:
        raise _wrong_parameter("limit", limit, f"-1 <= limit <= {_LONGEST_PAGE}")
    limit = _LONGEST_PAGE if limit == -1 else limit
    _check_reach(offset, limit)
    found = _query(table, params)
    page = found.iloc[offset : offset + limit]
    content = {"total_count": len(found), "results": list(_as_json(page, params))}
    return Answer(json.dumps(content, ensure_ascii=False).encode())


def _check_reach(offset: int, limit: int) -> None:
    if offset + limit > _MOST_RECORDS:
        raise _wrong_parameter("sum of offset + limit", offset + limit, f"<= {_MOST_RECORDS}")


def _export(table: pd.DataFrame, params: dict[str, str]) -> pd.DataFrame:
    limit, offset = _number(params, "limit", -1), _number(params, "offset", 0)
    if offset:
        _check_reach(offset, limit if limit >= 0 else len(table))
    found = _query(table, params)
    return found.iloc[offset : offset + limit if limit >= 0 else None]


def _json_export(table: pd.DataFrame, params: dict[str, str]) -> Answer:
    rows = list(_as_json(_export(table, params), params))
    return Answer(json.dumps(rows, ensure_ascii=False).encode(), in_chunks=True)


def _csv_export(table: pd.DataFrame, params: dict[str, str]) -> Answer:
    found = _export(table, params)
    text = io.StringIO()
    if params.get("with_bom", "true") == "true":
        text.write("\ufeff")
    writer = csv.writer(text, delimiter=params.get("delimiter", ";"))
    labels = _LABELS if params.get("use_labels") == "true" else {}
    writer.writerow([labels.get(name, name) for name in found])
    for row in _as_json(found, params):
        writer.writerow(["" if cell is None else cell for cell in row.values()])
    return Answer(text.getvalue().encode(), content_type="text/csv; charset=utf-8", in_chunks=True)


def _as_json(table: pd.DataFrame, params: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Records with times as text in the time zone asked for, and without pandas' types."""
    try:
        zone = ZoneInfo(params.get("timezone", "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        raise _wrong_parameter("timezone", params["timezone"], "a time zone") from None
    columns = []
    for name in table:
        column = table[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            cells = [time.isoformat() for time in column.dt.tz_convert(zone)]
        else:
            cells = [None if pd.isna(cell) else cell for cell in column.tolist()]
        columns.append(cells)
    for cells in zip(*columns, strict=True):
        yield dict(zip(table.columns, cells, strict=True))


def _query(table: pd.DataFrame, params: dict[str, str]) -> pd.DataFrame:
    """`where`, `order_by` and `select`, as far as ODSQL is understood here."""
    for clause in filter(None, re.split(r"\s+and\s+", params.get("where", ""), flags=re.I)):
        table = table[_where(table, clause.strip())]
    for part in reversed([part.strip() for part in params.get("order_by", "").split(",") if part]):
        found = re.fullmatch(r"(-?)(\w+)(?:\s+(asc|desc))?", part, flags=re.I)
        if not found:
            raise _syntax_error(part)
        minus, name, direction = found.groups()
        downwards = bool(minus) or (direction or "").lower() == "desc"
        _field(table, name)
        table = table.sort_values(name, ascending=not downwards, kind="stable")
    if params.get("select"):
        names = [name.strip() for name in params["select"].split(",")]
        for name in names:
            _field(table, name)
        table = table[names]
    return table


def _syntax_error(text: str) -> RefusedError:
    return RefusedError(
        400,
        {
            "error_code": "ODSQLSyntaxError",
            "message": f"ODSQL syntax exception: unexpected '{text}'",
        },
    )


def _field(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table:
        raise RefusedError(400, {"error_code": "ODSQLError", "message": f"Unknown field: {name}"})
    return table[name]


_COMPARE: dict[str, Callable[[pd.Series, Any], pd.Series]] = {
    ">=": pd.Series.ge,
    "<=": pd.Series.le,
    ">": pd.Series.gt,
    "<": pd.Series.lt,
    "=": pd.Series.eq,
    "!=": pd.Series.ne,
}
_VALUE = r"""(date'[^']*'|'[^']*'|"[^"]*"|-?[\d.]+)"""


def _where(table: pd.DataFrame, clause: str) -> pd.Series:
    if found := re.fullmatch(r"(\w+)\s+is\s+(not\s+)?null", clause, flags=re.I):
        empty = _field(table, found[1]).isna()
        return ~empty if found[2] else empty
    if found := re.fullmatch(
        rf"(\w+)\s+in\s*([\[\]])\s*{_VALUE}\s+TO\s+{_VALUE}\s*([\[\]])", clause, flags=re.I
    ):
        name, left, low, high, right = found.groups()
        cells = _field(table, name)
        above = _compare(cells, ">=" if left == "[" else ">", low)
        return above & _compare(cells, "<=" if right == "]" else "<", high)
    if found := re.fullmatch(rf"(\w+)\s*(>=|<=|!=|>|<|=)\s*{_VALUE}", clause):
        return _compare(_field(table, found[1]), found[2], found[3])
    raise _syntax_error(clause)


def _compare(cells: pd.Series, operator: str, text: str) -> pd.Series:
    bare = re.sub(r"^(?:date)?(['\"])(.*)\1$", r"\2", text)
    value: Any = bare
    try:
        if isinstance(cells.dtype, pd.DatetimeTZDtype):
            time = pd.Timestamp(bare)
            value = time.tz_convert("UTC") if time.tzinfo else time.tz_localize("UTC")
        elif pd.api.types.is_numeric_dtype(cells.dtype):
            value = float(bare)
    except ValueError:
        raise _syntax_error(text) from None
    return _COMPARE[operator](cells, value).fillna(False).astype(bool)


# Open-Meteo ---------------------------------------------------------------------------------------


def _forecast(weather: Weather, params: dict[str, str]) -> Answer:
    places = [params.get(name, "").split(",") for name in ("latitude", "longitude")]
    try:
        pairs = [(float(one), float(other)) for one, other in zip(*places, strict=True)]
    except ValueError:
        raise _reason("Parameter 'latitude' and 'longitude' must have the same elements") from None
    days = []
    for name in ("start_date", "end_date"):
        try:
            day = dt.date.fromisoformat(params.get(name, ""))
        except ValueError:
            raise _reason(f"Invalid date format. Make sure '{name}' is YYYY-MM-DD") from None
        if not weather.first <= day <= weather.last:
            raise _reason(
                f"Parameter '{name}' is out of allowed range from {weather.first} to {weather.last}"
            )
        days.append(day)
    variables = params.get("hourly", "").split(",")
    for variable in variables:
        if variable != "temperature_2m":
            raise _reason(f"Data corrupted at path ''. Invalid String value {variable}.")
    found = [_place(weather, *pair, *days, params.get("timezone", "GMT")) for pair in pairs]
    content = found[0] if len(found) == 1 else found
    return Answer(json.dumps(content, ensure_ascii=False).encode())


def _reason(text: str) -> RefusedError:
    return RefusedError(400, {"error": True, "reason": text})


def _place(
    weather: Weather,
    latitude: float,
    longitude: float,
    first: dt.date,
    last: dt.date,
    timezone: str,
) -> dict[str, Any]:
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise _reason("Invalid timezone") from None
    end = pd.Timestamp(last, tz=zone) + pd.DateOffset(days=1)
    hours = pd.date_range(pd.Timestamp(first, tz=zone), end, freq="h", inclusive="left")
    degrees = weather.temperature(latitude, longitude, hours.tz_convert("UTC"))
    offset = hours[0].utcoffset() or dt.timedelta()
    return {
        # The nearest point of the model's grid.
        "latitude": round(latitude * 8) / 8,
        "longitude": round(longitude * 8) / 8,
        "generationtime_ms": 0.1,
        "utc_offset_seconds": int(offset.total_seconds()),
        "timezone": timezone,
        "timezone_abbreviation": hours[0].tzname(),
        "elevation": 38.0,
        "hourly_units": {"time": "iso8601", "temperature_2m": "°C"},
        "hourly": {
            "time": hours.strftime("%Y-%m-%dT%H:%M").tolist(),
            "temperature_2m": [None if pd.isna(value) else value for value in degrees.tolist()],
        },
    }
