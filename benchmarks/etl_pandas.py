"""Raw meter readings to a clean panel with pandas: `python etl_pandas.py FEED OUT AS_OF`.

The shortest honest script for this one feed: what it leaves out (times between the hours, rows
from `as_of` on, spaces around a cell) the feed does not have. It writes `panel.parquet`,
`quarantine.parquet` and `counts.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TIMEZONE = "America/New_York"
MISSING = ["", "NA"]
DUPLICATE = "duplicate of an earlier row"


def clean(feed: Path, out: Path, as_of: str) -> None:
    """Read the feed's CSV files, and write what became of every row."""
    rows = pd.concat([read(file) for file in sorted(feed.glob("*.csv"))], ignore_index=True)
    rows = rows.astype({"unique_id": "category", "file": "category"})
    named = ~rows["unique_id"].isin(MISSING)
    rows["ds"] = to_utc(rows["local"].where(named), rows["unique_id"])
    reasons = {
        "no series id": ~named,
        "time not readable": rows["local"].isna(),
        "time skipped by the clock change": rows["ds"].isna(),
        "not a number": rows["y"].isna() & ~rows["no_value"],
    }
    codes = np.select(list(reasons.values()), range(len(reasons)), -1)
    rows["reason"] = pd.Categorical.from_codes(codes, [*reasons, DUPLICATE])
    usable = rows.loc[rows["reason"].isna(), ["unique_id", "ds"]]
    rows.loc[usable.index[usable.duplicated()], "reason"] = DUPLICATE

    accepted = rows["reason"].isna()
    kept = rows.loc[accepted & ~rows["no_value"], ["unique_id", "ds", "y"]]
    quarantine = rows.loc[~accepted, ["file", "line", "reason", "unique_id"]]
    counts = {
        "rows in": len(rows),
        "rows kept": len(kept),
        "excluded: no value": int((accepted & rows["no_value"]).sum()),
        **quarantine["reason"].value_counts().add_prefix("quarantined: ").to_dict(),
    }
    (out / "counts.json").write_text(json.dumps(counts))
    quarantine.to_parquet(out / "quarantine.parquet", index=False)
    to_panel(kept, as_of).to_parquet(out / "panel.parquet", index=False)


def read(file: Path) -> pd.DataFrame:
    """One file's rows, each with the line it stood on."""
    text = pd.read_csv(file, dtype=str, keep_default_na=False)
    numbers = pd.to_numeric(text["kwh"], errors="coerce")
    return pd.DataFrame(
        {
            "unique_id": text["meter"],
            "local": pd.to_datetime(text["time"], format="%Y-%m-%d %H:%M", errors="coerce"),
            "y": numbers.where(np.isfinite(numbers)),
            "no_value": text["kwh"].isin(MISSING),
            "file": file.name,
            "line": range(2, len(text) + 2),
        }
    )


def to_utc(local: pd.Series, meter: pd.Series) -> pd.Series:
    """Naive UTC times. Of a meter's two rows for the repeated hour the first is summer time."""
    aware = local.dt.tz_localize(TIMEZONE, ambiguous="NaT", nonexistent="NaT")
    odd = local[aware.isna() & local.notna()]
    group = odd.groupby([meter[odd.index], odd], observed=True)
    summer = (group.cumcount() == 0) & (group.transform("size") > 1)
    told = odd.dt.tz_localize(TIMEZONE, ambiguous=summer.to_numpy(), nonexistent="NaT")
    return aware.fillna(told).dt.tz_convert(None)


def to_panel(kept: pd.DataFrame, as_of: str) -> pd.DataFrame:
    """Every hour of every meter from its first value to `as_of`, interpolated."""
    end = pd.Timestamp(as_of, tz=TIMEZONE).tz_convert(None)
    hours = pd.date_range(kept["ds"].min(), end, freq="h", inclusive="left")
    table = kept.pivot(index="ds", columns="unique_id", values="y").reindex(hours)
    table = table.sort_index(axis="columns")
    panel = pd.DataFrame(
        {
            "unique_id": table.columns.repeat(len(hours)),
            "ds": np.tile(hours, table.shape[1]),
            "y": table.interpolate().to_numpy().ravel("F"),
            "is_imputed": table.isna().to_numpy().ravel("F"),
        }
    )
    return panel[panel["y"].notna()]


if __name__ == "__main__":
    clean(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
