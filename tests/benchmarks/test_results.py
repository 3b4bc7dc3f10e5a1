"""What benchmarks share: the memory of a command, targets, the JSON file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from _results import Target, format_table, in_another_process, measure, write_results


def test_memory_is_that_of_the_largest_process(tmp_path: Path) -> None:
    child = "len(bytearray(200_000_000))"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{child}'])"
    # In another process: a child's highest memory starts from that of its parent, this one.
    command = [sys.executable, "-c", parent]
    used = in_another_process(measure, command, tmp_path / "log.txt")
    assert 0.2 < used.peak_gb < 0.5
    assert used.cpu_seconds > 0
    assert used.seconds > 0


def test_a_command_that_fails_shows_what_it_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such feed')"]
    with pytest.raises(RuntimeError, match=r"ended with 1:\nno such feed"):
        measure(command, tmp_path / "log.txt")


def test_figures_are_written_with_their_targets(tmp_path: Path) -> None:
    targets = [
        Target("ratio", 0.9, 1.0),
        Target("memory", 2.0, 1.5),
        Target("efficiency", 0.8, 0.7, better="higher"),
    ]
    rows = [{"contender": "pandas", "rows": 1000, "seconds": 1.5}]
    write_results(tmp_path / "etl.json", ["polars", "no-such-package"], rows, targets)
    document = json.loads((tmp_path / "etl.json").read_text())
    assert list(document) == ["name", "machine", "rows", "targets"]
    assert document["name"] == "etl"
    assert document["rows"] == rows
    assert list(document["machine"]["versions"]) == ["polars"]
    assert document["targets"][0] == {
        "name": "ratio",
        "value": 0.9,
        "target": 1.0,
        "better": "lower",
        "reached": True,
    }
    assert [target["reached"] for target in document["targets"]] == [True, False, True]
    assert format_table(rows) == "contender   rows  seconds\npandas     1,000     1.50"
