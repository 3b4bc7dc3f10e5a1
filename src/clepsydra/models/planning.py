"""Which models run when there is a limited time for all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from clepsydra.config import ModelsConfig

__all__ = ["PLAN", "Estimate", "choose", "everything", "in_seconds", "only"]

PLAN = {"model": object, "runs": bool, "seconds": float, "took": float, "series": int}
PLAN |= {"measured_on": int, "reason": object}
# Of the budget, for measuring; but a process takes a part of a second to start.
_SHARE = 0.25
_LEAST_SECONDS = 1.0


@dataclass(frozen=True)
class Estimate:
    """What a model is expected to cost.

    Attributes:
        took: seconds that it took to find out.
        seconds: of all its backtests and fits; nothing if that is not known.
        measured_on: series of the sample.
        problem: why it is not known.
    """

    took: float
    seconds: float | None = None
    measured_on: int = 0
    problem: str = ""


def everything(models: ModelsConfig, series: int) -> pd.DataFrame:
    """The plan without a budget: all models run, and none was measured."""
    rows = [(name, True, float("nan"), 0.0, series, 0, "no budget") for name in models.root]
    return _table(rows)


def choose(
    models: ModelsConfig, budget: float, series: int, estimate: Callable[[str, float], Estimate]
) -> pd.DataFrame:
    """Take the models in their order, each that fits in what is left of the budget.

    The reference, or what it combines, comes first and always runs. Measuring counts too: a quarter
    of the budget is shared out for it, and what one model does not need is the others'. Each has a
    second at least, if that is left of the budget.

    Args:
        models: what the configuration names.
        budget: seconds.
        series: how many there are.
        estimate: of a model, in at most so many seconds.

    Returns:
        `model` in the order of `models`, `runs`, `seconds` (expected; missing where unknown, and of
        combinations, which cost next to nothing), `took` (seconds that measuring took), `series`,
        `measured_on` (how many of them), `reason`.

    Examples:
        >>> spec = {"engine": "naive2"}
        >>> models = ModelsConfig.model_validate({"naive": spec, "slow": spec, "fast": spec})
        >>> cost = {"naive": 10.0, "slow": 90.0, "fast": 20.0}
        >>> plan = choose(models, 60.0, 5, lambda name, _: Estimate(1.0, cost[name], 2))
        >>> print(plan[["model", "runs", "reason"]].to_string(index=False, header=False))
        naive  True             fits: 10 s of the 60 s
         slow False left out: 90 s expected, 48 s left
         fast  True             fits: 20 s of the 60 s
    """
    combinations = models.combinations
    needed = models.members(models.reference)
    others = [name for name in models.root if name not in needed and name not in combinations]
    left, measuring = budget, _SHARE * budget
    rows = {}
    for number, name in enumerate([*needed, *others]):
        share = measuring / (len(needed) + len(others) - number)
        share = min(max(share, _LEAST_SECONDS), left)
        found = estimate(name, share) if share > 0 or name in needed else Estimate(0.0)
        left, measuring = max(0.0, left - found.took), max(0.0, measuring - found.took)
        runs = name in needed or (found.seconds is not None and found.seconds <= left)
        reason = _reason(found, budget, left, runs)
        # A reference of which nothing is known may take all there is.
        spent = (left if found.seconds is None else found.seconds) if runs else 0.0
        left = max(0.0, left - spent)
        seconds = float("nan") if found.seconds is None else found.seconds
        rows[name] = (name, runs, seconds, found.took, series, found.measured_on, reason)
    for name, combination in combinations.items():
        members = set(combination.of)
        number = sum(rows[member][1] for member in members)
        least = min(2, len(members))
        runs = number >= least
        reason = f"{'combines' if runs else 'left out:'} {number} of {len(members)} models"
        reason += "" if runs else f", {least} needed"
        rows[name] = (name, runs, float("nan"), 0.0, series, 0, reason)
    return _table([rows[name] for name in models.root])


def _reason(found: Estimate, budget: float, left: float, runs: bool) -> str:
    if found.seconds is None:
        problem = found.problem or f"nothing is left of the {in_seconds(budget)}"
        return f"the reference: {problem}" if runs else f"left out: {problem}"
    if found.seconds <= left:
        return f"fits: {in_seconds(found.seconds)} of the {in_seconds(budget)}"
    expected = f"{in_seconds(found.seconds)} expected, {in_seconds(left)} left"
    return f"the reference: {expected}" if runs else f"left out: {expected}"


def in_seconds(seconds: float) -> str:
    """A time to read.

    Examples:
        >>> in_seconds(1234.5), in_seconds(0.123)
        ('1,234 s', '0.12 s')
    """
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _table(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(PLAN)).astype(PLAN)


def only(models: ModelsConfig, names: Collection[str]) -> ModelsConfig:
    """The same with these models only, which combinations and fallbacks name no others than.

    A model whose fallbacks are all left out falls back on the reference.

    Args:
        models: what the configuration names.
        names: those that run, of each combination at least one member.

    Examples:
        >>> spec = {"engine": "naive2"}
        >>> both = {"engine": "median", "options": {"of": ["a", "b"]}}
        >>> models = ModelsConfig.model_validate({"a": spec, "b": spec, "both": both})
        >>> only(models, ["a", "both"]).combinations["both"].of
        ['a']
    """
    kept = {}
    for name, spec in models.root.items():
        if name not in names:
            continue
        if name in models.combinations:
            members = [member for member in models.members(name) if member in names]
            spec = spec.model_copy(update={"options": {**spec.options, "of": members}})
        if spec.fallback:
            fallback = [other for other in spec.fallback if other in names]
            spec = spec.model_copy(update={"fallback": fallback or None})
        kept[name] = spec
    return ModelsConfig(root=kept)
