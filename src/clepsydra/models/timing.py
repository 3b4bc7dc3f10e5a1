"""What a model would cost on all series, measured on a few of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pandas as pd

from clepsydra.config import ModelsConfig
from clepsydra.cost import Cost
from clepsydra.models.forecasting import candidates, fit, forecast
from clepsydra.models.isolation import Failure, Isolation
from clepsydra.models.knowledge import Knowledge

__all__ = ["LARGEST_SAMPLE", "Schedule", "Timing", "Timings", "measure", "sample", "total_seconds"]

# Each a multiple of those before it, so that a sample is a part of every larger one.
_SIZES = (2, 8, 32, 128)
LARGEST_SAMPLE = _SIZES[-1]
# Of few series the dear ones, which decide, are often missed: models that search take ten times as
# long for some.
_ENOUGH_SERIES = 32
_ENOUGH_SECONDS = 0.5


@dataclass(frozen=True)
class Timing:
    """What one fit and one forecast of some series took.

    Attributes:
        series: how many.
        rows: steps of history that the model was shown of them.
        fit: seconds.
        predict: seconds.
        failed: series whose forecast is not the model's own.
        reason: why, of the first of them.
    """

    series: int
    rows: int
    fit: float
    predict: float
    failed: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Timings:
    """What was measured of one model.

    Attributes:
        first: seconds of the first series of all, with all that happens once, such as compilation.
        samples: of ever more series, without that.
        problem: why there are no samples.
    """

    first: float
    samples: tuple[Timing, ...]
    problem: str = ""


@dataclass(frozen=True)
class Schedule:
    """How often a model does what, over how much, and how much of it at a time.

    Attributes:
        fits: over the windows, and the last one.
        predictions: one a window.
        parts: nodes that share the series, each in a process of its own.
        cores: that run them.
        amount: series, or rows of a model that learns from all series at once.
        by_rows: whether it is rows.
    """

    fits: int
    predictions: int
    parts: int
    cores: int
    amount: float
    by_rows: bool = False


def sample(lengths: pd.Series, number: int) -> list[str]:
    """So many series, evenly spread over the length of their history, the longest first.

    Args:
        lengths: steps of every series by its name.
        number: all series, if there are no more.

    Examples:
        >>> sample(pd.Series({"a": 5, "b": 1, "c": 9, "d": 3}), 2)
        ['c', 'd']
    """
    ordered = sorted(lengths.index, key=lambda name: (-lengths[name], name))
    number = min(number, len(ordered))
    return [ordered[place * len(ordered) // number] for place in range(number)]


def measure(
    name: str,
    models: ModelsConfig,
    knowledge: Knowledge,
    lengths: pd.Series,
    lead: int,
    window: tuple[pd.Timestamp, pd.Timestamp],
    seconds: float,
) -> Timings:
    """Time a fit and a forecast of one series, then of ever more, as long as there is time.

    In a process of its own, which is ended when its time is over. The first series is there for
    what happens once only, such as compilation. Then come samples of 2, 8, 32, … series, until
    32 or more have taken half a second, or the next sample would take more than what is left.

    Args:
        name: which of `models`.
        models: what the configuration names.
        knowledge: of the largest sample of series, or of more.
        lengths: steps of every series by its name.
        lead: most steps from a cutoff to the last step forecast.
        window: its cutoff, and the end of its target (exclusive).
        seconds: that all of it may take.
    """
    started = time.perf_counter()
    samples: list[Timing] = []
    first, problem = 0.0, ""
    sizes = [size for size in _SIZES if size < len(lengths)]
    sizes += [len(lengths)] if len(lengths) <= LARGEST_SAMPLE else []
    with Isolation() as isolation:
        for size in [1, *sizes]:
            left = seconds - (time.perf_counter() - started)
            if samples and not _goes_on(samples[-1], size, left):
                break
            known = knowledge.only(sample(lengths, size))
            arguments = (name, models, known, lead, *window)
            found, _ = isolation.attempt(_time, arguments, max(left, 0.01))
            took = time.perf_counter() - started
            count = "one series" if size == 1 else f"{size} series"
            if isinstance(found, Failure):
                problem = found.reason
                if found.hung:
                    problem = f"more than {took:.3g} s for a fit and a forecast of {count}"
                break
            if found.failed == found.series:
                problem = f"it cannot forecast {count} of the sample: {found.reason}"
            elif first:
                samples.append(found)
            first = first or took
    return Timings(first, tuple(samples), "" if samples else problem)


def _goes_on(last: Timing, size: int, left: float) -> bool:
    """Whether a larger sample would tell more, and there is time for it."""
    took = last.fit + last.predict
    enough = last.series >= _ENOUGH_SERIES and took >= _ENOUGH_SECONDS
    return not enough and took * size / last.series <= left


def _time(
    name: str,
    models: ModelsConfig,
    knowledge: Knowledge,
    lead: int,
    cutoff: pd.Timestamp,
    end: pd.Timestamp,
) -> Timing:
    """One fit and one forecast by the model alone, without a limit of its own."""
    candidate = candidates([name], models, knowledge.task, lead)[0]
    candidate = replace(candidate, timeout=None, fallbacks=[])
    origin = knowledge.at(cutoff)
    # Not timed: models that see equally far back share it.
    history = origin.history(candidate.longest)
    series = len(history.described)
    with Isolation() as isolation:
        started = time.perf_counter()
        learnt = fit(candidate, origin, isolation, Cost())
        fitted = time.perf_counter()
        _, failures = forecast(candidate, learnt, origin, end, isolation, Cost())
        done = time.perf_counter()
    reason = str(failures["reason"].iloc[0]) if len(failures) else ""
    return Timing(series, len(history.rows), fitted - started, done - fitted, len(failures), reason)


def total_seconds(timings: Timings, schedule: Schedule) -> float:
    """What the backtests and the last fit would take, if the rest is like the samples.

    A straight line through the last two samples tells what a call takes from what each series, or
    each row, adds to it. What only the first series of a process took is counted once a part.

    Args:
        timings: with at least one sample.
        schedule: how much there is to do.

    Examples:
        >>> samples = (Timing(2, 200, 0.3, 0.1), Timing(8, 800, 0.9, 0.4))
        >>> schedule = Schedule(fits=3, predictions=10, parts=4, cores=2, amount=100)
        >>> round(total_seconds(Timings(1.25, samples), schedule), 3)
        42.6
    """
    sizes = [float(one.rows if schedule.by_rows else one.series) for one in timings.samples]
    fit, fit_each = _line(sizes, [one.fit for one in timings.samples])
    predict, predict_each = _line(sizes, [one.predict for one in timings.samples])
    fits = schedule.parts * fit + schedule.amount * fit_each
    predictions = schedule.parts * predict + schedule.amount * predict_each
    of_one = sizes[0] / timings.samples[0].series
    usual = fit + predict + of_one * (fit_each + predict_each)
    once = schedule.parts * max(0.0, timings.first - usual)
    return (schedule.fits * fits + schedule.predictions * predictions + once) / schedule.cores


def _line(sizes: list[float], seconds: list[float]) -> tuple[float, float]:
    """What a call takes, and what each unit adds: of the line through the last two points."""
    size, spent = sizes[-1], seconds[-1]
    if len(sizes) > 1 and size > sizes[-2] and spent > seconds[-2]:
        each = (spent - seconds[-2]) / (size - sizes[-2])
        return max(0.0, spent - each * size), each
    return 0.0, spent / size
