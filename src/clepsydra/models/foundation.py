"""Foundation models: forecasts from weights that were trained elsewhere, on other series.

Nothing of PyTorch is imported before a model is made, so this module can be read without the extra
`deep`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from clepsydra.config import TaskConfig
from clepsydra.models.base import LEVELS, History, Model, quantile_columns
from clepsydra.models.torch_guest import isolated_torch, needs_extra

__all__ = ["ChronosModel", "at_levels"]


class ChronosModel(Model):
    """Chronos, Chronos-Bolt or Chronos-2 as they are: nothing is trained, `y` alone is read.

    The weights are those of a folder on this machine, and nothing is ever downloaded. `y_hat` is
    the median. Chronos (T5) samples paths, of which quantiles are taken; the others give quantiles
    of their own, from which those of `LEVELS` are found by `at_levels`. Longer horizons than a
    model was made for are reached step by step, as its authors do.

    Args:
        task: not needed; every engine is given it.
        lead: most steps ahead.
        path: folder with `config.json` and the weights, as `save_pretrained` writes it.
        batch_size: series at a time.
        max_context: last steps of a series that it sees; fewer if the model was made for fewer.
        samples: paths, of a model that samples.
        seed: of the samples.
        threads: of PyTorch; what the environment allows if not given.

    Raises:
        ImportError: without the extra `deep`.
        ValueError: no such folder, or not one of a Chronos model.

    References:
        Ansari et al., Chronos: learning the language of time series, TMLR 2024; Ansari et al.,
        Chronos-2: from univariate to universal forecasting, 2025 (arXiv:2510.15821).

    Examples:
        >>> from clepsydra.config import TaskConfig
        >>> task = TaskConfig(freq="D", season_lengths=[7], horizon=7)
        >>> ChronosModel(task, lead=7, path="nowhere")
        Traceback (most recent call last):
        ValueError: 'path': no config.json in 'nowhere': ...
    """

    scope = "panel"
    own_quantiles = True
    min_history = 3
    cost = 0.1

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        path: str,
        batch_size: int = 32,
        max_context: int = 2048,
        samples: int = 100,
        seed: int = 0,
        threads: int | None = None,
    ):
        _check_folder(Path(path))
        self._path = str(Path(path).resolve())
        self._lead = lead
        self._batch_size, self._max_context, self._samples = batch_size, max_context, samples
        self._seed, self._threads = seed, threads
        with isolated_torch(seed, threads), needs_extra("the engine 'chronos'"):
            import chronos  # noqa: F401  here, so that what is missing is said before anything runs

    def fit(self, history: History) -> str:
        """Which weights: the SHA-256 digest of the folder's files. Nothing is learnt."""
        return _digest(self._path)

    def predict(
        self, state: str, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        if horizon > self._lead:
            raise ValueError(f"horizon {horizon} is beyond the lead {self._lead} of this model")
        if _digest(self._path) != state:
            raise ValueError(f"the weights in '{self._path}' are not those of the fit")
        future = future[future["unique_id"].isin(history.ids)].sort_values(["unique_id", "ds"])
        rows = history.rows.sort_values(["unique_id", "ds"])
        past = [
            part.to_numpy(np.float32)[-self._max_context :]
            for _, part in rows.groupby("unique_id", sort=True)["y"]
        ]
        found = [np.empty((0, horizon, len(LEVELS)))]
        with isolated_torch(self._seed, self._threads):
            pipeline = _pipeline(self._path, state)
            for first in range(0, len(past), self._batch_size):
                found.append(self._batch(pipeline, past[first : first + self._batch_size], horizon))
        quantiles = np.concatenate(found).reshape(-1, len(LEVELS))
        frame = future[["unique_id", "ds"]].reset_index(drop=True)
        frame["y_hat"] = quantiles[:, LEVELS.index(0.5)]
        frame[quantile_columns()] = quantiles
        return frame

    def _batch(self, pipeline: Any, past: list[np.ndarray], horizon: int) -> np.ndarray:
        """[N, horizon, Q], sorted, of the levels of `LEVELS`."""
        import torch
        from chronos import ForecastType

        inputs = [torch.from_numpy(y) for y in past]
        sampled = pipeline.forecast_type == ForecastType.SAMPLES
        levels = LEVELS if sampled else tuple(sorted(pipeline.quantiles))
        more = {"num_samples": self._samples} if sampled else {}
        found, _ = pipeline.predict_quantiles(
            inputs, prediction_length=horizon, quantile_levels=list(levels), **more
        )
        if isinstance(found, list):  # Chronos-2: a list of [1, horizon, Q]
            found = torch.cat(found)
        values = np.sort(found.numpy().astype(float), axis=2)
        return values if sampled else at_levels(values, levels)


def at_levels(values: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles at the levels of `LEVELS`, from those at other levels.

    Between two levels the quantile is linear in the normal score of the level. Beyond the outermost
    one the distance from the median grows as that of a normal distribution does; heavier tails than
    that are not seen, and intervals from the errors of the backtest are the remedy.

    Args:
        values: [..., Q], sorted along the last axis.
        levels: Q levels, ascending, 0.5 among them.

    Returns:
        [..., number of `LEVELS`], sorted along the last axis.

    Examples:
        >>> normal = norm.ppf([0.1, 0.5, 0.9])
        >>> at_levels(normal, [0.1, 0.5, 0.9]).round(2).tolist()
        [-1.96, -1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28, 1.96]
    """
    if 0.5 not in levels:
        raise ValueError(f"the median is not among the levels {list(levels)}")
    given, wanted = norm.ppf(levels), norm.ppf(LEVELS)
    median = values[..., list(levels).index(0.5)]
    upper = np.clip(np.searchsorted(given, wanted), 1, len(given) - 1)
    share = (wanted - given[upper - 1]) / (given[upper] - given[upper - 1])
    share = np.clip(share, 0.0, 1.0)
    found = values[..., upper - 1] * (1 - share) + values[..., upper] * share
    for side in (0, -1):
        beyond = wanted < given[0] if side == 0 else wanted > given[-1]
        stretch = wanted[beyond] / given[side]
        distance = (values[..., side] - median)[..., None]
        found[..., beyond] = median[..., None] + distance * stretch
    return np.sort(found, axis=-1)


def _check_folder(path: Path) -> None:
    config = path / "config.json"
    if not config.is_file():
        raise ValueError(
            f"'path': no config.json in '{path}': weights are never downloaded; where there is a "
            f"network, `hf download amazon/chronos-bolt-small --local-dir {path}` or another "
            f"Chronos model, and put the folder here"
        )
    if "chronos_config" not in json.loads(config.read_text()):
        raise ValueError(f"'path': '{config}' is not that of a Chronos model")


@functools.lru_cache(maxsize=1)
def _pipeline(path: str, digest: str) -> Any:
    """The model of the folder; `digest` so that other weights are not taken for those in memory."""
    from chronos import BaseChronosPipeline

    return BaseChronosPipeline.from_pretrained(path, dtype="float32", local_files_only=True)


def _digest(path: str) -> str:
    files = sorted(file for file in Path(path).iterdir() if file.is_file())
    return _digest_of(tuple((str(file), file.stat().st_mtime_ns) for file in files))


@functools.lru_cache(maxsize=4)
def _digest_of(files: tuple[tuple[str, int], ...]) -> str:
    """Of names and contents; read again only where a file has another time."""
    found = hashlib.sha256()
    for file, _ in files:
        found.update(Path(file).name.encode())
        with Path(file).open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()
