"""The run in figures a person wants to read: a summary and one page."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from clepsydra.config import TaskConfig, WindowsConfig
from clepsydra.pipelines.report.figures import SHOWN_SEASONS, SHOWN_SERIES
from clepsydra.pipelines.report.text import describe_run
from clepsydra.sharding import read_series

__all__ = ["pick_series", "render_page", "summarize"]


def pick_series(
    task: TaskConfig, explanations: pd.DataFrame, *files: Path, n_shards: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of the panel and the forecasts what charts show.

    Args:
        task: its season is the unit of what is shown.
        explanations: of some series.
        files: of every shard its panel, then those of the published forecasts: of every shard one,
            or one of all.
        n_shards: how many there are.

    Returns:
        shown_panel: the last steps of the largest series, by the sum of their values.
        shown_forecasts: of these and of those that are explained.

    Raises:
        ValueError: `files` are not so many.
    """
    panel, forecasts = files[:n_shards], files[n_shards:]
    if len(forecasts) not in (1, n_shards):
        raise ValueError(
            f"{len(files)} files for {n_shards} shards: the node takes the panel of every shard "
            f"and forecasts of every shard, or of all in one file; correct its inputs"
        )
    volume = pd.concat([_volume(file) for file in panel])
    largest = volume.sort_index().nlargest(SHOWN_SERIES).index
    shown = read_series(panel, list(largest)).sort_values(["unique_id", "ds"])
    steps = SHOWN_SEASONS * task.season_length
    explained = explanations["unique_id"].unique()
    return (
        shown.groupby("unique_id", sort=True).tail(steps).reset_index(drop=True),
        read_series(forecasts, [*largest, *explained]),
    )


def _volume(file: Path) -> pd.Series:
    table = pd.read_parquet(file, columns=["unique_id", "y"])
    return table.groupby("unique_id")["y"].sum()


def summarize(
    series: pd.DataFrame,
    promoted_champions: pd.DataFrame,
    promotion: dict[str, Any],
    verdict: dict[str, Any],
    quality_report: pd.DataFrame,
    quarantine: pd.DataFrame,
    failures: pd.DataFrame,
    forecast_failures: pd.DataFrame,
    costs: pd.DataFrame,
    canary: pd.DataFrame,
    publication: dict[str, Any],
    retraining: dict[str, Any],
    clock: dict[str, str],
    plan: pd.DataFrame,
    trials: pd.DataFrame,
    windows: pd.DataFrame,
    windows_config: WindowsConfig,
    reconciliation: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """The figures of one run.

    Args:
        plan: which models ran, and why the others did not.
        trials: the options that were tuned.
        windows: those that the history has room for.
        windows_config: those that were asked for.
        reconciliation: of a hierarchy, if there is one; without it the object has no such key.

    Returns:
        A JSON object; `clepsydra.summary` prints it at the end of a run.
    """
    measures = quality_report.groupby("measure")["value"].sum()
    flags = series.loc[series["flags"] != "", "flags"].str.split(", ").explode()
    by_model = promoted_champions["model"].value_counts()
    of_hierarchy = {} if reconciliation is None else _reconciled(reconciliation)
    return {
        "as_of": clock["as_of"],
        "cutoff": clock["cutoff"],
        "series": len(series),
        "series_forecast": publication["series"],
        "first_step": publication["first_step"],
        "last_step": publication["last_step"],
        "flags": {str(k): int(v) for k, v in flags.value_counts().items()},
        "champions": {str(k): int(v) for k, v in by_model.items()},
        "verdict": verdict,
        "promotion": promotion,
        "rows_in": int(measures.get("rows in", 0)),
        "rows_excluded": {
            name.removeprefix("excluded: "): int(value)
            for name, value in measures.items()
            if str(name).startswith("excluded: ")
        },
        "rows_quarantined": len(quarantine),
        "quarantine_reasons": {
            str(k): int(v) for k, v in quarantine["reason"].value_counts().items()
        },
        "steps_imputed": int(measures.get("steps imputed", 0)),
        "backtest_fallbacks": _by_model(failures),
        "forecast_fallbacks": _by_model(forecast_failures),
        "failed_models": _failed_models(failures, costs),
        "seconds_per_series": {
            str(row.model): float(row.seconds_per_series) for row in costs.itertuples()
        },
        "canary": {
            str(verdict): models["model"].tolist() for verdict, models in canary.groupby("verdict")
        },
        "retraining": retraining,
        "windows": _by_role(windows, windows_config),
        "tuned": _tuned(trials),
        **_planned(plan),
        **of_hierarchy,
    }


def _planned(plan: pd.DataFrame) -> dict[str, Any]:
    """What a budget was spent on, and the models that it left out; nothing without one."""
    if not plan["took"].any():
        return {}
    runs, out = plan[plan["runs"]], plan[~plan["runs"]]
    expected = runs.loc[runs["took"] > 0, "seconds"].sum(skipna=False)
    return {
        "budget": {
            "models": len(plan),
            "run": len(runs),
            "seconds": None if pd.isna(expected) else float(expected),
            "took": float(plan["took"].sum()),
        },
        "left_out": dict(zip(out["model"], out["reason"], strict=True)),
    }


def _tuned(trials: pd.DataFrame) -> dict[str, Any]:
    """By model the options that were chosen, how many were tried, and what they gained."""
    found = {}
    for model, rows in trials.groupby("model", sort=False):
        chosen, own = rows[rows["chosen"]].iloc[0], rows.iloc[0]
        failed, missed = (rows[rows["state"] == state] for state in ("failed", "not run"))
        found[str(model)] = {
            "tried": len(rows) - len(missed),
            "failed": len(failed),
            "options": chosen["options"],
            "is_own": bool(chosen["trial"] == own["trial"]),
            "score": None if pd.isna(chosen["score"]) else float(chosen["score"]),
            "own_score": None if pd.isna(own["score"]) else float(own["score"]),
            "problem": str(failed["reason"].iloc[0]) if len(failed) else "",
            "stopped": str(missed["reason"].iloc[0]) if len(missed) else "",
        }
    return found


def _by_role(windows: pd.DataFrame, asked: WindowsConfig) -> dict[str, list[int]]:
    """How many windows there are of each role, and how many were asked for."""
    there = windows["role"].value_counts()
    roles = ("calibrate", "select", "report")
    return {role: [int(there.get(role, 0)), int(getattr(asked, role))] for role in roles}


def _reconciled(table: pd.DataFrame) -> dict[str, Any]:
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return {"reconciliation": records}


def _failed_models(failures: pd.DataFrame, costs: pd.DataFrame) -> dict[str, str]:
    """Models of which every backtest forecast is another model's, and the commonest reason."""
    counts = failures["model"].value_counts()
    asked = (costs["series"] * costs["windows"]).set_axis(costs["model"])
    return {
        str(model): str(failures.loc[failures["model"] == model, "reason"].mode().iloc[0])
        for model, number in counts.items()
        if number >= asked.get(model, float("inf"))
    }


def _by_model(failures: pd.DataFrame) -> dict[str, int]:
    return {str(model): int(number) for model, number in failures["model"].value_counts().items()}


def render_page(run_summary: dict[str, Any], *figures: go.Figure) -> str:
    """One HTML page: what came of the run in words, then the figures. It needs no network."""
    script: str | bool = "inline"
    parts = []
    for figure in figures:
        chart = go.Figure(figure).to_html(
            full_html=False, include_plotlyjs=script, config={"displaylogo": False}
        )
        parts.append(f"<section>{chart}</section>")
        script = False
    title = f"Clepsydra, as of {html.escape(run_summary['as_of'])}"
    text = html.escape("\n".join(describe_run(run_summary)[1:]))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"></head>'
        '<body style="font-family: sans-serif; max-width: 70rem; margin: auto; padding: 1rem">'
        f'<h1>{title}</h1><pre style="overflow-x: auto; line-height: 1.4">{text}</pre>'
        f"{''.join(parts)}</body></html>"
    )
