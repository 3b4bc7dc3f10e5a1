from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.explore.nodes import diagnose_series
from clepsydra.sharding import gather_parts, per_shard, sharded

SHARD = Pipeline(
    [
        Node(
            diagnose_series,
            inputs=["panel@values", "params:task"],
            outputs="diagnostics@pandas",
            name="diagnose_series",
        )
    ]
)


def create_pipeline(n_shards: int) -> Pipeline:
    """Diagnostics of every series."""
    whole = Node(
        gather_parts,
        inputs=sharded("diagnostics@file", n_shards),
        outputs="diagnostics",
        name="gather_diagnostics",
    )
    return Pipeline([*per_shard(SHARD, n_shards, shared=set()).nodes, whole])
