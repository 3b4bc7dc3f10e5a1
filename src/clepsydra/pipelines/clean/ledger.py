"""The account of one source: what became of every row."""

from __future__ import annotations

import pandas as pd
import polars as pl

from clepsydra.errors import PanelError
from clepsydra.row_columns import FILE, LINE, PROBLEM, ROW, TEXT
from clepsydra.series_ids import UNIQUE_ID

__all__ = ["ACCOUNT_SCHEMA", "QUARANTINE_SCHEMA", "Ledger"]

ACCOUNT_SCHEMA = pl.Schema(
    {
        "source": pl.String,
        UNIQUE_ID: pl.String,
        "measure": pl.String,
        "value": pl.Float64,
    }
)
QUARANTINE_SCHEMA = pl.Schema(
    {
        "source": pl.String,
        "file": pl.String,
        "line": pl.Int64,
        UNIQUE_ID: pl.String,
        "reason": pl.String,
        "row": pl.String,
    }
)
_IN, _KEPT, _EXCLUDED, _QUARANTINED = "rows in", "rows kept", "excluded: ", "quarantined: "


class Ledger:
    """Counts rows by series and fate, and keeps those that are rejected.

    Rows that a step sets aside or rejects leave the frame that the next step sees; at the end
    `close` checks that none is missing.

    Args:
        source: its name.
        cells: its rows as they came, text; the quarantine shows them.
    """

    def __init__(self, source: str, cells: pl.DataFrame):
        self._source = source
        self._cells = cells
        self._counts: list[pl.DataFrame] = []
        self._rejected: list[pl.DataFrame] = []

    def open(self, rows: pl.DataFrame) -> None:
        """Count the rows that come in, by `unique_id`."""
        self.count(rows, _IN)

    def count(self, rows: pl.DataFrame, measure: str) -> None:
        """Add the number of rows of each series under `measure`."""
        if rows.height:
            counts = rows.group_by(UNIQUE_ID).len("value")
            self._counts.append(
                counts.with_columns(
                    pl.col(UNIQUE_ID).cast(pl.String), pl.lit(measure).alias("measure")
                )
            )

    def split(self, rows: pl.DataFrame, fates: dict[str, pl.Expr], excluded: bool) -> pl.DataFrame:
        """Take out the rows that any of the conditions is true of; the first true one counts.

        Args:
            rows: with `_row` and `unique_id`.
            fates: reason to condition.
            excluded: the rows are set aside, no fault of theirs; else they are quarantined.

        Returns:
            The other rows.
        """
        if not fates:
            return rows
        conditions = [condition.fill_null(False) for condition in fates.values()]
        is_taken = rows.select(pl.any_horizontal(conditions)).to_series()
        if not is_taken.any():
            return rows
        marks = rows.select(
            pl.coalesce(
                pl.when(condition).then(number) for number, condition in enumerate(conditions)
            )
        )
        reasons = marks.to_series().filter(is_taken).replace_strict(dict(enumerate(fates)))
        taken = rows.filter(is_taken).with_columns(reasons.alias("_fate"))
        for (reason,), part in taken.group_by("_fate", maintain_order=True):
            self.count(part, (_EXCLUDED if excluded else _QUARANTINED) + str(reason))
        if not excluded:
            self._rejected.append(
                taken.select(ROW, pl.col(UNIQUE_ID).cast(pl.String), reason="_fate")
            )
        return rows.filter(~is_taken)

    def close(self, kept: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Check that every row is accounted for, and return the account and the quarantine.

        Raises:
            PanelError: rows in differ from rows kept, set aside and quarantined.
        """
        self.count(kept, _KEPT)
        if not self._counts:
            return pl.DataFrame(schema=ACCOUNT_SCHEMA), pl.DataFrame(schema=QUARANTINE_SCHEMA)
        account = (
            pl.concat(self._counts, how="diagonal")
            .group_by(UNIQUE_ID, "measure")
            .agg(pl.col("value").sum())
            .sort(UNIQUE_ID, "measure")
            .select(pl.lit(self._source).alias("source"), UNIQUE_ID, "measure", "value")
            .cast(ACCOUNT_SCHEMA)
        )
        check_balance(self._source, account)
        return account, self._quarantine()

    def _quarantine(self) -> pl.DataFrame:
        if not self._rejected:
            return pl.DataFrame(schema=QUARANTINE_SCHEMA)
        rejected = pl.concat(self._rejected).sort(ROW)
        cells = self._cells[rejected[ROW]].with_columns(pl.col(pl.Categorical).cast(pl.String))
        own = [
            name
            for name, kind in cells.schema.items()
            if kind == pl.String and name not in (FILE, PROBLEM, TEXT)
        ]
        row = pl.struct(own).struct.json_encode()
        if TEXT in cells.columns:
            whole = pl.struct(*own, TEXT).struct.json_encode()
            row = pl.when(pl.col(TEXT) == "").then(row).otherwise(whole)
        return cells.select(
            pl.lit(self._source).alias("source"),
            pl.col(FILE).alias("file"),
            pl.col(LINE).alias("line"),
            rejected[UNIQUE_ID],
            rejected["reason"],
            row.alias("row"),
        ).cast(QUARANTINE_SCHEMA)


def check_balance(source: str, account: pl.DataFrame | pd.DataFrame) -> None:
    """See that rows in = rows kept + set aside + quarantined.

    Raises:
        PanelError: they differ.
    """
    table = account if isinstance(account, pl.DataFrame) else pl.DataFrame(account)
    measure = pl.col("measure")
    is_out = (measure == _KEPT) | measure.str.contains(f"^(?:{_EXCLUDED}|{_QUARANTINED})")
    rows_in = table.filter(measure == _IN)["value"].sum()
    rows_out = table.filter(is_out)["value"].sum()
    if rows_in != rows_out:
        raise PanelError(
            f"source '{source}': {rows_in:.0f} rows in, {rows_out:.0f} accounted for; "
            f"this is a defect of the cleaning, please report it"
        )
