"""Content hashes of tables."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv

__all__ = ["fingerprint", "fingerprint_texts"]


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame written as CSV: the same for the same cells under the same names.

    Examples:
        >>> fingerprint(pd.DataFrame({"a": [1]})) == fingerprint(pd.DataFrame({"a": [2]}))
        False
    """
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def fingerprint_texts(frame: pl.DataFrame) -> str:
    """SHA-256 of a frame of texts: the same for the same cells under the same names.

    The hash is of the names, and then of the lengths and the letters of every column: nothing has
    to be written out.

    Examples:
        >>> plain = pl.DataFrame({"a": ["x", "y"]})
        >>> coded = plain.cast(pl.Categorical)
        >>> fingerprint_texts(plain) == fingerprint_texts(coded)
        True
        >>> fingerprint_texts(plain) == fingerprint_texts(plain.reverse())
        False
    """
    digest = hashlib.sha256("\n".join(frame.columns).encode())
    for name in frame.columns:
        cells = frame[name].cast(pl.String)
        digest.update(cells.str.len_bytes().fill_null(0).to_numpy().astype("<i8").tobytes())
        column = cells.to_arrow(compat_level=pl.CompatLevel.oldest())
        _, offsets, letters = column.buffers()
        if letters is not None:
            ends = np.frombuffer(offsets, dtype=np.int64)
            begin, end = ends[column.offset], ends[column.offset + len(column)]
            digest.update(memoryview(letters)[begin:end])
    return digest.hexdigest()
