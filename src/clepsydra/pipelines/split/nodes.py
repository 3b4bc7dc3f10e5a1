"""Sub-datasets for training (rolling-origin windows) and for dashboards (marts)."""

from __future__ import annotations

import pandas as pd

from clepsydra.config import TaskConfig, WindowsConfig
from clepsydra.errors import PanelError
from clepsydra.timegrid import add_span, to_wall

__all__ = ["cut_sets", "make_marts", "make_windows"]


def make_windows(
    series: pd.DataFrame, task: TaskConfig, windows: WindowsConfig, clock: dict[str, str]
) -> pd.DataFrame:
    """Rolling-origin windows, as many as the history allows up to the configured number.

    The last target ends where the panel ends, and each earlier one a step before it. Windows that
    report come last, so they are later than every window that was used to select.

    Returns:
        `role` (`calibrate`, `select` or `report`), `cutoff` (last step known), `target_start`,
        `target_end` (exclusive), oldest first, naive UTC.

    Raises:
        PanelError: the longest series is too short for one window of each kind.
    """

    def move(start: pd.Timestamp, span: int | str, times: int = 1) -> pd.Timestamp:
        total = span * times if isinstance(span, int) else f"{int(span[:-1]) * times}D"
        return add_span(start, total, task.freq, task.timezone)

    panel_end = pd.Timestamp(clock["panel_end"])
    step = windows.step or task.horizon
    first = move(series["first_ds"].min(), task.season_length)
    roles = ["report"] * windows.report + ["select"] * windows.select
    roles += ["calibrate"] * windows.calibrate
    rows = []
    for number in range(len(roles)):
        target_end = move(panel_end, step, -number)
        target_start = move(target_end, task.horizon, -1)
        origin = move(target_start, task.gap, -1)
        if origin < first:
            break
        rows.append((move(origin, 1, -1), target_start, target_end))
    if len(rows) < 3:
        raise PanelError(
            f"the longest series begins {series['first_ds'].min()} and ends before {panel_end}: "
            f"that is room for {len(rows)} windows of horizon {task.horizon} after one season of "
            f"{task.season_length} steps, and 3 are needed; shorten 'horizon', 'gap' or "
            f"'season_lengths', or give more history"
        )
    if len(rows) < len(roles):
        roles = _shrink(windows, len(rows))
    table = pd.DataFrame(rows, columns=["cutoff", "target_start", "target_end"])
    table.insert(0, "role", roles)
    return table.iloc[::-1].reset_index(drop=True)


def _shrink(windows: WindowsConfig, room: int) -> list[str]:
    """Fewer windows, newest first: calibration gives way first, then both others alike."""
    report = max(1, min(windows.report, room // 3))
    select = max(1, min(windows.select, room // 3))
    return ["report"] * report + ["select"] * select + ["calibrate"] * (room - report - select)


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
