"""Small lines of real files for the runners; as a script, one of them in its own process."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.io.data_catalog import SharedMemoryDataCatalog
from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.cost import Cost
from clepsydra.datasets.atomic import JSONDataset, ParquetDataset
from clepsydra.datasets.records import NodeRecordsDataset
from clepsydra.environment import EVENTS_VARIABLE, RUN_ID_VARIABLE
from clepsydra.models.isolation import Isolation
from clepsydra.runners import ProcessRunner


def mix(*values: int, salt: int = 0, kinds: int = 5) -> int:
    """One of a few numbers, so that other inputs often give the same output."""
    return (sum((place + 2) * value for place, value in enumerate(values)) + salt) % kinds


def mix_slowly(*values: int, salt: int = 0) -> int:
    time.sleep(0.03)
    return mix(*values, salt=salt, kinds=1_000_003)


def fail(*values: int) -> int:
    raise OddError("seven", 7)


def tell(value: int) -> list[str]:
    """What the node finds in the environment; it notes something, as hooks do."""
    with Path(os.environ[EVENTS_VARIABLE]).open("a") as file:
        file.write(f"told by {value}\n")
    return [
        *(os.environ[name] for name in (RUN_ID_VARIABLE, EVENTS_VARIABLE, "TMPDIR")),
        tempfile.mkdtemp(),
    ]


class OddError(Exception):
    """Cannot be pickled, as those of some libraries."""

    def __init__(self, what: str, number: int):
        super().__init__(f"{what} is {number}")

    def __reduce__(self) -> str:
        raise TypeError("not to be pickled")


def sleep_long(*values: int) -> int:
    time.sleep(60)
    return 0


def wait_until(value: int, *, begun: str, go_on: str) -> int:
    """Says that it has begun, and ends when it is told to."""
    Path(begun).touch()
    while not Path(go_on).exists():
        time.sleep(0.02)
    return value


def fail_beside(value: int, *, begun: str) -> int:
    """Fails when the other one has begun."""
    while not Path(begun).exists():
        time.sleep(0.02)
    return fail(value)


def do_in_isolation(value: int) -> list[Any]:
    """Series that went well and reasons of the others, of which one hangs and one is killed."""
    reasons: dict[str, str] = {}
    with Isolation() as isolation:
        ids = pd.Index(["fine", "hangs", "dies", "also fine"])
        parts = isolation.run(
            _hang_or_die, lambda part: (list(part),), ids, reasons, Cost(), timeout=2.0
        )
        return [[uid for part in parts for uid in part], reasons]


def _hang_or_die(ids: list[str]) -> list[str]:
    if "hangs" in ids:
        time.sleep(60)
    if "dies" in ids:
        os.kill(os.getpid(), signal.SIGKILL)
    return ids


def kill_itself(value: int, *, folder: str, times: int) -> int:
    """Killed by the system as many times."""
    marks = Path(folder)
    died = len(list(marks.glob("died-*")))
    if died < times:
        (marks / f"died-{died}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value + 1


def mix_once_killed(*values: int, salt: int, mark: str) -> int:
    """What `mix_slowly` gives, in a process that is killed half way the first time."""
    if not Path(mark).exists():
        time.sleep(0.01)
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return mix_slowly(*values, salt=salt)


def catalog_of(
    folder: Path,
    names: Iterable[str],
    parameters: dict[str, Any] | None = None,
    kind: type[DataCatalog] = SharedMemoryDataCatalog,
    **others: AbstractDataset,
) -> Any:
    """A JSON file for each name, parameters, and what the runner keeps."""
    datasets: dict[str, AbstractDataset] = {
        name: JSONDataset(filepath=str(folder / f"{name}.json")) for name in names
    }
    for name, value in (parameters or {}).items():
        datasets[f"params:{name}"] = MemoryDataset(value)
    datasets["parameters"] = MemoryDataset(dict(parameters or {}))
    datasets["node_records"] = NodeRecordsDataset(str(folder / "records"))
    datasets["run_manifest"] = ParquetDataset(
        filepath=str(folder / "run_manifest.parquet"), save_args={"index": False}
    )
    return kind(datasets={**datasets, **others})


def actions(catalog: Any) -> pd.DataFrame:
    """What the last run did with each node, and why."""
    return catalog.load("run_manifest").set_index("node")


def reasons(catalog: Any) -> dict[str, str]:
    """Why the last run did with each node what it did."""
    return actions(catalog)["reason"].to_dict()


def ran(catalog: Any) -> set[str]:
    manifest = actions(catalog)
    return set(manifest.index[manifest["action"] == "ran"])


def run(pipeline: Pipeline, catalog: Any, run_id: str = "run", **options: Any) -> set[str]:
    """Nodes that ran."""
    ProcessRunner(**{"processes": 2, **options}).run(pipeline, catalog, run_id=run_id)
    return ran(catalog)


def ladder(rungs: int, killed: Mapping[str, Path] | None = None) -> tuple[Pipeline, list[str]]:
    """Two nodes side by side on each rung, both of which read both of the rung before.

    Those in `killed` lose their process once, and mark it by a file.
    """
    nodes, names = [], ["left_0", "right_0"]
    for rung in range(1, rungs + 1):
        for side, salt in (("left", 1), ("right", 2)):
            before = [f"left_{rung - 1}", f"right_{rung - 1}"]
            name = f"{side}_{rung}"
            work = bind(mix_slowly, salt=salt)
            if killed and name in killed:
                work = bind(mix_once_killed, salt=salt, mark=str(killed[name]))
            nodes.append(Node(work, before, name, name=f"make_{name}"))
            names.append(name)
    return Pipeline(nodes), names


def climb(folder: Path, rungs: int) -> Any:
    """A catalog and what the ladder starts from."""
    _, names = ladder(rungs)
    for side in ("left_0", "right_0"):
        (folder / f"{side}.json").write_text("3")
    return catalog_of(folder, names)


def values(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


if __name__ == "__main__":
    where, rungs = Path(sys.argv[1]), int(sys.argv[2])
    catalog = climb(where, rungs)
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    sys.stdout.write(f"{len(run(ladder(rungs)[0], catalog))}\n")
