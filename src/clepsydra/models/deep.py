"""Neural networks that learn from all series: the models of neuralforecast.

Nothing of PyTorch is imported before a model is made, so this module can be read without the extra
`deep`.
"""

from __future__ import annotations

import inspect
import io
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.base import LEVELS, History, Model, Use, quantile_columns
from clepsydra.models.tensors import (
    Inputs,
    Panel,
    ahead,
    chunks,
    learn_inputs,
    panel_of,
)
from clepsydra.models.torch_guest import isolated_torch, needs_extra

__all__ = ["NeuralforecastModel", "Trained", "default_input_size"]

logger = logging.getLogger(__name__)

_LONGEST_SEASON = 512
_DEFAULTS = {
    "windows_batch_size": 64,
    "scaler_type": "standard",
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "num_sanity_val_steps": 0,
    "limit_val_batches": 0,
}
# A step of the TFT as it is published (128) takes ten times as long as one of the others.
_CLASS_DEFAULTS = {"TFT": {"hidden_size": 32}}


@dataclass(frozen=True)
class Trained:
    """What a fit leaves: enough to build the network again, and nothing of the training rows.

    Attributes:
        weights: the state of the network, as `torch.save` writes it.
        inputs: the columns it reads.
        steps: of training; fewer than asked for where the time was over before.
    """

    weights: bytes
    inputs: Inputs
    steps: int


class NeuralforecastModel(Model):
    """One network over all series, trained on windows of `input_size` steps and the lead after.

    The quantiles of `LEVELS` come from the quantile loss of all of them together, and `y_hat` is
    their median. A network that goes forward step by step (DeepAR; LSTM, GRU and RNN with
    `recurrent: true`) has a Student's t distribution instead, `y_hat` is its mean, and the mean is
    what the next step is told: far ahead its intervals are too narrow, so prefer those made from
    the errors of the backtest.

    Every window is scaled by its own input, so that series of any size learn together and nothing
    is fitted beyond the training rows. Two fits with the same seed and threads give the same
    forecasts, unless `max_seconds` ended them.

    Args:
        task: gives the seasons.
        lead: most steps ahead; the network always forecasts all of them.
        model: class of `neuralforecast.models` that forecasts each series from its own past.
        input_size: steps that it sees before the cutoff; see `default_input_size`.
        max_steps: batches to learn from.
        max_seconds: training ends then, whatever it has learnt; forecasts then depend on the speed
            of the machine. No limit if not given.
        seed: of the weights and the batches.
        threads: of PyTorch; what the environment allows if not given. Where other processes are
            busy, 1 is several times faster than more: threads wait for one another.
        known_columns: whether it reads columns known in advance; if not given, it does if it can.
        past_only_columns: the same for columns known up to the cutoff.
        static_columns: attributes of the series that it reads.
        options: arguments of the class or of Lightning's `Trainer`, such as `learning_rate`.

    Raises:
        ImportError: without the extra `deep`.
        ValueError: no such class, columns that it cannot read, or an option that it does not know.

    References:
        Olivares et al., NeuralForecast: user friendly state-of-the-art neural forecasting models,
        PyCon 2022. NHITS: Challu et al., AAAI 2023. TFT: Lim et al., International Journal of
        Forecasting 37, 2021. PatchTST: Nie et al., ICLR 2023. DeepAR: Salinas et al., International
        Journal of Forecasting 36, 2020.

    Examples:
        >>> from clepsydra.config import TaskConfig
        >>> task = TaskConfig(freq="D", season_lengths=[7], horizon=7)
        >>> NeuralforecastModel(task, lead=7, model="NHITS").min_history  # doctest: +SKIP
        21
    """

    scope = "panel"
    own_quantiles = True
    cost = 1.5  # NHITS with its defaults, on thirty series: of more series it is less

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        model: str,
        input_size: int | None = None,
        max_steps: int = 500,
        max_seconds: float | None = None,
        seed: int = 0,
        threads: int | None = None,
        known_columns: bool | None = None,
        past_only_columns: bool | None = None,
        static_columns: list[str] | None = None,
        **options: Any,
    ):
        self._seed, self._threads = seed, threads
        self._lead, self._season = lead, task.season_length
        self._max_steps = max_steps
        size = input_size or default_input_size(task.season_lengths, lead)
        if isinstance(static_columns, str):
            raise ValueError(f"'static_columns' is a list: [{static_columns}]")
        self._static = list(static_columns or [])
        self.attributes = tuple(self._static)
        with isolated_torch(seed, threads):  # importing Lightning sets its loggers' levels
            self._class = _class_named(model)
        with isolated_torch(seed, threads):
            self.uses = _uses(self._class, known_columns, past_only_columns, bool(self._static))
            limits = {} if max_seconds is None else {"max_time": timedelta(seconds=max_seconds)}
            self._options = {
                "h": lead,
                "input_size": size,
                "random_seed": seed,
                "max_steps": max_steps,
                "val_check_steps": max_steps,
                "training_data_availability_threshold": 1.0,
                **_DEFAULTS,
                **limits,
            }
            _check_options(self._class, options, self._options)
            self._options |= {**_CLASS_DEFAULTS.get(model, {}), **options}
            # Recurrent ones see one step more.
            self._input_size = self._network(Inputs((), (), {}, {})).input_size
        self.min_history = self._input_size + lead

    def fit(self, history: History) -> Trained:
        sizes = history.rows.groupby("unique_id").size()
        able = sizes.index[sizes >= self.min_history]
        if able.empty:
            raise ValueError(f"no series has the {self.min_history} steps this model needs")
        history = history.only(able)
        known = history.known if "known" in self.uses else ()
        past_only = history.past_only if "past_only" in self.uses else ()
        inputs = learn_inputs(history, known, past_only, self._static)
        pieces = chunks(panel_of(history, inputs), self.min_history)
        with isolated_torch(self._seed, self._threads):
            import torch

            network = self._network(inputs)
            network.fit(_dataset(pieces, inputs))
            weights = io.BytesIO()
            torch.save(network.state_dict(), weights)
            steps = len(network.train_trajectories)
        if steps < self._max_steps:
            logger.info(
                "%s: trained for %d of %d steps, then its time was over",
                self._class.__name__,
                steps,
                self._max_steps,
            )
        return Trained(weights.getvalue(), inputs, steps)

    def predict(
        self, state: Trained, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        if horizon > self._lead:
            raise ValueError(f"horizon {horizon} is beyond the lead {self._lead} of this model")
        sizes = history.rows.groupby("unique_id").size()
        history = history.only(sizes.index[sizes >= self._input_size])
        future = future[future["unique_id"].isin(history.ids)].sort_values(["unique_id", "ds"])
        panel = panel_of(history, state.inputs)
        count, span = len(panel.ids), self._input_size + self._lead
        found = np.empty((0, horizon, len(LEVELS)))
        if count:
            values = ahead(
                panel, future, state.inputs, self._input_size, self._lead, self._season
            ).reshape(count * span, -1)
            windows = Panel(panel.ids, np.arange(count + 1) * span, values, panel.static)
            found = self._forecast(state, windows)[:, :horizon]
        quantiles = np.sort(found[..., -len(LEVELS) :].astype(float), axis=2)
        # Only a distribution has a point forecast of its own, its mean, before the quantiles.
        alone = found.shape[2] == len(LEVELS)
        point = quantiles[..., LEVELS.index(0.5)] if alone else found[..., 0].astype(float)
        frame = future[["unique_id", "ds"]].reset_index(drop=True).assign(y_hat=point.reshape(-1))
        frame[quantile_columns()] = quantiles.reshape(-1, len(LEVELS))
        return frame

    def _forecast(self, state: Trained, windows: Panel) -> np.ndarray:
        """[N, lead, Q or 1 + Q]: what the network gives for each of its outputs."""
        with isolated_torch(self._seed, self._threads):
            import torch

            network = self._network(state.inputs)
            network.load_state_dict(torch.load(io.BytesIO(state.weights), weights_only=True))
            network.set_test_size(self._lead)
            found = network.predict(_dataset(windows, state.inputs))
        return found.reshape(len(windows.ids), self._lead, -1)

    def _network(self, inputs: Inputs) -> Any:
        from neuralforecast.losses.pytorch import DistributionLoss, MQLoss

        levels = list(LEVELS)
        recursive = self._options.get("recurrent", _default_of(self._class, "recurrent"))
        if self._class.RECURRENT if recursive is None else recursive:
            loss = DistributionLoss("StudentT", quantiles=levels, return_params=False)
        else:
            loss = MQLoss(quantiles=levels)
        names = inputs.temporal_names
        lists = {
            "futr_exog_list": [name for name in names if name.startswith("known:")],
            "hist_exog_list": [name for name in names if name.startswith("past:")],
            "stat_exog_list": inputs.static_names,
        }
        given = {name: columns for name, columns in lists.items() if columns}
        return self._class(loss=loss, valid_loss=loss, **given, **self._options)


def default_input_size(season_lengths: list[int], lead: int) -> int:
    """Steps that a network sees: twice the lead, or the longest season if that is more.

    A season of more than 512 steps would make the network slow; it is left to known columns.

    Examples:
        >>> default_input_size([24, 168], lead=48)
        168
        >>> default_input_size([7], lead=14)
        28
        >>> default_input_size([24, 168, 8766], lead=24)
        168
    """
    return max(2 * lead, *(season for season in [1, *season_lengths] if season <= _LONGEST_SEASON))


def _class_named(name: str) -> Any:
    with needs_extra(f"the model {name}"):
        from neuralforecast import models
        from neuralforecast.common._base_model import BaseModel

    # TimeLLM fetches a language model from the network.
    able = [
        other
        for other in models.__all__
        if issubclass(getattr(models, other), BaseModel)
        and not getattr(models, other).MULTIVARIATE
        and other != "TimeLLM"
    ]
    if name not in able:
        reason = "no" if name not in models.__all__ else "it does not forecast each series alone:"
        raise ValueError(
            f"'model: {name}': {reason} class of neuralforecast.models that can be used here; "
            f"choose from {', '.join(sorted(able))}"
        )
    return getattr(models, name)


def _uses(
    cls: Any, known: bool | None, past_only: bool | None, static: bool | None
) -> frozenset[Use]:
    wanted: list[tuple[Use, str, bool | None, bool]] = [
        ("known", "known_columns", known, cls.EXOGENOUS_FUTR),
        ("past_only", "past_only_columns", past_only, cls.EXOGENOUS_HIST),
        ("static", "static_columns", static, cls.EXOGENOUS_STAT),
    ]
    for use, option, asked, can in wanted:
        if asked and not can:
            raise ValueError(f"'{option}': {cls.__name__} cannot read {use} columns")
    return frozenset(use for use, _, asked, can in wanted if (can if asked is None else asked))


def _check_options(cls: Any, options: dict[str, Any], own: dict[str, Any]) -> None:
    """Refuse now what Lightning would only refuse when the training starts."""
    from pytorch_lightning import Trainer

    allowed = {*inspect.signature(cls).parameters, *inspect.signature(Trainer).parameters}
    allowed -= {"loss", "valid_loss", "options", "trainer_kwargs"}
    taken = set(own) - set(_DEFAULTS)
    for name in options:
        if name in taken or name.endswith("_exog_list"):
            raise ValueError(f"option '{name}' is set by the task and the options of its own")
        if name not in allowed:
            raise ValueError(f"{cls.__name__} and Lightning's Trainer have no option '{name}'")


def _default_of(cls: Any, name: str) -> Any:
    parameter = inspect.signature(cls).parameters.get(name)
    return parameter.default if parameter else None


def _dataset(panel: Panel, inputs: Inputs) -> Any:
    from neuralforecast.tsdataset import TimeSeriesDataset

    static = panel.static if inputs.categories else None
    return TimeSeriesDataset(
        temporal=panel.temporal,
        temporal_cols=pd.Index(inputs.temporal_names),
        indptr=panel.starts,
        y_idx=0,
        static=static,
        static_cols=pd.Index(inputs.static_names) if inputs.categories else None,
    )
