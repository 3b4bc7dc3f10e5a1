"""Each different text of a column worked on once, however many rows and batches share it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

__all__ = ["ByText"]

_MOST_TEXTS = 1_000_000


class ByText:
    """A table that has a row for each different text, made as texts turn up.

    Args:
        make: from `[U]` different texts to `[U, columns]`.

    Examples:
        >>> letters = ByText(lambda texts: pl.DataFrame({"n": texts.str.len_chars()}))
        >>> letters(pl.Series(["a", "bcd", "a"]))["n"].to_list()
        [1, 3, 1]
        >>> letters(pl.Series(["bcd", "ef"]))["n"].to_list()
        [3, 2]
    """

    def __init__(self, make: Callable[[pl.Series], pl.DataFrame]):
        self._make = make
        self._forget()

    def _forget(self) -> None:
        self._table = pl.DataFrame()
        # Codes of texts mean the same as long as some column with them is there: this one is.
        self._texts = pl.Series(dtype=pl.Categorical)
        self._places = np.zeros(0, dtype=np.int64)

    def __call__(self, cells: pl.Series) -> pl.DataFrame:
        """The rows of the table for some cells.

        Args:
            cells: `[N]` texts; `pl.Categorical` is faster.

        Returns:
            `[N, columns]`.
        """
        coded = cells.fill_null("").cast(pl.Categorical)
        if self._table.height > _MOST_TEXTS:
            self._forget()
        codes = coded.to_physical().to_numpy()
        unseen = int(codes.max(initial=0)) + 1 - len(self._places)
        if unseen > 0:
            self._places = np.append(self._places, np.full(unseen, -1))
        places = self._places[codes]
        is_new = places < 0
        if is_new.any() or not self._table.width:
            self._add(coded.filter(pl.Series(is_new)).unique())
            places = self._places[codes]
        return self._table[places]

    def _add(self, texts: pl.Series) -> None:
        more = self._make(texts.cast(pl.String))
        self._places[texts.to_physical().to_numpy()] = self._table.height + np.arange(len(texts))
        self._table = pl.concat([self._table, more], how="vertical") if self._table.width else more
        self._texts = pl.concat([self._texts, texts.rename(self._texts.name)])
