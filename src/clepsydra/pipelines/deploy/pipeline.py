from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.deploy.nodes import build_bundle, decide_promotion


def create_pipeline() -> Pipeline:
    """Champions to a promoted bundle."""
    return Pipeline(
        [
            Node(
                decide_promotion,
                inputs=["champions", "verdict", "canary", "params:deploy"],
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
                    "params:models",
                    "weights",
                    "clock",
                ],
                outputs=["bundle", "calibration"],
                name="build_bundle",
            ),
        ]
    )
