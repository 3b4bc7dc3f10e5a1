"""What was known at a cutoff: the only door through which a model sees data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from clepsydra.config import (
    CleaningConfig,
    OutlierConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
)
from clepsydra.models.base import History
from clepsydra.models.vintages import as_known
from clepsydra.models.wall import to_wall_frame
from clepsydra.origins import first_known, first_unknown
from clepsydra.repair.gaps import fill_gaps
from clepsydra.repair.outliers import flag_outliers
from clepsydra.timegrid import grid

__all__ = ["Knowledge", "Origin", "without_hindsight"]

_KEYS = ("unique_id", "ds")


@dataclass(frozen=True)
class Knowledge:
    """A panel, and what of it was known when.

    Attributes:
        panel: `unique_id`, `ds` (naive UTC), `y`, `is_imputed`, then exogenous columns.
        future: `unique_id`, `ds` and the known columns of the steps after the panel.
        static: `unique_id`, then attributes.
        known: columns known in advance.
        past_only: columns of which nothing after a cutoff is known.
        task: grid, season and clock.
        sliding: says how much before a cutoff models learn from; all of it if not given.
        vintages: what was known of the known columns before, see `models.vintages.as_known`.
        outliers: how those are found that models are not shown; the panel then has `is_outlier` and
            `y_observed`. None if they are shown all that was observed.
    """

    panel: pd.DataFrame
    future: pd.DataFrame
    static: pd.DataFrame
    known: tuple[str, ...]
    past_only: tuple[str, ...]
    task: TaskConfig
    sliding: WindowsConfig | None = None
    vintages: pd.DataFrame = field(default_factory=pd.DataFrame)
    outliers: OutlierConfig | None = None

    @classmethod
    def of(
        cls,
        panel: pd.DataFrame,
        future: pd.DataFrame,
        series: pd.DataFrame,
        sources: SourcesConfig,
        task: TaskConfig,
        windows: WindowsConfig,
        cleaning: CleaningConfig,
        vintages: Iterable[pd.DataFrame] = (),
    ) -> Knowledge:
        """From the line's tables; what of them was known when is as `sources` says.

        Args:
            panel: any series, with every column.
            future: the steps after it, with the columns known in advance and no others.
            series: the same series or more, and their attributes.
            sources: which columns are past-only, and which are attributes.
            task: grid, season and clock.
            windows: `history` says how much before a cutoff models learn from.
            cleaning: whether models are shown outliers.
            vintages: of the shards, with these series or more.
        """
        past_only = [
            column
            for source in sources.of_role("covariate").values()
            if source.known == "past_only"
            for column in source.renames.values()
        ]
        attributes = [
            name
            for source_name, source in sources.of_role("attributes").items()
            for column in source.renames.values()
            for name in (column, f"{column}_{source_name}")
        ]
        wanted = dict.fromkeys([*sources.target[1].id_columns, *attributes])
        columns = [name for name in wanted if name in series.columns and name != "unique_id"]
        ids = panel["unique_id"].unique()
        static = series.loc[series["unique_id"].isin(ids), ["unique_id", *columns]]
        return cls(
            panel,
            future,
            static.reset_index(drop=True),
            # What the future holds is what is known of it.
            tuple(column for column in future.columns if column not in _KEYS),
            tuple(column for column in past_only if column in panel.columns),
            task,
            windows,
            _of_series(vintages, ids),
            cleaning.outliers if cleaning.replaces_outliers else None,
        )

    def at(self, cutoff: pd.Timestamp) -> Origin:
        """What was known when `cutoff` (naive UTC) was the last step."""
        return Origin(self, cutoff)

    @property
    def longest_history(self) -> int | None:
        """Steps that a sliding window shows of a series that is long enough; None if all."""
        last = self.panel["ds"].max()
        first = first_known(last, self.task, self.sliding) if self.sliding else None
        if first is None:
            return None
        return len(grid(first, first_unknown(last, self.task), self.task.freq, self.task.timezone))

    @cached_property
    def past(self) -> pd.DataFrame:
        """Every step of the panel, without hindsight but for outliers, which are as observed."""
        columns = ["unique_id", "ds", "y", *self.known, *self.past_only]
        if self.outliers is None:
            rows = without_hindsight(self.panel)
        else:
            panel = self.panel
            y = (
                panel["y"]
                .where(~panel["is_imputed"])
                .where(~panel["is_outlier"], panel["y_observed"])
            )
            rows = panel.assign(y=y)
            columns.append("y_observed")
        rows = rows[columns]
        return rows.sort_values(["unique_id", "ds"], ignore_index=True)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """Every step of the panel and of the future, with the columns known in advance."""
        columns = ["unique_id", "ds", *self.known]
        rows = pd.concat([self.panel[columns], self.future[columns]], ignore_index=True)
        return rows.sort_values(["unique_id", "ds"], ignore_index=True)


class Origin:
    """The origin of a forecast: a cutoff, and what was known at it.

    Models that see equally far back share a history, which is made once.
    """

    def __init__(self, knowledge: Knowledge, cutoff: pd.Timestamp):
        self.cutoff, self.task = cutoff, knowledge.task
        self._knowledge = knowledge
        self._now = first_unknown(cutoff, knowledge.task)
        self._histories: dict[int | None, History] = {}

    def history(self, longest: int | None = None) -> History:
        """The last `longest` steps of every series up to and including the cutoff; or all."""
        if longest not in self._histories:
            past = self._past
            sliding = self._knowledge.sliding
            first = first_known(self.cutoff, self.task, sliding) if sliding else None
            if first is not None:
                past = past[past["ds"] >= first]
            past = as_known(past, self._knowledge.vintages, self._now)
            if longest:
                past = past.groupby("unique_id", sort=False).tail(longest)
            rows = to_wall_frame(past, self.task)
            static = self._knowledge.static
            static = static[static["unique_id"].isin(rows["unique_id"].unique())]
            static = static.sort_values("unique_id", ignore_index=True)
            self._histories[longest] = History(
                rows, static, self._knowledge.known, self._knowledge.past_only
            )
        return self._histories[longest]

    @cached_property
    def _past(self) -> pd.DataFrame:
        knowledge = self._knowledge
        past = knowledge.past[knowledge.past["ds"] <= self.cutoff]
        if knowledge.outliers is None:
            return past
        return _without_outliers(past, knowledge.outliers, self.task.season_length)

    def ahead(self, end: pd.Timestamp | None = None) -> pd.DataFrame:
        """Steps after the cutoff, before `end`: `unique_id`, `ds` (naive UTC), known columns."""
        steps = self._knowledge.steps
        steps = steps[steps["ds"] > self.cutoff]
        steps = steps if end is None else steps[steps["ds"] < end]
        return as_known(steps, self._knowledge.vintages, self._now)


def _of_series(vintages: Iterable[pd.DataFrame], ids: np.ndarray) -> pd.DataFrame:
    found = [table[table["unique_id"].isin(ids)] for table in vintages]
    filled = [table for table in found if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _without_outliers(past: pd.DataFrame, config: OutlierConfig, season: int) -> pd.DataFrame:
    """What was known, and no more, without what stands out from it; also without its gaps.

    Args:
        past: `unique_id`, `ds` in this order, `y` with NaN in gaps, `y_observed`, other columns.
        config: what an outlier is.
        season: steps.

    Returns:
        The same rows without `y_observed`; a value that is missing or an outlier is the last one
        before it, or, where none is, the first one after it.
    """
    ids = past["unique_id"].to_numpy()
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.array([], int)
    flags = flag_outliers(past["y_observed"].to_numpy(), starts, config, season)
    filled = fill_gaps(past["y"].mask(flags).to_numpy(), starts, "previous")
    return past.drop(columns="y_observed").assign(y=filled)


def without_hindsight(panel: pd.DataFrame) -> pd.DataFrame:
    """The panel with imputed values that know nothing of what came after them.

    A gap that was interpolated carries the value at its far end, which a forecast made within the
    gap could not know. Here it carries the last value before it.
    """
    if "is_imputed" not in panel or not panel["is_imputed"].any():
        return panel
    observed = panel["y"].where(~panel["is_imputed"])
    return panel.assign(y=observed.groupby(panel["unique_id"]).ffill())
