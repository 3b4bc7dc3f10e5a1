from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.collect.nodes import collect_sources


def create_pipeline() -> Pipeline:
    """Sources to immutable raw snapshots."""
    return Pipeline(
        [
            Node(
                collect_sources,
                inputs=["params:sources", "params:as_of", "params:project_path"],
                outputs="raw",
                name="collect_sources",
            )
        ]
    )
