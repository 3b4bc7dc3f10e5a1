"""Models by the name of their engine: the one place to add a line when a new kind is written."""

from __future__ import annotations

import importlib
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from clepsydra.config import ModelsConfig, ModelSpec, TaskConfig
from clepsydra.config.models import Method
from clepsydra.errors import ConfigError
from clepsydra.models.base import Model

__all__ = [
    "ENGINES",
    "build_models",
    "fallback_chain",
    "global_models",
    "local_models",
]


class Engine(NamedTuple):
    """Where a kind of model is found.

    Its scope is repeated here because the pipelines are drawn without importing the libraries.
    """

    path: str
    scope: Literal["series", "panel"]


ENGINES = {
    "statsforecast": Engine("clepsydra.models.statistical.StatsforecastModel", "series"),
    "naive2": Engine("clepsydra.models.naive2.Naive2Model", "series"),
    "autoregression": Engine("clepsydra.models.autoregression.AutoregressionModel", "series"),
    "sarimax": Engine("clepsydra.models.state_space.SarimaxModel", "series"),
    "unobserved_components": Engine(
        "clepsydra.models.state_space.UnobservedComponentsModel", "series"
    ),
    "exponential_smoothing": Engine(
        "clepsydra.models.state_space.ExponentialSmoothingModel", "series"
    ),
    "var": Engine("clepsydra.models.vector.VarModel", "panel"),
    "window_regression": Engine(
        "clepsydra.models.window_regression.WindowRegressionModel", "panel"
    ),
    "season_regression": Engine(
        "clepsydra.models.season_regression.SeasonRegressionModel", "series"
    ),
    "seasonal_correction": Engine(
        "clepsydra.models.seasonal_correction.SeasonalCorrectionModel", "panel"
    ),
    "mlforecast": Engine("clepsydra.models.machine_learning.MlforecastModel", "panel"),
    "neuralforecast": Engine("clepsydra.models.deep.NeuralforecastModel", "panel"),
    "chronos": Engine("clepsydra.models.foundation.ChronosModel", "panel"),
}


class _Plain(NamedTuple):
    """What a value of a plain type may be in YAML."""

    kinds: tuple[type, ...]
    text: str


_PLAIN = {
    bool: _Plain((bool,), "true or false"),
    int: _Plain((int,), "a whole number"),
    float: _Plain((int, float), "a number"),
    str: _Plain((str,), "a text"),
}


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
        ConfigError: an engine that there is not, an option that it does not know, intervals of its
            own that it does not have, or a time-out of a model that learns from all series.
    """
    return {name: _build(name, models.root[name], task, lead) for name in names}


def local_models(models: ModelsConfig) -> list[str]:
    """Names of the models that treat each series alone, and so run in shards."""
    return _of_scope(models, "series")


def global_models(models: ModelsConfig) -> list[str]:
    """Names of the models of which one fit serves all series."""
    return _of_scope(models, "panel")


def fallback_chain(name: str, models: ModelsConfig) -> list[str]:
    """The models that forecast in turn where `name` fails: its own list, or the reference.

    Raises:
        ConfigError: one that there is not, or that does not treat each series alone.
    """
    able = [other for other in local_models(models) if other != name]
    chosen = models.root[name].fallback
    if chosen is None:
        return [other for other in able if other == models.reference]
    if unknown := [other for other in chosen if other not in able]:
        raise ConfigError(
            f"model '{name}': 'fallback' names {unknown}; choose from {able}, the other models "
            f"that treat each series alone"
        )
    return chosen


def _of_scope(models: ModelsConfig, scope: str) -> list[str]:
    return [
        name
        for name, spec in models.root.items()
        if name not in models.combinations and _scope(name, spec) == scope
    ]


def _scope(name: str, spec: ModelSpec) -> str:
    if spec.engine in ENGINES:
        return ENGINES[spec.engine].scope
    return _engine(name, spec).scope


def _build(name: str, spec: ModelSpec, task: TaskConfig, lead: int) -> Model:
    engine: Any = _engine(name, spec)
    try:
        _check_types(engine, spec.options)
        model = engine(task=task, lead=lead, **spec.options)
    except (TypeError, AttributeError, ImportError, ValueError) as error:
        raise ConfigError(f"model '{name}' (engine '{spec.engine}'): {error}") from error
    if spec.timeout is not None and model.scope != "series":
        raise ConfigError(
            f"model '{name}': 'timeout' is for models of single series, and this one learns from "
            f"all at once; take the line out, and limit it by its own options"
        )
    if spec.intervals == "own" and not model.own_quantiles:
        raise ConfigError(
            f"model '{name}': 'intervals: own', but it has none; take the line out, and they are "
            f"made from the errors of the backtest"
            + ("; or give it 'quantiles: true'" if spec.engine == "mlforecast" else "")
        )
    # Some engines spend most of their time on quantiles.
    model.own_quantiles = spec.intervals == "own"
    return model


def _check_types(engine: type[Model], options: dict[str, Any]) -> None:
    """Python takes any text for a truth: `known_columns: "no"` would be a yes."""
    try:
        hints = get_type_hints(engine.__init__)
    except NameError:  # of types that only a type checker imports
        return
    for name, hint in hints.items():
        value = options.get(name)
        kinds = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
        wanted = [kind for kind in kinds if kind is not type(None)]
        plain = _PLAIN.get(wanted[0]) if len(wanted) == 1 else None
        if plain and value is not None and type(value) not in plain.kinds:
            raise TypeError(f"'{name}' is {value!r}: it should be {plain.text}")


def _engine(name: str, spec: ModelSpec) -> type[Model]:
    """The class of an engine: one of `ENGINES`, or `package.module.Class` of anyone's."""
    path = ENGINES[spec.engine].path if spec.engine in ENGINES else spec.engine
    module, _, cls = path.rpartition(".")
    if not module:
        raise ConfigError(
            f"model '{name}': no engine '{spec.engine}'; there are {', '.join(ENGINES)}, "
            f"{', '.join(get_args(Method))}, or the path of a class, package.module.Class"
        )
    try:
        engine = getattr(importlib.import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"model '{name}' (engine '{spec.engine}'): {error}") from error
    if not (isinstance(engine, type) and issubclass(engine, Model)):
        raise ConfigError(
            f"model '{name}': '{spec.engine}' is no subclass of clepsydra.models.base.Model"
        )
    return engine
