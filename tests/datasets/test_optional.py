"""A table that only some configurations make."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from clepsydra.datasets.optional import OptionalParquetDataset


def test_it_has_no_rows_until_it_is_made(tmp_path: Path) -> None:
    dataset = OptionalParquetDataset(columns=["a", "b"], filepath=str(tmp_path / "table.parquet"))
    pd.testing.assert_frame_equal(dataset.load(), pd.DataFrame(columns=["a", "b"]))
    table = pd.DataFrame({"a": [1], "b": ["x"]})
    dataset.save(table)
    pd.testing.assert_frame_equal(dataset.load(), table)
