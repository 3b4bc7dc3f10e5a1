"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from line_runner import Line, build_line

# As in a run of the line. Tests run side by side: threads beside threads cost ten times as much.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")


@pytest.fixture
def make_line(tmp_path: Path) -> Callable[..., Line]:
    """A function from an environment's parameters to a line that runs with them."""

    def make(**parameters: Any) -> Line:
        return build_line(tmp_path, parameters)

    return make
