from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.models.tuning import empty_trials
from clepsydra.pipelines.train.nodes import (
    assemble_backtests,
    backtest_global_model,
    backtest_models,
    check_models,
    measure_members,
    total_costs,
    weigh_members,
)
from clepsydra.pipelines.train.plan import plan_models
from clepsydra.pipelines.train.tuning import tune_models
from clepsydra.sharding import gather, gather_parts, per_shard, sharded

_BACKTEST_INPUTS = [
    "windows",
    "params:sources",
    "params:task",
    "planned_models",
    "params:windows",
    "params:cleaning",
]


def create_pipeline(n_shards: int, global_models: list[str], has_tuning: bool = False) -> Pipeline:
    """Backtests and fitted models of every family.

    Args:
        n_shards: one node a shard for the models of single series.
        global_models: one node each.
        has_tuning: whether options of some models are chosen first.
    """
    of_globals = [f"{name}.points" for name in global_models]
    of_points = ["panel@values", "points", "windows", "params:task", "planned_models"]
    shard = Pipeline(
        [
            Node(
                backtest_models,
                inputs=[
                    "panel@pandas",
                    "future@pandas",
                    "series",
                    *_BACKTEST_INPUTS,
                    "vintages@pandas",
                ],
                outputs=["points", "failures", "costs", "fitted"],
                name="backtest_local_models",
                tags="models",
            ),
            Node(
                measure_members,
                inputs=[*of_points, *of_globals],
                outputs="member_errors",
                name="measure_members",
            ),
        ]
    )
    across = [
        Node(
            bind(backtest_global_model, name=name, n_shards=n_shards),
            inputs=[
                *("panel", "future", "series", *_BACKTEST_INPUTS),
                *sharded("vintages@pandas", n_shards),
            ],
            outputs=[
                *sharded(f"{name}.points", n_shards),
                *(f"{name}.{part}" for part in ("failures", "costs", "fitted")),
            ],
            name=f"backtest_{name}",
            tags="models",
        )
        for name in global_models
    ]
    combine = [
        Node(
            assemble_backtests,
            inputs=[
                f"shard_{number}.panel@values",
                f"shard_{number}.points",
                "windows",
                "params:task",
                "planned_models",
                "weights",
                *(f"shard_{number}.{points}" for points in of_globals),
            ],
            outputs=f"shard_{number}.backtests@pandas",
            name=f"assemble_backtests_{number}",
            namespace="combine",
        )
        for number in range(n_shards)
    ]
    tables = [
        Node(
            gather_parts,
            inputs=sharded("backtests@file", n_shards),
            outputs="backtests",
            name="gather_backtests",
        ),
        Node(
            gather,
            inputs=[
                *sharded("failures", n_shards),
                *(f"{name}.failures" for name in global_models),
            ],
            outputs="failures",
            name="gather_failures",
        ),
    ]
    costs = Node(
        total_costs,
        inputs=[*sharded("costs", n_shards), *(f"{name}.costs" for name in global_models)],
        outputs="costs",
        name="total_costs",
    )
    weights = Node(
        weigh_members,
        inputs=["windows", "params:task", "planned_models", *sharded("member_errors", n_shards)],
        outputs="weights",
        name="weigh_members",
    )
    check = Node(
        check_models,
        inputs=["params:sources", "params:task", "params:models", "params:windows"],
        outputs=None,
        name="check_models",
    )
    plan = Node(
        plan_models,
        inputs=[
            "future",
            "series",
            "windows",
            "params:sources",
            "params:task",
            "params:models",
            "params:windows",
            "params:cleaning",
            "params:budget",
            *sharded("panel@file", n_shards),
        ],
        outputs=["untuned_models" if has_tuning else "planned_models", "plan"],
        name="plan_models",
    )
    tuning = Node(
        tune_models,
        inputs=[
            "panel",
            "future",
            "series",
            "windows",
            "params:sources",
            "params:task",
            "untuned_models",
            "params:windows",
            "params:cleaning",
            "params:budget",
            "plan",
            *sharded("vintages@pandas", n_shards),
        ],
        outputs=["planned_models", "trials"],
        name="tune_models",
        tags="models",
    )
    shards = per_shard(shard, n_shards, {"windows", "planned_models"})
    # In the place of an earlier run's.
    untuned = Node(empty_trials, inputs=None, outputs="trials", name="no_trials")
    chosen = tuning if has_tuning else untuned
    return Pipeline(
        [check, plan, chosen, *across, *shards.nodes, weights, *combine, *tables, costs]
    )
