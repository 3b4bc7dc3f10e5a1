from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.models.losses import pool_losses
from clepsydra.pipelines.evaluate.champions import choose_champions
from clepsydra.pipelines.evaluate.evidence import gather_evidence, pool_evidence
from clepsydra.pipelines.evaluate.leaks import refuse_leaks, send_canary
from clepsydra.pipelines.evaluate.nodes import (
    compare_models,
    judge_champions,
    measure_losses,
    rank_models,
    score_backtests,
    score_champions,
    seasonal_scales,
)
from clepsydra.pipelines.evaluate.reconciliation import compare_levels, reconcile_backtests
from clepsydra.pipelines.evaluate.segments import segment_series
from clepsydra.sharding import gather_parts, per_shard, sharded

_SHARED = {"clock", "windows", "planned_models"}
# Champions that later windows judge, and those that forecast next: by the windows that choose them.
_CHAMPIONS = {"champions": ("select",), "renewed_champions": ("select", "report")}
_GATHERED = ["scales", "metrics", "segments", "champions", "renewed_champions", "champion_scores"]


def create_pipeline(n_shards: int, has_hierarchy: bool = False) -> Pipeline:
    """Backtests to metrics, a leaderboard, comparisons and a champion for every series.

    Args:
        n_shards: nodes of single series are one a shard.
        has_hierarchy: whether forecasts are reconciled, and that is judged too.
    """
    return Pipeline(
        [
            *per_shard(_scores(), n_shards, _SHARED).nodes,
            *(node for number in range(n_shards) for node in _champions(number)),
            *_together(n_shards),
            Node(
                bind(send_canary, n_shards=n_shards),
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
                    *sharded("vintages@file", n_shards),
                ],
                outputs="canary",
                name="send_canary",
                tags="models",
            ),
            Node(refuse_leaks, inputs="canary", outputs=None, name="refuse_leaks"),
            *(_RECONCILIATION if has_hierarchy else []),
        ]
    )


def _scores() -> Pipeline:
    """What is said of the series of a shard by themselves."""
    return Pipeline(
        [
            Node(
                seasonal_scales,
                inputs=["panel@values", "windows", "params:task"],
                outputs="scales@pandas",
                name="seasonal_scales",
            ),
            Node(
                score_backtests,
                inputs=["backtests@pandas", "windows", "scales@pandas"],
                outputs=["metrics@pandas", "totals"],
                name="score_backtests",
            ),
            Node(
                measure_losses,
                inputs=["backtests@pandas", "windows", "scales@pandas"],
                outputs="losses",
                name="measure_losses",
            ),
            Node(
                segment_series,
                inputs=[
                    "panel@pandas",
                    "series",
                    "windows",
                    "clock",
                    "params:sources",
                    "params:task",
                    "params:windows",
                    "params:cleaning",
                    "params:evaluate",
                ],
                outputs="segments@pandas",
                name="segment_series",
            ),
            *(
                Node(
                    bind(gather_evidence, roles=roles),
                    inputs=[
                        "metrics@pandas",
                        "backtests@pandas",
                        "segments@pandas",
                        "windows",
                        "planned_models",
                    ],
                    outputs=[f"{which}.evidence", f"{which}.spread"],
                    name=f"gather_evidence_of_{which}",
                )
                for which, roles in _CHAMPIONS.items()
            ),
        ]
    )


def _champions(number: int) -> list[Node]:
    """The champions of a shard, and their scores."""
    shard = f"shard_{number}"
    chosen = [
        Node(
            bind(choose_champions, roles=roles),
            inputs=[
                f"{shard}.{which}.evidence",
                f"{which}.records",
                f"{which}.noise",
                f"{shard}.segments@pandas",
                "windows",
                f"{shard}.future@pandas",
                "params:task",
                "planned_models",
                "params:evaluate",
            ],
            outputs=f"{shard}.{which}@pandas",
            name=f"choose_{which}_{number}",
            namespace="choose",
        )
        for which, roles in _CHAMPIONS.items()
    ]
    scored = Node(
        score_champions,
        inputs=[
            f"{shard}.metrics@pandas",
            f"{shard}.champions@pandas",
            f"{shard}.scales@pandas",
            "planned_models",
        ],
        outputs=f"{shard}.champion_scores@pandas",
        name=f"score_champions_{number}",
        namespace="choose",
    )
    return [*chosen, scored]


def _together(n_shards: int) -> list[Node]:
    """What is made of all series."""
    pooled = [
        Node(
            bind(pool_evidence, n_shards=n_shards),
            inputs=[
                "planned_models",
                "params:evaluate",
                *sharded(f"{which}.evidence", n_shards),
                *sharded(f"{which}.spread", n_shards),
            ],
            outputs=[f"{which}.records", f"{which}.noise"],
            name=f"pool_evidence_of_{which}",
        )
        for which in _CHAMPIONS
    ]
    gathered = [
        Node(
            gather_parts,
            inputs=sharded(f"{table}@file", n_shards),
            outputs=table,
            name=f"gather_{table}",
        )
        for table in _GATHERED
    ]
    return [
        *pooled,
        *gathered,
        Node(
            pool_losses,
            inputs=sharded("losses", n_shards),
            outputs="losses",
            name="pool_losses",
        ),
        Node(
            rank_models,
            inputs=["losses", "params:evaluate", *sharded("totals", n_shards)],
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
            judge_champions,
            inputs=["champion_scores", "scales", "windows", "planned_models"],
            outputs="verdict",
            name="judge_champions",
        ),
    ]


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
