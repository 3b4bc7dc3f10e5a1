"""The end of a run as text: what was forecast, how good it is, what it cost."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clepsydra.profile import parallel_efficiency

__all__ = ["format_summary"]

_WIDTH = 78


def format_summary(
    run_summary: dict[str, Any] | None, profile: pd.DataFrame, wall: float, runner: str
) -> str:
    """The lines to print when a run ends.

    Args:
        run_summary: the dataset of that name, or nothing if the run did not make it.
        profile: from `profile_table`.
        wall: seconds the run took.
        runner: name of the runner.
    """
    lines = ["", "─" * _WIDTH]
    if run_summary:
        lines += _results(run_summary)
    lines += _costs(profile, wall, runner)
    return "\n".join([*lines, "─" * _WIDTH])


def _results(found: dict[str, Any]) -> list[str]:
    verdict = found["verdict"]
    champions = ", ".join(f"{model} {count}" for model, count in found["champions"].items())
    lines = [
        f" Clepsydra, as of {found['as_of']}",
        _line(
            "forecast",
            f"{found['series_forecast']} of {found['series']} series, "
            f"{found['first_step']} to {found['last_step']} UTC",
        ),
        _line("champions", champions),
        _line("accuracy", _accuracy(verdict)),
        *_absolute_error(verdict),
        _line(
            "",
            f"on {verdict['report_windows']} windows from {verdict['first_report_target']}, "
            f"after all that chose them was known",
        ),
    ]
    without = verdict["series_with_zero_scale"] + verdict["series_without_scale"]
    if without:
        lines.append(
            _line(
                "",
                f"{without} series without a MASE: {verdict['series_with_zero_scale']} with "
                f"scale zero, {verdict['series_without_scale']} too short",
            )
        )
    if verdict["coverage_80"] is not None:
        lines.append(_line("intervals", f"80 % intervals held {verdict['coverage_80']:.0%}"))
    if not found["promotion"]["promoted"]:
        lines.append(
            _line(
                "gate", f"REFUSED, {verdict['reference']} is used: {found['promotion']['reason']}"
            )
        )
    lines += [
        _line(
            "rows",
            f"{found['rows_in']:,} in, {found['rows_quarantined']:,} quarantined"
            + _reasons(found["quarantine_reasons"]),
        ),
    ]
    if found["rows_excluded"]:
        lines.append(_line("", "set aside" + _reasons(found["rows_excluded"])))
    if found["steps_imputed"]:
        lines.append(_line("", f"{found['steps_imputed']:,} grid steps imputed"))
    if found["flags"]:
        lines.append(_line("series flags", _reasons(found["flags"]).strip(" ()")))
    in_backtests, in_forecasts = found["backtest_fallbacks"], found["forecast_fallbacks"]
    lines.append(
        _line(
            "fallbacks",
            f"{sum(in_backtests.values()):,} in backtests{_reasons(in_backtests)}, "
            f"{sum(in_forecasts.values()):,} in forecasts{_reasons(in_forecasts)}",
        )
    )
    retraining = found["retraining"]
    lines.append(_line("monitor", "; ".join(retraining["reasons"]) or "no reason to retrain"))
    due = retraining["forecasts_due"]
    if due and retraining["realised_mase"] is not None:
        lines.append(
            _line("", f"{due} earlier forecasts came due: MASE {retraining['realised_mase']:.3f}")
        )
    return lines


def _accuracy(verdict: dict[str, Any]) -> str:
    name = "mase" if verdict["champion_mase"] is not None else "mae"
    champion, reference = verdict[f"champion_{name}"], verdict[f"reference_{name}"]
    if champion is None or reference is None:
        return "no window could be scored"
    change = verdict["relative_error"] - 1
    return (
        f"{name.upper()} {champion:.3f}, {verdict['reference']} {reference:.3f}: "
        f"{abs(change):.1%} {'lower' if change <= 0 else 'HIGHER'}"
    )


def _absolute_error(verdict: dict[str, Any]) -> list[str]:
    """In units of the data, beside a MASE: series that hardly change have very large MASEs."""
    champion, reference = verdict["champion_mae"], verdict["reference_mae"]
    if verdict["champion_mase"] is None or champion is None or not reference:
        return []
    change = champion / reference - 1
    text = f"MAE {champion:.3f}, {reference:.3f}: {abs(change):.1%} "
    return [_line("", text + ("lower" if change <= 0 else "HIGHER"))]


def _costs(profile: pd.DataFrame, wall: float, runner: str) -> list[str]:
    if profile.empty:
        return [_line("time", f"{wall:.1f} s; no node was timed")]
    processes, efficiency = parallel_efficiency(profile, wall)
    stages = profile.groupby("stage", sort=False).agg(
        seconds=("seconds", "sum"), start=("start", "min")
    )
    parts = [f"{name} {row.seconds:.1f}" for name, row in stages.sort_values("start").iterrows()]
    lines = [
        _line("time", f"{wall:.1f} s, {len(profile)} nodes, {_class_name(runner)}"),
    ]
    for start in range(0, len(parts), 5):
        text = ", ".join(parts[start : start + 5])
        lines.append(_line("stages, s" if start == 0 else "", text))
    lines += [
        _line("parallel", f"{processes} processes, {efficiency:.0%} of their time in nodes"),
        _line("memory", f"{profile['peak_mb'].max():,.0f} MB in the largest process"),
    ]
    return lines


def _class_name(description: str) -> str:
    """`<kedro.runner.X object at 0x7f>`, as Kedro describes a runner to hooks, to `X`."""
    return description.split(" object at ")[0].rsplit(".", 1)[-1]


def _reasons(counts: dict[str, int]) -> str:
    text = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f" ({text})" if text else ""


def _line(name: str, text: str) -> str:
    return f" {name:<13} {text}"
