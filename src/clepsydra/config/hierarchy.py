"""Sums of series that are forecast beside the series themselves, and made to agree with them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from clepsydra.config.base import Strict

__all__ = ["TOTAL", "HierarchyConfig", "level_name"]

TOTAL = "total"
_EXAMPLE = "levels: [total, origin, [origin, carrier]]"


def level_name(columns: tuple[str, ...]) -> str:
    """What a level is called in tables.

    Examples:
        >>> level_name(("origin", "carrier"))
        'origin, carrier'
        >>> level_name(())
        'total'
    """
    return ", ".join(columns) or TOTAL


class HierarchyConfig(Strict):
    """`hierarchy`: the levels on which series are summed; without any, nothing is.

    A level is `total`, a column or a list of columns: series that have the same values in them are
    summed. The last level is that of the series themselves. Levels may cross, as airports and
    carriers do.
    """

    levels: list[tuple[str, ...]] = Field(
        default_factory=list,
        description="coarse to fine, of columns that the series have: parts of their ids or "
        "attributes; e.g. [total, origin, [origin, carrier]]",
    )
    max_imputed: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="a sum of which a larger share of the members is imputed is imputed itself: "
        "models are shown no such value, and none is scored. Above 0 some sums know the far end "
        "of a gap in one of their members",
    )

    @field_validator("levels", mode="before")
    @classmethod
    def _as_columns(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{value!r} is no list: write e.g. {_EXAMPLE}")
        return [_columns(level) for level in value]

    @model_validator(mode="after")
    def _levels_make_a_hierarchy(self) -> HierarchyConfig:
        if not self.levels:
            return self
        *upper, bottom = self.levels
        if not upper:
            raise ValueError(
                f"'levels' names one level only, '{level_name(bottom)}', and nothing to sum: write "
                f"coarser ones before it, e.g. {_EXAMPLE}, or leave 'levels' out"
            )
        for place, level in enumerate(self.levels):
            if len(set(level)) < len(level):
                raise ValueError(f"level '{level_name(level)}' names a column twice")
            if set(level) in map(set, self.levels[:place]):
                raise ValueError(f"'levels' names '{level_name(level)}' twice: take one out")
        for level in upper:
            if set(bottom) <= set(level):
                raise ValueError(
                    f"level '{level_name(level)}' does not nest: it is as fine as the last one, "
                    f"'{level_name(bottom)}', or finer. The last level is that of the series "
                    f"themselves; write coarse ones first"
                )
        return self

    @property
    def is_declared(self) -> bool:
        """Whether anything is summed."""
        return bool(self.levels)

    @property
    def columns(self) -> list[str]:
        """Every column that a level names."""
        return list(dict.fromkeys(column for level in self.levels for column in level))


def _columns(level: Any) -> Any:
    if level == TOTAL:
        return ()
    return (level,) if isinstance(level, str) else level
