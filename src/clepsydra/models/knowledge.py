"""What was known at a cutoff: the only door through which a model sees data."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from clepsydra.config import (
    CleaningConfig,
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
from clepsydra.timegrid import shorter_than_a_day

__all__ = ["Knowledge", "Origin", "attribute_names"]

_KEYS = ("unique_id", "ds")
_LONGEST_CHANGE = pd.Timedelta("3h")


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
        cleaning: how gaps are filled, and which outliers are replaced; the panel then has
            `is_outlier` and `y_observed`.
    """

    panel: pd.DataFrame
    future: pd.DataFrame
    static: pd.DataFrame
    known: tuple[str, ...]
    past_only: tuple[str, ...]
    task: TaskConfig
    sliding: WindowsConfig | None = None
    vintages: pd.DataFrame = field(default_factory=pd.DataFrame)
    cleaning: CleaningConfig = field(default_factory=lambda: CleaningConfig.model_validate({}))

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
            cleaning: how gaps are filled, and which outliers are replaced.
            vintages: of the shards, with these series or more.
        """
        past_only = [
            column
            for source in sources.of_role("covariate").values()
            if source.known == "past_only"
            for column in source.renames.values()
        ]
        columns = [name for name in attribute_names(sources) if name in series.columns]
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
            cleaning,
        )

    def at(self, cutoff: pd.Timestamp) -> Origin:
        """What was known when `cutoff` (naive UTC) was the last step."""
        return Origin(self, cutoff)

    def only(self, ids: Collection[str]) -> Knowledge:
        """What is known of some of the series, and the vintages of that."""
        tables = {
            name: table[table["unique_id"].isin(list(ids))]
            for name in ("panel", "future", "static", "vintages")
            # Without vintages there are no columns either.
            if len(table := getattr(self, name))
        }
        return replace(self, **tables)

    @cached_property
    def past(self) -> pd.DataFrame:
        """Every step of the panel as it was observed, in order; `y` is missing where it was not.

        `_made` says where `y` is to be filled, `_observed` what outliers are found in.
        """
        panel = self.panel.sort_values(["unique_id", "ds"], ignore_index=True)
        made = panel.get("is_imputed", pd.Series(False, index=panel.index))
        past = panel[["unique_id", "ds", "y", *self.known, *self.past_only]].assign(_made=made)
        past["y"] = past["y"].where(~made)
        if self.cleaning.replaces_outliers:
            outlier = panel["is_outlier"]
            past["y"] = past["y"].where(~outlier, panel["y_observed"])
            past["_made"] = made & ~outlier
            past["_observed"] = panel["y_observed"]
        return past

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
        sliding = self._knowledge.sliding
        shown = sliding.history if sliding else None
        if isinstance(shown, int):
            # Steps are those that models see; the clocks may repeat some.
            longest = min(longest or shown, shown)
        if longest not in self._histories:
            past = self._past
            if sliding and isinstance(shown, str):
                past = past[past["ds"] >= first_known(self.cutoff, self.task, sliding)]
            past = as_known(past, self._knowledge.vintages, self._now)
            if longest:
                # More than it takes, for clocks that repeat an hour.
                past = past.groupby("unique_id", sort=False).tail(longest + self._spare(longest))
            rows = to_wall_frame(past, self.task)
            if longest:
                rows = rows.groupby("unique_id", sort=False).tail(longest)
                rows = rows.reset_index(drop=True)
            static = self._knowledge.static
            static = static[static["unique_id"].isin(rows["unique_id"].unique())]
            static = static.sort_values("unique_id", ignore_index=True)
            self._histories[longest] = History(
                rows, static, self._knowledge.known, self._knowledge.past_only
            )
        return self._histories[longest]

    @property
    def observed(self) -> pd.DataFrame:
        """Every step up to the cutoff, `y` missing where cleaning would have made one.

        What can be compared with: nothing in it knows what follows.
        """
        past = self._marked
        rows = past.drop(columns=["_made", "_observed"], errors="ignore")
        return rows.assign(y=past["y"].where(~past["_made"])).reset_index(drop=True)

    @cached_property
    def _marked(self) -> pd.DataFrame:
        """The steps up to the cutoff; `_made` says which cleaning would have filled by then."""
        knowledge = self._knowledge
        past = knowledge.past[knowledge.past["ds"] <= self.cutoff]
        cleaning = knowledge.cleaning
        if cleaning.outliers is None or not cleaning.replaces_outliers:
            return past
        observed, starts = past["_observed"].to_numpy(), _starts(past)
        outlier = flag_outliers(observed, starts, cleaning.outliers, self.task.season_length)
        return past.assign(_made=past["_made"] | outlier)

    @cached_property
    def _past(self) -> pd.DataFrame:
        """What cleaning would have made of the steps up to the cutoff: nothing knows what follows.

        In the panel a gap knows its far end, and an outlier what it turned out to be.
        """
        past = self._marked
        rows = past.drop(columns=["_made", "_observed"], errors="ignore")
        y, made = past["y"].to_numpy(), past["_made"].to_numpy()
        if not made.any():
            return rows
        method, season = self._knowledge.cleaning.gap_method, self.task.season_length
        filled = fill_gaps(np.where(made, np.nan, y), _starts(past), method, season)
        return rows.assign(y=np.where(made, filled, y))

    def _spare(self, longest: int) -> int:
        """More steps than clocks repeat in so many: they move for hours, twice a year."""
        if not shorter_than_a_day(self.task.freq):
            return 0
        step = pd.tseries.frequencies.to_offset(self.task.freq)
        return longest // 100 + int(_LONGEST_CHANGE / step) + 1

    def ahead(self, end: pd.Timestamp | None = None) -> pd.DataFrame:
        """Steps after the cutoff, before `end`: `unique_id`, `ds` (naive UTC), known columns."""
        steps = self._knowledge.steps
        steps = steps[steps["ds"] > self.cutoff]
        steps = steps if end is None else steps[steps["ds"] < end]
        return as_known(steps, self._knowledge.vintages, self._now)


def attribute_names(sources: SourcesConfig) -> list[str]:
    """The attributes of series: parts of their ids, and columns of attribute sources.

    A column that is there already has its source's name added.
    """
    names = [name for name in sources.target[1].id_columns if name != "unique_id"]
    for source_name, source in sources.of_role("attributes").items():
        for column in source.renames.values():
            names.append(f"{column}_{source_name}" if column in names else column)
    return names


def _starts(rows: pd.DataFrame) -> np.ndarray:
    """Where each series begins, of rows in their order."""
    ids = rows["unique_id"].to_numpy()
    return np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]][: len(ids)])


def _of_series(vintages: Iterable[pd.DataFrame], ids: np.ndarray) -> pd.DataFrame:
    found = [table[table["unique_id"].isin(ids)] for table in vintages]
    filled = [table for table in found if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
