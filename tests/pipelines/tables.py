"""Tables of any cells, and the check that every row of them is accounted for."""

from __future__ import annotations

import json

import pandas as pd
from hypothesis import strategies as st

NOON = pd.Timestamp("2013-11-03 16:00")


def account_of(account: pd.DataFrame) -> dict[str, int]:
    return account.groupby("measure")["value"].sum().to_dict()


def check_account(rows_in: int, account: pd.DataFrame, quarantine: pd.DataFrame) -> None:
    """Rows in = kept + excluded + quarantined, and the quarantine tells all."""
    totals = account_of(account)
    excluded = sum(v for k, v in totals.items() if k.startswith("excluded: "))
    quarantined = sum(v for k, v in totals.items() if k.startswith("quarantined: "))
    assert totals.get("rows in", 0) == rows_in
    assert totals.get("rows kept", 0) + excluded + quarantined == rows_in
    assert len(quarantine) == quarantined
    assert (quarantine["reason"] != "").all()
    assert (quarantine["file"] != "").all()
    assert (quarantine["line"].astype(int) >= 2).all()
    for row in quarantine["row"]:
        assert all(isinstance(cell, str) for cell in json.loads(row).values())


NUMBERS = ["1", "2.5", "-3e2", " 4 ", "0"]
JUNK = ["", "NA", "x", "inf", "-inf", "nan", "1e999", "9" * 30, "1,5", "True", "0x1F", " "]
TIMES = [
    *("2013-11-03 00:00", "2013-11-03 01:00", "2013-11-03 02:00", "2013-03-10 02:30"),
    *("2013-11-03T05:00:00Z", "2013-11-02", "", "NA", "soon", "2013-02-30", "99999-01-01"),
    *("2262-04-11 23:30:00", "1677-09-21 00:15:00", "0001-01-01", "2013-11-03 24:00"),
]
IDS = ["a", "b", "", "NA", "ü"]


def rows_of(**columns: list[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    cells = {name: st.sampled_from(values) for name, values in columns.items()}
    return st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=25)


def always_noon(ds: pd.Series) -> pd.Timestamp:
    return NOON
