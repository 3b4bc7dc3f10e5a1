"""The leak canary finds every kind of leak that it was made for, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toys import Toy, knowledge_of

from clepsydra.config import Combination, TaskConfig
from clepsydra.errors import LeakError
from clepsydra.models import combining
from clepsydra.models import knowledge as door
from clepsydra.models.base import History, Model
from clepsydra.models.canary import alter, find_leaks
from clepsydra.models.forecasting import Candidate
from clepsydra.models.intervals import add_quantiles, calibrate
from clepsydra.models.knowledge import Knowledge, Origin
from clepsydra.pipelines.evaluate.leaks import check_windows, refuse_leaks
from helpers import make_series, make_task

GATED = make_task(horizon="1D", gate="09:00")


def panel() -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = pd.concat(
        [make_series(uid, "2013-01-01", random.normal(size=24 * 20)) for uid in ("a", "b")]
    )
    return rows.assign(rain=random.normal(size=len(rows)), promotion=1.0, is_outlier=False)


def windows(task: TaskConfig, hours: int = 0) -> pd.DataFrame:
    """Three windows of a day, with cutoffs that are `hours` too late."""
    starts = pd.to_datetime(["2013-01-12", "2013-01-15", "2013-01-19"])
    known = pd.Timedelta("1h" if task.gate is None else "16h")
    return pd.DataFrame(
        {
            "cutoff": starts - known + pd.Timedelta(hours=hours),
            "target_start": starts,
            "target_end": starts + pd.Timedelta("1D"),
        }
    )


def what_is_known(task: TaskConfig) -> Knowledge:
    return knowledge_of(panel(), task, known=["promotion"], past_only=["rain"])


def send(model: Model, task: TaskConfig | None = None, hours: int = 0) -> dict[str, Any]:
    task = task or make_task()
    candidate = Candidate("mine", model, None, False, None)
    both = {"both": Combination(method="weighted", of=["mine"])}
    table = find_leaks([candidate], both, what_is_known(task), windows(task, hours), 1, 7)
    found, of_both = table.to_dict("records")
    assert of_both["model"] == "both"
    for name in ("verdict", "moved", "fallbacks"):
        assert of_both[name] == found[name], "a combination sees what its models see"
    return found


class MeanOfRain(Toy):
    """The mean of the steps of rain that it is shown last."""

    uses = frozenset({"past_only"})

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        mean = history.rows.groupby("unique_id")["rain"].last()
        return future[["unique_id", "ds"]].assign(y_hat=future["unique_id"].map(mean))


@pytest.mark.parametrize("task", [make_task(), GATED], ids=["no gap", "gate"])
@pytest.mark.parametrize("model", [Toy(), MeanOfRain(), Toy(scope="panel")])
def test_an_honest_model_is_clean_and_the_change_is_seen_later(
    model: Model, task: TaskConfig
) -> None:
    found = send(model, task)
    assert found["verdict"] == "clean", found
    assert (found["series"], found["forecasts"], found["moved"]) == (2, 48, 0)
    assert found["seen_later"]


def test_a_cutoff_that_is_later_than_the_gate_is_a_leak() -> None:
    found = send(Toy(), GATED, hours=1)
    assert found["verdict"] == "leak"
    assert found["moved"] == 48
    assert found["largest"] > 0
    assert found["example"].startswith(("a at 2013-01-15", "b at 2013-01-15"))
    assert send(Toy(), make_task(), hours=1)["verdict"] == "leak"
    assert send(Toy(), GATED, hours=-1)["verdict"] == "clean"


class KnowsTheTarget(Toy):
    """Forecasts what will be, which it has from somewhere else than its history."""

    seen: pd.DataFrame

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        truth = self.seen.set_index(["unique_id", "ds"])["y"]
        keys = pd.MultiIndex.from_frame(future[["unique_id", "ds"]])
        return future[["unique_id", "ds"]].assign(y_hat=truth.reindex(keys).to_numpy())


class ScalesByAllOfIt(KnowsTheTarget):
    """The last value, through a scaler that was fitted on the whole panel."""

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        last = history.rows.groupby("unique_id")["y"].last()
        scaled = (last - self.seen["y"].mean()) / self.seen["y"].std()
        return future[["unique_id", "ds"]].assign(y_hat=future["unique_id"].map(scaled))


@pytest.fixture
def _panel_lies_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks finds the whole panel of the backtest in question."""
    at = Knowledge.at

    def careless(self: Knowledge, cutoff: pd.Timestamp) -> Origin:
        KnowsTheTarget.seen = self.panel
        return at(self, cutoff)

    monkeypatch.setattr(Knowledge, "at", careless)


@pytest.mark.usefixtures("_panel_lies_about")
@pytest.mark.parametrize("model", [KnowsTheTarget(), ScalesByAllOfIt()])
def test_a_future_target_and_a_scaler_fitted_on_everything_are_leaks(model: Model) -> None:
    found = send(model)
    assert found["verdict"] == "leak"
    assert found["moved"] == 48


class RainAhead(Toy):
    """The rain of each step that is forecast."""

    uses = frozenset({"past_only"})

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        return future[["unique_id", "ds"]].assign(y_hat=future["rain"])


def test_a_past_only_column_read_ahead_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """As things are such a model finds no column; with a door left open it is found out."""
    found = send(RainAhead(scope="panel"))
    assert (found["verdict"], found["moved"]) == ("not tested", 0)

    def steps(self: Knowledge) -> pd.DataFrame:
        return self.panel[["unique_id", "ds", "promotion", "rain"]]

    monkeypatch.setattr(door.Knowledge, "steps", property(steps))
    monkeypatch.setattr(
        History, "for_model", lambda self, model: History(self.rows, self.static, ("rain",))
    )
    found = send(RainAhead(scope="panel"))
    assert found["verdict"] == "leak"
    assert found["moved"] == 48


def test_a_history_that_reaches_a_step_too_far_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Knowledge.at

    def late(self: Knowledge, cutoff: pd.Timestamp) -> Origin:
        return at(self, cutoff + pd.Timedelta("1h"))

    monkeypatch.setattr(Knowledge, "at", late)
    assert send(Toy())["verdict"] == "leak"


class Dice(Toy):
    """A model without a seed."""

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        return future[["unique_id", "ds"]].assign(y_hat=np.random.default_rng().random(len(future)))


def test_a_model_without_a_seed_is_told_from_one_that_leaks() -> None:
    found = send(Dice())
    assert found["verdict"] == "not reproducible"


def test_all_that_was_not_known_is_changed_and_nothing_else() -> None:
    known = pd.Timestamp("2013-01-14 23:00")
    task = make_task()
    before = what_is_known(task)
    after = alter(before, known)
    assert before.panel.equals(panel())
    early = (panel()["ds"] <= known).to_numpy()
    pd.testing.assert_frame_equal(after.panel[early], before.panel[early])
    for column in ("y", "rain"):
        assert (after.panel.loc[~early, column] != before.panel.loc[~early, column]).all()
    unchanged = ["unique_id", "ds", "promotion", "is_imputed"]
    pd.testing.assert_frame_equal(after.panel[unchanged], before.panel[unchanged])
    assert after.panel.loc[~early, "y"].std() > 5 * before.panel["y"].std()


def test_a_leak_stops_the_line_with_the_model_and_an_example() -> None:
    row = {"series": 2, "forecasts": 48, "moved": 0, "largest": 0.0, "example": ""}
    fine = [{"model": "theta", "verdict": "clean", **row}]
    fine += [{"model": "var", "verdict": "not tested", **row}]
    refuse_leaks(pd.DataFrame(fine))
    moved = {**row, "moved": 3, "largest": 1.25, "example": "a at 2013-01-15 04:00:00"}
    leak = {"model": "oracle", "verdict": "leak", **moved}
    says = "model 'oracle' leaks: .* 3 of 48 forecasts, by up to 1.25, e.g. a at 2013-01-15 04:00"
    with pytest.raises(LeakError, match=says):
        refuse_leaks(pd.DataFrame([*fine, leak]))
    dice = {"model": "dice", "verdict": "not reproducible", **moved}
    with pytest.raises(LeakError, match=r"model 'dice' is not reproducible: .* give it a seed"):
        refuse_leaks(pd.DataFrame([dice]))


def test_a_model_that_only_falls_back_is_not_tested() -> None:
    found = send(Toy(fit_fails=True, scope="panel"))
    assert (found["verdict"], found["fallbacks"]) == ("not tested", 2)


def test_intervals_made_from_later_errors_are_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(Toy())["verdict"] == "clean"

    def careless(rows: pd.DataFrame, windows: pd.DataFrame, task: TaskConfig) -> pd.DataFrame:
        return add_quantiles(rows, calibrate(rows), task)

    monkeypatch.setattr(combining, "rolling_quantiles", careless)
    found = send(Toy())
    assert (found["verdict"], found["moved"]) == ("leak", 48)


def with_roles(task: TaskConfig, hours: int = 0) -> pd.DataFrame:
    return windows(task, hours).assign(role=["calibrate", "select", "report"])


@pytest.mark.parametrize("task", [make_task(), GATED], ids=["no gap", "gate"])
def test_every_window_s_cutoff_is_checked(task: TaskConfig) -> None:
    check_windows(with_roles(task), task)
    check_windows(with_roles(task, -5), task)
    late = with_roles(task)
    late.loc[2, "cutoff"] += pd.Timedelta("1h")
    with pytest.raises(LeakError, match=r"the report window of 2013-01-19 .* may know those up to"):
        check_windows(late, task)


def test_windows_that_judge_come_after_those_that_chose_are_known() -> None:
    table = with_roles(make_task())
    table.loc[1, "target_end"] = pd.Timestamp("2013-01-19 02:00")
    with pytest.raises(LeakError, match="windows that report begin when those that select have"):
        check_windows(table, make_task())


class Promoted(Toy):
    """The promotion of each step that is forecast."""

    uses = frozenset({"known"})

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        return future[["unique_id", "ds"]].assign(y_hat=future["promotion"])


def revised() -> Knowledge:
    """The promotions of the target were planned otherwise until the day they were."""
    target = pd.date_range("2013-01-15", periods=24, freq="h")
    versions = pd.DataFrame(
        {
            "unique_id": "a",
            "ds": [*target, *target],
            "known_from": pd.to_datetime(["2013-01-10 00:00"] * 24 + ["2013-01-15 01:00"] * 24),
            "known_until": pd.to_datetime(["2013-01-15 01:00"] * 24 + ["2013-01-16 00:00"] * 24),
            "promotion": [0.25] * 24 + [0.5] * 24,
        }
    )
    return replace(what_is_known(make_task()), vintages=versions)


def test_what_is_known_in_advance_is_as_it_was_known_at_each_cutoff(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    knowledge = revised()
    end = pd.Timestamp("2013-01-16")
    for cutoff, value in (("2013-01-14 23:00", 0.25), ("2013-01-15 03:00", 0.5)):
        ahead = knowledge.at(pd.Timestamp(cutoff)).ahead(end)
        assert set(ahead.loc[ahead["unique_id"] == "a", "promotion"]) == {value}
        assert set(ahead.loc[ahead["unique_id"] == "b", "promotion"]) == {1.0}
    history = knowledge.at(end).history().rows
    assert set(history["promotion"]) == {1.0}
    candidate = Candidate("mine", Promoted(), None, False, None)
    table = find_leaks([candidate], {}, knowledge, windows(make_task()), 1, 7)
    assert table["verdict"].tolist() == ["clean"]
    # With the newest version taken for granted, it is found out.
    monkeypatch.setattr(door, "as_known", lambda frame, vintages, at: frame)
    table = find_leaks([candidate], {}, knowledge, windows(make_task()), 1, 7)
    assert table["verdict"].tolist() == ["leak"]
    assert table["moved"].tolist() == [24]
