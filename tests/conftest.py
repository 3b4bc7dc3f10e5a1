"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from line_runner import Line, build_line


@pytest.fixture
def make_line(tmp_path: Path) -> Callable[..., Line]:
    """A function from an environment's parameters to a line that runs with them."""

    def make(**parameters: Any) -> Line:
        return build_line(tmp_path, parameters)

    return make
