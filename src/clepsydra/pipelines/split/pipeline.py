from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.split.nodes import cut_sets, make_marts, make_windows
from clepsydra.sharding import gather_parts, per_shard, sharded

_SETS = ["train_set", "validation_set", "test_set"]
_MARTS = ["mart_hour", "mart_day", "mart_week"]

SHARD = Pipeline(
    [
        Node(
            cut_sets,
            inputs=["panel@values", "windows"],
            outputs=[f"{name}@pandas" for name in _SETS],
            name="cut_sets",
            tags="training",
        ),
        Node(
            make_marts,
            inputs=["panel@values", "params:task"],
            outputs=[f"{name}@pandas" for name in _MARTS],
            name="make_marts",
            tags="dashboard",
        ),
    ]
)


def create_pipeline(n_shards: int) -> Pipeline:
    """The panel to training windows and sets, and to the marts of the dashboards."""
    windows = Node(
        make_windows,
        inputs=["series", "params:task", "params:windows", "clock"],
        outputs="windows",
        name="make_windows",
    )
    whole = [
        Node(
            gather_parts,
            inputs=sharded(f"{name}@file", n_shards),
            outputs=name,
            name=f"gather_{name}",
            tags="training" if name in _SETS else "dashboard",
        )
        for name in [*_SETS, *_MARTS]
    ]
    return Pipeline([windows, *per_shard(SHARD, n_shards, {"windows"}).nodes, *whole])
