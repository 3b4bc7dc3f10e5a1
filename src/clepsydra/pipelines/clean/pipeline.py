from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.pipelines.clean.aggregates import aggregate_series, gather_series
from clepsydra.pipelines.clean.balance import cut_shards
from clepsydra.pipelines.clean.clock import set_clock
from clepsydra.pipelines.clean.covariates import clean_attributes, clean_covariate
from clepsydra.pipelines.clean.nodes import (
    gather_events,
    gather_files,
    report_quality,
)
from clepsydra.pipelines.clean.shard import clean_shard
from clepsydra.sharding import gather, gather_parts, sharded


def create_pipeline(
    n_shards: int,
    target: str,
    covariates: list[str],
    attributes: list[str],
    has_hierarchy: bool = False,
) -> Pipeline:
    """Raw snapshots to the panel, the series table and the account of every row.

    With a hierarchy there is one more shard, of the sums.
    """
    others = [*covariates, *attributes]
    sums = [_aggregate(n_shards)] if has_hierarchy else []
    n_parts = n_shards + len(sums)
    return Pipeline(
        [
            Node(
                set_clock,
                inputs=[f"{target}.raw", "params:sources", "params:task", "params:as_of"],
                outputs="clock",
                name="set_clock",
            ),
            Node(
                cut_shards,
                inputs=[
                    f"{target}.raw",
                    "clock",
                    "params:sources",
                    "params:as_of",
                    "params:n_shards",
                ],
                outputs="shards",
                name="cut_shards",
            ),
            *(
                Node(
                    bind(clean_covariate, name=name),
                    inputs=[f"{name}.raw", "params:sources", "params:task", "params:as_of"],
                    outputs=[
                        f"{name}.clean",
                        f"{name}.account",
                        f"{name}.quarantine@pandas",
                        f"{name}.versions",
                    ],
                    name=f"{name}.clean_covariate",
                )
                for name in covariates
            ),
            *(
                Node(
                    bind(clean_attributes, name=name),
                    inputs=[f"{name}.raw", "params:sources", "params:as_of"],
                    outputs=[f"{name}.clean", f"{name}.account", f"{name}.quarantine@pandas"],
                    name=f"{name}.clean_attributes",
                )
                for name in attributes
            ),
            *(
                Node(
                    bind(clean_shard, number=number),
                    inputs=[
                        f"{target}.raw",
                        "clock",
                        "params:sources",
                        "params:task",
                        "params:cleaning",
                        "params:calendar",
                        "params:as_of",
                        "shards",
                        *(f"{name}.clean" for name in others),
                        *(f"{name}.versions" for name in covariates),
                    ],
                    outputs=[
                        f"shard_{number}.panel@pandas",
                        f"shard_{number}.future@pandas",
                        f"shard_{number}.series",
                        f"shard_{number}.account",
                        f"shard_{number}.quarantine@pandas",
                        f"shard_{number}.quality_events@pandas",
                        f"shard_{number}.vintages@pandas",
                    ],
                    name="clean_shard",
                    namespace=f"shard_{number}",
                )
                for number in range(n_shards)
            ),
            *sums,
            Node(
                gather_parts,
                inputs=sharded("panel@file", n_parts),
                outputs="panel",
                name="gather_panel",
            ),
            Node(
                gather_parts,
                inputs=sharded("future@file", n_parts),
                outputs="future",
                name="gather_future",
            ),
            Node(
                gather_series if sums else gather,
                inputs=[*(["levels"] if sums else []), *sharded("series", n_parts)],
                outputs="series",
                name="gather_series",
            ),
            Node(
                gather_files,
                inputs=[
                    *sharded("quarantine@file", n_shards),
                    *(f"{name}.quarantine@file" for name in others),
                ],
                outputs="quarantine",
                name="gather_quarantine",
            ),
            Node(
                gather_events,
                inputs=[
                    "series",
                    "clock",
                    "params:sources",
                    "params:task",
                    *sharded("quality_events@file", n_shards),
                ],
                outputs="quality_events",
                name="gather_events",
            ),
            Node(
                report_quality,
                inputs=[
                    "series",
                    f"{target}.raw",
                    "params:sources",
                    "params:as_of",
                    *sharded("account", n_shards),
                    *(f"{name}.account" for name in others),
                ],
                outputs="quality_report",
                name="report_quality",
            ),
        ]
    )


def _aggregate(n_shards: int) -> Node:
    """All shards' series to one more shard, of their sums."""
    return Node(
        aggregate_series,
        inputs=[
            *(f"params:{name}" for name in ("hierarchy", "sources", "task")),
            "clock",
            "params:n_shards",
            *sharded("panel@file", n_shards),
            *(
                name
                for part in ("future@pandas", "series", "vintages@pandas")
                for name in sharded(part, n_shards)
            ),
        ],
        outputs=[
            *(
                f"shard_{n_shards}.{part}"
                for part in ("panel@pandas", "future@pandas", "series", "vintages@pandas")
            ),
            "levels",
        ],
        name="aggregate_series",
        namespace=f"shard_{n_shards}",
    )
