"""Ten million raw CSV rows of 10,000 series to a clean panel, against pandas and polars.

`python benchmarks/etl.py` makes a feed with duplicates, gaps, clock changes and bad cells
(`etl_feed.py`), and has it cleaned by this project's `collect` and `clean`, in one process and in
two, and by the shortest honest scripts for the same job (`etl_pandas.py`, `etl_polars.py`). All
contenders run in turn, each in a process of its own, and their outputs must be equal: the panel,
the number of rows by fate, and the rejected rows. A feed of a quarter of the rows, of as many
series, follows: memory should hardly depend on the rows.

Times are the best of `--repeat` rounds, memory is the highest. The full run writes
`benchmarks/results/etl.json`; `--quick` tries everything on a small feed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from _results import (
    PROJECT,
    RESULTS,
    Target,
    Usage,
    format_table,
    format_targets,
    in_another_process,
    measure,
    say,
    write_results,
)
from etl_feed import TIMEZONE, Feed, make_feed

PACKAGES = ["clepsydra", "kedro", "numpy", "pandas", "polars", "pyarrow"]
RELATIVE_ERROR = 1e-9
ONE_PROCESS, TWO_PROCESSES = "clepsydra, one process", "clepsydra, two processes"
PANDAS, POLARS, POLARS_ONE = "pandas", "polars", "polars, one thread"


def line_parameters(feed: Path, as_of: dt.date, shards: int) -> dict[str, Any]:
    """This project's configuration for a feed."""
    readings = {
        "role": "target",
        "path": f"{feed}/*.csv",
        "id": "meter",
        "time": "time",
        "value": "kwh",
        "timezone": TIMEZONE,
        "aggregate": "mean",
        "missing": ["", "NA"],
    }
    task = {
        "freq": "h",
        "season_lengths": [24, 168],
        "horizon": "1D",
        "fill": "interpolate",
        "timezone": TIMEZONE,
    }
    return {
        "as_of": as_of.isoformat(),
        "n_shards": shards,
        "sources": {"readings": readings},
        "task": task,
        "calendar": {},
    }


@dataclass
class Outcome:
    """What a contender made of a feed.

    Attributes:
        panel: `unique_id`, `ds`, `y`, `is_imputed`, in order of series and time. A contender may
            put the series in any order.
        quarantine: `file`, `line`, `reason`, `unique_id` of every rejected row.
        counts: rows by fate.
    """

    panel: pl.DataFrame
    quarantine: pl.DataFrame
    counts: dict[str, int]


def script_outcome(folder: Path) -> Outcome:
    """What a script wrote."""
    counts = json.loads((folder / "counts.json").read_text())
    return _outcome(folder / "panel.parquet", folder / "quarantine.parquet", counts)


def line_outcome(data: Path) -> Outcome:
    """What this project wrote under its `data_root`."""
    report = pl.read_parquet(data / "08_reporting/quality_report.parquet")
    is_fate = pl.col("measure").str.contains("^(rows in|rows kept|excluded: .*|quarantined: .*)$")
    of_rows = report.filter(is_fate, pl.col("source") == "readings")
    counts = dict(of_rows.group_by("measure").agg(pl.col("value").sum()).rows())
    quarantine = data / "08_reporting/quarantine.parquet"
    return _outcome(data / "03_primary/panel.parquet", quarantine, counts)


def _outcome(panel: Path, quarantine: Path, counts: dict[str, int]) -> Outcome:
    rejected = pl.read_parquet(quarantine, columns=["file", "line", "reason", "unique_id"])
    rejected = rejected.with_columns(pl.exclude("line").cast(pl.String), pl.col("line").cast(int))
    return Outcome(
        _in_order(pl.read_parquet(panel, columns=["unique_id", "ds", "y", "is_imputed"])),
        rejected.sort("file", "line"),
        {fate: number for fate, number in counts.items() if number},
    )


def _in_order(panel: pl.DataFrame) -> pl.DataFrame:
    """The panel in order of its series.

    Raises:
        ValueError: a series does not lie in one piece, in order of time.
    """
    panel = panel.with_columns(pl.col("unique_id").cast(pl.String), pl.col("ds").cast(pl.Datetime))
    begins = pl.col("unique_id") != pl.col("unique_id").shift()
    is_later = pl.col("ds") > pl.col("ds").shift()
    pieces = 1 + panel.select(begins.sum()).item()
    if (
        pieces != panel["unique_id"].n_unique()
        or not panel.select((begins | is_later).all()).item()
    ):
        raise ValueError("the rows of a series are not together, in order of time")
    return panel.sort("unique_id", maintain_order=True)


def differences(one: Outcome, other: Outcome) -> list[str]:
    """Where two outcomes differ, in words; nothing if they are equal."""
    found = []
    if one.counts != other.counts:
        found.append(f"counts: {one.counts} and {other.counts}")
    if not one.quarantine.equals(other.quarantine):
        found.append(f"quarantine: {one.quarantine} and {other.quarantine}")
    if one.panel.shape != other.panel.shape:
        return [*found, f"panel: {one.panel.shape} and {other.panel.shape}"]
    found += [
        f"panel, column {name}"
        for name in ("unique_id", "ds", "is_imputed")
        if not one.panel[name].equals(other.panel[name])
    ]
    error = (one.panel["y"] - other.panel["y"]).abs()
    if error.null_count() or not (error <= RELATIVE_ERROR * one.panel["y"].abs()).all():
        found.append(f"panel, column y, by {error.max()} at most")
    return found


@dataclass(frozen=True)
class Contender:
    """One way to clean a feed.

    Attributes:
        command: from the feed, its `as_of` and an empty folder to what is to be run.
        outcome: from that folder to what was made.
        env: environment variables.
    """

    command: Callable[[Path, dt.date, Path], Sequence[str | Path]]
    outcome: Callable[[Path], Outcome]
    env: dict[str, str]


def _script(name: str, env: dict[str, str] | None = None) -> Contender:
    path = PROJECT / "benchmarks" / name
    return Contender(
        lambda feed, as_of, out: [sys.executable, path, feed, out, as_of.isoformat()],
        script_outcome,
        env or {},
    )


def _line(shards: int, *options: str) -> Contender:
    def command(feed: Path, as_of: dt.date, out: Path) -> Sequence[str | Path]:
        conf = out / "conf"
        shutil.copytree(PROJECT / "conf", conf)
        (conf / "bench").mkdir()
        (conf / "bench/globals.yml").write_text(yaml.safe_dump({"data_root": str(out)}))
        parameters = line_parameters(feed, as_of, shards)
        (conf / "bench/parameters.yml").write_text(yaml.safe_dump(parameters))
        run = [sys.executable, "-m", "kedro", "run", "--env=bench", f"--conf-source={conf}"]
        return [*run, "--pipelines=collect,clean", *options]

    return Contender(command, line_outcome, {"DO_NOT_TRACK": "1"})


def contenders(shards: int) -> dict[str, Contender]:
    """All of them, by name."""
    return {
        PANDAS: _script("etl_pandas.py"),
        POLARS: _script("etl_polars.py"),
        POLARS_ONE: _script("etl_polars.py", {"POLARS_MAX_THREADS": "1"}),
        ONE_PROCESS: _line(shards, "--runner=SequentialRunner"),
        TWO_PROCESSES: _line(shards, "--runner=ParallelRunner", "--runner-params=max_workers=2"),
    }


def _differences(reference: tuple[str, Path], name: str, folder: Path) -> list[str]:
    one, other = (contenders(1)[who].outcome(at) for who, at in (reference, (name, folder)))
    return differences(one, other)


def compete(
    root: Path, feed_folder: Path, feed: Feed, names: Sequence[str], shards: int, repeat: int
) -> list[dict[str, Any]]:
    """Run the contenders in turn, `repeat` times, and compare what they made the first time.

    Returns:
        A row a contender.

    Raises:
        RuntimeError: a contender failed, or its outcome differs from the first one's.
    """
    usages: dict[str, list[Usage]] = {name: [] for name in names}
    for number in range(repeat):
        for name in names:
            out = root / "out" / name.replace(", ", "_").replace(" ", "_")
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            contender = contenders(shards)[name]
            command = contender.command(feed_folder, feed.as_of, out)
            usage = measure(command, root / "log.txt", contender.env)
            usages[name].append(usage)
            say(f"{feed.rows:,} rows, {name}: {usage.seconds:.1f} s, {usage.peak_gb:.2f} GB")
            if name == names[0]:
                reference = (name, out)
            elif number == 0:
                found = in_another_process(_differences, reference, name, out)
                if found:
                    raise RuntimeError(f"{name} and {names[0]} differ:\n" + "\n".join(found))
            if name != names[0]:
                shutil.rmtree(out)
    best = {name: min(used.seconds for used in usages[name]) for name in names}
    return [
        {
            "contender": name,
            "rows": feed.rows,
            "series": feed.series,
            "hours": feed.hours,
            "files": feed.files,
            "seconds": round(best[name], 2),
            "cpu_seconds": round(min(used.cpu_seconds for used in usages[name]), 2),
            "peak_gb": round(max(used.peak_gb for used in usages[name]), 3),
            "rows_per_second": round(feed.rows / best[name]),
            "vs_pandas": round(best[name] / best[PANDAS], 3) if PANDAS in best else None,
        }
        for name in names
    ]


def targets(large: Sequence[dict[str, Any]], small: Sequence[dict[str, Any]]) -> list[Target]:
    """What is promised, of what was measured; memory is that of the worse way to run."""
    by_name = {row["contender"]: row for row in large}
    small_by_name = {row["contender"]: row for row in small}
    ours = [name for name in (ONE_PROCESS, TWO_PROCESSES) if name in by_name]
    found = []
    for name, key, most in (
        (ONE_PROCESS, "one_process_vs_pandas", 1.0),
        (TWO_PROCESSES, "two_processes_vs_pandas", 0.7),
    ):
        if name in by_name and PANDAS in by_name:
            found.append(Target(key, by_name[name]["vs_pandas"], most))
    if ours:
        peaks = [by_name[name]["peak_gb"] for name in ours]
        growth = [by_name[name]["peak_gb"] / small_by_name[name]["peak_gb"] for name in ours]
        found.append(Target("peak_memory_gb", max(peaks), 1.5))
        found.append(Target("memory_growth", round(max(growth), 3), 1.15))
    return found


def main() -> None:
    """Make the feeds, run the contenders, print and write the figures."""
    names = list(contenders(1))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the large feed")
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--files", choices=["day", "month"], default="day", help="one file a ...")
    parser.add_argument("--shards", type=int, default=8, help="`n_shards` of this project")
    parser.add_argument("--repeat", type=int, default=2, help="rounds; the best time counts")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="CONTENDER")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--quick", action="store_true", help="200,000 rows, one round, no file")
    parser.add_argument("--output", type=Path, help="the JSON file")
    options = parser.parse_args()
    output = options.output or RESULTS / "etl.json"
    if options.quick:
        options.rows, options.series, options.repeat = 200_000, 200, 1
        output = options.output
    measured = []
    with tempfile.TemporaryDirectory(prefix="clepsydra-etl-", dir=options.folder) as folder:
        for rows, repeat in ((options.rows, options.repeat), (options.rows // 4, 1)):
            root = Path(folder) / str(rows)
            feed = in_another_process(
                make_feed, root / "feed", rows, options.series, files=options.files
            )
            measured.append(
                compete(root, root / "feed", feed, options.only, options.shards, repeat)
            )
            shutil.rmtree(root)
    large, small = measured
    reached = targets(large, small)
    say("\n" + format_table([*large, *small]) + "\n\n" + format_targets(reached))
    if output:
        write_results(output, PACKAGES, [*large, *small], reached)


if __name__ == "__main__":
    main()
