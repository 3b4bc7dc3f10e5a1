"""Digests of Python values: the same for the same value in every process."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import pickle
import types
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from clepsydra.runners.code import is_own

__all__ = ["digest", "layers", "plain", "texts"]

_PLAIN = (bool, int, float, str, bytes)


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
    """Lists, tuples and texts that stand for the value; `digest` says what is taken.

    Examples:
        >>> plain({"size": 1})
        ('dict', [(('str', "'size'"), ('int', '1'))])
        >>> plain(max)
        ('object', 'builtins.max')
    """
    if value is None or isinstance(value, _PLAIN):
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
    if isinstance(value, functools.partial):
        return ("partial", plain([value.func, value.args, value.keywords]))
    if isinstance(value, type) or _is_function(value):
        return ("object", _name(value))
    return (type(value).__name__, hashlib.blake2b(pickle.dumps(value)).hexdigest())


def texts(value: Any) -> Iterator[str]:
    """All texts in a value, at whichever depth.

    Examples:
        >>> list(texts({"theta": {"engine": "my.Model", "sizes": [1, "two"]}}))
        ['theta', 'engine', 'my.Model', 'sizes', 'two']
    """
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
    """A function and all that it holds which has code, each with what it holds besides.

    Those are functions that it wraps or is bound to, and functions, classes and the classes of
    objects in its defaults, in what a partial or a closure fixes, and in what those hold in turn.

    Examples:
        >>> for function, held in layers(functools.partial(max, key=len)):
        ...     print(function, held)
        functools.partial(<built-in function max>, key=<built-in function len>)
            [<built-in function max>, [], {'key': <built-in function len>}]
        <built-in function max> None
        <built-in function len> None
    """
    seen: dict[int, Any] = {}
    todo: list[Any] = [function]
    while todo:
        each = todo.pop(0)
        if id(each) not in seen:
            seen[id(each)] = each
            held = _held(each)
            yield each, held
            todo += _with_code(held, {})


def _held(function: Any) -> Any:
    """What a function was made with, beside its code."""
    if isinstance(function, (type, types.BuiltinFunctionType)):
        return None
    if isinstance(function, functools.partial):
        return [function.func, list(function.args), function.keywords]
    if isinstance(function, types.MethodType):
        return [function.__self__, function.__func__]
    own = getattr(function, "__dict__", {})
    cells = getattr(function, "__closure__", None) or ()
    return [
        {key: its for key, its in own.items() if not key.startswith("__") or key == "__wrapped__"},
        getattr(function, "__defaults__", None),
        getattr(function, "__kwdefaults__", None),
        [cell.cell_contents for cell in cells if cell != types.CellType()],
        None if isinstance(function, types.FunctionType) else type(function),
    ]


def _with_code(value: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Functions and classes in a value, at whichever depth, and the classes of its objects."""
    if id(value) in seen or value is None or isinstance(value, (*_PLAIN, types.ModuleType)):
        return
    seen[id(value)] = value
    if isinstance(value, type) or _is_function(value):
        yield value
    elif isinstance(value, dict):
        yield from _with_code([*value, *value.values()], seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _with_code(item, seen)
    else:
        yield type(value)
        if is_own(type(value)):
            yield from _with_code(getattr(value, "__dict__", {}), seen)


def _is_function(value: Any) -> bool:
    return isinstance(value, functools.partial) or (
        callable(value) and hasattr(value, "__qualname__")
    )


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
