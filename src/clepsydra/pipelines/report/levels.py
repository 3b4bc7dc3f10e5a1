"""What came of a hierarchy, in lines a person reads."""

from __future__ import annotations

from typing import Any

from clepsydra.pipelines.report.lines import labelled

__all__ = ["describe_levels"]

_METRICS = {"mae": "MAE", "mase": "MASE"}


def describe_levels(levels: list[dict[str, Any]]) -> list[str]:
    """A line for each level: its errors before and after its forecasts were reconciled.

    Args:
        levels: rows of the dataset `reconciliation`; without any there are no lines.
    """
    if not levels:
        return []
    lines = [labelled("hierarchy", "errors of the champions, and of the forecasts that add up")]
    for row in levels:
        figures = "; ".join(
            _change(name, row[f"{key}_before"], row[f"{key}_after"], row[f"{key}_ratio"])
            for key, name in _METRICS.items()
            if row[f"{key}_before"] is not None
        )
        lines.append(labelled("", f"{row['level']} ({row['series']}): {figures or 'not scored'}"))
    return lines


def _change(name: str, before: float, after: float, ratio: float) -> str:
    change = f"{abs(ratio - 1):.1%} {'HIGHER' if ratio > 1 + 1e-9 else 'lower'}"
    return f"{name} {before:.3f}, {after:.3f}: {change if abs(ratio - 1) > 1e-9 else 'the same'}"
