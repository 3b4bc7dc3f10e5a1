"""What every part of the configuration shares."""

from __future__ import annotations

import datetime as dt
import functools
import re
from difflib import get_close_matches
from typing import Any
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from clepsydra.errors import ConfigError

__all__ = ["LATEST", "Strict", "check_timezone", "parse_as_of", "tidy"]

LATEST = "latest"


class Strict(BaseModel):
    """A mapping of the configuration: a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _has_known_keys_only(cls, value: Any) -> Any:
        unknown = (
            [key for key in value if key not in cls.model_fields] if isinstance(value, dict) else []
        )
        if unknown:
            found = [
                InitErrorDetails(type=_unknown(key, list(cls.model_fields)), loc=(key,), input=key)
                for key in unknown
            ]
            raise ValidationError.from_exception_data(cls.__name__, found)
        return value


def _unknown(key: Any, known: list[str]) -> PydanticCustomError:
    near = get_close_matches(str(key), known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
    return PydanticCustomError("unknown_key", "unknown key: {hint}", {"hint": hint})


def check_timezone(value: str) -> str:
    """The value, if it is an IANA name.

    Raises:
        ValueError: it is not.
    """
    if value not in _timezones():
        raise ValueError(
            f"unknown time zone {value!r}: use an IANA name such as 'UTC' or 'Europe/Paris'"
        )
    return value


@functools.cache
def _timezones() -> set[str]:
    """All names; to find them a folder is searched."""
    return available_timezones()


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


def tidy(message: str) -> str:
    """Pydantic's report of a wrong parameter without its footnotes."""
    lines = (
        re.sub(r" \[type=.*?\]$|Value error, ", "", line)
        for line in message.splitlines()
        if "errors.pydantic.dev" not in line
    )
    return "\n".join(lines)
