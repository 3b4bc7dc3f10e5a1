"""What came of a run, in lines a person reads: for the terminal and for the report page."""

from __future__ import annotations

from typing import Any

from clepsydra.pipelines.report.levels import describe_levels
from clepsydra.pipelines.report.lines import labelled
from clepsydra.pipelines.report.planned import describe_plan

__all__ = ["describe_run"]


def describe_run(found: dict[str, Any]) -> list[str]:
    """Lines about the forecasts, their accuracy, the rows and the monitor's verdict.

    Args:
        found: the dataset `run_summary`.
    """
    verdict = found["verdict"]
    champions = ", ".join(f"{model} {count}" for model, count in found["champions"].items())
    lines = [
        f" Clepsydra, as of {found['as_of']}",
        labelled(
            "forecast",
            f"{found['series_forecast']} of {found['series']} series, "
            f"{found['first_step']} to {found['last_step']} UTC",
        ),
        labelled("champions", champions),
        labelled("accuracy", _accuracy(verdict) + _whose(found["promotion"])),
        *_absolute_error(verdict),
        labelled(
            "",
            f"on {_windows(verdict['report_windows'])} from {verdict['first_report_target']}, "
            f"of what was chosen before them",
        ),
        *_missing_windows(found["windows"]),
    ]
    without = verdict["series_with_zero_scale"] + verdict["series_without_scale"]
    if without:
        lines.append(
            labelled(
                "",
                f"{without} series without a MASE: {verdict['series_with_zero_scale']} with "
                f"scale zero, {verdict['series_without_scale']} too short",
            )
        )
    if verdict["coverage_80"] is not None:
        lines.append(labelled("intervals", f"80 % intervals held {verdict['coverage_80']:.0%}"))
    lines += describe_levels(found.get("reconciliation", []))
    if not found["promotion"]["promoted"]:
        lines.append(
            labelled(
                "gate", f"REFUSED, {verdict['reference']} is used: {found['promotion']['reason']}"
            )
        )
    lines += [
        labelled(
            "rows",
            f"{found['rows_in']:,} in, {found['rows_quarantined']:,} quarantined"
            + _reasons(found["quarantine_reasons"]),
        ),
    ]
    if found["rows_excluded"]:
        lines.append(labelled("", "set aside" + _reasons(found["rows_excluded"])))
    if found["steps_imputed"]:
        lines.append(labelled("", f"{found['steps_imputed']:,} grid steps imputed"))
    if found["flags"]:
        lines.append(labelled("series flags", _reasons(found["flags"]).strip(" ()")))
    in_backtests, in_forecasts = found["backtest_fallbacks"], found["forecast_fallbacks"]
    lines.append(
        labelled(
            "fallbacks",
            f"{sum(in_backtests.values()):,} in backtests{_reasons(in_backtests)}, "
            f"{sum(in_forecasts.values()):,} in forecasts{_reasons(in_forecasts)}",
        )
    )
    for model, reason in found["failed_models"].items():
        lines.append(labelled("", f"{model} FORECAST NOTHING of its own: {reason}"))
    lines += describe_plan(found)
    lines += [
        labelled("cost", "a fit and a forecast of one series, dearest first"),
        *(labelled("", line) for line in _costs(found["seconds_per_series"])),
        *_leaks(found["canary"]),
    ]
    retraining = found["retraining"]
    lines.append(labelled("monitor", "; ".join(retraining["reasons"]) or "no reason to retrain"))
    due = retraining["forecasts_due"]
    if due and retraining["realised_mase"] is not None:
        lines.append(
            labelled(
                "", f"{due} earlier forecasts came due: MASE {retraining['realised_mase']:.3f}"
            )
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


def _whose(promotion: dict[str, Any]) -> str:
    return "" if promotion["promoted"] else ", of champions that were refused"


def _absolute_error(verdict: dict[str, Any]) -> list[str]:
    """In units of the data, beside a MASE: series that hardly change have very large MASEs."""
    champion, reference = verdict["champion_mae"], verdict["reference_mae"]
    if verdict["champion_mase"] is None or champion is None or not reference:
        return []
    change = champion / reference - 1
    text = f"MAE {champion:.3f}, {reference:.3f}: {abs(change):.1%} "
    return [labelled("", text + ("lower" if change <= 0 else "HIGHER"))]


def _windows(number: int) -> str:
    return f"{number} window{'s' if number != 1 else ''}"


def _missing_windows(windows: dict[str, list[int]]) -> list[str]:
    """That the history has room for fewer windows than were asked for."""
    short = [
        f"{role} {there} of {asked}" for role, (there, asked) in windows.items() if there < asked
    ]
    if not short:
        return []
    return [labelled("", f"NO ROOM in the history for all windows: {', '.join(short)}")]


def _leaks(verdicts: dict[str, list[str]]) -> list[str]:
    """What the canary found; a leak stops the line before this is read."""
    clean = len(verdicts.get("clean", []))
    lines = [labelled("leaks", f"none seen: {clean} models forecast the same with another future")]
    if untested := verdicts.get("not tested"):
        lines.append(labelled("", f"not tested, all fallbacks: {', '.join(untested)}"))
    for verdict in ("leak", "not reproducible"):
        if models := verdicts.get(verdict):
            lines.append(labelled("", f"{verdict.upper()}: {', '.join(models)}"))
    return lines


def _costs(seconds: dict[str, float], in_a_line: int = 4) -> list[str]:
    """Each model's time, a few in a line."""
    texts = [f"{model} {_duration(value)}" for model, value in seconds.items()]
    return [
        ", ".join(texts[start : start + in_a_line]) for start in range(0, len(texts), in_a_line)
    ]


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.1f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.0095 else f"{seconds * 1e3:.1g} ms"


def _reasons(counts: dict[str, int]) -> str:
    text = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f" ({text})" if text else ""
