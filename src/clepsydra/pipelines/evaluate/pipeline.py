from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.pipelines.evaluate.champions import choose_champions
from clepsydra.pipelines.evaluate.leaks import refuse_leaks, send_canary
from clepsydra.pipelines.evaluate.nodes import (
    compare_models,
    judge_champions,
    measure_losses,
    rank_models,
    score_backtests,
    seasonal_scales,
)
from clepsydra.pipelines.evaluate.reconciliation import compare_levels, reconcile_backtests
from clepsydra.pipelines.evaluate.segments import segment_series
from clepsydra.sharding import sharded

_CHAMPION_INPUTS = [
    "metrics",
    "backtests",
    "windows",
    "segments",
    "future",
    "params:task",
    "planned_models",
    "params:evaluate",
]


def create_pipeline(n_shards: int, has_hierarchy: bool = False) -> Pipeline:
    """Backtests to metrics, a leaderboard, comparisons and a champion for every series.

    Args:
        n_shards: of the panel, which the leak canary reads a few series of.
        has_hierarchy: whether forecasts are reconciled, and that is judged too.
    """
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
                measure_losses,
                inputs=["backtests", "windows", "scales"],
                outputs="losses",
                name="measure_losses",
            ),
            Node(
                send_canary,
                inputs=[
                    "future",
                    "series",
                    "windows",
                    "params:sources",
                    "params:task",
                    "planned_models",
                    "params:windows",
                    "params:cleaning",
                    "params:evaluate",
                    *sharded("panel@file", n_shards),
                    *sharded("vintages", n_shards),
                ],
                outputs="canary",
                name="send_canary",
                tags="models",
            ),
            Node(
                refuse_leaks,
                inputs="canary",
                outputs=None,
                name="refuse_leaks",
            ),
            Node(
                rank_models,
                inputs=["metrics", "losses", "params:evaluate"],
                outputs="leaderboard",
                name="rank_models",
            ),
            Node(
                compare_models,
                inputs=["losses", "planned_models"],
                outputs="comparisons",
                name="compare_models",
            ),
            Node(
                segment_series,
                inputs=[
                    "panel",
                    "series",
                    "windows",
                    "params:sources",
                    "params:task",
                    "params:windows",
                    "params:cleaning",
                    "params:evaluate",
                ],
                outputs="segments",
                name="segment_series",
            ),
            Node(
                choose_champions,
                inputs=_CHAMPION_INPUTS,
                outputs="champions",
                name="choose_champions",
            ),
            Node(
                bind(choose_champions, roles=("select", "report")),
                inputs=_CHAMPION_INPUTS,
                outputs="renewed_champions",
                name="renew_champions",
            ),
            Node(
                judge_champions,
                inputs=["metrics", "champions", "scales", "windows", "planned_models"],
                outputs=["champion_scores", "verdict"],
                name="judge_champions",
            ),
            *(_RECONCILIATION if has_hierarchy else []),
        ]
    )


_RECONCILIATION = [
    Node(
        reconcile_backtests,
        inputs=["backtests", "windows", "champions", "levels", "params:task"],
        outputs="reconciled_backtests",
        name="reconcile_backtests",
    ),
    Node(
        compare_levels,
        inputs=["backtests", "reconciled_backtests", "windows", "champions", "scales", "levels"],
        outputs="reconciliation",
        name="compare_levels",
    ),
]
