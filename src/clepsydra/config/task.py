"""What is to be forecast, on which calendar, judged on which windows."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationInfo, field_validator, model_validator

from clepsydra.config.base import Strict, check_timezone
from clepsydra.timegrid import shorter_than_a_day

__all__ = ["CalendarConfig", "TaskConfig", "WindowsConfig"]

_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


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


# A month and a day of it.
_DAY = "(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"


class CalendarConfig(Strict):
    """Columns computed from the clock and public holidays, known in advance."""

    country: str | None = Field(None, description="ISO 3166 code for public holidays, e.g. US")
    subdivision: str | None = Field(None, description="state or region, e.g. NY")
    columns: list[
        Literal[
            "hour", "dayofweek", "month", "dayofyear", "holiday_distance", "holiday", "day_type"
        ]
    ] = Field(default_factory=list)
    periods: dict[str, str] = Field(
        default_factory=dict,
        description="more columns, one in a part of every year and else zero: its first and last "
        "day, e.g. year_end: 12-21/01-03",
    )

    @property
    def names(self) -> list[str]:
        """All columns, in their order."""
        return [*self.columns, *self.periods]

    @field_validator("periods")
    @classmethod
    def _days_of_a_year(cls, value: dict[str, str]) -> dict[str, str]:
        for name, period in value.items():
            if not re.fullmatch(_DAY + "/" + _DAY, period):
                raise ValueError(
                    f"'{name}: {period}' is no part of a year; write its first and last day, e.g. "
                    f"12-21/01-03"
                )
        return value

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> CalendarConfig:
        if twice := sorted(set(self.columns) & set(self.periods)):
            raise ValueError(f"{twice} are in 'columns' and 'periods'; rename the periods")
        return self

    @model_validator(mode="after")
    def _holidays_need_a_country(self) -> CalendarConfig:
        for name in self.columns:
            if name in {"holiday_distance", "holiday", "day_type"} and not self.country:
                raise ValueError(f"'{name}' needs 'country', e.g. country: US")
        return self


class TaskConfig(Strict):
    """What is to be forecast: the grid, how far ahead, and after which delay."""

    freq: str = Field(description="pandas frequency of the grid, e.g. h, D, MS, QE")
    season_lengths: list[int] = Field(
        min_length=1,
        description="steps of each season, e.g. [24, 168]; the longest is the reference",
    )
    horizon: int | str = Field(description="steps, or local days as '1D'")
    gap: int | str = Field(0, description="between the last known step and the first forecast")
    gate: str | None = Field(
        None,
        description="instead of a gap: local time of the day before, e.g. '09:00', at which the "
        "forecast of a day is made, from every step that is over by then",
    )
    timezone: str = Field("UTC", description="whose clock the seasons and the calendar follow")
    integer: bool = Field(False, description="counts: point forecasts are whole numbers")
    minimum: float | None = Field(None, description="no value is below this, e.g. 0")
    fill: Literal["zero", "interpolate"] = Field(
        "interpolate", description="what a grid step without an observation means"
    )
    mart_aggregate: Literal["sum", "mean"] = "mean"

    _timezone = field_validator("timezone")(check_timezone)

    @field_validator("season_lengths")
    @classmethod
    def _whole_steps(cls, value: list[int]) -> list[int]:
        if min(value) < 1:
            raise ValueError("a season has at least 1 step")
        return sorted(set(value))

    @field_validator("gate", mode="before")
    @classmethod
    def _is_time_of_day(cls, value: Any) -> Any:
        if isinstance(value, int):
            # YAML 1.1 reads 10:30 without quotes as 10 times 60 and 30.
            hour, minute = divmod(value, 60)
            raise ValueError(
                f"{value} is a number, which YAML makes of a time without quotes: write "
                f"gate: '{hour:02d}:{minute:02d}'"
            )
        if isinstance(value, str) and not _TIME_OF_DAY.fullmatch(value):
            raise ValueError(f"{value!r} is no time of day: write hours and minutes, e.g. '09:00'")
        return value

    @model_validator(mode="after")
    def _gate_replaces_the_gap(self) -> TaskConfig:
        if self.gate is None:
            return self
        if self.gap != 0:
            raise ValueError(
                f"'gate' and 'gap' both say what a forecast knows: leave out gap: {self.gap}, as "
                f"the time from gate: '{self.gate}' to the next midnight takes its place"
            )
        if not isinstance(self.horizon, str):
            raise ValueError(
                f"'gate' needs 'horizon' in days, as forecasts start at midnight: instead of "
                f"{self.horizon} write e.g. horizon: 1D"
            )
        if not shorter_than_a_day(self.freq):
            raise ValueError(
                f"'gate' does not fit steps of {self.freq}, which are over at midnight: leave it "
                f"out and write 'gap' in steps"
            )
        return self

    @model_validator(mode="after")
    def _days_fit_the_grid(self) -> TaskConfig:
        in_days = any(isinstance(span, str) for span in (self.horizon, self.gap))
        if in_days and not shorter_than_a_day(self.freq) and self.freq != "D":
            raise ValueError(
                f"'horizon' and 'gap' in days do not fit steps of {self.freq}: count steps instead"
            )
        return self

    @property
    def gate_time(self) -> dt.time | None:
        """The gate as a time of the local day."""
        return None if self.gate is None else dt.time.fromisoformat(self.gate)

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


class WindowsConfig(Strict):
    """Rolling-origin windows, oldest first: `calibrate`, then `select`, then `report`."""

    calibrate: int = Field(ge=0, description="windows whose errors only feed the intervals")
    select: int = Field(ge=1, description="windows that choose the champions")
    report: int = Field(ge=1, description="windows that judge them; later than all the others")
    step: int | str | None = Field(None, description="between windows; the horizon if not given")
    refit_every: int = Field(7, ge=1, description="windows between two fits of a model")
    history: int | str | None = Field(
        None,
        description="steps, or local days such as '56D', before each cutoff that models learn "
        "from, the cutoff among them; all of the past if not given",
    )

    @field_validator("step", "history")
    @classmethod
    def _is_span(cls, value: int | str | None) -> int | str | None:
        return value if value is None else _check_span(value, least=1)
