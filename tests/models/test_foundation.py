"""Chronos models, on tiny checkpoints of each kind with random weights."""

from __future__ import annotations

import json
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tiny_chronos import KINDS, NINE, save_tiny

from clepsydra.models.base import LEVELS, History, quantile_columns
from clepsydra.models.foundation import ChronosModel, at_levels
from helpers import make_series, make_task

deep = pytest.mark.deep


@pytest.fixture(scope="module", params=KINDS)
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(request.param, tmp_path_factory.mktemp(request.param))


def make(path: Path, lead: int = 6, **options: Any) -> ChronosModel:
    return ChronosModel(make_task(freq="D", season_lengths=[7]), lead, path=str(path), **options)


def panel(days: int = 40) -> tuple[History, pd.DataFrame]:
    """Five series of different lengths and levels, and the six days that follow each."""
    numbers = np.random.default_rng(0)
    past, future = [], []
    for number in range(5):
        y = 10.0**number * (3 + np.sin(np.arange(days - number)) + 0.1 * numbers.normal())
        past.append(make_series(f"s{number}", "2024-01-01", y, freq="D"))
        start = past[-1]["ds"].iloc[-1] + pd.Timedelta(1, "D")
        future.append(make_series(f"s{number}", str(start), range(6), freq="D"))
    return History.of(pd.concat(past)), pd.concat(future)[["unique_id", "ds"]]


def forecast(model: ChronosModel, horizon: int = 6) -> pd.DataFrame:
    history, future = panel()
    future = future.groupby("unique_id").head(horizon)
    return model.predict(model.fit(history), history, future, horizon)


@deep
@pytest.mark.parametrize("horizon", [3, 6])
def test_each_kind_forecasts_every_step_with_sorted_quantiles(weights: Path, horizon: int) -> None:
    """Six steps are more than these models give at once."""
    found = forecast(make(weights), horizon)
    assert list(found.columns) == ["unique_id", "ds", "y_hat", *quantile_columns()]
    expected = panel()[1].groupby("unique_id").head(horizon).reset_index(drop=True)
    pd.testing.assert_frame_equal(found[["unique_id", "ds"]], expected)
    quantiles = found[quantile_columns()].to_numpy()
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (found["q0.025"] < found["q0.975"]).all()
    assert (found["y_hat"] == found["q0.5"]).all()
    with pytest.raises(ValueError, match="beyond the lead 6"):
        forecast(make(weights), 7)


@deep
def test_each_series_is_its_own_whatever_the_batch(weights: Path) -> None:
    one, all_at_once = make(weights, batch_size=1), make(weights, batch_size=5)
    if "tokenizer_class" in (weights / "config.json").read_text():
        # Samples differ with the batch; with the same batches they do not.
        pd.testing.assert_frame_equal(forecast(one), forecast(make(weights, batch_size=1)))
        assert not forecast(one).equals(forecast(make(weights, batch_size=1, seed=1)))
    else:
        pd.testing.assert_frame_equal(forecast(one), forecast(all_at_once), rtol=1e-4)


@deep
def test_only_the_context_is_seen(weights: Path) -> None:
    history, future = panel()
    rows = history.rows.sort_values(["unique_id", "ds"])
    last = rows.groupby("unique_id").tail(8)
    long, cut = make(weights, max_context=40), make(weights, max_context=8)
    state = cut.fit(history)
    expected = cut.predict(state, History.of(last), future, 6)
    pd.testing.assert_frame_equal(cut.predict(state, history, future, 6), expected)
    assert not long.predict(state, history, future, 6)["y_hat"].equals(expected["y_hat"])


@deep
def test_no_network_is_asked_and_other_weights_than_the_fits_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = make(save_tiny("bolt", tmp_path))
    history, future = panel()
    state = pickle.loads(pickle.dumps(model.fit(history)))
    first = model.predict(state, history, future, 6)
    save_tiny("bolt", tmp_path, seed=1)
    with pytest.raises(ValueError, match="not those of the fit"):
        model.predict(state, history, future, 6)
    other = model.predict(model.fit(history), history, future, 6)
    assert not np.allclose(other["y_hat"], first["y_hat"])


def test_a_folder_without_weights_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config.json in .*never downloaded.*hf download"):
        make(tmp_path / "missing")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="is not that of a Chronos model"):
        make(tmp_path)


def test_levels_between_and_beyond_those_of_the_model() -> None:
    values = np.stack([norm.ppf(NINE) * 2 + 5, norm.ppf(NINE)])
    found = at_levels(values, NINE)
    np.testing.assert_allclose(found, np.stack([norm.ppf(LEVELS) * 2 + 5, norm.ppf(LEVELS)]))
    # Without spread there is none beyond either, and a skewed one stays skewed.
    assert (at_levels(np.full((1, 9), 3.0), NINE) == 3.0).all()
    skewed = at_levels(np.array([0, 0, 0, 0, 0, 1, 2, 3, 4.0]), NINE)
    assert skewed[0] == 0.0
    assert skewed[-1] == pytest.approx(4 * norm.ppf(0.975) / norm.ppf(0.9))
    given = [0.01, 0.05, *NINE, 0.95, 0.99]
    inside = at_levels(norm.ppf(given), given)
    np.testing.assert_allclose(inside, norm.ppf(LEVELS))
    with pytest.raises(ValueError, match="median"):
        at_levels(np.zeros((1, 2)), [0.1, 0.9])
