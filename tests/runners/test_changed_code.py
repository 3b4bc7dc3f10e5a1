"""A node runs again if its code has changed, or that of what its function holds."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kedro.pipeline import Node, Pipeline
from small_lines import catalog_of, mix, reasons, run, values

from clepsydra.binding import bind
from clepsydra.runners.history import History


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A function that writes modules of code and imports the first, as if before the process."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    names: list[str] = []

    def write(**modules: str) -> Any:
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        names.extend(modules)
        importlib.invalidate_caches()
        found = importlib.import_module(next(iter(modules)))
        monkeypatch.setattr("clepsydra.runners.code._started", time.time())
        time.sleep(0.02)  # the clock of files is coarser
        return found

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_code_that_changes_runs_again(
    catalog: Callable[..., Any], tmp_path: Path, load: Callable[..., Any]
) -> None:
    steps = load(
        own_steps="def step(value):\n    import own_help\n    return own_help.plus(value)\n",
        own_help="def plus(value):\n    return value + 1\n",
        own_other="",
    )
    line = Pipeline(
        [
            Node(steps.step, "start", "one", name="first"),
            Node(mix, "start", "two", name="second"),
        ]
    )
    folder = tmp_path / "code"
    assert run(line, catalog()) == {"first", "second"}
    (folder / "own_other.py").write_text("# nobody imports it\n")
    assert run(line, catalog()) == set()
    (folder / "own_help.py").write_text("def plus(value):\n    return value + 2\n")
    assert run(line, catalog()) == {"first"}
    assert reasons(catalog())["first"] == "code changed: own_help"
    assert values(tmp_path)["one"] == 3


def test_code_that_is_edited_while_an_older_one_is_loaded_is_never_the_same(
    catalog: Callable[..., Any], tmp_path: Path, load: Callable[..., Any]
) -> None:
    """The first node edits what the second runs, of which its worker has the old one."""
    late = load(own_late="def late(value):\n    return value + 1\n")
    file = tmp_path / "code" / "own_late.py"
    new = "def late(value):\n    return value + 20\n"
    slow = bind(_edit, file=str(file), text=new)
    line = Pipeline(
        [
            Node(slow, "start", "one", name="slow"),
            Node(late.late, "one", "two", name="late"),
        ]
    )
    old = file.read_text()
    for processes in (1, 2):
        file.write_text(old)
        assert run(line, catalog(), processes=processes, force=True) == {"slow", "late"}
        assert values(tmp_path)["two"] == 2
        assert "late" in run(line, catalog(), processes=processes)
        assert reasons(catalog())["late"] == "code changed: own_late"
        assert "late" in run(line, catalog()), "this process has still the old one"
    sys.modules.pop("own_late")
    line = Pipeline([Node(importlib.import_module("own_late").late, "one", "two", name="late")])
    with pytest.MonkeyPatch.context() as later:
        later.setattr("clepsydra.runners.code._started", time.time() + 1)
        assert run(line, catalog()) == {"late"}
        assert values(tmp_path)["two"] == 21
        assert run(line, catalog()) == set()


@dataclasses.dataclass
class Scaled:
    """Its methods are nodes."""

    factor: int
    inner: Any = None

    def go(self, value: int) -> int:
        return self.factor * value

    def __call__(self, value: int) -> int:
        return self.factor * value


def _apply(value: int, f: Any = None) -> int:
    return f(value) if f else value


def _with_defaults(factor: int, plus: int) -> Any:
    def step(value: int, by: int = factor, *, plus: int = plus) -> int:
        return by * value + plus

    return step


def _closing_over(its: Any) -> Any:
    def step(value: int) -> Any:
        return its(value) if callable(its) else its * value

    return step


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Scaled(2).go, Scaled(3).go),
        (Scaled(2), Scaled(3)),
        (_with_defaults(2, 0), _with_defaults(3, 0)),
        (_with_defaults(2, 0), _with_defaults(2, 1)),
        (_closing_over(2), _closing_over(3)),
        (_closing_over(Scaled(2).go), _closing_over(Scaled(3).go)),
        (partial(_apply, f=Scaled(2).go), partial(_apply, f=Scaled(3).go)),
        (partial(_apply, f=partial(pow, 2)), partial(_apply, f=partial(pow, 3))),
        (bind(_apply, f=Scaled(2)), bind(_apply, f=Scaled(3))),
        (bind(_apply, f=_closing_over(2)), bind(_apply, f=_closing_over(3))),
    ],
)
def test_what_a_function_holds_belongs_to_it(tmp_path: Path, before: Any, after: Any) -> None:
    def call(function: Any) -> str | None:
        line = Pipeline([Node(function, "start", "one", name="first")])
        return History(line, catalog_of(tmp_path, ["start", "one"]))._state(line.nodes[0])["call"]

    assert call(before) is not None
    assert call(before) == call(before) != call(after)


def test_a_bound_method_of_another_object_runs_again(catalog: Callable[..., Any]) -> None:
    for factor, expected in ((2, {"first"}), (2, set()), (3, {"first"})):
        line = Pipeline([Node(Scaled(factor).go, "start", "one", name="first")])
        assert run(line, catalog()) == expected
    assert reasons(catalog()) == {"first": "code changed: the node itself"}


@pytest.mark.parametrize(
    "made",
    [
        lambda own: partial(_apply, f=own.change),
        lambda own: bind(_apply, f=own.change),
        lambda own: partial(_apply, f=partial(own.change)),
        lambda own: _closing_over(own.change),
        lambda own: _closing_over([{"f": own.change}]),
        lambda own: _closing_over(Scaled(2, inner=own.Kind())),
        lambda own: _closing_over(Scaled(2, inner=own.Derived)),
        lambda own: Scaled(2, inner=own.change).go,
    ],
    ids=["partial", "bound", "deep", "closure", "list", "object", "base", "method"],
)
def test_the_code_of_what_a_function_holds_belongs_to_it(
    tmp_path: Path, load: Callable[..., Any], made: Callable[[Any], Any]
) -> None:
    own = load(
        own_derived="import own_held\nclass Derived(own_held.Kind):\n    pass\n",
        own_held="def change(value):\n    return value\n\nclass Kind:\n    pass\n",
    )
    held = importlib.import_module("own_held")
    own.change, own.Kind = held.change, held.Kind
    line = Pipeline([Node(made(own), "start", "one", name="first")])
    assert "own_held" in History(line, catalog_of(tmp_path, ["start", "one"]))._modules["first"]


def _edit(value: int, *, file: str, text: str) -> int:
    Path(file).write_text(text)
    return value


def test_what_is_bound_and_how_the_node_is_wired_belong_to_it(catalog: Callable[..., Any]) -> None:
    def line(salt: int, *inputs: str) -> Pipeline:
        return Pipeline([Node(bind(mix, salt=salt), list(inputs), "one", name="first")])

    for made, expected in (
        (line(1, "start", "params:size"), {"first"}),
        (line(1, "start", "params:size"), set()),
        (line(2, "start", "params:size"), {"first"}),
        (line(2, "params:size", "start"), {"first"}),
    ):
        assert run(made, catalog(4)) == expected
