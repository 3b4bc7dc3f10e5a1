from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.deploy.nodes import build_bundle, collect_errors, decide_promotion


def create_pipeline(has_hierarchy: bool = False) -> Pipeline:
    """Champions to a promoted bundle."""
    errors = Node(
        collect_errors,
        inputs=["promoted_champions", "backtests", "windows"],
        outputs="champion_errors",
        name="collect_errors",
    )
    return Pipeline(
        [
            Node(
                decide_promotion,
                inputs=["renewed_champions", "verdict", "canary", "params:deploy"],
                outputs=["promoted_champions", "promotion"],
                name="decide_promotion",
            ),
            Node(
                build_bundle,
                inputs=[
                    "promoted_champions",
                    "promotion",
                    "backtests",
                    "panel",
                    "params:task",
                    "planned_models",
                    "weights",
                    "clock",
                ],
                outputs=["bundle", "calibration"],
                name="build_bundle",
            ),
            *([errors] if has_hierarchy else []),
        ]
    )
