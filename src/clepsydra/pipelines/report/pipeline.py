from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.pipelines.forecast.pipeline import published_files
from clepsydra.pipelines.report.figures import (
    draw_champions,
    draw_costs,
    draw_explanations,
    draw_forecasts,
    draw_importances,
    draw_leaderboard,
    draw_quality,
)
from clepsydra.pipelines.report.nodes import pick_series, render_page, summarize
from clepsydra.sharding import sharded


def create_pipeline(n_shards: int, has_hierarchy: bool = False) -> Pipeline:
    """Figures, the summary of the run, and one page that shows them."""
    return Pipeline(
        [
            Node(
                bind(pick_series, n_shards=n_shards),
                inputs=[
                    "params:task",
                    "explanations",
                    *sharded("panel@file", n_shards),
                    *published_files(n_shards, has_hierarchy),
                ],
                outputs=["shown_panel", "shown_forecasts"],
                name="pick_series",
            ),
            Node(
                draw_forecasts,
                inputs=["shown_panel", "shown_forecasts", "params:task"],
                outputs="figure_forecasts",
                name="draw_forecasts",
            ),
            Node(
                draw_leaderboard,
                inputs="leaderboard",
                outputs="figure_leaderboard",
                name="draw_leaderboard",
            ),
            Node(
                draw_champions,
                inputs=["champion_scores", "verdict"],
                outputs="figure_champions",
                name="draw_champions",
            ),
            Node(
                draw_costs,
                inputs="costs",
                outputs="figure_costs",
                name="draw_costs",
            ),
            Node(
                draw_importances,
                inputs="importances",
                outputs="figure_importances",
                name="draw_importances",
            ),
            Node(
                draw_explanations,
                inputs=["explanations", "shown_forecasts", "params:task"],
                outputs="figure_explanations",
                name="draw_explanations",
            ),
            Node(
                draw_quality,
                inputs="quality_report",
                outputs="figure_quality",
                name="draw_quality",
            ),
            Node(
                summarize,
                inputs=[
                    "series",
                    "promoted_champions",
                    "promotion",
                    "verdict",
                    "quality_report",
                    "quarantine",
                    "failures",
                    "forecast_failures",
                    "costs",
                    "canary",
                    "publication",
                    "retraining",
                    "clock",
                    "plan",
                    "trials",
                    "windows",
                    "params:windows",
                    *(["reconciliation"] if has_hierarchy else []),
                ],
                outputs="run_summary",
                name="summarize_run",
            ),
            Node(
                render_page,
                inputs=[
                    "run_summary",
                    "figure_forecasts",
                    "figure_leaderboard",
                    "figure_champions",
                    "figure_importances",
                    "figure_explanations",
                    "figure_costs",
                    "figure_quality",
                ],
                outputs="report_page",
                name="render_page",
            ),
        ]
    )
