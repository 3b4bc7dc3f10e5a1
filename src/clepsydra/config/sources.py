"""Raw sources: where their rows come from, and what a row means."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import ItemsView
from typing import Literal, get_args

import pandas as pd
from pydantic import Field, RootModel, field_validator, model_validator

from clepsydra.config.base import check_timezone
from clepsydra.config.feeds import FileFormat, HttpConfig, SqlConfig

__all__ = ["Part", "SourceConfig", "SourcesConfig"]

Part = Literal["year", "month", "day", "hour", "minute"]
# The quality report calls what it says of the panel so.
_NAME = re.compile(r"(?!shard_|panel$)[A-Za-z][A-Za-z0-9_]*")
_PARTS = get_args(Part)
# What the tables that take columns of a source call their own.
_OF_SERIES = {
    *("shard", "freq", "season_lengths", "first_ds", "last_ds", "n_observations", "flags", "unit")
}
_OWN_COLUMNS = {
    "target": _OF_SERIES,
    "covariate": {"unique_id", "join_key", "ds", "y", "is_imputed", "is_outlier", "y_observed"},
    "attributes": {"unique_id", "join_key", *_OF_SERIES},
}


class SourceConfig(FileFormat):
    """One raw source: where its rows come from, how they are written, and what one means."""

    role: Literal["target", "covariate", "attributes"] = Field(
        description="target: the series to forecast; covariate: other columns in time; "
        "attributes: static columns of the series"
    )
    path: str | None = Field(
        None, description="file, glob or fsspec URL; relative to the project or to `package`"
    )
    package: str | None = Field(None, description="installed package that ships the files")
    http: HttpConfig | None = Field(None, description="an API, instead of files")
    sql: SqlConfig | None = Field(None, description="a database, instead of files")
    credentials: str | None = Field(None, description="name in `sources` of credentials.yml")
    decimal: Literal[".", ","] = Field(".", description="the decimal mark of numbers")
    missing: list[str] = Field(["", "NA", "NaN", "null"], description="cells that mean 'no value'")
    layout: Literal["long", "wide", "rows"] = Field(
        "long", description="wide: a column a series; rows: a row a series, a column a step"
    )
    start: dt.datetime | None = Field(
        None, description="of `layout: rows`: the time of the first column of values"
    )
    end: dt.datetime | None = Field(
        None, description="or the time of the last value of every series, however many it has"
    )
    time: str | list[str] | dict[Part, str] | None = Field(
        None,
        description="the time column; columns to be joined by a space; or the column of each part",
    )
    time_format: str | None = Field(
        None, description="strptime format, `epoch_s` or `epoch_ms`; ISO 8601 if not given"
    )
    interval: str | None = Field(
        None, description="cells are 'start - end': the text between the two. The start counts"
    )
    timezone: str = "UTC"
    ambiguous: Literal["order", "earlier", "later", "quarantine"] = Field(
        "order",
        description="the hour that clocks repeat: told by the order of the rows, the first "
        "(summer time), the second (winter time), or not usable",
    )
    nonexistent: Literal["quarantine", "shift_forward"] = Field(
        "quarantine",
        description="times that the clocks skip: not usable, or as much later as they skip",
    )
    id: str | list[str] | None = Field(None, description="column(s) that name the series")
    name: str | None = Field(None, description="the only series, where no column names it")
    value: str | None = Field(None, description="the value column; none means: count the rows")
    aggregate: Literal["count", "sum", "mean", "last"] = Field(
        "mean", description="how rows that share a series and a grid step become one value"
    )
    duplicates: Literal["first", "last"] = Field(
        "first", description="of rows for one series and time, the one that counts"
    )
    minimum: float | None = Field(None, description="a value below this is impossible")
    maximum: float | None = Field(None, description="a value above this is impossible")
    scale: float = Field(1.0, gt=0, description="what values are multiplied by, to be in `unit`")
    unit: str | None = Field(None, description="of the scaled values, e.g. MW")
    on_drift: Literal["warn", "error", "ignore"] = Field(
        "warn", description="what a new or lost column, another type or another step is"
    )
    unique: list[str] = Field(
        default_factory=list,
        description="columns that no two rows of a series share; later rows that do are "
        "duplicates. Rows to be counted, summed or the last of which is taken may share a time "
        "without being so",
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
    lasts: Literal["1D"] | None = Field(
        None, description="of a covariate: a row holds for its whole local day, not for one step"
    )

    _timezone = field_validator("timezone")(check_timezone)

    @field_validator("time_format")
    @classmethod
    def _says_which_day(cls, value: str | None) -> str | None:
        if value is None or value in ("epoch_s", "epoch_ms"):
            return value
        day = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
        try:
            read = pd.to_datetime([day.strftime(value)], format=value, utc=True)[0]
        except ValueError as error:
            raise ValueError(f"{value!r} is no strptime format: {error}") from None
        if "%" not in value or read.year != day.year:
            raise ValueError(f"{value!r} does not say which year: write e.g. '%d/%m/%Y %H:%M'")
        return value

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> SourceConfig:
        origins = [key for key in ("path", "http", "sql") if getattr(self, key)]
        if len(origins) != 1:
            raise ValueError(f"name one of 'path', 'http' and 'sql'; named: {origins or 'none'}")
        if self.package and not self.path:
            raise ValueError("'package' needs 'path', the file in the package")
        return self

    @model_validator(mode="after")
    def _role_has_what_it_needs(self) -> SourceConfig:
        one_end = (self.start is None) != (self.end is None)
        if self.layout == "rows" and (self.role != "target" or not one_end or self.time):
            raise ValueError(
                "'layout: rows' is for a target with 'start' or 'end', and without 'time'"
            )
        if self.role != "attributes" and not self.time and self.layout != "rows":
            raise ValueError(f"a {self.role} source needs 'time', the name of its time column")
        if self.role == "target" and self.layout != "wide" and not self.id and not self.name:
            raise ValueError(
                "a long target needs 'id', the column(s) that name the series, or 'name', if all "
                "rows are of one series"
            )
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
        if isinstance(self.time, dict) and set(self.time) != set(_PARTS[: len(self.time)]):
            raise ValueError(
                f"'time' in parts leaves one out: before {max(self.time, key=_PARTS.index)!r} come "
                f"{', '.join(_PARTS)}"
            )
        idle = {
            "require": self.require and self.aggregate != "count",
            "layout": self.layout != "long" and self.role != "target",
            "id": self.id and self.layout == "wide",
            "value": self.value and self.layout != "long",
            "unique": self.unique and (self.role != "target" or self.layout != "long"),
            "columns": self.columns and self.role == "target" and self.layout == "long",
            "join": self.join and self.role == "target",
            "aggregate: count": self.aggregate == "count" and self.role != "target",
            "time_format": self.time_format and isinstance(self.time, dict),
            "interval": self.interval and isinstance(self.time, dict),
            "start": self.start and self.layout != "rows",
            "end": self.end and self.layout != "rows",
            "name": self.name and (self.id or self.role != "target" or self.layout != "long"),
        }
        for key, is_set in idle.items():
            if is_set:
                raise ValueError(f"'{key}' has no effect on this source: take it out")
        if self.lasts and self.role != "covariate":
            raise ValueError("'lasts' is for covariate sources")
        if self.known == "in_advance" and self.role != "covariate":
            raise ValueError("'known: in_advance' is for covariate sources")
        return self

    @model_validator(mode="after")
    def _is_not_at_odds_with_itself(self) -> SourceConfig:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(
                f"'minimum' {self.minimum:g} is above 'maximum' {self.maximum:g}: no value is "
                f"possible"
            )
        if self.interval and self.interval in (self.time_format or "0000-00-00T00:00:00"):
            raise ValueError(
                f"'interval' {self.interval!r} is a part of the times as well: write all that is "
                f"between the two, e.g. ' - '"
            )
        names = list(self.renames.values())
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"'columns' gives several columns the name {twice[0]!r}")
        taken = {"target": self.id_columns, "covariate": names, "attributes": names}[self.role]
        if own := sorted(_OWN_COLUMNS[self.role] & set(taken)):
            raise ValueError(
                f"{own[0]!r} in '{'id' if self.role == 'target' else 'columns'}' is what the "
                f"tables call a column of their own: give it another name"
            )
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
        if isinstance(self.time, dict):
            return list(self.time.values())
        return [self.time] if isinstance(self.time, str) else list(self.time)

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
            *(self.sql.key if self.sql else []),
        ]
        return list(dict.fromkeys(names))


class SourcesConfig(RootModel[dict[str, SourceConfig]]):
    """`sources`: name to description; exactly one target."""

    @model_validator(mode="after")
    def _one_target(self) -> SourcesConfig:
        wrong = [name for name in self.root if not _NAME.fullmatch(name)]
        if wrong:
            raise ValueError(
                f"source names are letters, digits and '_', do not begin with 'shard_', are not "
                f"'panel', and name a folder; not {wrong}"
            )
        targets = [name for name, source in self.root.items() if source.role == "target"]
        if len(targets) != 1:
            raise ValueError(f"exactly one source has 'role: target'; these have: {targets}")
        givers: dict[str, str] = {}
        for name, source in self.of_role("covariate").items():
            for column in source.renames.values():
                if column in givers:
                    raise ValueError(
                        f"'columns' of '{givers[column]}' and of '{name}' both give {column!r}: "
                        f"rename one, columns: {{column: new name}}"
                    )
                givers[column] = name
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
