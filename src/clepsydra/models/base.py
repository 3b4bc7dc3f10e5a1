"""What every model must be able to do, and how one is made from its description in YAML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pandas as pd

from clepsydra.config import ModelsConfig, ModelSpec, TaskConfig
from clepsydra.errors import ConfigError

__all__ = ["Model", "build_models", "combinations", "global_models", "local_models"]


class Model(Protocol):
    """A forecasting model over many series.

    Frames are long and in wall time: `unique_id`, `ds`, `y`, then the columns known in advance;
    each series regular and sorted. Past-only columns are not in them, so no model can read one
    ahead of its time.
    """

    min_history: int
    """Steps a series must have; a shorter one gets the fallback."""

    def fit(self, history: pd.DataFrame) -> Any:
        """Learn from `history`; returns a small state that pickles."""

    def predict(self, state: Any, history: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
        """Forecast every step of `future` from `history`, which may reach beyond the fit's.

        Args:
            state: what `fit` returned.
            history: `unique_id`, `ds`, `y` and the known columns up to the cutoff.
            future: `unique_id`, `ds` and the known columns of the steps that follow.

        Returns:
            `unique_id`, `ds`, `y_hat`; a series it cannot forecast is absent or has no finite
            value, and gets the fallback.
        """


def build_models(
    names: list[str], models: ModelsConfig, task: TaskConfig, lead: int
) -> dict[str, Model]:
    """The named models, ready to fit.

    Args:
        names: which of `models`.
        models: what the configuration names.
        task: grid and season.
        lead: most steps from a cutoff to the last step forecast.

    Raises:
        ConfigError: an option that the engine does not know.
    """
    return {name: _build(name, models.root[name], task, lead) for name in names}


def local_models(models: ModelsConfig) -> list[str]:
    """Names of the models that treat each series alone, and so run in shards."""
    return [n for n, spec in models.root.items() if spec.engine not in {"mlforecast", "median"}]


def global_models(models: ModelsConfig) -> list[str]:
    """Names of the models of which one fit serves all series."""
    return [name for name, spec in models.root.items() if spec.engine == "mlforecast"]


def combinations(models: ModelsConfig) -> dict[str, list[str]]:
    """The models that are the median of others, and of which."""
    return {
        name: list(spec.options["of"])
        for name, spec in models.root.items()
        if spec.engine == "median"
    }


def _build(name: str, spec: ModelSpec, task: TaskConfig, lead: int) -> Model:
    try:
        return _engine(spec.engine)(task=task, lead=lead, **spec.options)
    except (TypeError, AttributeError, ImportError, ValueError) as error:
        raise ConfigError(f"model '{name}' (engine '{spec.engine}'): {error}") from error


def _engine(name: str) -> Callable[..., Model]:
    if name == "statsforecast":
        from clepsydra.models.statistical import StatsforecastModel

        return StatsforecastModel
    if name == "sarimax":
        from clepsydra.models.state_space import SarimaxModel

        return SarimaxModel
    from clepsydra.models.machine_learning import MlforecastModel

    return MlforecastModel
