"""Many series one after the other, as the functions on gaps and outliers take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

import helpers  # noqa: F401  the examples of hypothesis are those of all tests

MISSING = float("nan")


def join(series: Sequence[Sequence[float] | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`y` and `starts` of these series."""
    lengths = [len(values) for values in series]
    starts = np.cumsum([0, *lengths], dtype=np.intp)[:-1]
    y = np.concatenate([np.asarray(values, dtype=float) for values in series] or [np.empty(0)])
    return y, starts


def series_of(
    elements: st.SearchStrategy[float], longest: int = 40
) -> st.SearchStrategy[list[list[float]]]:
    """Several series of these values, some of them missing; some series empty."""
    values = st.one_of(elements, elements, st.just(MISSING))
    return st.lists(st.lists(values, max_size=longest), max_size=5)
