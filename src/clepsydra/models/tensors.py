"""A panel as the arrays that neural networks learn from: windows, columns, codes of categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from clepsydra.models.base import History

__all__ = ["Inputs", "Panel", "ahead", "chunks", "learn_inputs", "panel_of"]


@dataclass(frozen=True)
class Inputs:
    """Which columns a network reads, and what `fit` learnt to complete and encode them.

    Attributes:
        known, past_only: names of the columns.
        means: of each of these over the training rows, for values missing from the start.
        categories: of each static column, the texts seen in training.
    """

    known: tuple[str, ...]
    past_only: tuple[str, ...]
    means: dict[str, float]
    categories: dict[str, tuple[str, ...]]

    @property
    def static_names(self) -> list[str]:
        """One name for every category of every static column."""
        return [f"static:{col}={text}" for col, texts in self.categories.items() for text in texts]

    @property
    def temporal_names(self) -> list[str]:
        """Of the columns of `Panel.temporal`, apart from names that the library has itself."""
        known = [f"known:{name}" for name in self.known]
        return ["y", "available_mask", *known, *(f"past:{name}" for name in self.past_only)]


@dataclass(frozen=True)
class Panel:
    """Series one after another.

    Attributes:
        ids: [N], sorted.
        starts: [N + 1], where each series begins, and the end.
        temporal: [rows, C] single precision; the columns of `Inputs.temporal_names`.
        static: [N, S], one column a category.
    """

    ids: pd.Index
    starts: np.ndarray
    temporal: np.ndarray
    static: np.ndarray


def learn_inputs(
    history: History, known: tuple[str, ...], past_only: tuple[str, ...], static: list[str]
) -> Inputs:
    """What is needed to complete and encode columns, from the training rows alone.

    Raises:
        ValueError: a static column that there is not.
    """
    if missing := [name for name in static if name not in history.static.columns]:
        there = [name for name in history.static.columns if name != "unique_id"]
        raise ValueError(f"'static_columns' names {missing}; the series have {there}")
    means = history.rows[[*known, *past_only]].astype(float).mean().fillna(0.0)
    shown = history.static[history.static["unique_id"].isin(history.ids)]
    return Inputs(
        known,
        past_only,
        {str(name): float(mean) for name, mean in means.items()},
        {name: tuple(sorted(_texts(shown[name]).unique())) for name in static},
    )


def panel_of(history: History, inputs: Inputs) -> Panel:
    """The rows as arrays.

    A missing value of a column takes the last one before it, or else the training mean. A static
    column becomes one column a category, 1 where it is that of the series; a category that training
    has not shown is halfway between all that it has, so that it neither is any of them nor weighs
    on weights that were never trained.

    Examples:
        >>> days = pd.date_range("2024-01-01", periods=2)
        >>> rows = pd.DataFrame({"unique_id": "a", "ds": days, "y": [1.0, 2.0], "x": [None, 4.0]})
        >>> history = History.of(rows, known=("x",))
        >>> panel_of(history, learn_inputs(history, ("x",), (), [])).temporal.tolist()
        [[1.0, 1.0, 4.0], [2.0, 1.0, 4.0]]
    """
    rows = history.rows.sort_values(["unique_id", "ds"])
    columns = [*inputs.known, *inputs.past_only]
    values = np.ones((len(rows), 2 + len(columns)), dtype=np.float32)
    values[:, 0] = rows["y"]
    if columns:
        filled = rows[columns].astype(float).groupby(rows["unique_id"].to_numpy()).ffill()
        values[:, 2:] = filled.fillna(inputs.means)[columns]
    sizes = rows.groupby("unique_id", sort=True).size()
    starts = np.concatenate([[0], np.cumsum(sizes.to_numpy())])
    return Panel(sizes.index, starts, values, _encode(history.static, sizes.index, inputs))


def chunks(panel: Panel, window: int) -> Panel:
    """The series cut into overlapping pieces that hold the same windows of `window` steps.

    The library spreads out all windows of all series of a batch at once. With series of years that
    is gigabytes, and few series fit a batch; with pieces of at most two windows the memory does not
    depend on the length of the series, and a batch is a mixture of all series and times. Every
    series must have at least `window` steps.
    """
    pieces, owners = [], []
    for number, (start, end) in enumerate(zip(panel.starts[:-1], panel.starts[1:], strict=True)):
        last = end - window + 1  # after the start of the last window
        for first in range(start, last, window):
            pieces.append(panel.temporal[first : min(first + window, last) + window - 1])
            owners.append(number)
    starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
    return Panel(panel.ids[owners], starts, np.concatenate(pieces), panel.static[owners])


def ahead(
    panel: Panel, future: pd.DataFrame, inputs: Inputs, size: int, lead: int, season: int
) -> np.ndarray:
    """The last `size` steps of every series and the `lead` that follow, [N, size + lead, C].

    Of the steps that follow, `y` and past-only columns are not known (NaN); columns known in
    advance are those of `future`, and beyond its end those of a season before. Every series must
    have at least `size` steps.

    Raises:
        ValueError: `future` has not the same number of steps for every series.
    """
    count, horizon = len(panel.ids), len(future) // max(len(panel.ids), 1)
    if (future.groupby("unique_id").size().reindex(panel.ids) != horizon).any():
        raise ValueError("'future' has not the same number of steps for every series")
    found = np.full((count, size + lead, panel.temporal.shape[1]), np.nan, dtype=np.float32)
    found[:, :size] = panel.temporal[panel.starts[1:, None] - np.arange(size, 0, -1)]
    found[:, size:, 1] = 1.0
    known = slice(2, 2 + len(inputs.known))
    values = future[list(inputs.known)].to_numpy(np.float32)
    found[:, size : size + horizon, known] = values.reshape(count, horizon, -1)
    for step in range(size, size + lead):
        back = 1 if step < size + horizon or season > step else season
        here, before = found[:, step, known], found[:, step - back, known]
        found[:, step, known] = np.where(np.isnan(here), before, here)
    return found


def _encode(static: pd.DataFrame, ids: pd.Index, inputs: Inputs) -> np.ndarray:
    by_id = static.set_index("unique_id").reindex(ids)
    blocks = [np.empty((len(ids), 0))]
    for name, texts in inputs.categories.items():
        codes = pd.Index(texts).get_indexer(_texts(by_id[name]))
        block = np.full((len(ids), len(texts)), 1.0 / len(texts))
        block[codes >= 0] = np.eye(len(texts))[codes[codes >= 0]]
        blocks.append(block)
    return np.concatenate(blocks, axis=1, dtype=np.float32)


def _texts(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").astype(str)
