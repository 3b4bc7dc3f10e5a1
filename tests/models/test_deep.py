"""Networks of neuralforecast: what they learn, what they leave behind, what they refuse."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clepsydra.models.base import History, quantile_columns
from clepsydra.models.deep import NeuralforecastModel, Trained
from helpers import make_task

pytestmark = pytest.mark.deep

CUTOFF = pd.Timestamp("2024-05-01")
SMALL: dict[str, dict[str, Any]] = {
    "NHITS": {"mlp_units": [[16, 16]] * 3},
    "TFT": {"hidden_size": 8, "n_head": 2},
    "PatchTST": {
        "hidden_size": 16,
        "n_heads": 2,
        "linear_hidden_size": 16,
        "encoder_layers": 1,
        "patch_len": 4,
        "stride": 2,
    },
    "LSTM": {"encoder_hidden_size": 8, "decoder_hidden_size": 8},
    "DeepAR": {"lstm_hidden_size": 8, "lstm_n_layers": 1, "lstm_dropout": 0.0},
}


def make(name: str = "NHITS", lead: int = 7, **options: Any) -> NeuralforecastModel:
    """A small network on daily series with a week, that learns for ten steps."""
    task = make_task(freq="D", season_lengths=[7], horizon=lead)
    return NeuralforecastModel(
        task, lead, model=name, **{"max_steps": 10, "threads": 1, **SMALL.get(name, {}), **options}
    )


def weekly(days: int = 140, after: int = 7, count: int = 3) -> pd.DataFrame:
    """Sines of a week with noise, each from a day of its own; `after` days follow the cutoff."""
    numbers = np.random.default_rng(0)
    series = []
    for number in range(count):
        length = days - 20 * number
        ds = pd.date_range(end=CUTOFF + pd.Timedelta(after, "D"), periods=length + after)
        y = 10 * 10**number * (2 + np.sin(2 * np.pi * ds.dayofweek / 7))
        series.append(
            pd.DataFrame(
                {
                    "unique_id": f"s{number}",
                    "ds": ds,
                    "y": y * (1 + 0.02 * numbers.normal(size=len(ds))),
                    "day": ds.dayofweek.astype(float),
                    "wind": numbers.normal(size=len(ds)),
                }
            )
        )
    return pd.concat(series, ignore_index=True)


def split(panel: pd.DataFrame, static: pd.DataFrame | None = None) -> tuple[History, pd.DataFrame]:
    """What is known at the cutoff, and the rows after it (with more than a model may read)."""
    past = panel[panel["ds"] <= CUTOFF]
    if static is None:
        static = pd.DataFrame({"unique_id": past["unique_id"].unique(), "kind": "x"})
    return History(past, static, ("day",), ("wind",)), panel[panel["ds"] > CUTOFF]


def forecast(model: NeuralforecastModel, panel: pd.DataFrame, horizon: int = 7) -> pd.DataFrame:
    history, future = split(panel)
    return model.predict(model.fit(history), history, future, horizon)


def error(found: pd.DataFrame, panel: pd.DataFrame) -> float:
    """Mean absolute error, in units of each series' mean."""
    both = found.merge(panel, on=["unique_id", "ds"], validate="1:1")
    level = both.groupby("unique_id")["y"].transform("mean")
    return float(((both["y_hat"] - both["y"]).abs() / level).mean())


# What they learn


@pytest.mark.parametrize(
    ("name", "options"), [(name, {}) for name in SMALL] + [("LSTM", {"recurrent": True})]
)
def test_each_class_gives_sorted_finite_quantiles_for_every_step(
    name: str, options: dict[str, Any]
) -> None:
    panel = weekly()
    found = forecast(make(name, **options), panel)
    assert list(found.columns) == ["unique_id", "ds", "y_hat", *quantile_columns()]
    after = panel.loc[panel["ds"] > CUTOFF, ["unique_id", "ds"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(found[["unique_id", "ds"]], after)
    quantiles = found[quantile_columns()].to_numpy()
    assert np.isfinite(found["y_hat"]).all()
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles[:, 0] < quantiles[:, -1]).all()
    inside = found["y_hat"].between(found["q0.1"], found["q0.9"])
    assert inside.all()
    # Of the size of its own series, though they are a hundred times apart.
    level = panel.groupby("unique_id")["y"].mean()
    assert found.groupby("unique_id")["y_hat"].mean().between(level / 2, level * 2).all()


def test_a_season_is_found_again() -> None:
    panel = weekly()
    history, _ = split(panel)
    mean = history.rows.groupby("unique_id")["y"].mean()
    naive = panel[panel["ds"] > CUTOFF].assign(y_hat=lambda rows: rows["unique_id"].map(mean))
    found = forecast(make(max_steps=60, known_columns=False, learning_rate=0.01), panel)
    assert error(found, panel) < 0.3 * error(naive[["unique_id", "ds", "y_hat"]], panel)


def driven(column: str, delay: int, known: bool) -> tuple[History, pd.DataFrame, pd.DataFrame]:
    """Noise that one column decides, `delay` steps later; history, future, all of it."""
    numbers = np.random.default_rng(1)
    ds = pd.date_range(end=CUTOFF + pd.Timedelta(3, "D"), periods=400)
    series = []
    for number in range(4):
        driver = numbers.normal(size=len(ds))
        y = 50 + np.roll(driver, delay) + 0.1 * numbers.normal(size=len(ds))
        series.append(pd.DataFrame({"unique_id": str(number), "ds": ds, "y": y, column: driver}))
    panel = pd.concat(series, ignore_index=True)
    past = panel[panel["ds"] <= CUTOFF]
    static = pd.DataFrame({"unique_id": past["unique_id"].unique()})
    columns = ((column,), ()) if known else ((), (column,))
    return History(past, static, *columns), panel[panel["ds"] > CUTOFF], panel


@pytest.mark.parametrize(
    ("option", "delay", "known"), [("past_only_columns", 3, False), ("known_columns", 0, True)]
)
def test_a_column_that_decides_is_used(option: str, delay: int, known: bool) -> None:
    history, future, panel = driven("wind", delay, known)
    options: dict[str, Any] = {"max_steps": 150, "learning_rate": 0.01, "input_size": 24}
    errors = []
    for used in (True, False):
        model = make(lead=3, **options, **{option: used})
        shown = history.for_model(model)
        assert ("wind" in shown.rows) is used
        found = model.predict(model.fit(shown), shown, future, 3)
        errors.append(error(found, panel))
    assert errors[0] < 0.5 * errors[1]


def test_attributes_decide_and_one_not_seen_in_training_is_forecast() -> None:
    """On Wednesdays half of the series are up and half are down; only the attribute says which."""
    numbers = np.random.default_rng(2)
    ds = pd.date_range(end=CUTOFF, periods=300)  # which is a Wednesday
    series, kinds = [], {}
    for number in range(6):
        uid, kinds[f"s{number}"] = f"s{number}", ("up", "down")[number % 2]
        sign = 1.0 if number % 2 == 0 else -1.0
        others = numbers.choice([-1.0, 1.0], len(ds))
        y = np.where(ds.dayofweek == 2, sign, others) + 0.1 * numbers.normal(size=len(ds))
        series.append(pd.DataFrame({"unique_id": uid, "ds": ds, "y": y, "day": ds.dayofweek == 2}))
    panel = pd.concat(series, ignore_index=True)
    static = pd.DataFrame({"unique_id": list(kinds), "kind": list(kinds.values())})
    past = panel[panel["ds"] < CUTOFF]
    # Of six days none is a Wednesday.
    learning: dict[str, Any] = {"input_size": 6, "max_steps": 200, "learning_rate": 0.01}
    model = make(lead=1, static_columns=["kind"], **learning)
    assert model.uses == {"known", "past_only", "static"}
    history = History(past, static, ("day",))
    future = panel[panel["ds"] == CUTOFF]
    state = model.fit(history)
    found = model.predict(state, history, future, 1).set_index("unique_id")["y_hat"]
    up = pd.Series(kinds) == "up"
    assert found[up].min() > 0.4
    assert found[~up].max() < -0.4
    unseen = History(past, static.assign(kind="sideways"), ("day",))
    between = model.predict(state, unseen, future, 1)["y_hat"]
    assert between.abs().mean() < found.abs().mean()


# What they must not do


def test_the_future_does_not_move_a_forecast() -> None:
    panel = weekly()
    changed = panel.copy()
    after = changed["ds"] > CUTOFF
    changed.loc[after, ["y", "wind"]] = 1e6
    pd.testing.assert_frame_equal(forecast(make(), panel), forecast(make(), changed))
    changed.loc[after, "day"] += 1.0
    assert (forecast(make(), panel)["y_hat"] != forecast(make(), changed)["y_hat"]).all()


def test_the_seed_gives_the_same_forecasts_and_another_seed_others() -> None:
    panel = weekly()
    first = forecast(make("DeepAR"), panel)
    random.seed(5)
    np.random.seed(5)
    pd.testing.assert_frame_equal(forecast(make("DeepAR"), panel), first)
    assert not np.allclose(forecast(make("DeepAR", seed=1), panel)["y_hat"], first["y_hat"])


def test_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    panel = weekly()
    make("LSTM")  # what the first import changes is not at stake here
    random.seed(123)
    np.random.seed(123)
    torch.manual_seed(123)
    capfd.readouterr()

    def surroundings() -> list[Any]:
        return [
            random.getstate(),
            np.random.get_state()[1].tolist(),  # type: ignore[index]
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            dict(os.environ),
            logging.getLogger("pytorch_lightning").level,
        ]

    before = surroundings()
    forecast(make("LSTM", threads=2 if torch.get_num_threads() == 1 else 1), panel)
    assert surroundings() == before
    assert list(tmp_path.iterdir()) == []
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_forked_process_does_not_wait_for_the_threads_of_its_parent() -> None:
    panel = weekly()
    # Wide enough to be worth two threads.
    wide: dict[str, Any] = {"threads": 2, "max_steps": 2, "mlp_units": [[512, 512]] * 3}
    here = forecast(make(**wide), panel)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(forecast(make(**wide), panel)))
    child.start()
    try:
        assert receiver.poll(60)
        np.testing.assert_allclose(receiver.recv()["y_hat"], here["y_hat"], rtol=1e-3)
    finally:
        child.kill()
        child.join()


def test_a_budget_ends_the_training(caplog: pytest.LogCaptureFixture) -> None:
    history, future = split(weekly())
    model = make(max_steps=1_000_000, max_seconds=1.0)
    begun = time.monotonic()
    with caplog.at_level(logging.INFO, "clepsydra.models.deep"):
        state = model.fit(history)
    assert time.monotonic() - begun < 30
    assert 0 < state.steps < 1_000_000
    assert f"trained for {state.steps} of 1000000 steps, then its time was over" in caplog.text
    assert np.isfinite(model.predict(state, history, future, 7)["y_hat"]).all()


# The state, and other histories than that of the fit


def test_a_state_pickles_small_and_does_not_hold_the_rows() -> None:
    model = make()
    sizes = []
    for days in (140, 1400):
        history, future = split(weekly(days))
        state = model.fit(history)
        pickled = pickle.dumps(state)
        sizes.append(len(pickled))
        back = pickle.loads(pickled)
        assert isinstance(back, Trained)
        pd.testing.assert_frame_equal(
            make().predict(back, history, future, 7), model.predict(state, history, future, 7)
        )
    assert sizes[0] == sizes[1] < 200_000


def test_a_newer_history_and_a_shorter_horizon() -> None:
    panel = weekly(after=21)
    model = make()
    state = model.fit(split(panel)[0])
    later = CUTOFF + pd.Timedelta(14, "D")
    history = History(panel[panel["ds"] <= later], split(panel)[0].static, ("day",), ("wind",))
    future = panel[panel["ds"] > later]
    whole = model.predict(state, history, future, 7)
    assert whole["ds"].min() == later + pd.Timedelta(1, "D")
    # The days that are missing at the end are those of the week before, so nothing changes.
    short = future[future["ds"] <= later + pd.Timedelta(4, "D")]
    found = model.predict(state, history, short, 4)
    expected = whole[whole["ds"].isin(short["ds"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(ValueError, match="horizon 8 is beyond the lead 7"):
        model.predict(state, history, future, 8)


def test_short_series_are_left_out_and_new_ones_are_forecast() -> None:
    panel = weekly()
    model = make()
    assert model.min_history == 2 * 7 + 7
    tiny = panel[(panel["unique_id"] == "s0") & (panel["ds"] > CUTOFF - pd.Timedelta(10, "D"))]
    history, future = split(pd.concat([panel, tiny.assign(unique_id="tiny")]))
    found = model.predict(model.fit(history), history, future, 7)
    assert sorted(found["unique_id"].unique()) == ["s0", "s1", "s2"]
    state = model.fit(history.only(pd.Index(["s0", "s1"])))
    alone = history.only(pd.Index(["s2"]))
    ahead = future[future["unique_id"] == "s2"]
    assert np.isfinite(model.predict(state, alone, ahead, 7)["y_hat"]).all()
    nobody = history.only(pd.Index(["tiny"]))
    assert model.predict(state, nobody, future[future["unique_id"] == "tiny"], 7).empty
    with pytest.raises(ValueError, match="no series has the 21 steps"):
        model.fit(nobody)


# What they refuse, when they are made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Oracle"}, r"'model: Oracle': no class .*choose from .*DeepAR.*NHITS"),
        ({"name": "iTransformer"}, r"does not forecast each series alone.*choose from"),
        ({"name": "TimeLLM"}, r"can be used here; choose from"),
        ({"name": "PatchTST", "known_columns": True}, r"'known_columns': PatchTST cannot read"),
        ({"name": "PatchTST", "static_columns": ["a"]}, r"PatchTST cannot read static columns"),
        ({"learning_rat": 0.1}, r"NHITS and .*Trainer have no option 'learning_rat'"),
        ({"h": 3}, r"option 'h' is set by the task"),
        ({"futr_exog_list": ["day"]}, r"option 'futr_exog_list' is set by the task"),
    ],
)
def test_what_a_class_cannot_is_said_when_it_is_named(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_class_that_reads_no_columns_does_without_if_not_asked() -> None:
    assert make("PatchTST").uses == frozenset()
    assert make("NHITS").uses == {"known", "past_only"}
    assert make("NHITS", past_only_columns=False).uses == {"known"}
