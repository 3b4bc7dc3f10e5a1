"""kedro-viz can draw the line: in layers, with a box a stage."""

from __future__ import annotations

import json
import subprocess
import sys

from line_runner import PROJECT

SCRIPT = """
import json, pathlib
from kedro_viz.data_access import data_access_manager as data
from kedro_viz.server import load_and_populate_data
load_and_populate_data(pathlib.Path.cwd())
tree = data.create_modular_pipelines_tree_for_registered_pipeline("__default__")
print(json.dumps({
    "layers": data.get_sorted_layers_for_registered_pipeline("__default__"),
    "boxes": sorted(c.id for c in tree["__root__"].children if c.type == "modularPipeline"),
}))
"""


def test_layers_are_in_order_and_every_stage_is_a_box():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    drawn = json.loads(done.stdout.splitlines()[-1])
    assert drawn["layers"] == [
        *("raw", "intermediate", "primary", "feature"),
        *("model_input", "models", "model_output", "reporting"),
    ]
    stages = "collect clean explore split train evaluate deploy forecast monitor report"
    assert drawn["boxes"] == sorted(stages.split())
