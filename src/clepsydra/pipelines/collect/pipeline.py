from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.pipelines.collect.nodes import collect_source, collect_target, report_drift
from clepsydra.runners.history import ALWAYS

_HOW = ["params:project_path", "source_credentials"]


def create_pipeline(target: str, sources: list[str]) -> Pipeline:
    """Sources to immutable raw snapshots.

    The target comes first: it says what `latest` means.
    """
    others = [name for name in sources if name != target]
    return Pipeline(
        [
            Node(
                collect_target,
                inputs=[
                    "params:sources",
                    "params:as_of",
                    *_HOW,
                    f"{target}.held",
                    "params:task",
                ],
                outputs=[f"{target}.raw", "collected"],
                name=f"{target}.collect",
                tags=ALWAYS,
            ),
            *(
                Node(
                    bind(collect_source, name=other),
                    inputs=["params:sources", "collected", *_HOW, f"{other}.held", "params:task"],
                    outputs=f"{other}.raw",
                    name=f"{other}.collect",
                    tags=ALWAYS,
                )
                for other in others
            ),
            Node(
                report_drift,
                inputs=["params:sources", *(f"{name}.raw" for name in sources)],
                outputs="schema_drift",
                name="report_drift",
            ),
        ]
    )
