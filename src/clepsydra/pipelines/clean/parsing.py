"""Text rows to typed rows, each raw row either kept, set aside for a reason, or quarantined."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from clepsydra.config import SourceConfig
from clepsydra.errors import PanelError
from clepsydra.reading import local_times
from clepsydra.timegrid import localize

__all__ = ["Ledger", "join_ids", "parse_covariate", "parse_target"]

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
        observations: `unique_id`, the id columns, `ds` (naive UTC, not yet on the grid), `y`
            (missing where the row exists but does not count, as a cancelled flight).
        account: rows by series and fate.
        quarantine: rejected rows.
    """
    cells = _melt(source, raw) if source.layout == "wide" else raw.reset_index(drop=True)
    ledger, rows = Ledger(name, cells), cells.copy()
    ids = rows[source.id_columns] if source.layout == "long" else rows[["_series"]]
    rows["unique_id"] = join_ids(ids)
    ledger.count(rows["unique_id"], "rows in")
    rows = ledger.quarantine(rows, ids.isin(source.missing).any(axis=1), "no series id")
    if source.aggregate == "count":
        rows = ledger.quarantine(rows, _duplicated_rows(rows), "duplicate of an earlier row")
        feeds = pd.Series(range(len(rows)), index=rows.index)
    else:
        feeds = rows["unique_id"]
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
        text = ledger.raw.loc[rows.index, value].str.strip()
        absent = text.isin(source.missing)
        numbers = pd.to_numeric(text.where(~absent), errors="coerce")
        rows = rows.assign(y=numbers)
        bad = ~absent & ~np.isfinite(numbers)
        kept = rows = ledger.quarantine(rows, bad, "not a number")
        kept = rows = ledger.quarantine(
            rows, rows.duplicated(["unique_id", "ds"]), "duplicate of an earlier row"
        )
        kept = ledger.set_aside(kept, kept["y"].isna(), "no value")
    account, quarantine = ledger.close(kept["unique_id"])
    id_columns = source.id_columns if len(source.id_columns) > 1 else []
    return rows[["unique_id", *id_columns, "ds", "y"]], account, quarantine


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
        text = ledger.raw.loc[rows.index, column].str.strip()
        absent = text.isin(source.missing)
        numbers = pd.to_numeric(text.where(~absent), errors="coerce").astype("float32")
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


def _time_or_quarantine(
    ledger: Ledger, source: SourceConfig, rows: pd.DataFrame, feeds: pd.Series
) -> pd.DataFrame:
    naive = local_times(rows, source)
    rows = rows.assign(_local=naive)
    rows = ledger.quarantine(rows, naive.isna(), "time not readable")
    utc, notes = localize(rows["_local"], source.timezone, feeds.reindex(rows.index))
    ledger.count(rows.loc[notes == "ambiguous", "unique_id"], "clock change: repeated hour")
    rows = rows.assign(ds=utc)
    return ledger.quarantine(
        rows, (notes == "nonexistent"), "time skipped by the clock change"
    ).drop(columns="_local")


def _duplicated_rows(rows: pd.DataFrame) -> pd.Series:
    return rows.duplicated([column for column in rows.columns if not column.startswith("_")])


def _melt(source: SourceConfig, raw: pd.DataFrame) -> pd.DataFrame:
    fixed = [*source.time_columns, "_file", "_line"]
    names = list(source.renames) or [column for column in raw.columns if column not in fixed]
    long = raw.melt(id_vars=fixed, value_vars=names, var_name="_series", value_name="_value")
    return long.assign(_series=long["_series"].replace(source.renames))
