"""`kedro run` and its options do what a Kedro user expects of them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from clepsydra.runners.locks import nodes_held
from line_runner import Line, build_line

TASK = {"freq": "MS", "season_lengths": [12], "horizon": 3}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Twelve years of two monthly series, through the whole line once."""
    folder: Path = tmp_path_factory.mktemp("monthly")
    months = pd.date_range("2010-01-01", periods=144, freq="MS").strftime("%Y-%m-%d")
    table = pd.DataFrame({"month": months})
    table["even"] = [100 + number % 12 for number in range(144)]
    table["odd"] = [50 + 2 * (number % 12) + number // 12 for number in range(144)]
    table.to_csv(folder / "table.csv", index=False)
    source = {"role": "target", "layout": "wide", "path": f"{folder}/table.csv", "time": "month"}
    line = build_line(
        folder,
        {
            "as_of": "latest",
            "n_shards": 2,
            "sources": {"table": source},
            "task": TASK,
            "calendar": {},
            "windows": {"calibrate": 1, "select": 1, "report": 1},
        },
    )
    line.run()
    return line


def nodes_of(line: Line) -> list[str]:
    """Names of the nodes of the last run, in the order in which they ended or were skipped."""
    return line.read("08_reporting/run_manifest.parquet")["node"].tolist()


def actions_of(line: Line) -> dict[str, str]:
    """What the last run did with each node."""
    manifest = line.read("08_reporting/run_manifest.parquet")
    return dict(zip(manifest["node"], manifest["action"], strict=True))


def test_what_has_not_changed_does_not_run_again_unless_it_is_forced(line):
    done = line.run()
    assert set(actions_of(line).values()) == {"skipped"}
    assert f"0 of {len(actions_of(line))} ran, {len(actions_of(line))} unchanged" in done.stdout
    line.run("--pipelines=split", "--force")
    assert set(actions_of(line).values()) == {"ran"}
    assert set(line.read("08_reporting/run_manifest.parquet")["reason"]) == {"forced"}
    line.run("--pipelines=monitor,explore", "--params", "monitor.significance=0.02")
    manifest = line.read("08_reporting/run_manifest.parquet").set_index("node")
    assert manifest.loc["monitor.detect_drift", "reason"] == "parameter changed: monitor"
    assert manifest.loc["monitor.shard_0.measure_accuracy", "action"] == "skipped"
    assert manifest.loc["explore.gather_diagnostics", "action"] == "skipped"


MARTS = [
    *(f"split.gather_mart_{step}" for step in ("day", "hour", "week")),
    *(f"split.shard_{number}.make_marts" for number in range(2)),
]


def test_one_stage(line):
    line.run("--pipelines=split")
    sets = [f"split.gather_{name}_set" for name in ("train", "validation", "test")]
    cut = [f"split.shard_{number}.cut_sets" for number in range(2)]
    assert sorted(nodes_of(line)) == sorted(["split.make_windows", *MARTS, *sets, *cut])


def test_tags(line):
    line.run("--tags=dashboard")
    assert sorted(nodes_of(line)) == MARTS


def test_namespaces(line):
    line.run("--namespaces=explore.shard_1")
    assert nodes_of(line) == ["explore.shard_1.diagnose_series"]


def test_from_nodes(line):
    line.run("--pipelines=evaluate", "--from-nodes=evaluate.choose.choose_champions_1")
    assert sorted(nodes_of(line)) == [
        "evaluate.choose.choose_champions_1",
        "evaluate.choose.score_champions_1",
        "evaluate.gather_champion_scores",
        "evaluate.gather_champions",
        "evaluate.judge_champions",
    ]


def test_params(line):
    line.run("--pipelines=collect,clean", "--params", "as_of=2020-07-15")
    clock = json.loads((line.data / "02_intermediate/clock.json").read_text())
    assert clock["as_of"] == "2020-07-15"
    assert clock["cutoff"] == "2020-06-01T00:00:00"
    assert line.read("03_primary/panel.parquet")["ds"].max() == pd.Timestamp("2020-06-01")


def test_default_runner_is_parallel_and_can_be_changed(line):
    assert "ProcessRunner" in line.run("--pipelines=split", "--force").stdout
    for runner in ("SequentialRunner", "ParallelRunner"):
        done = line.run("--pipelines=split", f"--runner={runner}")
        assert f" nodes, {runner}" in done.stdout
        assert "unchanged" not in done.stdout
    options = ["--pipelines=split", "--force", "--runner-params=processes=1,threads=2"]
    assert " 1 process, " in line.run(*options).stdout
    done = line.run("--pipelines=split", "--runner-params=processes=none", check=False)
    assert "Error: runner parameter 'processes' is 'none': it must be a whole" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runner-params=proceses=2"], "ProcessRunner has none, did you mean 'processes'?"),
        (["--runner=SequentialRunner", "--runner-params=processes=2"], "it has: none"),
    ],
)
def test_a_parameter_that_the_runner_does_not_have(line, options, said):
    done = line.run(*options, check=False)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_with_kedros_own_runner_is_refused_beside_another(line):
    line.run("--pipelines=split")
    with nodes_held(["split.make_windows"], line.data / "00_records"):
        done = line.run("--pipelines=split", "--runner=SequentialRunner", check=False)
    assert done.returncode == 1
    assert "Error: node 'split.make_windows' belongs to another run" in done.stderr


def test_another_number_of_shards(line):
    line.run("--pipelines=collect,clean,explore", "--params", "n_shards=3")
    shards = [name for name in nodes_of(line) if name.endswith("diagnose_series")]
    assert len(shards) == 3
