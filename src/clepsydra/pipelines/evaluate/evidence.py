"""What backtests tell of models: of each series by itself, shard by shard, and of all together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clepsydra.config import EvaluateConfig, ModelsConfig
from clepsydra.models.screening import typical_level
from clepsydra.pipelines.evaluate.segments import known_series
from clepsydra.sharding import of_kinds

__all__ = ["ALL_SERIES", "FEWEST_WINDOWS", "gather_evidence", "least_errors", "pool_evidence"]

# The name of the record over all series; those of segments are longer.
ALL_SERIES = ""
FEWEST_WINDOWS = 5
_LEAST_ERROR = 0.05


def gather_evidence(
    metrics: pd.DataFrame,
    backtests: pd.DataFrame,
    segments: pd.DataFrame,
    windows: pd.DataFrame,
    models: ModelsConfig,
    roles: tuple[str, ...] = ("select",),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How each model did on each series of a shard, in the windows that choose.

    Args:
        metrics: from `score_backtests`.
        backtests: `unique_id`, `cutoff`, `model`, `y`, `y_hat`, `is_fallback`.
        segments: from `segment_series`; says which series there are.
        windows: `role`, `cutoff`.
        models: all of them.
        roles: of the windows that choose.

    Returns:
        evidence: a row for each series and model: `unique_id`, `segment`, `level` (mean size of
            what is known of it), `windows` (with anything to compare with), `telling` (windows in
            which the reference errs at all), `model`, `error` (mean absolute, over these windows),
            `failing` (1 where another one stands in for the model in more than half of these
            windows and in the newest, 0 where not; missing without a window).
        spread: `cutoff`, `model`, `series` and sums over them of the mean absolute error: `scaled`,
            over that of the reference and a little more, of series where it has one, and
            `unscaled` of the others. No row without combinations.
    """
    known = known_series(segments, windows, roles).set_index("unique_id")
    windows = windows[windows["role"].isin(roles)]
    rows = backtests[backtests["cutoff"].isin(windows["cutoff"])]
    scored = _scored_windows(rows, windows)
    error = _errors(metrics, scored).reindex(index=known.index, columns=list(models.root))
    wrong = rows[(rows["model"] == models.reference) & ((rows["y"] - rows["y_hat"]).abs() > 0)]
    of_series = pd.DataFrame(
        {
            "segment": known["segment"],
            "level": known["mean"],
            "windows": scored.groupby("unique_id").sum(),
            "telling": wrong.groupby("unique_id")["cutoff"].nunique(),
        },
        index=known.index,
    ).fillna({"windows": 0, "telling": 0})
    failing = _failing(rows).reindex_like(error)
    evidence = error.melt(var_name="model", value_name="error", ignore_index=False)
    evidence["failing"] = failing.melt()["value"].to_numpy()
    evidence = evidence.join(of_series).astype(
        {"level": float, "windows": int, "telling": int, "error": float, "failing": float}
    )
    combines = bool(models.combinations)
    spread = _spread(rows if combines else rows.iloc[:0], error[models.reference])
    columns = ["unique_id", "segment", "level", "windows", "telling", "model", "error", "failing"]
    return evidence.rename_axis("unique_id").reset_index()[columns], spread


def _scored_windows(rows: pd.DataFrame, windows: pd.DataFrame) -> pd.Series:
    """How many windows have anything to compare with, by `unique_id` and `role`."""
    role = windows.set_index("cutoff")["role"]
    pairs = rows.loc[rows["y"].notna(), ["unique_id", "cutoff"]].drop_duplicates()
    return pairs.assign(role=pairs["cutoff"].map(role)).groupby(["unique_id", "role"]).size()


def _errors(metrics: pd.DataFrame, scored: pd.Series) -> pd.DataFrame:
    """Mean absolute errors over the windows; a row a series and a column a model."""
    rows = metrics[metrics["metric"] == "mae"].dropna(subset="value")
    rows = rows.merge(scored.rename("weight").reset_index(), on=["unique_id", "role"])
    rows["total"] = rows["value"] * rows["weight"]
    total = rows.groupby(["unique_id", "model"])[["total", "weight"]].sum()
    return (total["total"] / total["weight"]).unstack("model")


def _failing(rows: pd.DataFrame) -> pd.DataFrame:
    """Of which series which models fail: 1 or 0; a row a series, a column a model."""
    ordered = rows[rows["y"].notna()].sort_values("cutoff", kind="stable")
    groups = ordered.groupby(["unique_id", "model"])["is_fallback"]
    return ((groups.mean() > 0.5) & groups.last()).astype(float).unstack("model")


def _spread(rows: pd.DataFrame, reference: pd.Series) -> pd.DataFrame:
    size = rows[["unique_id", "cutoff", "model"]].assign(size=(rows["y"] - rows["y_hat"]).abs())
    means = size.groupby(["cutoff", "model", "unique_id"])["size"].mean().reset_index("unique_id")
    its = means["unique_id"].map(reference)
    means = means[its.notna() & means["size"].notna()]
    its = means["unique_id"].map(reference)
    scaled = (means["size"] / ((1 + _LEAST_ERROR) * its)).where(its > 0, 0.0)
    table = pd.DataFrame({"scaled": scaled, "unscaled": means["size"].where(its <= 0, 0.0)})
    groups = table.groupby(["cutoff", "model"])
    found = groups.sum().assign(series=groups.size()).reset_index()
    return found[["cutoff", "model", "series", "scaled", "unscaled"]]


def least_errors(reference: pd.Series, overall: float) -> pd.Series:
    """What both sides of a ratio of errors get, so that series without an error have one, too.

    A little of the error of the reference, or where it has none of what is usual.

    Args:
        reference: its errors, by series.
        overall: what is usual.

    Examples:
        >>> least_errors(pd.Series([2.0, 0.0]), overall=1.0).tolist()
        [0.1, 0.05]
    """
    return _LEAST_ERROR * reference.where(reference > 0, overall)


def pool_evidence(
    models: ModelsConfig, evaluate: EvaluateConfig, *tables: pd.DataFrame, n_shards: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the series tell together of the models.

    Args:
        models: all of them.
        evaluate: how much the record over all counts in that of a segment.
        tables: of every shard `evidence`, then of every shard `spread`, from `gather_evidence`.
        n_shards: how many there are.

    Returns:
        records: `segment` (empty for all series), `model`, `series` (how many tell), `mean`
            (geometric, of the model's errors over the reference's), `score` (the same, blended with
            that over all), `usual` (error of the reference over all series), `level` (what is
            typical of all series, see `models.screening`) and `fails` (whether another one stands
            in for the model wherever it has windows).
        noise: `combination`, `model`, `error`: the standard error, over the windows, of the
            difference of their errors; infinite where there are too few windows.

    Raises:
        ValueError: `tables` are not two of every shard.
    """
    evidences, spreads = of_kinds(tables, n_shards, "evidence", "spread")
    filled = [table for table in evidences if len(table)] or list(evidences[:1])
    evidence = pd.concat(filled, ignore_index=True)
    names = list(models.root)
    error = evidence.pivot(index="unique_id", columns="model", values="error").reindex(
        columns=names
    )
    of_series = evidence.drop_duplicates("unique_id").set_index("unique_id")
    reference = error[models.reference]
    usual = float((reference.mean() or error.mean().mean()) or 1.0)
    least = least_errors(reference, usual)
    own = error.add(least, axis=0).div(reference.add(least), axis=0).dropna(how="all")
    failing = evidence.groupby("model")["failing"].min().reindex(names)
    fails = (failing.fillna(1.0) == 1.0) & (pd.Index(names) != models.reference)
    records = _records(own, of_series, evaluate.shrinkage)
    table = pd.concat(records, ignore_index=True)
    level = typical_level(of_series["level"])
    table = table.assign(usual=usual, level=level, fails=table["model"].map(fails))
    return table, _noise(pd.concat(spreads, ignore_index=True), usual, models)


def _records(own: pd.DataFrame, of_series: pd.DataFrame, shrinkage: float) -> list[pd.DataFrame]:
    """The record over all, and that of each segment which is not all."""

    def record(name: str, mean: pd.Series, score: pd.Series, series: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "segment": name,
                "model": mean.index,
                "series": series,
                "mean": mean.to_numpy(),
                "score": score.to_numpy(),
            }
        )

    overall = np.exp(np.log(own).mean())
    found = [record(ALL_SERIES, overall, overall, len(own))]
    for name, its in own.groupby(of_series["segment"].reindex(own.index)):
        if len(its) < len(own):
            mean = np.exp(np.log(its).mean()).fillna(overall)
            windows = of_series.loc[its.index, "windows"].sum()
            score = overall + windows / (windows + shrinkage) * (mean - overall)
            found.append(record(str(name), mean, score, len(its)))
    return found


def _noise(spread: pd.DataFrame, usual: float, models: ModelsConfig) -> pd.DataFrame:
    total = spread.groupby(["cutoff", "model"])[["series", "scaled", "unscaled"]].sum()
    # A series without an error of the reference is measured by a little of what is usual.
    mean = (total["scaled"] + total["unscaled"] / (_LEAST_ERROR * usual)) / total["series"]
    table = mean.unstack("model").reindex(columns=list(models.root))
    found = []
    for name in models.combinations:
        difference = table.rsub(table[name], axis=0)
        error = difference.sem().where(difference.count() >= FEWEST_WINDOWS, np.inf)
        found.append(pd.DataFrame({"combination": name, "model": error.index, "error": error}))
    empty = pd.DataFrame({"combination": [], "model": [], "error": []}).astype(
        {"combination": object, "model": object, "error": float}
    )
    return pd.concat(found, ignore_index=True) if found else empty
