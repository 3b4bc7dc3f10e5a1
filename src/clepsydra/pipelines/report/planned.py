"""What a budget was spent on, and which options were tuned, in lines a person reads."""

from __future__ import annotations

from typing import Any

from clepsydra.models.planning import in_seconds
from clepsydra.pipelines.report.lines import labelled

__all__ = ["describe_plan"]


def describe_plan(found: dict[str, Any]) -> list[str]:
    """Lines about the models that ran and their options; none without a budget and tuning.

    Args:
        found: the dataset `run_summary`.
    """
    lines = []
    if budget := found.get("budget"):
        text = f"{budget['run']} of {budget['models']} models run"
        text += (
            f": {in_seconds(budget['seconds'])} expected, {in_seconds(budget['took'])} to find out"
        )
        lines.append(labelled("budget", text))
        lines += [labelled("", f"{name} {why}") for name, why in found["left_out"].items()]
    texts = [f"{name}: {_outcome(its)}" for name, its in found["tuned"].items()]
    lines += [labelled("" if number else "tuned", text) for number, text in enumerate(texts)]
    return lines


def _outcome(its: dict[str, Any]) -> str:
    """What trials of a model came to."""
    if not its["tried"]:
        return f"NOT TUNED, {its['reason']}"
    tried = f"{its['tried']} trials"
    if its["failed"]:
        tried += f", {its['failed']} of them failed"
    if its["score"] is None:
        return f"NOT TUNED, {tried}: {its['reason']}"
    if its["is_own"]:
        return f"stays as it is: none of {tried} was better"
    before = "which failed" if its["own_score"] is None else f"{its['own_score']:.3f}"
    return f"{its['options']} of {tried}: MASE {its['score']:.3f}, its own {before}"
