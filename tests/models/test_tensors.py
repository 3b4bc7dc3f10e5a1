"""Panels as arrays: the same windows in pieces, nothing of the future, codes for unseen texts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from clepsydra.models.base import History
from clepsydra.models.tensors import Inputs, Panel, ahead, chunks, learn_inputs, panel_of
from helpers import make_series


def windows(panel: Panel, size: int) -> set[tuple[float, ...]]:
    """Every window of `y` of every series."""
    return {
        tuple(panel.temporal[first : first + size, 0].tolist())
        for start, end in zip(panel.starts[:-1], panel.starts[1:], strict=True)
        for first in range(start, end - size + 1)
    }


def number(panel: Panel, size: int) -> int:
    return int((np.diff(panel.starts) - size + 1).sum())


@pytest.mark.parametrize("sizes", [(5,), (6, 5, 30), (9, 10, 14)])
def test_pieces_hold_every_window_once(sizes: tuple[int, ...]) -> None:
    y = np.arange(sum(sizes), dtype=np.float32)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    panel = Panel(pd.Index([f"s{i}" for i in range(len(sizes))]), starts, y[:, None], y[:0, None])
    panel = Panel(panel.ids, starts, panel.temporal, np.arange(len(sizes))[:, None])
    pieces = chunks(panel, 5)
    assert np.diff(pieces.starts).max() <= 2 * 5 - 1
    assert windows(pieces, 5) == windows(panel, 5)
    assert number(pieces, 5) == number(panel, 5)
    owner = np.searchsorted(starts, pieces.temporal[pieces.starts[:-1], 0], side="right") - 1
    assert pieces.static[:, 0].tolist() == owner.tolist()
    assert pieces.ids.tolist() == panel.ids[owner].tolist()


def two_series() -> History:
    rows = pd.concat(
        [make_series("a", "2024-01-01", range(6)), make_series("b", "2024-01-01", [9])]
    )
    rows["hour"] = rows["ds"].dt.hour
    rows["seen"] = [np.nan, 1, np.nan, 3, 4, 5, np.nan]
    static = pd.DataFrame({"unique_id": ["a", "b"], "kind": ["x", None]})
    return History(rows, static, ("hour",), ("seen",))


def test_missing_values_take_the_last_before_or_the_mean_of_training() -> None:
    history = two_series()
    inputs = learn_inputs(history, ("hour",), ("seen",), [])
    assert panel_of(history, inputs).temporal[:, 3].tolist() == [3.25, 1, 1, 3, 4, 5, 3.25]
    assert inputs.temporal_names == ["y", "available_mask", "known:hour", "past:seen"]


def test_categories_are_those_of_training_and_an_unseen_one_is_none_of_them() -> None:
    history = two_series()
    inputs = learn_inputs(history, (), (), ["kind"])
    assert inputs.static_names == ["static:kind=", "static:kind=x"]
    assert panel_of(history, inputs).static.tolist() == [[0, 1], [1, 0]]
    other = History(history.rows, history.static.assign(kind="new"), ("hour",), ("seen",))
    assert panel_of(other, inputs).static.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    with pytest.raises(ValueError, match=r"'static_columns' names \['colour'\].*\['kind'\]"):
        learn_inputs(history, (), (), ["colour"])


def test_what_follows_the_cutoff_is_known_columns_only_and_a_season_before_beyond_them() -> None:
    history = two_series().only(pd.Index(["a"]))
    inputs = learn_inputs(history, ("hour",), ("seen",), [])
    future = pd.DataFrame({"unique_id": "a", "hour": [60.0, 70.0], "y": 1e9, "seen": 1e9})
    found = ahead(panel_of(history, inputs), future, inputs, size=3, lead=4, season=2)
    assert found.shape == (1, 7, 4)
    assert found[0, :, 0].tolist()[:3] == [3, 4, 5]
    assert np.isnan(found[0, 3:, [0, 3]]).all()
    assert found[0, :, 2].tolist() == [3, 4, 5, 60, 70, 60, 70]
    assert found[0, :, 1].tolist() == [1] * 7


def test_a_future_of_other_lengths_is_refused() -> None:
    history = two_series()
    inputs = learn_inputs(history, (), (), [])
    future = pd.DataFrame({"unique_id": ["a", "a", "a", "b"]})
    with pytest.raises(ValueError, match="same number of steps"):
        ahead(panel_of(history, inputs), future, Inputs((), (), {}, {}), 1, 2, 1)
