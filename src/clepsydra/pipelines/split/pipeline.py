from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.split.nodes import cut_sets, make_marts, make_windows


def create_pipeline() -> Pipeline:
    """The panel to training windows and sets, and to the marts of the dashboards."""
    return Pipeline(
        [
            Node(
                make_windows,
                inputs=["series", "params:task", "params:windows", "clock"],
                outputs="windows",
                name="make_windows",
            ),
            Node(
                cut_sets,
                inputs=["panel", "windows"],
                outputs=["train_set", "validation_set", "test_set"],
                name="cut_sets",
                tags="training",
            ),
            Node(
                make_marts,
                inputs=["panel", "params:task"],
                outputs=["mart_hour", "mart_day", "mart_week"],
                name="make_marts",
                tags="dashboard",
            ),
        ]
    )
