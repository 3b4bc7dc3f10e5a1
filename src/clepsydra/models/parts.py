"""The parts that a forecast is the sum of, as a long table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

__all__ = ["PARTS", "SCALES", "Kind", "Scale", "no_parts", "parts_frame", "total"]

Kind = Literal["base", "feature", "component"]
"""What a part is: `base`, what no feature explains, such as the expected forecast; `feature`, what
a column changes of it, its SHAP value; `component`, a part that the model itself is the sum of."""

Scale = Literal["value", "log", "log1p"]
"""What the parts of a forecast add up to: itself, its logarithm, or that of one more than it."""

SCALES: dict[Scale, Callable[[np.ndarray], np.ndarray]] = {
    "value": np.asarray,
    "log": np.exp,
    "log1p": np.expm1,
}
"""From the sum of the parts to the forecast."""

PARTS = ["unique_id", "ds", "kind", "feature", "contribution", "scale"]


def parts_frame(
    unique_id: str | Sequence[str],
    ds: pd.Series | np.ndarray,
    parts: Mapping[Kind, Mapping[str, np.ndarray]],
    scale: Scale = "value",
) -> pd.DataFrame:
    """The parts of some forecasts.

    Args:
        unique_id: of all of them, or `[N]`.
        ds: `[N]` steps.
        parts: by kind and name, `[N]` each; a part is no part of a forecast where it is missing.
        scale: what they add up to.

    Returns:
        `unique_id`, `ds`, `kind`, `feature`, `contribution`, `scale`; part after part.

    Examples:
        >>> days = pd.date_range("2024-01-01", periods=2)
        >>> parts = {"base": {"base": np.array([5.0, 5.0])}, "feature": {"lag7": np.array([1, 2])}}
        >>> parts_frame("a", days, parts)[["feature", "contribution"]].to_numpy().tolist()
        [['base', 5.0], ['base', 5.0], ['lag7', 1.0], ['lag7', 2.0]]
    """
    columns = [
        pd.DataFrame(
            {
                "unique_id": unique_id,
                "ds": np.asarray(ds),
                "kind": kind,
                "feature": name,
                "contribution": np.asarray(values, dtype=float),
                "scale": scale,
            }
        )
        for kind, named in parts.items()
        for name, values in named.items()
    ]
    whole = pd.concat(columns, ignore_index=True) if columns else no_parts()
    return whole[whole["contribution"].notna()].reset_index(drop=True)


def no_parts() -> pd.DataFrame:
    """The table without a row."""
    frame = pd.DataFrame({name: pd.Series(dtype=object) for name in PARTS})
    return frame.astype({"ds": "datetime64[ns]", "contribution": float})


def total(parts: pd.DataFrame) -> pd.DataFrame:
    """The forecasts that parts add up to.

    Args:
        parts: from `parts_frame`.

    Returns:
        `unique_id`, `ds`, `y_hat`, in units of the series.

    Examples:
        >>> parts = parts_frame(
        ...     "a",
        ...     pd.date_range("2024-01-01", periods=1),
        ...     {
        ...         "base": {"level": np.array([0.0])},
        ...         "feature": {"lag7": np.array([1.0])},
        ...     },
        ...     "log",
        ... )
        >>> total(parts)["y_hat"].round(3).tolist()
        [2.718]
    """
    sums = parts.groupby(["unique_id", "ds", "scale"], sort=True)["contribution"].sum()
    table = sums.rename("y_hat").reset_index()
    for scale, back in SCALES.items():
        on_it = table["scale"] == scale
        table.loc[on_it, "y_hat"] = back(table.loc[on_it, "y_hat"].to_numpy())
    return table[["unique_id", "ds", "y_hat"]]
