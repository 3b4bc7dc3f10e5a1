"""Watermarks: how far a database was read, as text that sorts as the values do.

A watermark is a number, a naive time or an instant. As text it is its kind, a space, and a form
whose alphabetical order is the order of the values, so that `min` and `max` of texts, in Python
or polars, need no decoding, and a JSON file can keep it between runs.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from decimal import Decimal
from typing import Any

import pandas as pd

__all__ = ["ISO_TEXT", "NUMBER", "decode", "encode", "kind_of", "lowest_to_read", "parameter"]

NUMBER, _TIME, _INSTANT = "number", "time", "instant"
_PLURALS = {NUMBER: "numbers", _TIME: "times without an offset", _INSTANT: "times with an offset"}

# What a text watermark looks like, as a pattern of SQL's LIKE: it begins with YYYY-MM-DD.
ISO_TEXT = "____-__-__%"

_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]|$)", re.ASCII)
_NUMBER_TEXT = re.compile(r"1(\d{6}\d+)?|0\d{6}\d+~", re.ASCII)
_EXACT = decimal.Context(prec=500_000, rounding=decimal.ROUND_FLOOR)
# Added to exponents, so that they have six digits and no sign; SQL numbers have up to 131,072.
_BIAS = 500_000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
# The end of a negative number: the more digits follow, the lower it is.
_END = "~"
# Integers above have no neighbours among floats, whose digits are then written out in full.
_FLOAT_INTEGERS = 2**53
_LOWEST_INTEGER = -(2**63)
# A single-precision column holds another value than the digits it shows, by less than this.
_SINGLE_PRECISION = 1e-6
_LARGEST_OFFSET = dt.timedelta(days=1)


def encode(value: Any) -> str | None:
    """The watermark as text that sorts as it does; `None` for a null or blank one.

    Args:
        value: a number, a date, a time with or without an offset, or ISO 8601 text of one.

    Raises:
        ValueError: it is something else, or not finite.

    Examples:
        >>> encode("2024-03-01 12:00:00+02:00")
        'instant 2024-03-01T10:00:00.000000'
        >>> sorted([3, -20, 2.5, -1.5, 100, 0], key=encode)
        [-20, -1.5, 0, 2.5, 3, 100]
    """
    if isinstance(value, str):
        value = _parse(value)
    if value is None:
        return None
    if isinstance(value, dt.date):
        return _time_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"{value!r} is neither a number nor a time")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return f"{NUMBER} {_number_text(value)}"


def decode(text: str) -> Decimal | dt.datetime:
    """The watermark that `encode` wrote: a number, a naive time, or an aware one in UTC.

    Raises:
        ValueError: `encode` did not write it.

    Examples:
        >>> decode(encode(-12.5))
        Decimal('-12.5')
    """
    kind, _, body = text.partition(" ")
    value: Decimal | dt.datetime | None = None
    if kind == NUMBER and _NUMBER_TEXT.fullmatch(body):
        value = _number(body)
    elif kind in (_TIME, _INSTANT):
        value = dt.datetime.fromisoformat(body).replace(tzinfo=dt.UTC if kind == _INSTANT else None)
    if value is None or encode(value) != text:
        raise ValueError(f"{text!r} is no watermark")
    return value


def kind_of(text: str) -> str:
    """What a source's watermarks are, in words, for errors.

    Examples:
        >>> kind_of(encode(5))
        'numbers'
    """
    return _PLURALS[text.partition(" ")[0]]


def lowest_to_read(after: str, look_back: int | float | str) -> str | None:
    """The lowest watermark to read again: `after` less `look_back`; `None` if there is no lowest.

    Args:
        after: an encoded watermark.
        look_back: a number for numbers, pandas Timedelta text for times; 0 for either.

    Raises:
        ValueError: `look_back` is not of the watermark's kind, or negative.

    Examples:
        >>> lowest_to_read(encode("2024-03-01"), "6h")
        'time 2024-02-29T18:00:00.000000'
    """
    value = decode(after)
    if isinstance(value, Decimal):
        return encode(_EXACT.subtract(value, _number_of(look_back)))
    try:
        return encode(value - _duration_of(look_back))
    except OverflowError:
        return None


def parameter(lowest: str, sample: Any) -> Any:
    """A value that the database can compare its column with, at or a little below `lowest`.

    Text is compared by its day only, a day early if it has an offset: within a day the order of
    text is not that of the times it stands for, if there are fractions, `T` and space, or offsets.

    Args:
        lowest: an encoded watermark.
        sample: a value of the column, as the driver gives it.

    Returns:
        The value; `None` if there is none below which no row is to be read.

    Examples:
        >>> parameter("instant 2024-03-01T10:00:00.000000", "2024-02-01T00:00:00Z")
        '2024-02-29'
    """
    value = decode(lowest)
    if isinstance(value, Decimal):
        if isinstance(sample, int):
            return max(math.floor(value), _LOWEST_INTEGER)
        if isinstance(sample, float):
            return float(value) - abs(float(value)) * _SINGLE_PRECISION
        return value if isinstance(sample, Decimal) else None
    if isinstance(sample, dt.datetime):
        return value
    if isinstance(sample, dt.date):
        return value.date()
    if not isinstance(sample, str):
        return None
    try:
        return (value - _LARGEST_OFFSET if value.tzinfo else value).date().isoformat()
    except OverflowError:
        return None


def _parse(text: str) -> dt.datetime | None:
    text = text.strip()
    if not text:
        return None
    if _DATE.match(text):
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError(f"{text!r} is no ISO 8601 time such as 2024-01-31 or 2024-01-31T06:30:00Z")


def _time_text(value: dt.date) -> str:
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time.min)
    kind = _TIME
    if value.tzinfo is not None:
        try:
            kind, value = _INSTANT, value.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError(f"'{value}' is outside the years 1 to 9999 in UTC") from None
    return f"{kind} {value.isoformat(timespec='microseconds')}"


def _number_text(value: int | float | Decimal) -> str:
    """Sign, exponent and digits; of a negative number each digit's complement."""
    if not value:
        return "1"
    if isinstance(value, int):
        digits = str(abs(value))
        exponent = len(digits) - 1
    else:
        number = _decimal(value)
        digits = "".join(map(str, number.as_tuple().digits))
        exponent = number.adjusted()
    size = f"{exponent + _BIAS:06d}{digits.rstrip('0')}"
    return f"0{size.translate(_COMPLEMENT)}{_END}" if value < 0 else f"1{size}"


def _decimal(value: float | Decimal) -> Decimal:
    """The number; of a float the shortest digits that tell it from its neighbours."""
    if isinstance(value, float) and abs(value) < _FLOAT_INTEGERS:
        return Decimal(repr(value))
    return Decimal(value)


def _number(text: str) -> Decimal:
    if text == "1":
        return Decimal(0)
    negative = text.startswith("0")
    size = text[1:].removesuffix(_END)
    if negative:
        size = size.translate(_COMPLEMENT)
    digits = tuple(map(int, size[6:]))
    return Decimal((int(negative), digits, int(size[:6]) - _BIAS - len(digits) + 1))


def _number_of(look_back: int | float | str) -> Decimal:
    try:
        number = Decimal(str(look_back))
    except decimal.InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise ValueError("write a number that is not negative, such as 1000")
    return number


def _duration_of(look_back: int | float | str) -> dt.timedelta:
    if str(look_back) == "0":
        return dt.timedelta(0)
    try:
        float(look_back)
    except ValueError:
        try:
            duration = pd.Timedelta(str(look_back))
            if duration >= pd.Timedelta(0):
                return duration.ceil("us").to_pytimedelta()
        except ValueError:
            pass
    raise ValueError("write a duration such as '2D' or '6h'")
