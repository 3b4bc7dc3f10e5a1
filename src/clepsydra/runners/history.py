"""Whether a node has to run: what it was made of when it last ended, and what it is made of now.

A node is made of its code, its parameters, the entries of its datasets in the catalog and the
content of its inputs. If all are as its record says, and its outputs are still what it wrote, it
would write the same again.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kedro.framework import project
from kedro.io import AbstractDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from clepsydra.errors import ClepsydraError
from clepsydra.runners.code import Code, files_of, installed_packages
from clepsydra.runners.contents import MISSING, Contents, is_kept, is_local, location
from clepsydra.runners.values import digest, layers, texts
from clepsydra.runners.worker import Outcome

__all__ = [
    "ALWAYS",
    "RECORDS",
    "History",
    "classes_of_validators",
    "files_of_node",
    "folder_of_records",
    "texts_of_parameters",
]

ALWAYS = "always"
"""Tag of nodes that read the world, and not only their inputs.

They run always, unless their function says which files it reads (`binding.reads`).
"""

RECORDS = "node_records"
"""The dataset of what nodes did; in a catalog without it every node runs."""

# The record of what is in the files of the code; no node is called so.
_SCANS = "(code)"
# Of records and scans. It goes up when other things are kept in them, or found by them.
_FORMAT = 1
_KEYS = {"call", "packages", "code", "entries", "parameters", "inputs", "outputs", "files"}
_NOTHING_CHANGED = "nothing changed"
_LONG_TAG, _LONG_SECONDS, _SHORT_SECONDS = "models", 60.0, 1.0
# Of a catalog entry: where the data are and how to get there is not what they are.
_NOT_OF_CONTENT = {
    *("filepath", "path", "url", "connection", "credentials", "metadata"),
    *("version", "versioned", "save_version", "load_version"),
}
# Of how to get there, this is how the bytes are read and written.
_OPENING = ("open_args_load", "open_args_save")
# Entries within an entry, as of partitions.
_NESTED = ("dataset", "checkpoint")
_NAMED = 3
_WORLD = "the files of the source"


def folder_of_records(catalog: Any) -> Path | None:
    """Where runs tell each other which nodes they have; nothing if it is not on this machine."""
    if RECORDS not in catalog or not is_local(catalog[RECORDS]):
        return None
    place = location(catalog[RECORDS])
    return Path(place) if place else None


class History:
    """The records of nodes, and what they say about those of a pipeline.

    Args:
        pipeline: what is to run.
        catalog: its datasets, and the one of the records.
        force: whether all nodes run.
    """

    def __init__(self, pipeline: Pipeline, catalog: Any, force: bool = False):
        self._catalog = catalog
        self._force = force
        self._store: AbstractDataset | None = None
        if RECORDS in catalog:
            self._store = catalog[RECORDS]
        loaded = self._store.load() if self._store is not None else {}
        self._records: dict[str, dict[str, Any]] = {
            name: record for name, record in loaded.items() if _is_readable(name, record)
        }
        scans = self._records.pop(_SCANS, {}).get("scans", {})
        self._contents = Contents()
        for record in self._records.values():
            self._contents.learn(record.get("files", {}))
        self._made_here = {_base(name) for name in pipeline.all_outputs()}
        self._code, self._scans = Code(scans=scans, package=project.PACKAGE_NAME), scans
        self._packages = digest(installed_packages()) if self.keeps_records else ""
        self._named_in_parameters = texts_of_parameters(catalog) if self.keeps_records else []
        self._digests: dict[str, str | None] = {}
        # Now, of all nodes: workers run the code as it is when they are made.
        self._modules = {
            node.name: self._modules_of(node) for node in pipeline.nodes if self.keeps_records
        }
        self._now: dict[str, dict[str, Any]] = {}

    @property
    def keeps_records(self) -> bool:
        """Whether the next run will know of this one."""
        return self._store is not None

    def expected_seconds(self, node: Node) -> float:
        """What the node took when it last ran, or a guess."""
        guess = _LONG_SECONDS if _LONG_TAG in node.tags else _SHORT_SECONDS
        return float(self._records.get(node.name, {}).get("seconds", guess))

    def why(self, node: Node) -> tuple[bool, str]:
        """Whether the node has to run, and the reason, now that all before it have ended."""
        if self._store is None:
            return True, f"the catalog has no '{RECORDS}'"
        now = self._now[node.name] = self._state(node)
        before = self._records.get(node.name)
        if self._force:
            return True, "forced"
        if ALWAYS in node.tags and now["inputs"][_WORLD] is None:
            return True, "always runs"
        if lost := [name for name in node.outputs if not is_kept(self._catalog[name])]:
            return True, f"output is not kept: {_some(lost)}"
        if before is None:
            return True, "first run"
        if before.get("unfinished"):
            return True, "did not finish before"
        if reason := _difference(before, now) or self._outputs(node, before):
            return True, reason
        if before["files"].keys() != now["files"].keys() or any(
            list(before["files"][path]) != list(its) for path, its in now["files"].items()
        ):
            # The same content in other files: they need not be read again the next time.
            self._save(node, {**before, "files": now["files"]})
        return False, _NOTHING_CHANGED

    def begin(self, node: Node) -> None:
        """Note that the node runs: until it has ended, its record is worth nothing."""
        before = self._records.get(node.name, {})
        kept = {key: before[key] for key in ("seconds",) if key in before}
        self._save(node, {**kept, "unfinished": True})

    def finish(self, node: Node, outcome: Outcome) -> None:
        """Note what the node was made of, and what it wrote."""
        if self._store is None:
            return
        self._contents.learn(outcome.files)
        now = self._now.pop(node.name)
        outputs = outcome.outputs
        for name in set(node.inputs) & now["inputs"].keys():
            # What a node changes in its place is, the next time, what it has made of it.
            place = location(self._catalog[name])
            for output in outputs:
                if place and place == location(self._catalog[output]):
                    now["inputs"][name] = outputs[output]
        files = {**now["files"], **outcome.files}
        seconds = round(outcome.seconds, 4)
        self._save(node, {**now, "outputs": outputs, "files": files, "seconds": seconds})

    def close(self) -> None:
        """Keep what was read of the code, for the next run."""
        if self._store is not None and self._code.scans != self._scans:
            self._store.save({_SCANS: {"format": _FORMAT, "scans": self._code.scans}})

    def known_of_outputs(self, node: Node) -> Contents:
        """What a worker need not read again when it hashes what the node has written."""
        known = Contents()
        for name in node.outputs if self.keeps_records else ():
            known.known |= self._contents.within(self._catalog[name]).known
        return known

    def _save(self, node: Node, record: dict[str, Any]) -> None:
        self._records[node.name] = record
        if self._store is not None:
            self._store.save({node.name: {"format": _FORMAT, **record}})

    def _state(self, node: Node) -> dict[str, Any]:
        """What the node is made of now."""
        kept = self._kept(node)
        inputs, files = self._inputs(node)
        return {
            "call": _digest(
                [
                    *((_named(function), fixed) for function, fixed in layers(node.func)),
                    *(node._inputs, node._outputs, node.confirms),
                ]
            ),
            "packages": self._packages,
            "code": self._modules[node.name],
            "entries": {name: self._entry(name) for name in kept},
            "parameters": {
                _parameter(name): self._parameter_digest(name)
                for name in node.inputs
                if _is_parameter(name)
            },
            "inputs": inputs,
            "files": files,
        }

    def _kept(self, node: Node) -> list[str]:
        names = dict.fromkeys([*node.inputs, *node.outputs])
        return [name for name in names if is_kept(self._catalog[name])]

    def _modules_of(self, node: Node) -> dict[str, str | None]:
        kept = self._kept(node)
        sources = files_of_node(node, [self._catalog[name] for name in kept])
        named = [*self._named_in_parameters, *classes_of_validators(self._catalog, kept)]
        return self._code.modules(sources, named)

    def _inputs(self, node: Node) -> tuple[dict[str, str | None], dict[str, Any]]:
        inputs: dict[str, str | None] = {}
        files: dict[str, Any] = {}
        for name in node.inputs:
            if _is_parameter(name):
                continue
            dataset = self._catalog[name]
            if not getattr(dataset, "IS_CONTENT", True):
                continue
            its, own = self._contents.of(dataset) if is_kept(dataset) else (None, {})
            inputs[name] = its
            if _base(name) not in self._made_here:
                files |= own
        if ALWAYS in node.tags:
            inputs[_WORLD], own = self._world(node)
            files |= own
        return inputs, files

    def _world(self, node: Node) -> tuple[str | None, dict[str, Any]]:
        """The files that the node reads beside its inputs; nothing if that cannot be told."""
        reads = getattr(node.func, "reads", None)
        if reads is None:
            return None, {}
        parameters = {
            _parameter(name): self._catalog.load(name)
            for name in node.inputs
            if _is_parameter(name)
        }
        try:
            paths = reads(parameters, **getattr(node.func, "_fixed", {}))
            return self._contents.of_files(paths) if paths is not None else (None, {})
        except (ClepsydraError, OSError):
            return None, {}  # the node itself says what is wrong

    def _outputs(self, node: Node, before: dict[str, Any]) -> str:
        """What is wrong with the outputs; nothing if they are as the node wrote them."""
        whats = ("output missing", "output cannot be compared", "output altered")
        wrong: dict[str, list[str]] = {what: [] for what in whats}
        for name in node.outputs:
            dataset = self._catalog[name]
            its, files = self._contents.of(dataset)
            self._now[node.name]["files"] |= files
            if its == MISSING or (its is None and not dataset.exists()):
                wrong["output missing"].append(name)
            elif its is None:
                wrong["output cannot be compared"].append(name)
            elif its != before["outputs"].get(name):
                wrong["output altered"].append(name)
        return next((f"{what}: {_some(names)}" for what, names in wrong.items() if names), "")

    def _entry(self, name: str) -> str | None:
        """The entry of the catalog, but for where the data are."""
        if name not in self._digests:
            dataset = self._catalog[name]
            spec = self._catalog.validator_specs.get(name)
            entry = [type(dataset), _of_content(_arguments(dataset))]
            self._digests[name] = _digest([*entry, spec.to_config() if spec else None])
        return self._digests[name]

    def _parameter_digest(self, name: str) -> str | None:
        if name not in self._digests:
            self._digests[name] = _digest(self._catalog.load(name))
        return self._digests[name]


def files_of_node(node: Node, datasets: Iterable[AbstractDataset]) -> set[Path]:
    """The files of a node's function, of what that holds, and of datasets."""
    own = {file for function, _ in layers(node.func) for file in files_of(function)}
    return own | {file for dataset in datasets for file in files_of(type(dataset))}


def texts_of_parameters(catalog: Any) -> list[str]:
    """For classes of the user's own that parameters name, such as those of models."""
    if "parameters" not in catalog:
        return []
    found = texts(catalog.load("parameters"))
    return sorted({text for text in found if "." in text and os.sep not in text})


def classes_of_validators(catalog: Any, names: Iterable[str]) -> list[str]:
    """Names of the classes that check these datasets."""
    specs = catalog.validator_specs
    return [specs[name].class_path for name in names if name in specs]


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """In words, what the node is made of now that it was not; nothing if all is the same."""
    if before["packages"] != now["packages"]:
        return "installed packages or Python changed"
    if names := _changed(before["code"], now["code"]):
        return f"code changed: {_some(names)}"
    if now["call"] is None or before["call"] != now["call"]:
        return "code changed: the node itself"
    if names := _changed(before["parameters"], now["parameters"]):
        return f"parameter changed: {_some(names)}"
    if names := _changed(before["inputs"], now["inputs"]):
        unknown = [name for name in names if now["inputs"].get(name, "") is None]
        if unknown:
            return f"input cannot be compared: {_some(unknown)}"
        return f"input changed: {_some(names)}"
    if names := _changed(before["entries"], now["entries"]):
        return f"catalog entry changed: {_some(names)}"
    return ""


def _changed(before: dict[str, str | None], now: dict[str, str | None]) -> list[str]:
    """Names with another value, or with none that can be compared."""
    return [
        name
        for name in dict.fromkeys([*now, *before])
        if now.get(name) is None or now[name] != before.get(name)
    ]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


def _digest(value: Any) -> str | None:
    """Nothing if the value has no hash: then it is never taken to be the same."""
    try:
        return digest(value)
    except Exception:  # whatever pickling runs
        return None


def _named(function: Any) -> Any:
    """What a function is called; its compiled code where there is no file of it."""
    code = getattr(function, "__code__", None)
    if code is None or files_of(function):
        return function
    return [function, code.co_code, repr(code.co_consts), list(code.co_names)]


def _arguments(dataset: AbstractDataset) -> dict[str, Any]:
    """What the dataset was made with, as its entry in the catalog says it."""
    made = dict(getattr(dataset, "_init_args", {}))
    for parameter in inspect.signature(type(dataset).__init__).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            made |= made.pop(parameter.name, {})
    return made


def _of_content(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry says about the data, and not about where they are."""
    kept = {key: its for key, its in entry.items() if key not in _NOT_OF_CONTENT}
    fs_args = kept.pop("fs_args", None) or {}
    kept |= {key: fs_args[key] for key in _OPENING if key in fs_args}
    nested = {key: _of_content(kept[key]) for key in _NESTED if isinstance(kept.get(key), dict)}
    return {**kept, **nested}


def _is_readable(name: str, record: dict[str, Any]) -> bool:
    """Whether this version of the program has written the record, and all of it."""
    if record.get("format") != _FORMAT:
        return False
    return name == _SCANS or "unfinished" in record or record.keys() >= _KEYS


def _is_parameter(name: str) -> bool:
    return name == "parameters" or name.startswith("params:")


def _parameter(name: str) -> str:
    return name.removeprefix("params:")


def _base(name: str) -> str:
    return name.partition("@")[0]
