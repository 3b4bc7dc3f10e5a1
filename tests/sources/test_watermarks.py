"""Watermarks as text sort as they do, and come back."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import helpers  # noqa: F401, it sets what hypothesis does
from clepsydra.sources.watermarks import decode, encode, kind_of, lowest_to_read, parameter

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=3),
)
ZONES = st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
YEARS = {"min_value": dt.datetime(2, 1, 1), "max_value": dt.datetime(9998, 1, 1)}


@given(NUMBERS, NUMBERS)
def test_numbers_sort_as_their_texts(one: Any, other: Any) -> None:
    assert (encode(one) < encode(other)) == (decode(encode(one)) < decode(encode(other)))
    if {type(one), type(other)} != {float, Decimal}:
        assert (encode(one) < encode(other)) == (one < other)


@given(NUMBERS)
def test_numbers_come_back(number: Any) -> None:
    assert type(number)(decode(encode(number))) == number
    assert kind_of(encode(number)) == "numbers"


@given(st.datetimes(**YEARS, timezones=ZONES), st.datetimes(**YEARS, timezones=ZONES))
def test_times_sort_as_their_texts(one: dt.datetime, other: dt.datetime) -> None:
    assert (encode(one) < encode(other)) == (one < other)
    assert decode(encode(one)) == one
    assert encode(one.isoformat(" ")) == encode(one)
    one, other = one.replace(tzinfo=None), other.replace(tzinfo=None)
    assert (encode(one) < encode(other)) == (one < other)
    assert decode(encode(one)) == one
    assert encode(one.date()) == encode(one.date().isoformat())


@given(NUMBERS, st.decimals(0, 1000, places=2))
def test_no_number_is_below_the_lowest_by_rounding(number: Any, look_back: Decimal) -> None:
    lowest = lowest_to_read(encode(number), str(look_back))
    assert decode(lowest) <= decode(encode(number))
    for sample in (1, 1.0, Decimal(1)):
        value = parameter(lowest, sample)
        assert value <= decode(lowest) or value == -(2**63)


def test_what_does_not_fit_has_no_parameter() -> None:
    assert parameter(encode(5), "2024-01-01") is None
    assert parameter(encode("2024-01-01"), 5) is None
    assert parameter(encode(dt.date(2024, 1, 1)), dt.date(2024, 1, 1)) == dt.date(2024, 1, 1)
    assert parameter(encode("0001-01-01T00:00Z"), "x") is None


@pytest.mark.parametrize(
    "text",
    ["", "5", "number", "number 15", "number 150000010", "time 5", "time 2024-01-01", "day 5"],
)
def test_a_text_that_is_no_watermark(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)
