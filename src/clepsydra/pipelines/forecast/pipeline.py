from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.pipelines.forecast.nodes import (
    assemble_explanations,
    assemble_forecasts,
    forecast_models,
)
from clepsydra.pipelines.forecast.reconciliation import reconcile_forecasts
from clepsydra.sharding import gather, per_shard, sharded

_PARAMETERS = [
    "params:sources",
    "params:task",
    "planned_models",
    "params:windows",
    "params:cleaning",
    "params:explain",
]


_RECONCILE = Node(
    reconcile_forecasts,
    inputs=["base_forecasts", "champion_errors", "bundle", "levels", "params:task", "clock"],
    outputs="forecasts",
    name="reconcile_forecasts",
)


def create_pipeline(
    n_shards: int, global_models: list[str], has_hierarchy: bool = False
) -> Pipeline:
    """The promoted bundle and the latest panel to published forecasts."""
    shard = Pipeline(
        [
            Node(
                forecast_models,
                inputs=["panel@pandas", "future", "series", "fitted", "bundle", *_PARAMETERS],
                outputs=["next_points", "next_failures", "next_parts"],
                name="forecast_local_models",
            )
        ]
    )
    across = [
        Node(
            bind(forecast_models, name=name),
            inputs=["panel", "future", "series", f"{name}.fitted", "bundle", *_PARAMETERS],
            outputs=[f"{name}.next_{table}" for table in ("points", "failures", "parts")],
            name=f"forecast_{name}",
        )
        for name in global_models
    ]
    publish = [
        Node(
            assemble_forecasts,
            inputs=[
                "bundle",
                "calibration",
                "series",
                "params:task",
                "planned_models",
                "clock",
                *sharded("next_points", n_shards),
                *(f"{name}.next_points" for name in global_models),
            ],
            outputs="base_forecasts" if has_hierarchy else "forecasts",
            name="publish_forecasts",
        ),
        *([_RECONCILE] if has_hierarchy else []),
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
    return Pipeline(
        [*per_shard(shard, n_shards, {"bundle", "planned_models"}).nodes, *across, *publish]
    )
