"""Digests of Python values: the same for the same value in every process."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import pickle
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

__all__ = ["digest", "layers", "plain", "texts"]


def digest(value: Any) -> str:
    """A short hash of a value: of plain ones, of pydantic models, else of what `pickle` makes.

    The order of mappings counts: that of models in the configuration has a meaning.

    Raises:
        Exception: whatever `pickle` raises, of a value that does not pickle.

    Examples:
        >>> digest({"a": [1, 2.0]}) == digest({"a": [1, 2.0]})
        True
        >>> digest({"a": 1}) == digest({"a": True})
        False
    """
    return hashlib.blake2b(repr(plain(value)).encode(), digest_size=12).hexdigest()


def plain(value: Any) -> Any:
    """Lists, tuples and texts that stand for the value; `digest` says what is taken."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return (type(value).__name__, repr(value))
    if isinstance(value, BaseModel):
        return (_name(type(value)), plain({**value.__dict__, **(value.__pydantic_extra__ or {})}))
    if isinstance(value, dict):
        return ("dict", [(plain(key), plain(its)) for key, its in value.items()])
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [plain(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return ("set", sorted(repr(plain(item)) for item in value))
    if isinstance(value, (dt.date, dt.time, dt.timedelta, PurePath, Enum)):
        return (type(value).__name__, repr(value))
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return ("object", _name(value))
    return (type(value).__name__, hashlib.blake2b(pickle.dumps(value)).hexdigest())


def texts(value: Any) -> Iterator[str]:
    """All texts in a value, at whichever depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):
        yield from texts(value.__dict__)
    elif isinstance(value, dict):
        yield from texts(list(value.items()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from texts(item)


def layers(function: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
    """A function and those it wraps, decorated, bound or partial, each with what it holds fixed."""
    while True:
        cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        if isinstance(function, functools.partial):
            yield function, (list(function.args), function.keywords)
            function = function.func
        elif hasattr(function, "__wrapped__"):
            yield function, (getattr(function, "_fixed", None), cells)
            function = function.__wrapped__
        else:
            yield function, cells
            return


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
