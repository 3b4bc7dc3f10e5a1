"""Forecast the next horizon with the promoted bundle, and publish it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from clepsydra.config import (
    CleaningConfig,
    ExplainConfig,
    ModelsConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
)
from clepsydra.cost import Cost
from clepsydra.errors import ConfigError, PanelError
from clepsydra.fingerprint import fingerprint
from clepsydra.models.base import quantile_columns
from clepsydra.models.combining import combine
from clepsydra.models.explaining import explain, importances, strongest
from clepsydra.models.forecasting import candidates, forecast
from clepsydra.models.intervals import add_quantiles
from clepsydra.models.isolation import Isolation
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.parts import no_parts
from clepsydra.models.registry import local_models
from clepsydra.models.wall import lead_steps
from clepsydra.models.weights import NOW
from clepsydra.origins import target_start
from clepsydra.sharding import split_by_shard

__all__ = [
    "assemble_explanations",
    "assemble_forecasts",
    "forecast_global_model",
    "forecast_models",
    "publish_forecasts",
]


Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def forecast_models(
    panel: pd.DataFrame,
    future: pd.DataFrame,
    series: pd.DataFrame,
    fitted: dict[str, Any],
    sources: SourcesConfig,
    task: TaskConfig,
    models: ModelsConfig,
    windows: WindowsConfig,
    cleaning: CleaningConfig,
    *assigned: pd.DataFrame,
    name: str | None = None,
) -> Tables:
    """Forecast with what champions need: the global model `name`, or all per-series models.

    Args:
        panel: up to now.
        future: the steps after it.
        series: the same series.
        fitted: model to what it has learnt.
        sources: which columns are past-only.
        task: grid and season.
        models: those that ran.
        windows: how much history models are shown.
        cleaning: whether models are shown outliers.
        assigned: from `promote_champions`, of the shard or of all.
        name: of a model that learns from all series.

    Returns:
        points: `unique_id`, `ds`, `model`, `y_hat`, `is_fallback` and the model's own quantiles, if
            it has any.
        failures: `unique_id`, `model`, `reason`, `fallback`.
        parts: `model` and the columns of `models.explaining.explain`, of some series.
    """
    points = [_empty_points(future)]
    failures = [pd.DataFrame(columns=["unique_id", "reason", "fallback", "model"], dtype=object)]
    parts = [no_parts().assign(reason="", model="")]
    chosen = pd.concat(assigned, ignore_index=True)
    chosen = chosen[chosen["unique_id"].isin(panel["unique_id"].unique())]
    explained = set(chosen.loc[chosen["explain"], "unique_id"])
    needed: dict[str, set[str]] = {}
    for champion, ids in chosen.groupby("model")["unique_id"]:
        for member in models.members(str(champion)):
            needed.setdefault(member, set()).update(ids)
    names = [name] if name else local_models(models)
    names = [one for one in names if one in needed and one in fitted]
    knowledge = Knowledge.of(panel, future, series, sources, task, windows, cleaning)
    origin = knowledge.at(panel["ds"].max())
    with Isolation() as isolation:
        for candidate in candidates(names, models, task, lead_steps(future, task)):
            learnt = fitted[candidate.name]
            rows, reasons = forecast(candidate, learnt, origin, None, isolation, Cost())
            points.append(rows.assign(model=candidate.name))
            failures.append(reasons.assign(model=candidate.name))
            asked = needed[candidate.name] & explained
            found = explain(candidate, learnt, origin, rows, reasons, asked, isolation)
            parts.append(found.assign(model=candidate.name))
    return (
        pd.concat(points, ignore_index=True),
        pd.concat(failures, ignore_index=True),
        pd.concat(parts, ignore_index=True),
    )


def forecast_global_model(*tables: Any, name: str, n_shards: int) -> tuple[pd.DataFrame, ...]:
    """Forecast with a model that learns from all series, if a champion needs it.

    Args:
        tables: what `forecast_models` takes, of all series.
        name: of the model.
        n_shards: how many shards there are.

    Returns:
        points of the series of each shard; failures and parts.
    """
    points, failures, parts = forecast_models(*tables, name=name)
    series = tables[2]
    return *split_by_shard(points, series, n_shards), failures, parts


def _empty_points(future: pd.DataFrame) -> pd.DataFrame:
    empty = future.loc[future.index[:0], ["unique_id", "ds"]]
    return empty.assign(
        y_hat=pd.Series(dtype=float),
        is_fallback=pd.Series(dtype=bool),
        model=pd.Series(dtype=object),
    )


def assemble_forecasts(
    bundle: dict[str, Any],
    assigned: pd.DataFrame,
    calibration: pd.DataFrame,
    series: pd.DataFrame,
    task: TaskConfig,
    models: ModelsConfig,
    clock: dict[str, str],
    *points: pd.DataFrame,
) -> pd.DataFrame:
    """The champions' forecasts of a shard's series, with quantiles.

    Returns:
        `unique_id`, `cutoff`, `ds`, `model`, `y_hat` and the quantile columns; the store adds
        `run_id` and `published_at`.

    Raises:
        ConfigError: the models or the task have changed since the bundle was made.
        PanelError: a series that has observations would be left without a forecast.
    """
    for key, now in (("models", models), ("task", task)):
        if bundle[key] != now.model_dump(mode="json"):
            raise ConfigError(
                f"'{key}' has changed since the bundle {bundle['bundle_id']} was made; "
                f"run 'train', 'evaluate' and 'deploy' again"
            )
    if fingerprint(calibration) not in bundle["calibration_sha256"]:
        raise PanelError(
            f"the calibration is not the one of bundle {bundle['bundle_id']}; run 'deploy' again"
        )
    together = pd.concat([part for part in points if len(part)] or points[:1])
    table = combine(together, models.combinations, _weights(bundle["weights"]), task)
    start = target_start(pd.Timestamp(clock["panel_end"]), task)
    champion = table["unique_id"].map(assigned.set_index("unique_id")["model"])
    table = table[(table["ds"] >= start) & (table["model"] == champion)]
    lost = set(series.loc[series["n_observations"] > 0, "unique_id"]) - set(table["unique_id"])
    if lost:
        raise PanelError(
            f"no forecast for {len(lost)} series, e.g. {sorted(lost)[:5]}: the bundle was made "
            f"from other data; run 'train', 'evaluate' and 'deploy' again"
        )
    table = add_quantiles(table.assign(cutoff=pd.Timestamp(clock["cutoff"])), calibration, task)
    columns = ["unique_id", "cutoff", "ds", "model", "y_hat", *quantile_columns()]
    return table[columns].sort_values(["unique_id", "ds"], ignore_index=True)


def publish_forecasts(clock: dict[str, str], *files: Path) -> tuple[list[Path], dict[str, Any]]:
    """All forecasts to the store, and what was published.

    Args:
        clock: as of when.
        files: of the shards' forecasts.

    Returns:
        The files; `cutoff`, `series` and `rows` (how many), `first_step` and `last_step` (naive
        UTC).
    """
    series, rows = 0, 0
    steps: list[pd.Timestamp] = []
    for file in files:
        table = pd.read_parquet(file, columns=["unique_id", "ds"])
        series, rows = series + table["unique_id"].nunique(), rows + len(table)
        if len(table):
            steps += [table["ds"].min(), table["ds"].max()]
    first, last = (str(pick(steps)) if steps else "" for pick in (min, max))
    return list(files), {
        "cutoff": clock["cutoff"],
        "series": series,
        "rows": rows,
        "first_step": first,
        "last_step": last,
    }


def assemble_explanations(
    task: TaskConfig, explained: ExplainConfig, clock: dict[str, str], *parts: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the published forecasts are the sum of, and what matters to the models.

    Returns:
        explanations: `unique_id`, `cutoff`, `ds` (missing where there are no parts), `model` (a
            combination's members), `kind`, `feature`, `contribution`, `scale`, `reason`.
        importances: see `models.explaining.importances`.
    """
    filled = [part for part in parts if len(part)]
    whole = pd.concat(filled or parts[:1], ignore_index=True)
    start = target_start(pd.Timestamp(clock["panel_end"]), task)
    whole = whole[(whole["ds"] >= start) | whole["ds"].isna()]
    table = strongest(whole, explained.features).assign(cutoff=pd.Timestamp(clock["cutoff"]))
    keys = ["unique_id", "cutoff", "ds", "model"]
    table = table[[*keys, "kind", "feature", "contribution", "scale", "reason"]]
    return table.sort_values(keys, kind="stable", ignore_index=True), importances(whole)


def _weights(bundled: dict[str, dict[str, float]]) -> pd.DataFrame:
    """A bundle's weights as `models.combining.combine` takes them."""
    rows = [
        (name, NOW, model, weight)
        for name, weights in bundled.items()
        for model, weight in weights.items()
    ]
    return pd.DataFrame(rows, columns=["combination", "cutoff", "model", "weight"])
