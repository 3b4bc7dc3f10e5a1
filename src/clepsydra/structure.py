"""The part of the configuration that shapes the pipelines: shards, global models, a hierarchy.

Kedro registers pipelines without showing them the configuration. Inside a session the hook
`after_context_created` hands over what that session reads; elsewhere (`kedro registry`,
kedro-viz, the Airflow manifest) the files are read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from kedro.config import AbstractConfigLoader
from kedro.framework.project import pipelines, settings
from pydantic import BaseModel, ValidationError

from clepsydra.config import EvaluateConfig, HierarchyConfig, ModelsConfig, SourcesConfig
from clepsydra.config.base import tidy
from clepsydra.errors import ConfigError
from clepsydra.models.knowledge import attribute_names
from clepsydra.models.registry import global_models

__all__ = ["PROJECT_PATH", "Structure", "current_structure", "follow"]

PROJECT_PATH = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Structure:
    """What decides which nodes there are."""

    n_shards: int
    global_models: tuple[str, ...]
    sources: tuple[str, ...]
    target: str
    covariates: tuple[str, ...]
    attributes: tuple[str, ...]
    has_hierarchy: bool
    has_tuning: bool

    @classmethod
    def read(cls, parameters: dict[str, Any]) -> Structure:
        """From the merged parameters.

        Raises:
            ConfigError: `n_shards`, `models`, `sources`, `hierarchy` or `evaluate` is missing or
                wrong.
        """
        n_shards = parameters.get("n_shards")
        if not isinstance(n_shards, int) or n_shards < 1:
            raise ConfigError(f"n_shards is {n_shards!r}: it must be a whole number from 1 up")
        models = _validated(ModelsConfig, "models", parameters)
        sources = _validated(SourcesConfig, "sources", parameters)
        hierarchy = _validated(HierarchyConfig, "hierarchy", {"hierarchy": {}} | parameters)
        evaluate = _validated(EvaluateConfig, "evaluate", {"evaluate": {}} | parameters)
        _check_columns("hierarchy.levels", hierarchy.columns, sources)
        _check_columns("evaluate.segments", evaluate.segments, sources)
        return cls(
            n_shards,
            tuple(global_models(models)),
            tuple(sources.root),
            sources.target[0],
            tuple(sources.of_role("covariate")),
            tuple(sources.of_role("attributes")),
            hierarchy.is_declared,
            models.has_tuning,
        )


_Config = TypeVar("_Config", bound=BaseModel)


def _validated(model: type[_Config], key: str, parameters: dict[str, Any]) -> _Config:
    try:
        return model.model_validate(parameters.get(key))
    except ValidationError as error:
        raise ConfigError(f"{key}: {tidy(str(error))}") from None


def _check_columns(key: str, columns: Iterable[str], sources: SourcesConfig) -> None:
    there = [*attribute_names(sources), "unique_id"]
    for column in columns:
        if column not in there:
            near = get_close_matches(column, there, n=1)
            hint = f"Did you mean '{near[0]}'? " if near else ""
            raise ConfigError(
                f"{key}: the series have no column '{column}'. {hint}There are the "
                f"parts of their ids and their attributes: {', '.join(there)}"
            )


_KEYS = {
    *("as_of", "n_shards", "project_path", "sources", "task", "cleaning", "calendar", "windows"),
    *("models", "budget", "evaluate", "deploy", "explain", "monitor", "hierarchy"),
}
_followed: Structure | None = None


def follow(parameters: dict[str, Any]) -> None:
    """Use this session's parameters, and register the pipelines again if their shape changed.

    Raises:
        ConfigError: a top-level parameter that nothing reads, such as a misspelt one.
    """
    global _followed
    for key in sorted(set(parameters) - _KEYS):
        near = get_close_matches(key, _KEYS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(_KEYS))}"
        raise ConfigError(f"unknown parameter '{key}': {hint}")
    structure = Structure.read(parameters)
    if structure != _followed:
        _followed = structure
        pipelines.configure("clepsydra.pipeline_registry")


def current_structure() -> Structure:
    """The structure of the running session, or of the configuration on disk."""
    return _followed or Structure.read(_read_parameters())


def _read_parameters() -> dict[str, Any]:
    loader: AbstractConfigLoader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(PROJECT_PATH / settings.CONF_SOURCE),
        env=os.environ.get("KEDRO_ENV"),
        **settings.CONFIG_LOADER_ARGS,
    )
    return loader["parameters"]
