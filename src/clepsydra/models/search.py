"""The next options to try, from how good those before them were."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from clepsydra.config import Dimension

__all__ = ["Search"]

_SEED = 0


class Search:
    """A model's own options, then others from a space.

    If the trials are enough for every combination there is, they are tried in turn. If not, options
    are at first from all over the space, then from where the best ones were: Optuna's
    tree-structured Parzen estimator, in memory and with a constant seed, so that the same scores
    lead to the same options.

    Source: Bergstra, Bardenet, Bengio and Kégl, Algorithms for hyper-parameter optimization (2011).

    Args:
        space: to each option the values it may take.
        own: those that the model has; any may be missing, or not be in the space.
        trials: how many there will be.

    Examples:
        >>> search, scores = Search({"a": Dimension(low=1, high=1000)}, {"a": 1}, 50), {}
        >>> for _ in range(50):
        ...     options = search.ask()
        ...     scores[options["a"]] = abs(options["a"] - 300)
        ...     search.tell(scores[options["a"]])
        >>> 290 < min(scores, key=scores.get) < 310
        True
    """

    def __init__(self, space: Mapping[str, Dimension], own: Mapping[str, Any], trials: int):
        self._space, self._own = space, dict(own)
        every = _combinations(space, self._own, trials - 1)
        self._listed = iter([self._own, *(every or [])])
        self._is_whole = every is not None
        self._distributions = {key: _distribution(its) for key, its in space.items()}
        with _quiet():
            self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=_SEED))
        self._trial: optuna.Trial | None = None

    def ask(self) -> dict[str, Any] | None:
        """The options to try next; nothing if all there are have been tried."""
        self._trial = None
        listed = next(self._listed, None)
        if listed is not None or self._is_whole:
            return listed
        with _quiet():
            self._trial = self._study.ask(self._distributions)
        return {key: self._option(key, value) for key, value in self._trial.params.items()}

    def tell(self, score: float | None) -> None:
        """How good the last ones were: the less the better; nothing if they failed."""
        # What failed counts as worse than all others, and is kept away from.
        state = TrialState.PRUNED if score is None else TrialState.COMPLETE
        with _quiet():
            if self._trial is not None:
                self._study.tell(self._trial, score, state)
            elif not self._is_whole:
                self._learn_own(score, state)

    def _learn_own(self, score: float | None, state: TrialState) -> None:
        """How good the model's own options are; passed over if not all are in the space."""
        values = {key: self._value(key, option) for key, option in self._own.items()}
        with contextlib.suppress(ValueError):
            self._study.add_trial(
                create_trial(
                    state=state, value=score, params=values, distributions=self._distributions
                )
            )

    def _option(self, key: str, value: Any) -> Any:
        choices = self._space[key].choices
        return value if choices is None else choices[value]

    def _value(self, key: str, option: Any) -> Any:
        """What Optuna knows an option as: of a list of choices its place, -1 if it is not there."""
        its = self._space[key]
        if its.choices is None:
            return option
        alike = (place for place, choice in enumerate(its.choices) if _same(choice, option))
        return next(alike, -1)


def _combinations(
    space: Mapping[str, Dimension], own: dict[str, Any], at_most: int
) -> list[dict[str, Any]] | None:
    """Every combination of values but the model's own, if there are not too many."""
    sizes = [its.size for its in space.values()]
    if None in sizes or math.prod(size for size in sizes if size) > at_most + 1:
        return None
    values = [map(its.value, range(its.size or 0)) for its in space.values()]
    every = [dict(zip(space, found, strict=True)) for found in itertools.product(*values)]
    others = [
        options
        for options in every
        if options.keys() != own.keys() or not all(_same(options[key], own[key]) for key in own)
    ]
    return others if len(others) <= at_most else None


def _same(one: Any, other: Any) -> bool:
    """Whether two options are: `1` and `true` are not."""
    return type(one) is type(other) and bool(one == other)


def _distribution(its: Dimension) -> BaseDistribution:
    if its.choices is not None:
        # Optuna takes texts and numbers only, so it chooses places.
        return CategoricalDistribution(range(len(its.choices)))
    # Optuna asks for an end that is one of the steps.
    low, high = its.ends
    if its.is_whole:
        return IntDistribution(int(low), int(high), its.log, int(its.step or 1))
    return FloatDistribution(low, high, its.log, its.step)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says nothing, and what it says elsewhere is as it was."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
