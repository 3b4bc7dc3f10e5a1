"""Text rows to typed rows, each raw row either kept, set aside for a reason, or quarantined."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from clepsydra.config import SourceConfig
from clepsydra.errors import PanelError, SourceError
from clepsydra.reading import local_times, utc_instants
from clepsydra.timegrid import localize

__all__ = ["Ledger", "join_ids", "parse_covariate", "parse_target", "series_ids"]

QUARANTINE_COLUMNS = ["source", "file", "line", "unique_id", "reason", "row"]
ACCOUNT_COLUMNS = ["source", "unique_id", "measure", "value"]


@dataclass
class Ledger:
    """What became of every row of one source.

    Attributes:
        source: its name.
        raw: its rows as they came; the quarantine shows them.
        counts: rows by (unique_id, measure); `""` stands for rows of no known series.
        quarantined: frames of rejected rows.
    """

    source: str
    raw: pd.DataFrame
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    quarantined: list[pd.DataFrame] = field(default_factory=list)

    def count(self, ids: pd.Series, measure: str) -> None:
        """Add the number of rows of each id under `measure`."""
        for unique_id, number in ids.value_counts().items():
            key = (str(unique_id), measure)
            self.counts[key] = self.counts.get(key, 0) + int(number)

    def set_aside(self, rows: pd.DataFrame, bad: pd.Series, reason: str) -> pd.DataFrame:
        """Drop the rows marked `bad`, counted as excluded for `reason`."""
        self.count(rows.loc[bad, "unique_id"], f"excluded: {reason}")
        return rows[~bad]

    def quarantine(self, rows: pd.DataFrame, bad: pd.Series, reason: str) -> pd.DataFrame:
        """Move the rows marked `bad` to the quarantine, whole, with `reason`."""
        rejected = rows[bad]
        if len(rejected):
            self.count(rejected["unique_id"], f"quarantined: {reason}")
            raw = self.raw.loc[rejected.index].drop(columns=["_file", "_line"])
            self.quarantined.append(
                pd.DataFrame(
                    {
                        "source": self.source,
                        "file": self.raw.loc[rejected.index, "_file"].to_numpy(),
                        "line": self.raw.loc[rejected.index, "_line"].to_numpy(),
                        "unique_id": rejected["unique_id"].to_numpy(),
                        "reason": reason,
                        "row": [json.dumps(row) for row in raw.to_dict("records")],
                    }
                )
            )
        return rows[~bad]

    def close(self, kept: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Check that every row is accounted for, and return the account and the quarantine.

        Raises:
            PanelError: rows in differ from rows kept, set aside and quarantined.
        """
        self.count(kept, "rows kept")
        total = {"in": 0, "out": 0}
        for (_, measure), number in self.counts.items():
            if measure == "rows in":
                total["in"] += number
            elif measure == "rows kept" or measure.startswith(("excluded: ", "quarantined: ")):
                total["out"] += number
        if total["in"] != total["out"]:
            raise PanelError(
                f"source '{self.source}': {total['in']} rows in, {total['out']} accounted for; "
                f"this is a defect of the cleaning, please report it"
            )
        rows = [
            {"source": self.source, "unique_id": unique_id, "measure": measure, "value": number}
            for (unique_id, measure), number in sorted(self.counts.items())
        ]
        account = pd.DataFrame(rows, columns=ACCOUNT_COLUMNS)
        frames = self.quarantined or [pd.DataFrame(columns=QUARANTINE_COLUMNS)]
        return account, pd.concat(frames, ignore_index=True)


def parse_target(
    name: str,
    source: SourceConfig,
    raw: pd.DataFrame,
    end: Callable[[pd.Series], pd.Timestamp],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Typed observations of the target source.

    Args:
        name: the source's name.
        source: its description.
        raw: `[N, columns]` text rows from the raw store.
        end: from the rows' times to the first time whose grid step is not complete at `as_of`.

    Returns:
        observations: `unique_id`, `ds` (naive UTC, not yet on the grid), `y`
            (missing where the row exists but does not count, as a cancelled flight).
        account: rows by series and fate.
        quarantine: rejected rows.
    """
    cells = _melt(source, raw) if source.layout == "wide" else raw.reset_index(drop=True)
    ledger, rows = Ledger(name, cells), cells.copy()
    ids = _ids(source, cells)
    rows["unique_id"] = join_ids(ids)
    ledger.count(rows["unique_id"], "rows in")
    rows = ledger.quarantine(rows, ids.isin(source.missing).any(axis=1), "no series id")
    if source.unique:
        again = ledger.raw.loc[rows.index].duplicated(source.unique)
        rows = ledger.quarantine(rows, again, "duplicate of an earlier row")
    # Rows to be counted or summed may share a time: none of them is the repeat of another's hour.
    shares = source.aggregate in ("count", "sum", "last")
    feeds = pd.Series(range(len(rows)), index=rows.index) if shares else rows["unique_id"]
    rows = _time_or_quarantine(ledger, source, rows, feeds)
    if len(rows):
        rows = ledger.set_aside(rows, rows["ds"] >= end(rows["ds"]), "period not complete at as_of")
    kept = rows
    if source.aggregate == "count":
        for column, reason in source.require.items():
            absent = kept[column].isin(source.missing)
            kept = ledger.set_aside(kept, absent, reason)
        rows = rows.assign(y=rows.index.isin(kept.index).astype(float))
    else:
        value = "_value" if source.layout == "wide" else source.value
        absent, numbers = _numbers(source, ledger.raw.loc[rows.index, value])
        rows = rows.assign(y=numbers)
        bad = ~absent & ~np.isfinite(numbers)
        kept = rows = ledger.quarantine(rows, bad, "not a number")
        if not shares:
            again = rows.duplicated(["unique_id", "ds"])
            kept = rows = ledger.quarantine(rows, again, "duplicate of an earlier row")
        kept = ledger.set_aside(kept, kept["y"].isna(), "no value")
    account, quarantine = ledger.close(kept["unique_id"])
    return rows[["unique_id", "ds", "y"]], account, quarantine


def series_ids(name: str, source: SourceConfig, raw: pd.DataFrame) -> pd.DataFrame:
    """Every series that a row of the target names, whether or not the row can be used.

    Returns:
        `unique_id` and the id columns, sorted.

    Raises:
        SourceError: two different sets of id parts make the same `unique_id`.
    """
    cells = _melt(source, raw) if source.layout == "wide" else raw
    parts = _ids(source, cells).drop_duplicates()
    parts = parts[~parts.isin(source.missing).any(axis=1)]
    table = parts.assign(unique_id=join_ids(parts)).sort_values("unique_id", ignore_index=True)
    same = table.loc[table["unique_id"].duplicated(keep=False), "unique_id"]
    if len(same):
        raise SourceError(
            f"source '{name}': several id parts make the same series id, e.g. '{same.iloc[0]}'; "
            f"name other columns in 'id', or fewer"
        )
    kept = [] if source.layout == "wide" else [c for c in source.id_columns if c != "unique_id"]
    return table[["unique_id", *kept]]


def parse_covariate(
    name: str, source: SourceConfig, raw: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Typed rows of a covariate source.

    Returns:
        covariates: `source`, `join_key` (the joined id parts), `ds` (naive UTC) and the columns.
        account, quarantine: as for the target; `unique_id` holds the join key.
    """
    cells = raw.reset_index(drop=True)
    ledger, rows = Ledger(name, cells), cells.copy()
    keys = list(source.join_on.values())
    rows["unique_id"] = join_ids(rows[keys])
    ledger.count(rows["unique_id"], "rows in")
    rows = _time_or_quarantine(ledger, source, rows, rows["unique_id"])
    for column, new_name in source.renames.items():
        absent, numbers = _numbers(source, ledger.raw.loc[rows.index, column])
        numbers = numbers.astype("float32")
        ledger.count(rows.loc[absent, "unique_id"], f"missing cells: {column}")
        rows = rows.assign(**{f"_value_{new_name}": numbers})
        bad = ~absent & ~np.isfinite(numbers)
        rows = ledger.quarantine(rows, bad, f"not a number: {column}")
    rows = ledger.quarantine(
        rows, rows.duplicated(["unique_id", "ds"]), "duplicate of an earlier row"
    )
    account, quarantine = ledger.close(rows["unique_id"])
    typed = rows[["ds", *(f"_value_{new}" for new in source.renames.values())]]
    typed = typed.rename(columns=lambda column: column.removeprefix("_value_"))
    typed.insert(0, "join_key", rows["unique_id"])
    typed.insert(0, "source", name)
    return typed, account, quarantine


def join_ids(parts: pd.DataFrame) -> pd.Series:
    """One id a row from its parts: `EWR`, `OO` becomes `EWR-OO`; no part, no id (`""`)."""
    if parts.shape[1] == 0:
        return pd.Series("", index=parts.index)
    first = parts.iloc[:, 0].astype(str)
    return first.str.cat([parts[name].astype(str) for name in parts.columns[1:]], sep="-")


def _numbers(source: SourceConfig, cells: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Which cells mean 'no value', and the numbers in the others, missing where there is none."""
    text = cells.str.strip()
    absent = text.isin(source.missing)
    if source.decimal != ".":
        text = text.str.replace(source.decimal, ".", regex=False)
    return absent, pd.to_numeric(text.where(~absent), errors="coerce")


def _time_or_quarantine(
    ledger: Ledger, source: SourceConfig, rows: pd.DataFrame, feeds: pd.Series
) -> pd.DataFrame:
    cells = ledger.raw.loc[rows.index]
    naive, instants = local_times(cells, source), utc_instants(cells, source)
    rows = ledger.quarantine(rows.assign(_local=naive), naive.isna(), "time not readable")
    utc, notes = localize(rows["_local"], source.timezone, feeds.reindex(rows.index))
    # A time with an offset is an instant: no clock change makes it ambiguous.
    instants = instants.reindex(rows.index)
    utc, notes = instants.fillna(utc), notes.where(instants.isna(), "")
    ledger.count(rows.loc[notes == "ambiguous", "unique_id"], "clock change: repeated hour")
    rows = rows.assign(ds=utc)
    return ledger.quarantine(
        rows, (notes == "nonexistent"), "time skipped by the clock change"
    ).drop(columns="_local")


def _ids(source: SourceConfig, cells: pd.DataFrame) -> pd.DataFrame:
    return cells[["_series"] if source.layout == "wide" else source.id_columns]


def _melt(source: SourceConfig, raw: pd.DataFrame) -> pd.DataFrame:
    fixed = [*source.time_columns, "_file", "_line"]
    names = list(source.renames) or [column for column in raw.columns if column not in fixed]
    long = raw.melt(id_vars=fixed, value_vars=names, var_name="_series", value_name="_value")
    return long.assign(_series=long["_series"].replace(source.renames))
