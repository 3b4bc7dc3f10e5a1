"""Text cells to numbers, and what can be wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import polars as pl

from clepsydra.config import SourceConfig

__all__ = ["number_faults", "with_number"]

# What is larger is no measurement, and sums of it would be infinite.
_LARGEST: dict[type[pl.DataType], float] = {pl.Float64: 1e300, pl.Float32: 1e30}


def with_number(
    source: SourceConfig,
    rows: pl.DataFrame,
    column: str,
    absent: str,
    kind: type[pl.DataType] = pl.Float64,
    booleans: bool = False,
) -> pl.DataFrame:
    """The column as numbers, missing where there is none, and which cells mean 'no value'."""
    if booleans or source.decimal != "." or any(_is_number(cell) for cell in source.missing):
        return _read_numbers(source, rows, column, absent, kind, booleans)
    # Nearly all cells are plain numbers: only the others are looked at closely.
    number = rows[column].cast(pl.Float64, strict=False) * source.scale
    is_odd = ~(number.abs() <= _LARGEST[kind]).fill_null(False)
    odd = is_odd.arg_true()
    is_absent = pl.repeat(False, rows.height, eager=True)
    if len(odd):
        closely = _read_numbers(source, rows[odd], column, absent, kind, booleans)
        number = number.scatter(odd, closely[column].cast(pl.Float64))
        is_absent = is_absent.scatter(odd, closely[absent])
    return rows.with_columns(number.cast(kind).alias(column), is_absent.alias(absent))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _read_numbers(
    source: SourceConfig,
    rows: pl.DataFrame,
    column: str,
    absent: str,
    kind: type[pl.DataType],
    booleans: bool,
) -> pl.DataFrame:
    text = pl.col(column).str.strip_chars()
    is_absent = text.is_in(source.missing)
    if source.decimal != ".":
        # Beside a decimal comma a point is no decimal mark.
        text = pl.when(~text.str.contains(".", literal=True)).then(text)
        text = text.str.replace(source.decimal, ".", literal=True)
    number = text.cast(pl.Float64, strict=False)
    if booleans:
        lower = text.str.to_lowercase()
        truth = pl.when(lower == "true").then(1.0).when(lower == "false").then(0.0)
        number = pl.coalesce(truth, number)
    number = number * source.scale if source.scale != 1 else number
    number = pl.when(~is_absent & (number.abs() <= _LARGEST[kind])).then(number)
    return rows.with_columns(is_absent.alias(absent), number.cast(kind).alias(column))


def number_faults(source: SourceConfig, column: str, absent: str) -> Iterator[tuple[str, pl.Expr]]:
    """What can be wrong with a number, and where it is so."""
    number = pl.col(column)
    yield "not a number", ~pl.col(absent) & number.is_null()
    if source.minimum is not None:
        yield "below the possible minimum", number < source.minimum
    if source.maximum is not None:
        yield "above the possible maximum", number > source.maximum
