"""What becomes of values that stand out and of steps without a value."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from clepsydra.config.base import Strict

__all__ = ["HAMPEL_WINDOW", "CleaningConfig", "GapMethod", "OutlierConfig"]

GapMethod = Literal["linear", "previous", "seasonal"]
HAMPEL_WINDOW = 25
_SIGMAS = 6.0
_IQRS = 3.0


class OutlierConfig(Strict):
    """Which values stand out from their series, and whether they stay."""

    method: Literal["hampel", "iqr", "stl"] = Field(
        description="what a value is compared with. hampel: the median of the steps around it, "
        "for series without a season; iqr: the quartiles of its series; stl: trend and season of "
        "its series, slower"
    )
    threshold: float = Field(
        _SIGMAS,
        gt=0,
        allow_inf_nan=False,
        description="how far is too far: robust standard deviations from the median or from trend "
        "and season (hampel, stl; 6 if not given), or interquartile ranges beyond the quartiles "
        "(iqr; 3 if not given, Tukey's 'far out')",
    )
    window: int | None = Field(
        None,
        description="hampel: steps that are compared, the value in the middle; odd, 25 if not "
        "given. Work grows with it",
    )
    replace: bool = Field(
        False,
        description="true: the value is replaced as if it were missing, counts as imputed, and is "
        "not scored; at an earlier cutoff models are shown what stood out then, which takes as "
        "long again for every window; false: it is only flagged",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_what_is_usual(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        usual = {
            "hampel": {"threshold": _SIGMAS, "window": HAMPEL_WINDOW},
            "iqr": {"threshold": _IQRS},
        }
        return {**usual.get(str(values.get("method")), {}), **values}

    @field_validator("window")
    @classmethod
    def _has_a_middle(cls, value: int | None) -> int | None:
        if value is not None and (value < 3 or value % 2 == 0):
            raise ValueError(
                f"{value} steps have no middle with neighbours: write an odd number from 3 up, "
                f"e.g. {HAMPEL_WINDOW}"
            )
        return value

    @model_validator(mode="after")
    def _window_is_used(self) -> OutlierConfig:
        if self.window is not None and self.method != "hampel":
            raise ValueError(
                f"'window' has no effect with 'method: {self.method}': leave it out, or write "
                f"'method: hampel'"
            )
        return self


class CleaningConfig(Strict):
    """What becomes of values that stand out and of steps without a value."""

    outliers: OutlierConfig | None = Field(
        None, description="how values that stand out are found; if not given, none is looked for"
    )
    gap_limit: int | None = Field(
        None, ge=0, description="steps without a value in a row; a gap of more is a long one"
    )
    long_gaps: Literal["fill", "cut"] = Field(
        "fill",
        description="fill: as short ones; cut: the series starts after its last long gap, and the "
        "rows before are set aside and counted",
    )
    gap_method: GapMethod = Field(
        "linear",
        description="what an interpolated step gets. linear: a straight line between the values "
        "around the gap; previous: the last value before it; seasonal: the value one reference "
        "season before, or several, and a straight line where there is none",
    )

    @model_validator(mode="after")
    def _limit_and_policy_go_together(self) -> CleaningConfig:
        if self.long_gaps == "cut" and self.gap_limit is None:
            raise ValueError(
                "'long_gaps: cut' needs 'gap_limit', the steps of the longest gap that does not "
                "cut, e.g. gap_limit: 48"
            )
        if self.long_gaps == "fill" and self.gap_limit is not None:
            raise ValueError(
                "'gap_limit' has no effect with 'long_gaps: fill', which fills every gap: write "
                "'long_gaps: cut' as well, or leave 'gap_limit' out"
            )
        return self

    @property
    def replaces_outliers(self) -> bool:
        """Whether values that stand out are replaced, and not only flagged."""
        return self.outliers is not None and self.outliers.replace
