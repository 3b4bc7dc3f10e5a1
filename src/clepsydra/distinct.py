"""Each different text of a column worked on once, however many rows and batches share it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

__all__ = ["ByText"]

_MOST_TEXTS = 1_000_000
_TEXT = "_text_itself"


class ByText:
    """A table that has a row for each different text, made as texts turn up; for one thread.

    Texts that are coded as numbers (`pl.Categorical`), as those that repeat are, are remembered
    from batch to batch. Others may never come again, and are not.

    Args:
        make: from `[U]` different texts to `[U, columns]`.

    Examples:
        >>> letters = ByText(lambda texts: pl.DataFrame({"n": texts.str.len_chars()}))
        >>> letters(pl.Series(["a", "bcd", "a"]))["n"].to_list()
        [1, 3, 1]
    """

    def __init__(self, make: Callable[[pl.Series], pl.DataFrame]):
        self._make = make
        self._forget()

    def _forget(self) -> None:
        self._table = pl.DataFrame()
        # Codes of texts mean the same as long as some column with them is there: this one is.
        self._texts = pl.Series(dtype=pl.Categorical)
        self._places = np.zeros(0, dtype=np.int32)

    def __call__(self, cells: pl.Series) -> pl.DataFrame:
        """The rows of the table for some cells.

        Args:
            cells: `[N]` texts, coded or not.

        Returns:
            `[N, columns]`.
        """
        cells = cells.fill_null("")
        if cells.dtype != pl.Categorical:
            texts = cells.unique()
            table = self._make(texts).with_columns(texts.alias(_TEXT))
            wanted = pl.DataFrame({_TEXT: cells})
            return wanted.join(table, on=_TEXT, how="left", maintain_order="left").drop(_TEXT)
        if self._table.height > _MOST_TEXTS:
            self._forget()
        codes = cells.to_physical().to_numpy()
        unseen = int(codes.max(initial=0)) + 1 - len(self._places)
        if unseen > 0:
            more = np.full(max(unseen, len(self._places)), -1, dtype=np.int32)
            self._places = np.append(self._places, more)
        places = self._places[codes]
        is_new = places < 0
        if is_new.any() or not self._table.width:
            self._add(cells.filter(pl.Series(is_new)).unique())
            places = self._places[codes]
        return self._table[places]

    def _add(self, texts: pl.Series) -> None:
        more = self._make(texts.cast(pl.String))
        number = self._table.height
        self._table = pl.concat([self._table, more]) if self._table.width else more
        self._texts = pl.concat([self._texts, texts.rename(self._texts.name)])
        self._places[texts.to_physical().to_numpy()] = number + np.arange(len(texts))
