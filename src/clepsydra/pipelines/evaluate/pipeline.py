from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.evaluate.nodes import (
    choose_champions,
    judge_champions,
    rank_models,
    score_backtests,
    seasonal_scales,
)


def create_pipeline() -> Pipeline:
    """Backtests to metrics, a leaderboard and a champion for every series."""
    return Pipeline(
        [
            Node(
                seasonal_scales,
                inputs=["panel", "windows", "params:task"],
                outputs="scales",
                name="seasonal_scales",
            ),
            Node(
                score_backtests,
                inputs=["backtests", "windows", "scales"],
                outputs="metrics",
                name="score_backtests",
            ),
            Node(
                rank_models,
                inputs="metrics",
                outputs="leaderboard",
                name="rank_models",
            ),
            Node(
                choose_champions,
                inputs=["metrics", "params:models", "params:evaluate", "series"],
                outputs="champions",
                name="choose_champions",
            ),
            Node(
                judge_champions,
                inputs=["metrics", "champions", "scales", "windows", "params:models"],
                outputs=["champion_scores", "verdict"],
                name="judge_champions",
            ),
        ]
    )
