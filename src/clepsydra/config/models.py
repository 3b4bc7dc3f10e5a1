"""Models, how champions are chosen, the gate and the watch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Literal, get_args

from pydantic import Field, RootModel, ValidationError, model_validator

from clepsydra.config.base import Strict
from clepsydra.config.presets import preset
from clepsydra.config.tuning import TuneConfig

__all__ = [
    "BudgetConfig",
    "Combination",
    "DeployConfig",
    "EvaluateConfig",
    "ExplainConfig",
    "ModelSpec",
    "ModelsConfig",
    "MonitorConfig",
]


Method = Literal["median", "mean", "weighted", "stacked"]


class Combination(Strict):
    """How forecasts of several models become one."""

    method: Method
    of: list[str] = Field(min_length=1, description="the models")
    power: float = Field(
        4.0, ge=0, description="of 'weighted': weights are errors to the power of minus this"
    )

    @model_validator(mode="after")
    def _power_is_of_weights(self) -> Combination:
        if "power" in self.model_fields_set and self.method != "weighted":
            raise ValueError(f"'power' is an option of 'weighted', not of '{self.method}'")
        return self

    @property
    def learns(self) -> bool:
        """Whether its weights come from the errors of backtests."""
        return self.method in {"weighted", "stacked"}


class ModelSpec(Strict):
    """One model: the engine that runs it and the engine's options."""

    engine: str = Field(
        description="a name of `models.registry.ENGINES`, a way to combine others (median, mean, "
        "weighted, stacked), or a class"
    )
    options: dict[str, Any] = Field(default_factory=dict)
    max_history: int | None = Field(
        None,
        ge=2,
        description="last steps the model learns from, or as many as it needs, if those are more",
    )
    intervals: Literal["conformal", "own"] = Field(
        "conformal", description="from the errors of the backtest, or the model's own quantiles"
    )
    fallback: list[str] | None = Field(
        None, description="models to forecast a series in turn where this one fails; the reference"
    )
    timeout: float | None = Field(
        None, gt=0, description="seconds for a fit or a forecast of a series alone; 60 if not given"
    )
    tune: TuneConfig | None = Field(
        None, description="options that are chosen before the backtest, and from what"
    )

    @model_validator(mode="after")
    def _options_can_be_tuned(self) -> ModelSpec:
        if self.tune is None:
            return self
        if self.engine in get_args(Method):
            raise ValueError(
                f"'tune' is for engines, and '{self.engine}' combines models: tune those instead"
            )
        for key in self.tune.space:
            self._holder(key)
        return self

    def own(self, keys: Iterable[str]) -> dict[str, Any]:
        """The options under these keys, such as `params.num_leaves`, of those that it has."""
        found = {key: (self._holder(key), key.split(".")[-1]) for key in keys}
        return {key: holder[name] for key, (holder, name) in found.items() if name in holder}

    def as_tuned(self, tuned: ModelSpec) -> ModelSpec:
        """The same with those options of another that were to be tuned, and nothing to tune."""
        if self.tune is None:
            return self
        chosen = self.with_options(tuned.own(self.tune.space))
        return chosen.model_copy(update={"tune": None})

    def with_options(self, values: Mapping[str, Any]) -> ModelSpec:
        """The same with other options, under keys such as `params.num_leaves`.

        Examples:
            >>> spec = ModelSpec(engine="var", options={"params": {"a": 1}})
            >>> spec.with_options({"params.b": 2, "c": 3}).options
            {'params': {'a': 1, 'b': 2}, 'c': 3}
        """
        options = deepcopy(self.options)
        for key, value in values.items():
            *path, name = key.split(".")
            holder = options
            for part in path:
                holder = holder.setdefault(part, {})
            holder[name] = deepcopy(value)
        return self.model_copy(update={"options": options})

    def _holder(self, key: str) -> dict[str, Any]:
        """The mapping that an option is in; an empty one if there is none yet.

        Raises:
            ValueError: what it should be in is no mapping.
        """
        holder: Any = self.options
        parts = key.split(".")
        for place, part in enumerate(parts[:-1], 1):
            holder = holder.get(part, {})
            if not isinstance(holder, dict):
                raise ValueError(
                    f"'tune.space' names '{key}', but '{'.'.join(parts[:place])}' is {holder!r}, "
                    f"which has no options"
                )
        return holder


class ModelsConfig(RootModel[dict[str, ModelSpec]]):
    """`models`: name to description; the first is the reference all others are measured by.

    A text is the name of a list that comes with the project, by the frequency of the data: see
    `presets.yml` beside this module. `like` names one, too, whose models those beside it change or
    join: `{like: hourly, trees: {max_history: 5000}}`; a model that is null is left out, of the
    list's combinations as well. See `config.presets`.
    """

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        changes: dict[str, Any] = {}
        if isinstance(value, dict) and isinstance(value.get("like"), str):
            changes = {name: spec for name, spec in value.items() if name != "like"}
            value = value["like"]
        if not isinstance(value, str):
            return value
        return preset(value, changes, get_args(Method))

    @model_validator(mode="after")
    def _at_least_one(self) -> ModelsConfig:
        if not self.root:
            raise ValueError("name at least one model")
        plain = [name for name in self.root if name not in self.combinations]
        for name, combination in self.combinations.items():
            if unknown := [member for member in combination.of if member not in plain]:
                raise ValueError(f"'{name}': 'of' names {unknown}; choose from {plain}")
        return self

    @property
    def reference(self) -> str:
        """The first model: the reference, and the one of last resort."""
        return next(iter(self.root))

    @property
    def has_tuning(self) -> bool:
        """Whether options of some model are to be chosen."""
        return any(spec.tune is not None for spec in self.root.values())

    def members(self, name: str) -> list[str]:
        """The models that a combination combines; of any other model itself."""
        combinations = self.combinations
        return combinations[name].of if name in combinations else [name]

    @property
    def combinations(self) -> dict[str, Combination]:
        """The models that combine others.

        Raises:
            ValueError: one of them names no model, or has an option that it does not know.
        """
        found = {}
        for name, spec in self.root.items():
            if spec.engine not in get_args(Method):
                continue
            try:
                found[name] = Combination.model_validate(
                    {"of": [], **spec.options, "method": spec.engine}
                )
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise ValueError(
                    f"'{name}' ({spec.engine}): {where or 'its options'}: {first['msg']}"
                ) from None
        return found


class BudgetConfig(Strict):
    """How long models may take, by which those that run are chosen."""

    minutes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="of this machine, for the backtests and fits of all models; without them every "
        "model runs, and none is timed",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, value: Any) -> Any:
        if isinstance(value, int | float):
            raise ValueError(f"write minutes: budget: {{minutes: {value}}}")
        return value


class EvaluateConfig(Strict):
    """How champions are chosen and models told apart."""

    shrinkage: float = Field(
        140.0, ge=0, description="windows of a series' own that the record over all is worth"
    )
    segments: list[str] = Field(
        default_factory=list,
        description="attributes whose values make series alike; without any, the class of demand",
    )
    confidence: float = Field(
        0.9, gt=0, lt=1, description="that the best model is in the leaderboard's group a"
    )
    bootstrap: int = Field(
        1000, ge=100, description="repetitions that the model confidence set is found with"
    )
    canary_series: int = Field(
        5, ge=1, description="series of which every model is searched for leaks"
    )


class DeployConfig(Strict):
    """The gate that a bundle of champions must pass."""

    max_relative_error: float = Field(
        1.0, gt=0, description="champions' mean error over the reference's, on report windows"
    )


class ExplainConfig(Strict):
    """How many of the published forecasts are explained, and in how much detail."""

    series: int = Field(
        100, ge=0, description="of all series, evenly spread over their names; 0 for none"
    )
    features: int = Field(
        10, ge=1, description="of a model and a series, the strongest; others are added up"
    )


class MonitorConfig(Strict):
    """When to raise a hand."""

    significance: float = Field(0.01, gt=0, lt=1, description="of the drift test")
    max_share_drifted: float = Field(0.5, ge=0, le=1, description="of series, before retraining")
    max_error_growth: float = Field(
        1.5, gt=0, description="realised error over the backtest's, before retraining"
    )
    stale_after_seasons: float = Field(2.0, gt=0, description="of silence")
