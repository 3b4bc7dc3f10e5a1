"""The typed form of `conf/*/parameters`: what a user may write, and the errors when it is wrong.

Node functions annotate their parameters with these models; Kedro validates the YAML against them
before the first node runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import ItemsView
from typing import Any, Literal
from zoneinfo import available_timezones

import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
    model_validator,
)

from clepsydra.errors import ConfigError
from clepsydra.timegrid import shorter_than_a_day

__all__ = [
    "LATEST",
    "CalendarConfig",
    "DeployConfig",
    "EvaluateConfig",
    "ModelSpec",
    "ModelsConfig",
    "MonitorConfig",
    "Part",
    "SourceConfig",
    "SourcesConfig",
    "TaskConfig",
    "WindowsConfig",
    "parse_as_of",
]

LATEST = "latest"
Part = Literal["year", "month", "day", "hour", "minute"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(
            f"unknown time zone {value!r}: use an IANA name such as 'UTC' or 'Europe/Paris'"
        )
    return value


def _step(freq: str) -> pd.Timedelta:
    """Length of a step that is part of a day; of longer steps an hour, which any clock keeps."""
    if not shorter_than_a_day(freq):
        return pd.Timedelta(1, "h")
    return pd.Timedelta(pd.tseries.frequencies.to_offset(freq))


def _check_span(value: int | str, least: int) -> int | str:
    number = str(value) if isinstance(value, int) else value.removesuffix("D")
    is_span = isinstance(value, int) or value.endswith("D")
    if not is_span or not number.isdigit() or int(number) < least:
        raise ValueError(
            f"{value!r} is neither a number of steps nor of days such as '1D', from {least} up"
        )
    return value


class SourceConfig(_Strict):
    """One raw source: where its files are, and what a row of them means."""

    role: Literal["target", "covariate", "attributes"] = Field(
        description="target: the series to forecast; covariate: other columns in time; "
        "attributes: static columns of the series"
    )
    path: str = Field(description="file or glob, relative to the project or to `package`")
    package: str | None = Field(None, description="installed package that ships the files")
    separator: str = ","
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = Field(".", description="the decimal mark of numbers")
    missing: list[str] = Field(["", "NA", "NaN", "null"], description="cells that mean 'no value'")
    layout: Literal["long", "wide"] = Field("long", description="wide: one column per series")
    time: str | dict[Part, str] | None = Field(
        None, description="the time column, or the column of each part of it"
    )
    time_format: str | None = Field(None, description="strptime format; ISO 8601 if not given")
    timezone: str = "UTC"
    id: str | list[str] | None = Field(None, description="column(s) that name the series")
    value: str | None = Field(None, description="the value column; none means: count the rows")
    aggregate: Literal["count", "sum", "mean", "last"] = Field(
        "mean", description="how rows that share a series and a grid step become one value"
    )
    unique: list[str] = Field(
        default_factory=list,
        description="columns that no two rows share; later rows that do are duplicates. Rows to "
        "be counted, summed or the last of which is taken may share a time without being so",
    )
    require: dict[str, str] = Field(
        default_factory=dict,
        description="column: reason. Rows without the column do not count, for that reason",
    )
    columns: list[str] | dict[str, str] = Field(
        default_factory=list, description="columns to take; as a mapping: column: new name"
    )
    join: list[str] | dict[str, str] = Field(
        default_factory=list, description="id columns to join on; as a mapping: id: own column"
    )
    known: Literal["past_only", "in_advance"] = "past_only"

    _timezone = field_validator("timezone")(_check_timezone)

    @model_validator(mode="after")
    def _role_has_what_it_needs(self) -> SourceConfig:
        if self.role != "attributes" and self.time is None:
            raise ValueError(f"a {self.role} source needs 'time', the name of its time column")
        if self.role == "target" and self.layout == "long" and not self.id:
            raise ValueError("a long target needs 'id', the column(s) that name the series")
        if self.role != "target" and not self.columns:
            raise ValueError(f"a {self.role} source needs 'columns', the columns to take")
        if self.role == "attributes" and not self.join:
            raise ValueError("an attributes source needs 'join', the columns it is joined on")
        if self.role == "target" and (self.aggregate == "count") != (
            self.value is None and self.layout == "long"
        ):
            raise ValueError("'aggregate: count' goes with no 'value', and any other with one")
        if isinstance(self.time, dict) and "year" not in self.time:
            raise ValueError("'time' in parts needs at least 'year', the column of the year")
        idle = {
            "require": self.require and self.aggregate != "count",
            "unique": self.unique and (self.role != "target" or self.layout == "wide"),
            "columns": self.columns and self.role == "target" and self.layout == "long",
            "join": self.join and self.role == "target",
            "aggregate: count": self.aggregate == "count" and self.role != "target",
            "time_format": self.time_format and not isinstance(self.time, str),
        }
        for key, is_set in idle.items():
            if is_set:
                raise ValueError(f"'{key}' has no effect on this source: take it out")
        if self.known == "in_advance" and self.role != "covariate":
            raise ValueError("'known: in_advance' is for covariate sources")
        return self

    @property
    def id_columns(self) -> list[str]:
        """Columns that together name a series."""
        if self.id is None:
            return []
        return [self.id] if isinstance(self.id, str) else list(self.id)

    @property
    def time_columns(self) -> list[str]:
        """Columns that together hold the time."""
        if self.time is None:
            return []
        return [self.time] if isinstance(self.time, str) else list(self.time.values())

    @property
    def renames(self) -> dict[str, str]:
        """`columns` as a mapping from the raw name to the name it takes."""
        if isinstance(self.columns, dict):
            return dict(self.columns)
        return {column: column for column in self.columns}

    @property
    def join_on(self) -> dict[str, str]:
        """`join` as a mapping from the id column to this source's column."""
        return self.join if isinstance(self.join, dict) else {key: key for key in self.join}

    def needed_columns(self) -> list[str]:
        """Every raw column that this description refers to, in order, once each."""
        names = [
            *self.time_columns,
            *self.id_columns,
            *([self.value] if self.value else []),
            *self.unique,
            *self.require,
            *self.renames,
            *self.join_on.values(),
        ]
        return list(dict.fromkeys(names))


class SourcesConfig(RootModel[dict[str, SourceConfig]]):
    """`sources`: name to description; exactly one target."""

    @model_validator(mode="after")
    def _one_target(self) -> SourcesConfig:
        targets = [name for name, source in self.root.items() if source.role == "target"]
        if len(targets) != 1:
            raise ValueError(f"exactly one source has 'role: target'; these have: {targets}")
        return self

    def items(self) -> ItemsView[str, SourceConfig]:
        """Names and descriptions, in the order of the configuration."""
        return self.root.items()

    @property
    def target(self) -> tuple[str, SourceConfig]:
        """Name and description of the target source."""
        return next((name, s) for name, s in self.items() if s.role == "target")

    def of_role(self, role: str) -> dict[str, SourceConfig]:
        """The sources with that role."""
        return {name: source for name, source in self.root.items() if source.role == role}


class CalendarConfig(_Strict):
    """Columns computed from the clock and public holidays, known in advance."""

    country: str | None = Field(None, description="ISO 3166 code for public holidays, e.g. US")
    subdivision: str | None = Field(None, description="state or region, e.g. NY")
    columns: list[Literal["hour", "dayofweek", "month", "dayofyear", "holiday_distance"]] = Field(
        default_factory=list
    )

    @model_validator(mode="after")
    def _holidays_need_a_country(self) -> CalendarConfig:
        if "holiday_distance" in self.columns and not self.country:
            raise ValueError("'holiday_distance' needs 'country', e.g. country: US")
        return self


class TaskConfig(_Strict):
    """What is to be forecast: the grid, how far ahead, and after which delay."""

    freq: str = Field(description="pandas frequency of the grid, e.g. h, D, MS, QE")
    season_lengths: list[int] = Field(
        min_length=1,
        description="steps of each season, e.g. [24, 168]; the longest is the reference",
    )
    horizon: int | str = Field(description="steps, or local days as '1D'")
    gap: int | str = Field(0, description="between the last known step and the first forecast")
    timezone: str = Field("UTC", description="whose clock the seasons and the calendar follow")
    integer: bool = Field(False, description="counts: point forecasts are whole numbers")
    minimum: float | None = Field(None, description="no value is below this, e.g. 0")
    fill: Literal["zero", "interpolate"] = Field(
        "interpolate", description="what a grid step without an observation means"
    )
    mart_aggregate: Literal["sum", "mean"] = "mean"

    _timezone = field_validator("timezone")(_check_timezone)

    @field_validator("season_lengths")
    @classmethod
    def _whole_steps(cls, value: list[int]) -> list[int]:
        if min(value) < 1:
            raise ValueError("a season has at least 1 step")
        return sorted(set(value))

    @model_validator(mode="after")
    def _days_fit_the_grid(self) -> TaskConfig:
        in_days = any(isinstance(span, str) for span in (self.horizon, self.gap))
        if in_days and not shorter_than_a_day(self.freq) and self.freq != "D":
            raise ValueError(
                f"'horizon' and 'gap' in days do not fit steps of {self.freq}: count steps instead"
            )
        return self

    @property
    def wall_clock(self) -> str:
        """Whose clock models see: the local one, or UTC for steps that its changes would break.

        When the clocks change, steps of two or more hours no longer fall on the same local times.
        """
        parts_of_an_hour = pd.Timedelta(1, "h") % _step(self.freq) == pd.Timedelta(0)
        return self.timezone if parts_of_an_hour else "UTC"

    @property
    def season_length(self) -> int:
        """The reference season: the longest."""
        return max(self.season_lengths)

    @field_validator("freq")
    @classmethod
    def _known_frequency(cls, value: str) -> str:
        try:
            pd.tseries.frequencies.to_offset(value)
        except ValueError:
            raise ValueError(
                f"unknown frequency {value!r}: use a pandas alias such as h, D, W-SUN, MS, QE"
            ) from None
        offset = pd.tseries.frequencies.to_offset(value)
        if offset.n != 1 and not shorter_than_a_day(value):
            raise ValueError(
                f"frequency {value!r} is a multiple: steps of a day or longer come one at a time, "
                f"such as D, W-SUN, MS, QE"
            )
        return value

    @field_validator("horizon", "gap")
    @classmethod
    def _is_span(cls, value: int | str, info: ValidationInfo) -> int | str:
        return _check_span(value, least=1 if info.field_name == "horizon" else 0)


class WindowsConfig(_Strict):
    """Rolling-origin windows, oldest first: `calibrate`, then `select`, then `report`."""

    calibrate: int = Field(ge=0, description="windows whose errors only feed the intervals")
    select: int = Field(ge=1, description="windows that choose the champions")
    report: int = Field(ge=1, description="windows that judge them; later than all the others")
    step: int | str | None = Field(None, description="between windows; the horizon if not given")
    refit_every: int = Field(7, ge=1, description="windows between two fits of a model")

    @field_validator("step")
    @classmethod
    def _is_span(cls, value: int | str | None) -> int | str | None:
        return value if value is None else _check_span(value, least=1)


class ModelSpec(_Strict):
    """One model: the engine that runs it and the engine's options."""

    engine: Literal["statsforecast", "sarimax", "mlforecast", "median"]
    options: dict[str, Any] = Field(default_factory=dict)
    max_history: int | None = Field(None, ge=2, description="last steps the model learns from")


class ModelsConfig(RootModel[dict[str, ModelSpec]]):
    """`models`: name to description; the first is the reference all others are measured by."""

    @model_validator(mode="after")
    def _at_least_one(self) -> ModelsConfig:
        if not self.root:
            raise ValueError("name at least one model")
        for name, spec in self.root.items():
            if spec.engine != "median":
                continue
            members = spec.options.get("of") or []
            plain = [other for other, its in self.root.items() if its.engine != "median"]
            unknown = [member for member in members if member not in plain]
            if unknown or not members:
                raise ValueError(
                    f"'{name}': 'of' names {unknown or 'no model'}; choose from {plain}"
                )
        return self

    @property
    def reference(self) -> str:
        """The first model: the reference, and the one of last resort."""
        return next(iter(self.root))


class EvaluateConfig(_Strict):
    """How champions are chosen."""

    shrinkage: float = Field(
        10.0, ge=0, description="weight of the record over all series against a series' own"
    )


class DeployConfig(_Strict):
    """The gate that a bundle of champions must pass."""

    max_relative_error: float = Field(
        1.0, gt=0, description="champions' mean error over the reference's, on report windows"
    )


class MonitorConfig(_Strict):
    """When to raise a hand."""

    significance: float = Field(0.01, gt=0, lt=1, description="of the drift test")
    max_share_drifted: float = Field(0.5, ge=0, le=1, description="of series, before retraining")
    max_error_growth: float = Field(
        1.5, gt=0, description="realised error over the backtest's, before retraining"
    )
    stale_after_seasons: float = Field(2.0, gt=0, description="of silence")


def parse_as_of(value: Any) -> dt.date | None:
    """The day on which the run pretends to take place; `None` for `latest`.

    Args:
        value: a date, `'YYYY-MM-DD'` or `'latest'`.

    Raises:
        ConfigError: the value is none of these.

    Examples:
        >>> parse_as_of("2013-12-15")
        datetime.date(2013, 12, 15)
        >>> parse_as_of("latest") is None
        True
    """
    if value == LATEST:
        return None
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(str(value))
    except ValueError:
        raise ConfigError(
            f"as_of is {value!r}: write a day as YYYY-MM-DD, or 'latest' for all the data there is"
        ) from None
