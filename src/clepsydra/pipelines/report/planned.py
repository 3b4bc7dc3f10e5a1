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
        seconds = budget["seconds"]
        expected = "an unknown time" if seconds is None else in_seconds(seconds)
        text = f"{budget['run']} of {budget['models']} models run: {expected} expected, "
        text += f"{in_seconds(budget['took'])} to find out"
        lines.append(labelled("budget", text))
        lines += [labelled("", f"{name} {why}") for name, why in found["left_out"].items()]
    texts = [f"{name}: {_outcome(its)}" for name, its in found["tuned"].items()]
    lines += [labelled("" if number else "tuned", text) for number, text in enumerate(texts)]
    return lines


def _outcome(its: dict[str, Any]) -> str:
    """What the trials of a model came to; the first is of its own options."""
    trials = f"{its['tried']} trial{'s' if its['tried'] != 1 else ''}"
    if not its["tried"]:
        text = "NOT TUNED"
    elif its["score"] is None:
        text = f"NOT TUNED, {trials} failed: {its['problem']}"
    else:
        if its["is_own"]:
            text = f"stays as it is, the best of {trials}"
        else:
            own = its["own_score"]
            gained = "its own failed" if own is None else f"its own {own:.3f}"
            text = f"{its['options']} of {trials}: MASE {its['score']:.3f}, {gained}"
        if its["failed"]:
            text += f"; {its['failed']} failed: {its['problem']}"
    return f"{text}; {its['stopped']}" if its["stopped"] else text
