"""The models that run, as a file."""

from __future__ import annotations

from typing import Any

from kedro_datasets import yaml

from clepsydra.config import ModelsConfig
from clepsydra.datasets.atomic import AtomicSave

__all__ = ["ModelsDataset"]


class ModelsDataset(AtomicSave, yaml.YAMLDataset):
    """A `ModelsConfig` in a file like the parameters: YAML, in its order, saved atomically.

    Options may have numbers for keys, which JSON would make texts of.

    Args:
        arguments: of `kedro_datasets.yaml.YAMLDataset`.
    """

    def __init__(self, **arguments: Any):
        super().__init__(**{"save_args": {"sort_keys": False}, **arguments})

    def load(self) -> ModelsConfig:
        return ModelsConfig.model_validate(super().load())

    def save(self, data: ModelsConfig) -> None:
        super().save(data.model_dump())
