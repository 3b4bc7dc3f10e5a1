"""Content hashes of tables."""

from __future__ import annotations

import hashlib

import pandas as pd
import pyarrow as pa
import pyarrow.csv

__all__ = ["fingerprint"]


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame written as CSV: the same for the same cells under the same names.

    Examples:
        >>> fingerprint(pd.DataFrame({"a": [1]})) == fingerprint(pd.DataFrame({"a": [2]}))
        False
    """
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return hashlib.sha256(sink.getvalue()).hexdigest()
