"""Content hashes of tables."""

from __future__ import annotations

import hashlib

import pandas as pd

__all__ = ["fingerprint"]


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame's cells and column names.

    Examples:
        >>> fingerprint(pd.DataFrame({"a": [1]})) == fingerprint(pd.DataFrame({"a": [2]}))
        False
    """
    digest = hashlib.sha256(",".join(frame.columns).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()
