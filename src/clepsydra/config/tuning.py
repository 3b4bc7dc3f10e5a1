"""Which options of a model are tuned, and over which values."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import combinations
from typing import Any

from pydantic import Field, field_validator, model_validator

from clepsydra.config.base import Strict

__all__ = ["Dimension", "TuneConfig"]

_FORMS = "write a range, e.g. {low: 15, high: 127}, or {choices: [...]}"


class Dimension(Strict):
    """The values that one option may take: a range of numbers, or a list of choices.

    Of a range with whole ends the values are whole, else they are not.
    """

    low: int | float | None = Field(None, description="least value, included")
    high: int | float | None = Field(None, description="greatest value, included")
    step: int | float | None = Field(None, description="from `low` on; any value if not given")
    log: bool = Field(False, description="whether values are spread evenly over their logarithms")
    choices: list[Any] | None = Field(None, min_length=1, description="anything, such as lists")

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict | cls):
            raise ValueError(f"{value!r} says no values: {_FORMS}")
        return value

    @field_validator("low", "high", "step", mode="before")
    @classmethod
    def _is_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and math.isfinite(value)):
            raise ValueError(f"{value!r} is no finite number")
        return value

    @model_validator(mode="after")
    def _is_range_or_choices(self) -> Dimension:
        of_range = {"low": self.low, "high": self.high, "step": self.step, "log": self.log or None}
        given = [name for name, value in of_range.items() if value is not None]
        if self.choices is not None:
            if given:
                raise ValueError(f"'choices' and {given} are two forms: {_FORMS}")
            return self
        if self.low is None or self.high is None:
            raise ValueError(f"these are no values: {_FORMS}")
        if self.low > self.high:
            raise ValueError(f"low: {self.low} is above high: {self.high}")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step: {self.step} leads nowhere: it must be above 0")
        if self.log and self.step is not None:
            raise ValueError("'log' and 'step' exclude each other: leave one out")
        if self.log and self.low <= 0:
            raise ValueError(f"low: {self.low} has no logarithm: with 'log' it must be above 0")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether the values of a range are whole numbers."""
        given = (self.low, self.high, 1 if self.step is None else self.step)
        return all(isinstance(value, int) for value in given)

    @property
    def size(self) -> int | None:
        """How many values there are; nothing if they cannot be counted."""
        if self.choices is not None:
            return len(self.choices)
        if self.step is None and not self.is_whole:
            return None
        low, high, step = (Decimal(str(value)) for value in (self.low, self.high, self.step or 1))
        return int((high - low) // step) + 1

    @property
    def ends(self) -> list[Any]:
        """All choices, or the least and the greatest value of a range.

        Examples:
            >>> Dimension(low=1, high=10, step=4).ends
            [1, 9]
        """
        if self.choices is not None:
            return self.choices
        return [self.low, self.high if self.step is None else self.value((self.size or 1) - 1)]

    def value(self, place: int) -> Any:
        """One of the values that can be counted, from 0 on.

        Examples:
            >>> Dimension(low=0.1, high=0.4, step=0.1).value(2)
            0.3
        """
        if self.choices is not None:
            return self.choices[place]
        low, step = (Decimal(str(value)) for value in (self.low, self.step or 1))
        found = low + place * step
        return int(found) if self.is_whole else float(found)


class TuneConfig(Strict):
    """Options of a model that are chosen on rolling origins before all windows."""

    trials: int = Field(20, ge=2, description="options to try, the model's own among them")
    windows: int = Field(2, ge=1, description="rolling origins that a trial is scored on")
    series: int | None = Field(
        None,
        ge=1,
        description="of all series, evenly spread over their names; if not given 50, and of a "
        "model that learns from all series at once all of them",
    )
    space: dict[str, Dimension] = Field(
        min_length=1, description="to an option, e.g. params.num_leaves, the values it may take"
    )

    @field_validator("space")
    @classmethod
    def _options_are_told_apart(cls, value: dict[str, Dimension]) -> dict[str, Dimension]:
        for key in value:
            if not all(key.split(".")):
                raise ValueError(f"'{key}' is no option: write e.g. params.num_leaves")
        for outer, inner in combinations(sorted(value), 2):
            if inner.startswith(outer + "."):
                raise ValueError(f"'{inner}' is a part of '{outer}': take one of them out")
        return value
