"""What every model is given, what it must be able to do, and what it says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

__all__ = ["LEVELS", "History", "Model", "Use", "quantile_columns", "rows_of"]

LEVELS = (0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975)

Use = Literal["known", "past_only", "static"]


def quantile_columns() -> list[str]:
    """Column names of the quantiles: `q0.025`, `q0.1`, … `q0.975`."""
    return [f"q{level:g}" for level in LEVELS]


def rows_of(frame: pd.DataFrame, ids: pd.Index) -> pd.DataFrame:
    """The rows of some series, of a frame in the order of `unique_id`.

    Looks only at what is between the first and the last of them, so that going through all series
    part by part reads the frame once.

    Examples:
        >>> frame = pd.DataFrame({"unique_id": ["a", "a", "b", "c"], "y": range(4)})
        >>> rows_of(frame, pd.Index(["a", "b"]))["y"].tolist()
        [0, 1, 2]
    """
    if not len(ids):
        return frame.iloc[:0]
    names = frame["unique_id"].to_numpy()
    between = frame.iloc[
        np.searchsorted(names, ids.min()) : np.searchsorted(names, ids.max(), side="right")
    ]
    chosen = between["unique_id"].isin(ids)
    return between if chosen.all() else between[chosen]


@dataclass(frozen=True)
class History:
    """What a model may know at a cutoff.

    Attributes:
        rows: `unique_id`, `ds` (naive time of the local wall clock), `y`, then the columns of
            `known` and `past_only`; series sorted, each regular and finite in `y`.
        static: `unique_id`, then one column an attribute, text; a row for every series of `rows`,
            in their order.
        known: columns whose future is known in advance, such as the calendar.
        past_only: columns of which nothing after the cutoff is known, such as observed weather.
    """

    rows: pd.DataFrame
    static: pd.DataFrame
    known: tuple[str, ...] = ()
    past_only: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: pd.DataFrame, known: tuple[str, ...] = ()) -> History:
        """A history without attributes and past-only columns.

        Examples:
            >>> days = pd.date_range("2024-01-01", periods=2)
            >>> frame = pd.DataFrame({"unique_id": "a", "ds": days, "y": [1.0, 2.0]})
            >>> History.of(frame).static["unique_id"].tolist()
            ['a']
        """
        return cls(rows, rows[["unique_id"]].drop_duplicates(ignore_index=True), known)

    @property
    def ids(self) -> pd.Index:
        """The series there are, sorted."""
        return self.described.index

    @cached_property
    def described(self) -> pd.DataFrame:
        """What each series is like, in a few figures.

        By `unique_id`: `steps`, `usable` (finite values), `low`, `high`, `largest`, `usual` (median
        size of what is not zero) and `mean` size.
        """
        y = self.rows["y"].to_numpy(dtype=float)
        usable = np.isfinite(y)
        value = np.where(usable, y, np.nan)
        size = np.abs(value)
        table = pd.DataFrame(
            {"y": value, "size": size, "some": np.where(size > 0, size, np.nan), "usable": usable}
        )
        return table.groupby(self.rows["unique_id"].to_numpy(), sort=True).agg(
            steps=("usable", "size"),
            usable=("usable", "sum"),
            low=("y", "min"),
            high=("y", "max"),
            largest=("size", "max"),
            usual=("some", "median"),
            mean=("size", "mean"),
        )

    def only(self, ids: pd.Index) -> History:
        """The same of these series only."""
        return replace(self, rows=rows_of(self.rows, ids), static=rows_of(self.static, ids))

    def for_model(self, model: Model) -> History:
        """The same without what the model does not declare that it uses."""
        known = self.known if "known" in model.uses else ()
        past_only = self.past_only if "past_only" in model.uses else ()
        static = list(self.static.columns) if "static" in model.uses else ["unique_id"]
        return History(
            self.rows[["unique_id", "ds", "y", *known, *past_only]],
            self.static[static],
            known,
            past_only,
        )


class Model(ABC):
    """A forecasting model over many series.

    A subclass is made from its options in YAML: `Model(task, lead, **options)`, where `task` is the
    `TaskConfig` and `lead` the most steps from a cutoff to the last step forecast. What a model
    does not declare in `uses` it is not shown, and of past-only columns nobody is shown anything
    after the cutoff.
    """

    scope: Literal["series", "panel"] = "series"
    """`series`: each series alone, so that any part of them gives the same; `panel`: one fit
    learns from all of them."""

    uses: frozenset[Use] = frozenset()
    """Which columns besides `y` it reads."""

    joint: bool = False
    """Whether a series' forecast depends on which others are forecast with it. If it fails, it is
    not tried again with fewer of them."""

    attributes: tuple[str, ...] = ()
    """Attributes of the series that it was asked to use, which must be there."""

    min_history: int = 2
    """Steps a series must have; a shorter one gets the fallback."""

    cost: float = 0.1
    """Seconds to fit and forecast a series of a thousand steps, roughly: for a plan that is made
    before anything has been measured."""

    own_quantiles: bool = False
    """Whether `predict` returns quantiles."""

    accepts_constant: bool = False
    """Whether a series that never changes is one it can do; otherwise it is not shown any."""

    @abstractmethod
    def fit(self, history: History) -> Any:
        """Learn from `history`; returns a state that pickles.

        A model of scope `series` returns a mapping from series to what it learnt of each, or to
        the exception that kept it from it, or nothing if it learns nothing; so the fits of parts
        are the fit of the whole.
        """

    @abstractmethod
    def predict(
        self, state: Any, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        """Forecast the `horizon` steps after `history`, which may reach beyond the fit's.

        Args:
            state: what `fit` returned.
            history: up to the cutoff.
            future: `unique_id`, `ds` and the known columns of the steps that follow, `horizon` of
                them for every series of `history`.
            horizon: steps ahead.

        Returns:
            `unique_id`, `ds`, `y_hat`, and, where `own_quantiles`, the columns of
            `quantile_columns`; a series it cannot forecast is absent or has no finite value, and
            gets the fallback.
        """

    def explain(
        self, state: Any, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame | None:
        """The parts of the forecasts that `predict` makes of the same arguments.

        Args:
            state: what `fit` returned.
            history: up to the cutoff.
            future: as for `predict`, of the series whose forecasts are to be explained, which may
                be fewer than those of `history`.
            horizon: steps ahead.

        Returns:
            As `models.parts.parts_frame` makes it, or nothing if there is no explanation. The parts
            of a step add up to its `y_hat` on the scale that they name. A series may be absent.
        """
        return None
