"""How the shape of a source changes from one snapshot to the next."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

__all__ = ["DRIFT_COLUMNS", "schema_drift"]

DRIFT_COLUMNS = ["source", "day", "seen_on", "kind", "column", "before", "after", "is_newest"]
# A day whose numbers are all whole says nothing of the column.
_SAME = {frozenset({"integer", "number"})}


def schema_drift(source: str, manifest: pd.DataFrame) -> pd.DataFrame:
    """Columns that came, went or changed their kind, and a time step that changed.

    Args:
        source: its name.
        manifest: of its raw store, in the order in which snapshots were written.

    Returns:
        One row a change: `source`, `day` (the first with it), `seen_on`, `kind` (`column added`,
        `column lost`, `type changed`, `granularity changed`), `column`, `before`, `after`, and
        `is_newest`: the newest collection brought it.
    """
    manifest = manifest[manifest["path"] != ""]
    newest = manifest["seen_on"].iloc[-1] if len(manifest) else None
    is_dated = manifest["day"] != ""
    if is_dated.any():
        # Rows whose time is not readable are odd by themselves.
        manifest = manifest[is_dated]
    changes: list[dict[str, Any]] = []
    columns: dict[str, str] | None = None
    step: float | None = None
    for day in manifest.itertuples():
        own = json.loads(day.columns)
        found = [] if columns is None else _column_changes(columns, own)
        columns = _merged(columns or {}, own)
        if pd.notna(day.step_s):
            if step is not None and day.step_s != step:
                found.append(("granularity changed", "", _minutes(step), _minutes(day.step_s)))
            step = day.step_s
        changes += [
            {
                "day": day.day,
                "seen_on": day.seen_on,
                "kind": kind,
                "column": column,
                "before": before,
                "after": after,
                "is_newest": day.seen_on == newest,
            }
            for kind, column, before, after in found
        ]
    table = pd.DataFrame(changes, columns=DRIFT_COLUMNS[1:])
    table.insert(0, "source", source)
    return table.astype({"is_newest": bool})


def _column_changes(
    before: dict[str, str], after: dict[str, str]
) -> list[tuple[str, str, str, str]]:
    changes = [("column lost", name, before[name], "") for name in before if name not in after]
    changes += [("column added", name, "", after[name]) for name in after if name not in before]
    for name in before.keys() & after.keys():
        kinds = frozenset({before[name], after[name]})
        if len(kinds) == 2 and "empty" not in kinds and kinds not in _SAME:
            changes.append(("type changed", name, before[name], after[name]))
    return sorted(changes)


def _merged(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """The newer kinds; an empty column keeps the kind that it had."""
    return {
        name: before.get(name, kind) if kind == "empty" else kind for name, kind in after.items()
    }


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min"
