"""A catalog of small files, as most tests of what runs again need one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_lines import catalog_of


@pytest.fixture
def catalog(tmp_path: Path) -> Callable[..., Any]:
    """A function from the value of a parameter to a catalog."""
    (tmp_path / "start.json").write_text("1")

    def make(size: Any = 1, **others: Any) -> Any:
        return catalog_of(tmp_path, ["start", "one", "two"], {"size": size}, **others)

    return make
