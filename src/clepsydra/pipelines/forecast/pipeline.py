from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.pipelines.forecast.nodes import (
    assemble_explanations,
    assemble_forecasts,
    forecast_global_model,
    forecast_models,
    publish_forecasts,
)
from clepsydra.pipelines.forecast.reconciliation import reconcile_forecasts
from clepsydra.sharding import gather, per_shard, sharded

_PARAMETERS = [
    "params:sources",
    "params:task",
    "planned_models",
    "params:windows",
    "params:cleaning",
]


def create_pipeline(
    n_shards: int, global_models: list[str], has_hierarchy: bool = False
) -> Pipeline:
    """The promoted bundle and the latest panel to published forecasts."""
    shard = Pipeline(
        [
            Node(
                forecast_models,
                inputs=[
                    "panel@pandas",
                    "future@pandas",
                    "series",
                    "fitted",
                    *_PARAMETERS,
                    "assigned",
                ],
                outputs=["next_points", "next_failures", "next_parts"],
                name="forecast_local_models",
            ),
            Node(
                assemble_forecasts,
                inputs=[
                    "bundle",
                    "assigned",
                    "calibration",
                    "series",
                    "params:task",
                    "planned_models",
                    "clock",
                    "next_points",
                    *(f"{name}.next_points" for name in global_models),
                ],
                outputs="base_forecasts" if has_hierarchy else "forecasts@pandas",
                name="assemble_forecasts",
            ),
        ]
    )
    across = [
        Node(
            bind(forecast_global_model, name=name, n_shards=n_shards),
            inputs=[
                *("panel", "future", "series", f"{name}.fitted", *_PARAMETERS),
                *sharded("assigned", n_shards),
            ],
            outputs=[
                *sharded(f"{name}.next_points", n_shards),
                *(f"{name}.next_{table}" for table in ("failures", "parts")),
            ],
            name=f"forecast_{name}",
        )
        for name in global_models
    ]
    publish = Node(
        publish_forecasts,
        inputs=["clock", *published_files(n_shards, has_hierarchy)],
        outputs=["forecasts@store", "publication"],
        name="publish_forecasts",
    )
    tables = [
        Node(
            gather,
            inputs=[
                *sharded("next_failures", n_shards),
                *(f"{name}.next_failures" for name in global_models),
            ],
            outputs="forecast_failures",
            name="gather_forecast_failures",
        ),
        Node(
            assemble_explanations,
            inputs=[
                "params:task",
                "params:explain",
                "clock",
                *sharded("next_parts", n_shards),
                *(f"{name}.next_parts" for name in global_models),
            ],
            outputs=["explanations", "importances"],
            name="assemble_explanations",
        ),
    ]
    shared = {"bundle", "clock", "planned_models"}
    reconciled = _reconciled(n_shards) if has_hierarchy else []
    return Pipeline(
        [*per_shard(shard, n_shards, shared).nodes, *across, *reconciled, publish, *tables]
    )


def published_files(n_shards: int, has_hierarchy: bool) -> list[str]:
    """The datasets of the files that are published."""
    return ["reconciled_forecasts@file"] if has_hierarchy else sharded("forecasts@file", n_shards)


def _reconciled(n_shards: int) -> list[Node]:
    """All series at once, since each depends on all."""
    gathered = Node(
        gather,
        inputs=sharded("base_forecasts", n_shards),
        outputs="base_forecasts",
        name="gather_base_forecasts",
    )
    reconciled = Node(
        reconcile_forecasts,
        inputs=["base_forecasts", "champion_errors", "bundle", "levels", "params:task", "clock"],
        outputs="reconciled_forecasts@pandas",
        name="reconcile_forecasts",
    )
    return [gathered, reconciled]
