"""Columns that raw rows have beside those of their source, from reading to cleaning."""

from __future__ import annotations

__all__ = [
    "DAY",
    "FILE",
    "HASH",
    "INSTANT",
    "LINE",
    "LOCAL",
    "OWN",
    "PROBLEM",
    "ROW",
    "TEXT",
    "VERSION",
    "WATERMARK",
]

# Where a row stood, and of a row that could not be split into cells, why, and the line as it came.
FILE, LINE, PROBLEM, TEXT = "_file", "_line", "_problem", "_text"
# Its naive local time (null: undated), its naive UTC time, if its text says so itself, its local
# day, and the hash of its series.
LOCAL, INSTANT, DAY, HASH = "_local", "_instant", "_day", "_hash"
# The encoded watermark of a row of a database, null where the row has none.
WATERMARK = "_watermark"
# Its number in the table that is cleaned, and which version of its day it is of.
ROW, VERSION = "_row", "_version"
OWN = (FILE, LINE, PROBLEM, TEXT, LOCAL, INSTANT, DAY, HASH, WATERMARK, ROW, VERSION)
