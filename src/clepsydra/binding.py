"""Node functions with some arguments fixed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["bind", "reads"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def reads(files: Callable[..., list[Path] | None]) -> Callable[[_Function], _Function]:
    """Decorates a node's function that reads more than its inputs: says which files those are.

    Args:
        files: called with the node's parameters by name, and what `bind` fixes; returns nothing if
            it is not only files of this machine that are read.
    """

    def decorate(function: _Function) -> _Function:
        function.reads = files  # type: ignore[attr-defined]
        return function

    return decorate


class bind:
    """`functools.partial` for nodes: it keeps its function's name and types in a worker process.

    `multiprocessing` rebuilds a partial without its attributes, and Kedro then can neither name
    the node's function nor read the types of its parameters.

    Examples:
        >>> add_two = bind(lambda a, b: a + b, b=2)
        >>> add_two(1)
        3
    """

    def __init__(self, function: Callable[..., Any], **fixed: Any):
        functools.update_wrapper(self, function)
        self._function = function
        self._fixed = fixed

    def __call__(self, *args: Any) -> Any:
        return self._function(*args, **self._fixed)
