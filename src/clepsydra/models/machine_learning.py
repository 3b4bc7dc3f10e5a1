"""Global models: mlforecast's lag features with a regressor of scikit-learn or LightGBM."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from sklearn.base import TransformerMixin, clone
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.utils import get_tags

from clepsydra.config import TaskConfig
from clepsydra.models.base import LEVELS, History, Model, Use, quantile_columns
from clepsydra.models.estimators import of_quantile, regressor
from clepsydra.models.lag_contributions import block_parts
from clepsydra.models.lags import (
    default_lags,
    default_rolling_means,
    recursive_lags,
    recursive_rolling_means,
)
from clepsydra.models.target_transforms import TRANSFORMS, Targets

__all__ = ["MlforecastModel"]

_LOWEST_LEVEL = 0.02


@dataclass(frozen=True)
class _Fitted:
    """A regressor for the steps after those of the block before, up to `last`.

    `instead` has what a missing value of a column is taken for: its mean over what was learnt from,
    if the regressor takes none.
    """

    last: int
    forecaster: MLForecast
    instead: dict[str, float]


class MlforecastModel(Model):
    """One regressor over all series, on lags, rolling means, and the columns it may use.

    A `recursive` model has short lags, and fills those that are not known yet with its own
    forecasts. A `direct` one has no lag shorter than the lead, so it is trained on what it will
    really see. In `blocks` the horizon is cut, with a regressor for each, so that the first steps
    use lags that the last ones cannot.

    Past-only columns are features at a lag of a block's last step, which is known for all of its
    steps. Everything that is fitted, transforms and encoders too, is fitted by `fit`, on what is
    known at the cutoff.

    Source: Ben Taieb et al., A review and comparison of strategies for multi-step ahead time series
    forecasting (2012).

    Args:
        task: gives frequency and season lengths.
        lead: most steps ahead.
        estimator: import path of a regressor with the interface of scikit-learn.
        params: its arguments.
        strategy: `direct` or `recursive`.
        blocks: parts of the horizon of a direct model.
        lags: steps back; see `models.lags`. A block of a direct model uses those that are known at
            its end.
        rolling_means: lag to window lengths, e.g. `{48: [24, 168]}`; see `models.lags`.
        target_transforms: what is learnt instead of the value, in this order: `log1p`,
            `difference_season` (from a season ago), `standard_scaler` (of each series).
        balance: weigh every series by the inverse of its mean level, so that a squared error
            does not let the large ones decide alone; MASE counts all alike.
        known_columns: whether columns known in advance are features.
        past_only_columns: whether past-only columns are, lagged.
        static_columns: attributes that are features.
        encoding: `ordinal` for trees, `onehot` for linear models.
        quantiles: a regressor for each quantile besides, by its quantile loss; direct only.

    Raises:
        ImportError, AttributeError, TypeError: the estimator or its arguments do not exist.
        ValueError: options that exclude each other.
    """

    scope = "panel"
    cost = 0.05

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        estimator: str,
        params: dict[str, Any] | None = None,
        strategy: Literal["direct", "recursive"] = "direct",
        blocks: int = 1,
        lags: list[int] | None = None,
        rolling_means: dict[int, list[int]] | None = None,
        target_transforms: tuple[str, ...] = (),
        balance: bool = False,
        known_columns: bool = True,
        past_only_columns: bool = False,
        static_columns: tuple[str, ...] = (),
        encoding: Literal["ordinal", "onehot"] = "ordinal",
        quantiles: bool = False,
    ):
        if isinstance(static_columns, str):
            raise ValueError(f"'static_columns' is a list: [{static_columns}]")
        if strategy not in {"direct", "recursive"}:
            raise ValueError(f"'strategy' is {strategy!r}: 'direct' or 'recursive'")
        if strategy == "recursive" and (blocks != 1 or quantiles):
            raise ValueError("'blocks' and 'quantiles' need 'strategy: direct'")
        if unknown := [name for name in target_transforms if name not in TRANSFORMS]:
            raise ValueError(f"'target_transforms' names {unknown}: {', '.join(TRANSFORMS)}")
        self._models = {"y_hat": regressor(estimator, params or {})}
        if quantiles:
            for name, level in zip(quantile_columns(), LEVELS, strict=True):
                self._models[name] = of_quantile(self._models["y_hat"], level)
        self._task = task
        self._recursive = strategy == "recursive"
        self._ends = sorted({-(-lead * number // blocks) for number in range(1, blocks + 1)})
        self._lags, self._rolling_means = lags, rolling_means
        if not self._recursive:
            _check_direct("lags", lags or [], self._ends)
            _check_direct("rolling_means", map(int, rolling_means or {}), self._ends)
        self._takes_missing = get_tags(self._models["y_hat"]).input_tags.allow_nan
        self._transforms = list(target_transforms)
        self._balance = balance
        self._static, self._encoding = list(static_columns), encoding
        self.attributes = tuple(static_columns)
        uses: dict[Use, Any] = {
            "known": known_columns,
            "past_only": past_only_columns,
            "static": static_columns,
        }
        self.uses = frozenset(name for name, used in uses.items() if used)
        self.own_quantiles = quantiles
        differences = task.season_length if "difference_season" in target_transforms else 0
        longest = max(
            (lag for end in self._ends for lag in (*self._lags_of(end), *self._means_of(end))),
            default=lead,
        )
        self.min_history = longest + differences + 1

    def fit(self, history: History) -> tuple[list[_Fitted], TransformerMixin | None]:
        sizes = history.rows.groupby("unique_id")["y"].transform("size")
        rows = history.rows[sizes >= self.min_history]
        if rows.empty:
            raise ValueError(f"no series has the {self.min_history} steps this model needs")
        encoder = self._encoder(history.static) if self._static else None
        rows = self._with_static(rows, history.static, encoder)
        if self._balance:
            rows = rows.assign(_weight=_inverse_level(rows))
        static = list(rows.columns[rows.columns.str.startswith("static_")])
        blocks = []
        for end in self._ends:
            lagged = _lagged(rows, history.past_only, end)
            self._check_room(lagged, end)
            instead = {} if self._takes_missing else _means(lagged)
            forecaster = self._forecaster(end).fit(
                lagged.fillna(instead),
                static_features=static,
                weight_col="_weight" if self._balance else None,
            )
            blocks.append(_Fitted(end, forecaster, instead))
        return blocks, encoder

    def _check_room(self, rows: pd.DataFrame, end: int) -> None:
        """Refuse to learn from fewer rows than there are features."""
        features = len(self._lags_of(end)) + sum(map(len, self._means_of(end).values()))
        features += len(_columns(rows))
        series = rows["unique_id"].nunique()
        if not features:
            raise ValueError("no feature: give it 'lags', 'rolling_means' or columns to use")
        able = len(rows) - series * (self.min_history - 1)
        if able < features:
            raise ValueError(
                f"{able} rows to learn from, for {features} features: each series has as many as "
                f"it has steps beyond the first {self.min_history - 1}"
            )

    def predict(
        self,
        state: tuple[list[_Fitted], TransformerMixin | None],
        history: History,
        future: pd.DataFrame,
        horizon: int,
    ) -> pd.DataFrame:
        parts = [
            found[found.groupby("unique_id").cumcount() >= first]
            for _, first, found in self._by_block(state, history, future, horizon)
        ]
        return pd.concat(parts, ignore_index=True)[["unique_id", "ds", *self._models]]

    def explain(
        self,
        state: tuple[list[_Fitted], TransformerMixin | None],
        history: History,
        future: pd.DataFrame,
        horizon: int,
    ) -> pd.DataFrame:
        """SHAP values of every feature, see `models.contributions`.

        A `difference_season` adds the value of a season ago, a forecast if it is one.

        Raises:
            ValueError: see `models.lag_contributions.block_parts`.
        """
        chosen = history.only(pd.Index(future["unique_id"].unique()))
        values = {
            str(uid): y.to_numpy(dtype=float) for uid, y in chosen.rows.groupby("unique_id")["y"]
        }
        seen: list[pd.DataFrame] = []

        def watch(features: pd.DataFrame) -> pd.DataFrame:
            seen.append(features.copy())
            return features

        parts = []
        for block, first, found in self._by_block(state, chosen, future, horizon, watch):
            # The first of the regressors is the one of `y_hat`.
            last = len(seen) // len(self._models)
            parts.append(
                block_parts(
                    found,
                    seen[:last],
                    first,
                    block.forecaster.models_["y_hat"],
                    partial(self._centre, block, history, state[1]),
                    Targets(tuple(self._transforms), self._task.season_length),
                    values,
                    self._static_names(state[1]),
                )
            )
            seen.clear()
        return pd.concat(parts, ignore_index=True)

    def _by_block(
        self,
        state: tuple[list[_Fitted], TransformerMixin | None],
        history: History,
        future: pd.DataFrame,
        horizon: int,
        watch: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    ) -> Iterator[tuple[_Fitted, int, pd.DataFrame]]:
        """Of each block its first step, and its forecasts of all steps up to its last.

        `watch` is shown the features of every step.
        """
        blocks, encoder = state
        rows = self._with_static(history.rows, history.static, encoder)
        step = future.groupby("unique_id").cumcount()
        first = 0
        for block in blocks:
            last = min(block.last, horizon)
            if last <= first:
                break
            ahead = future[step < last]
            both = _lagged(pd.concat([rows, ahead]), history.past_only, block.last)
            both = both.fillna(block.instead)
            known = both.iloc[len(rows) :][["unique_id", "ds", *_features(both)]]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = block.forecaster.predict(
                    last,
                    before_predict_callback=watch,
                    new_df=both.iloc[: len(rows)],
                    X_df=known if known.shape[1] > 2 else None,
                )
            yield block, first, found
            first = last

    def _centre(
        self, block: _Fitted, history: History, encoder: TransformerMixin | None
    ) -> np.ndarray:
        """Means of the features, over what a block would learn from now."""
        rows = self._with_static(history.rows, history.static, encoder)
        lagged = _lagged(rows, history.past_only, block.last).fillna(block.instead)
        static = list(rows.columns[rows.columns.str.startswith("static_")])
        learnt = self._forecaster(block.last).preprocess(lagged, static_features=static)
        return (
            pd.DataFrame(learnt)
            .drop(columns=["unique_id", "ds", "y"])
            .to_numpy(dtype=float)
            .mean(axis=0)
        )

    def _static_names(self, encoder: TransformerMixin | None) -> dict[str, str]:
        """What the attributes' columns are of."""
        if encoder is None:
            return {}
        names = self._static
        if self._encoding == "onehot":
            names = list(encoder.get_feature_names_out(self._static))
        return {f"static_{number}": name for number, name in enumerate(names)}

    def _lags_of(self, end: int) -> list[int]:
        """Of the lags that were asked for a direct block uses those that are known at its end."""
        if self._lags is not None:
            return [lag for lag in self._lags if self._recursive or lag >= end]
        seasons = self._task.season_lengths
        return recursive_lags(seasons) if self._recursive else default_lags(seasons, end)

    def _means_of(self, end: int) -> dict[int, list[int]]:
        if self._rolling_means is not None:
            return {
                int(lag): list(sizes)
                for lag, sizes in self._rolling_means.items()
                if self._recursive or int(lag) >= end
            }
        seasons = self._task.season_lengths
        if self._recursive:
            return recursive_rolling_means(seasons)
        return default_rolling_means(seasons, end)

    def _forecaster(self, end: int) -> MLForecast:
        transforms: list[Any] = [TRANSFORMS[name](self._task) for name in self._transforms]
        return MLForecast(
            models={name: clone(model) for name, model in self._models.items()},
            freq=self._task.freq,
            lags=self._lags_of(end),
            lag_transforms={
                lag: [RollingMean(size, min_samples=1) for size in sizes]
                for lag, sizes in self._means_of(end).items()
            },
            target_transforms=transforms or None,
            num_threads=1,
        )

    def _encoder(self, static: pd.DataFrame) -> TransformerMixin:
        if self._encoding == "onehot":
            encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        else:
            encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        return encoder.fit(static[self._static])

    def _with_static(
        self, rows: pd.DataFrame, static: pd.DataFrame, encoder: TransformerMixin | None
    ) -> pd.DataFrame:
        if encoder is None:
            return rows
        values = encoder.transform(static[self._static])
        names = [f"static_{number}" for number in range(values.shape[1])]
        table = pd.DataFrame(values, columns=names, index=static["unique_id"].to_numpy())
        return rows.join(table, on="unique_id")


def _check_direct(option: str, lags: Iterable[int], ends: list[int]) -> None:
    """Every lag is of use to the first block, and every block has one."""
    lags = sorted(lags)
    if short := [lag for lag in lags if lag < ends[0]]:
        raise ValueError(
            f"'{option}' names {short}, and a direct model knows nothing newer than {ends[0]} "
            f"steps: leave them out, or use 'strategy: recursive' or more 'blocks'"
        )
    if lags and lags[-1] < ends[-1]:
        raise ValueError(
            f"'{option}' names nothing from {ends[-1]} steps on, which is what the block that ends "
            f"there knows: add one, or take fewer 'blocks'"
        )


def _lagged(rows: pd.DataFrame, past_only: tuple[str, ...], lag: int) -> pd.DataFrame:
    """The rows with past-only columns of `lag` steps before, which are known at every step."""
    if not past_only:
        return rows
    rows = rows.reset_index(drop=True)
    # Stable: the steps ahead come after their series' history.
    by_series = rows.sort_values("unique_id", kind="stable").groupby("unique_id")[list(past_only)]
    return rows.drop(columns=list(past_only)).join(by_series.shift(lag).add_suffix(f"_{lag}_ago"))


def _columns(rows: pd.DataFrame) -> list[str]:
    """Columns that are features: no target or weight."""
    return [name for name in rows if name not in {"unique_id", "ds", "y", "_weight"}]


def _features(rows: pd.DataFrame) -> list[str]:
    """Those of them that change with time, and are no attributes."""
    return [name for name in _columns(rows) if not name.startswith("static_")]


def _means(rows: pd.DataFrame) -> dict[str, float]:
    means = rows[_columns(rows)].astype(float).mean().fillna(0.0)
    return {str(name): float(mean) for name, mean in means.items()}


def _inverse_level(frame: pd.DataFrame) -> pd.Series:
    """`1 / level` of each row's series, where no level is under 2 % of the mean one."""
    size = frame["y"].abs()
    level = size.groupby(frame["unique_id"]).transform("mean")
    lowest = _LOWEST_LEVEL * size.mean()
    return 1.0 / level.clip(lower=lowest) if lowest > 0 else pd.Series(1.0, index=frame.index)
