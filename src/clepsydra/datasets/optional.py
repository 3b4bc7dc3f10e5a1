"""Tables that only some configurations make."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clepsydra.datasets.atomic import ParquetDataset

__all__ = ["OptionalParquetDataset"]


class OptionalParquetDataset(ParquetDataset):
    """A Parquet file that need not be there: it then loads as a table without rows.

    So the catalog can be loaded whole, also where no node makes the table.

    Args:
        columns: of the table without rows.
        arguments: of `ParquetDataset`.
    """

    def __init__(self, *, columns: list[str], **arguments: Any):
        super().__init__(**arguments)
        self._columns = columns

    def load(self) -> pd.DataFrame:
        return super().load() if self.exists() else pd.DataFrame(columns=self._columns)
