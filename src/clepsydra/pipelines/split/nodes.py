"""Sub-datasets for training (rolling-origin windows) and for dashboards (marts)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from clepsydra.config import TaskConfig, WindowsConfig
from clepsydra.errors import ConfigError, PanelError
from clepsydra.origins import roll_back
from clepsydra.timegrid import add_span, to_wall

__all__ = ["cut_sets", "make_marts", "make_windows"]


def make_windows(
    series: pd.DataFrame, task: TaskConfig, windows: WindowsConfig, clock: dict[str, str]
) -> pd.DataFrame:
    """Rolling-origin windows, as many as the history allows up to the configured number.

    The last target ends where the panel ends, with `task.gate` at the last local midnight in it,
    and each earlier one a step before it. Windows that report come last: what every other window
    is judged by was known before the first of them.

    Returns:
        `role` (`calibrate`, `select` or `report`), `cutoff` (last step known), `target_start`,
        `target_end` (exclusive), oldest first, naive UTC.

    Raises:
        PanelError: the longest series is too short for one window of each kind.
        ConfigError: windows would not start at local midnight, which `task.gate` asks for.
    """
    if task.gate is not None and isinstance(windows.step, int):
        raise ConfigError(
            f"windows.step is {windows.step} steps, but with task.gate every target starts at a "
            f"local midnight: write days, e.g. step: 1D"
        )
    panel_end = pd.Timestamp(clock["panel_end"])
    first = add_span(series["first_ds"].min(), task.season_length, task.freq, task.timezone)
    for counts in _counts(windows):
        table = roll_back(panel_end, first, task, windows.step or task.horizon, counts)
        if len(table) == sum(counts.values()):
            return table.iloc[::-1].reset_index(drop=True)
    spans = "'horizon'" if task.gate else "'horizon', 'gap'"
    raise PanelError(
        f"the longest series begins {series['first_ds'].min()} and ends before {panel_end}: that "
        f"is room for {len(table)} windows of horizon {task.horizon} after one season of "
        f"{task.season_length} steps, and 2 are needed, one to select and one to report; shorten "
        f"{spans} or 'season_lengths', or give more history"
    )


def _counts(windows: WindowsConfig) -> Iterator[dict[str, int]]:
    """Windows of each role, newest role first: as configured, then ever fewer.

    Calibration gives way first, then both others alike.
    """
    for calibrate in range(windows.calibrate, -1, -1):
        yield {"report": windows.report, "select": windows.select, "calibrate": calibrate}
    for pair in range(windows.report + windows.select - 1, 1, -1):
        select = min(windows.select, max(pair // 2, pair - windows.report))
        yield {"report": pair - select, "select": select, "calibrate": 0}


def cut_sets(
    panel: pd.DataFrame, windows: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The panel as training, validation and test sets.

    Returns:
        train_set: `unique_id`, `ds`, `y` up to the first cutoff.
        validation_set: the targets of the windows that select, with their `cutoff`.
        test_set: the targets of the windows that report, with their `cutoff`.
    """
    values = panel[["unique_id", "ds", "y"]]
    train = values[values["ds"] <= windows["cutoff"].min()]
    sets = []
    for role in ("select", "report"):
        chosen = windows[windows["role"] == role]
        frames = [
            values[
                (values["ds"] >= window.target_start) & (values["ds"] < window.target_end)
            ].assign(cutoff=window.cutoff)
            for window in chosen.itertuples()
        ]
        sets.append(pd.concat(frames, ignore_index=True)[["unique_id", "cutoff", "ds", "y"]])
    return train.reset_index(drop=True), sets[0], sets[1]


def make_marts(
    panel: pd.DataFrame, task: TaskConfig
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What dashboards read: the panel by hour, by day and by week of the local clock.

    Returns:
        Three frames `unique_id`, `local_time` (start of the hour, day or Monday), `y` (sum or
        mean, as `mart_aggregate` says), `steps`, `imputed`. A panel coarser than the mart stands
        in it as it is.
    """
    wall = to_wall(panel["ds"], task.timezone)
    starts = {
        "hour": wall.dt.floor("h"),
        "day": wall.dt.normalize(),
        "week": wall.dt.normalize() - pd.to_timedelta(wall.dt.dayofweek, unit="D"),
    }
    marts = []
    for start in starts.values():
        keyed = panel.assign(local_time=start)
        groups = keyed.groupby(["unique_id", "local_time"], sort=True)
        marts.append(
            groups.agg(
                y=("y", task.mart_aggregate), steps=("y", "size"), imputed=("is_imputed", "sum")
            ).reset_index()
        )
    return marts[0], marts[1], marts[2]
