"""The lists of models that come with the project, and what is changed in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from clepsydra.timegrid import shorter_than_a_day

__all__ = ["meant_for_other_data", "preset"]

_PRESETS = Path(__file__).parent / "presets.yml"
# To the names of pandas' offsets; what is shorter than a day is hourly.
_LISTS = {
    **dict.fromkeys(["D", "B", "C"], "daily"),
    "W": "weekly",
    **dict.fromkeys(["MS", "ME", "BMS", "BME"], "monthly"),
    **dict.fromkeys(["QS", "QE", "BQS", "BQE"], "quarterly"),
    **dict.fromkeys(["YS", "YE", "BYS", "BYE"], "yearly"),
}


def meant_for_other_data(models: Any, freq: str) -> str | None:
    """What is odd about a list of models for data of this frequency; None if nothing is.

    Args:
        models: as the configuration has it.
        freq: of the data.

    Examples:
        >>> meant_for_other_data({"like": "hourly"}, "D")
        "models: 'hourly' is not made for data of freq D: 'daily' is"
        >>> meant_for_other_data("monthly", "QS") is None  # they hold the same models
        True
    """
    name = models.get("like") if isinstance(models, dict) else models
    offset = pd.tseries.frequencies.to_offset(freq)
    of_steps = _LISTS.get(offset.name.split("-")[0]) if offset.n == 1 else None
    suited = "hourly" if shorter_than_a_day(freq) else of_steps
    presets = yaml.safe_load(_PRESETS.read_text())
    if not isinstance(name, str) or name not in presets or suited is None:
        return None
    if presets[name] == presets[suited]:
        return None
    return f"models: '{name}' is not made for data of freq {freq}: '{suited}' is"


def preset(name: str, changes: Mapping[Any, Any], methods: Collection[str]) -> dict[str, Any]:
    """A list of `presets.yml`, with models changed, added (after the list's) and left out.

    What is null is left out: an option, or a model, which the list's combinations and fallbacks
    then do without; what the changes say they are stays. A model that is given another engine is as
    it is given, with nothing of what the list says of it; only a combination by another method
    combines the same models.

    Args:
        name: of the list.
        changes: model to what is said of it instead or in addition.
        methods: the engines that combine models.

    Raises:
        ValueError: there is no such list; what is null is no model of it, or is its reference.

    Examples:
        >>> hourly = preset("hourly", {"trees": None, "mine": {"engine": "naive2"}}, ["median"])
        >>> hourly["median"]["options"]["of"]
        ['autoregression', 'autoregression_levels', 'trees_levels']
        >>> list(hourly)[-1]
        'mine'
    """
    presets = yaml.safe_load(_PRESETS.read_text())
    if name not in presets:
        raise ValueError(
            f"no models are called '{name}': write {', '.join(presets)}, or a list of your own"
        )
    models = presets[name]
    out = [key for key, change in changes.items() if change is None]
    _check_left_out(out, name, models)
    found = {key: _without(key, spec, out) for key, spec in models.items() if key not in out}
    for key, change in changes.items():
        if change is not None:
            _check_engine(key, change, name, models)
            found[key] = _changed_model(found.get(key, {}), change, methods)
    return found


def _check_left_out(out: list[Any], name: str, models: Mapping[str, Any]) -> None:
    """Refuse to leave out what is not there, or the reference."""
    for key in out:
        if key not in models:
            raise ValueError(
                f"'{key}' is null, but '{name}' has no such model: {_nearest(key, models)}"
            )
    reference = next(iter(models))
    if reference in out:
        raise ValueError(
            f"'{reference}' is null, but it is the reference of '{name}', which all others are "
            f"measured by: keep it, or write a list of your own, the reference first"
        )


def _check_engine(key: Any, change: Any, name: str, models: Mapping[str, Any]) -> None:
    """Refuse a change of a model that is not there, and no model of its own either."""
    if key not in models and isinstance(change, dict) and "engine" not in change:
        raise ValueError(
            f"'{key}' has no engine, and '{name}' has no such model to change: "
            f"{_nearest(key, models)}"
        )


def _nearest(key: Any, models: Mapping[str, Any]) -> str:
    near = get_close_matches(str(key), models, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(models)}"


def _without(name: str, spec: dict[str, Any], out: list[Any]) -> dict[str, Any]:
    """A model that names none of those that are left out."""
    kept = dict(spec)
    if "of" in spec.get("options", {}):
        members = [member for member in spec["options"]["of"] if member not in out]
        # One that none are left of still names them all, which is an error that says so.
        kept["options"] = {**spec["options"], "of": members or spec["options"]["of"]}
    if "fallback" in spec:
        kept["fallback"] = [other for other in spec["fallback"] if other not in out] or None
    return kept


def _changed_model(spec: dict[str, Any], change: Any, methods: Collection[str]) -> Any:
    if not isinstance(change, dict):
        return change
    engines = {spec.get("engine"), change.get("engine", spec.get("engine"))}
    return _changed(spec, change) if len(engines) == 1 or engines <= {*methods} else change


def _changed(whole: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """With what the changes say instead or in addition; null takes away."""
    merged = dict(whole)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _changed(merged[key], value) if both else value
    return {key: value for key, value in merged.items() if value is not None}
