"""Regressors by the path they are imported from."""

from __future__ import annotations

import difflib
import importlib
import inspect
import itertools
from typing import Any

from sklearn.base import RegressorMixin, clone
from sklearn.ensemble import GradientBoostingRegressor

__all__ = ["of_quantile", "regressor"]

# As many threads as OpenMP is allowed, which is what the runner sets.
_LIGHTGBM = {"verbosity": -1, "deterministic": True, "force_row_wise": True, "n_jobs": 0}


def regressor(path: str, params: dict[str, Any]) -> RegressorMixin:
    """A regressor from its import path and arguments, unfitted.

    LightGBM is made quiet and deterministic, on as many threads as the runner allows.

    Raises:
        ImportError, AttributeError, TypeError: there is none, or it takes other arguments.
        ValueError: LightGBM does not know a parameter.

    Examples:
        >>> regressor("sklearn.linear_model.Ridge", {"alpha": 2.0})
        Ridge(alpha=2.0)
    """
    module, _, name = path.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    if module.split(".")[0] != "lightgbm":
        return cls(**params)
    _check_lightgbm(cls, params)
    return cls(**{**_LIGHTGBM, **params})


def of_quantile(regressor: RegressorMixin, level: float) -> RegressorMixin:
    """The same regressor with the loss of a quantile, under whichever names it has for that.

    Raises:
        ValueError: it has none.
    """
    names = regressor.get_params()
    if "quantile" in names:
        loss = {"loss": "quantile"} if "loss" in names else {}
        return clone(regressor).set_params(quantile=level, **loss)
    if "objective" in names:
        return clone(regressor).set_params(objective="quantile", alpha=level)
    if isinstance(regressor, GradientBoostingRegressor):
        return clone(regressor).set_params(loss="quantile", alpha=level)
    raise ValueError(f"'quantiles': {type(regressor).__name__} has no quantile loss")


def _check_lightgbm(cls: type, params: dict[str, Any]) -> None:
    """LightGBM itself takes any name, and at most says that it does not know it."""
    from lightgbm.basic import _ConfigAliases

    aliases = _ConfigAliases._get_all_param_aliases()
    names = {*inspect.signature(cls).parameters, *aliases, *itertools.chain(*aliases.values())}
    if unknown := sorted(set(params) - names):
        near = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"LightGBM has no parameter '{unknown[0]}'{hint}")
