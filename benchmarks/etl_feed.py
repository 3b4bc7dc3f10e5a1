"""Raw CSV files as a utility sends them: hourly meter readings, with everything that goes wrong.

`python benchmarks/etl_feed.py FOLDER --rows 10000000 --series 10000` writes them; the same numbers
give the same bytes.

A feed is a contiguous run of local hours in New York around the repeated hour of 3 November 2013,
up to the midnight at which `as_of` begins. However long it is, it has the same ingredients:

- the repeated hour, read twice, told apart by the order of the rows alone;
- times in an hour that the clocks skip. A feed that contains 9 March 2014 has them in that night;
  a shorter one has them in its first file, as readings of 10 March 2013 that came late;
- missing rows, half of them single hours and half whole days of a meter; meters that start late;
- repeats of an earlier row with another value, some of them at the head of the next file;
- cells that are no number or no value, times that cannot be read, and rows of no meter.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

TIMEZONE = "America/New_York"
REPEATED_HOUR = dt.date(2013, 11, 3)
SKIPPED_HOURS = (dt.date(2013, 3, 10), dt.date(2014, 3, 9))

GAPS = 0.02
LATE_METERS = 0.02
DUPLICATES = 0.01
DUPLICATES_NEXT_DAY = 0.1
BAD_CELLS = 0.005
NO_VALUE = 0.005
UNREADABLE_TIMES = 0.001
NO_METER = 0.0005
METERS_IN_SKIPPED_HOUR = 0.02

_NOT_NUMBERS = ["error", "1,5", "--"]
_NO_VALUES = [None, "NA"]
_NOT_TIMES = ["unknown", "2013-11-31 07:00", "03.11.2013 07:00"]


@dataclass(frozen=True)
class Feed:
    """What was written.

    Attributes:
        as_of: the day after the last local day.
        rows: in all files, headers not counted.
        series: meters.
        hours: local hours from the first to `as_of`.
        files: how many.
    """

    as_of: dt.date
    rows: int
    series: int
    hours: int
    files: int


def make_feed(
    folder: Path,
    rows: int,
    series: int,
    as_of: dt.date | None = None,
    files: str = "day",
    seed: int = 2013,
) -> Feed:
    """Write a feed, a day at a time.

    Args:
        folder: where the files go; made if need be.
        rows: at least about so many.
        series: how many meters; rows over series gives the hours.
        as_of: the day after the last; if not given, so that the repeated hour is in the middle.
        files: one a `day` or a `month`.
        seed: of all chance.

    Returns:
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    share = (1 - GAPS) * (1 - LATE_METERS / 2) * (1 + DUPLICATES)
    hours = math.ceil(rows / series / share)
    as_of = as_of or REPEATED_HOUR + dt.timedelta(days=math.ceil(hours / 48))
    end = pd.Timestamp(as_of, tz=TIMEZONE)
    local = pd.date_range(end=end, periods=hours + 1, freq="h")[:-1].tz_localize(None)
    written, paths = 0, set()
    for day, frame in _days(local, series, as_of, np.random.default_rng(seed)):
        path = folder / f"readings_{day:%Y-%m-%d}.csv"
        if files == "month":
            path = folder / f"readings_{day:%Y-%m}.csv"
        with path.open("ab" if path in paths else "wb") as file:
            frame.write_csv(file, include_header=path not in paths)
        paths.add(path)
        written += len(frame)
    return Feed(as_of, written, series, hours, len(paths))


def _days(
    local: pd.DatetimeIndex, series: int, as_of: dt.date, rng: np.random.Generator
) -> Iterator[tuple[dt.date, pl.DataFrame]]:
    meters = pl.Series([f"NY{number:06d}" for number in range(series)] + [None])
    no_meter = series
    times = pl.Series([*local.strftime("%Y-%m-%d %H:%M"), *_NOT_TIMES])
    repeated = local.duplicated(keep=False)
    size = rng.lognormal(0, 0.5, series)
    late = rng.random(series) < LATE_METERS
    first_hour = np.where(late, rng.integers(0, len(local), series), 0)
    skipped = max(day for day in SKIPPED_HOURS if day < as_of)
    skipped_in = max(skipped, local[0].date())
    # Repeats that come a day late, as (hour, meter).
    held_back = np.empty((2, 0), dtype=np.int64)

    days = local.normalize()
    for day in days.unique():
        hours = np.flatnonzero(days == day)
        hour, meter = (grid.ravel() for grid in np.meshgrid(hours, range(series), indexing="ij"))
        is_read = (hour >= first_hour[meter]) & (rng.random(len(hour)) >= GAPS / 2)
        is_read &= (rng.random(series) >= GAPS / 2)[meter]
        hour, meter = hour[is_read], meter[is_read]

        again = np.flatnonzero((rng.random(len(hour)) < DUPLICATES) & ~repeated[hour])
        is_late = (rng.random(len(again)) < DUPLICATES_NEXT_DAY) & (day != days[-1])
        soon = again[~is_late]
        place = np.concatenate(
            [np.arange(len(hour)), soon + rng.integers(1, 3 * series, len(soon))]
        )
        order = np.argsort(place, kind="stable")
        rows = np.stack([np.append(hour, hour[soon]), np.append(meter, meter[soon])])[:, order]
        rows = np.concatenate([held_back, rows], axis=1)
        held_back = np.stack([hour[again[is_late]], meter[again[is_late]]])

        frame = _write(rows, size, local, times, meters, no_meter, rng)
        if day.date() == skipped_in:
            strange = rng.permutation(series)[: math.ceil(METERS_IN_SKIPPED_HOUR * series)]
            minutes = rng.choice([0, 15, 30, 45], len(strange))
            extra = {
                "meter": meters.gather(strange),
                "time": [f"{skipped} 02:{minute:02d}" for minute in minutes],
                "kwh": "1.000",
            }
            frame = pl.concat([frame, pl.DataFrame(extra)])
        yield day.date(), frame


def _write(
    rows: np.ndarray,
    size: np.ndarray,
    local: pd.DatetimeIndex,
    times: pl.Series,
    meters: pl.Series,
    no_meter: int,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """The rows (hour, meter) as text, some of it damaged."""
    (hour, meter), n = rows, rows.shape[1]
    daily = 1 + 0.6 * np.sin((local.hour.to_numpy() - 9) / 12 * np.pi)
    kwh = np.round(size[meter] * daily[hour] * rng.lognormal(0, 0.2, n), 3)
    spoilt = [*_NOT_NUMBERS, *_NO_VALUES]
    chance = rng.random(n)
    spoilt_by = np.where(
        chance < BAD_CELLS,
        rng.integers(0, len(_NOT_NUMBERS), n),
        rng.integers(len(_NOT_NUMBERS), len(spoilt), n),
    )
    is_spoilt = pl.Series(chance < BAD_CELLS + NO_VALUE)
    cells = pl.Series(kwh).cast(pl.String).zip_with(~is_spoilt, pl.Series(spoilt).gather(spoilt_by))
    unreadable = rng.random(n) < UNREADABLE_TIMES
    not_time = rng.integers(len(local), len(times), n)
    return pl.DataFrame(
        {
            "meter": meters.gather(np.where(rng.random(n) < NO_METER, no_meter, meter)),
            "time": times.gather(np.where(unreadable, not_time, hour)),
            "kwh": cells,
        }
    )


def main() -> None:
    """Write a feed and say what it is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--as-of", type=dt.date.fromisoformat)
    parser.add_argument("--files", choices=["day", "month"], default="day")
    parser.add_argument("--seed", type=int, default=2013)
    options = vars(parser.parse_args())
    print(make_feed(**options))  # noqa: T201


if __name__ == "__main__":
    main()
