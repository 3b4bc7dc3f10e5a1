from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.monitor.nodes import (
    decide_retraining,
    detect_drift,
    measure_accuracy,
    measure_freshness,
)


def create_pipeline() -> Pipeline:
    """Published forecasts and actuals to accuracy, drift, freshness and a decision."""
    return Pipeline(
        [
            Node(
                measure_accuracy,
                inputs=["forecasts", "panel", "scales", "clock"],
                outputs="accuracy",
                name="measure_accuracy",
            ),
            Node(
                detect_drift,
                inputs=["panel", "params:task", "params:monitor"],
                outputs="drift",
                name="detect_drift",
            ),
            Node(
                measure_freshness,
                inputs=["series", "clock", "params:task", "params:monitor"],
                outputs="freshness",
                name="measure_freshness",
            ),
            Node(
                decide_retraining,
                inputs=["accuracy", "drift", "freshness", "verdict", "promotion", "params:monitor"],
                outputs="retraining",
                name="decide_retraining",
            ),
        ]
    )
