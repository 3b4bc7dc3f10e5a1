"""`bind` survives a process border with its name and its types."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import pytest

from clepsydra.binding import bind
from clepsydra.pipelines.train.nodes import backtest_models
from clepsydra.sharding import hash_range


def test_fixed_arguments_are_given() -> None:
    assert bind(hash_range, n_parts=4)(1) == hash_range(1, 4) != hash_range(1, 2)


def test_the_functions_name_documentation_and_types_are_kept() -> None:
    bound = bind(backtest_models, name="boosting")
    assert bound.__name__ == "backtest_models"
    assert bound.__doc__ == backtest_models.__doc__
    assert inspect.signature(bound) == inspect.signature(backtest_models)


def test_a_pickled_copy_is_the_same_in_another_process() -> None:
    data = pickle.dumps(bind(hash_range, n_parts=4))
    code = (
        "import pickle, sys; f = pickle.loads(sys.stdin.buffer.read()); "
        "print(f.__name__, f.__annotations__['return'], f(1))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    expected = "hash_range tuple[int, int] (1073741824, 2147483648)"
    assert done.stdout.decode().strip() == expected


def test_an_argument_that_the_function_does_not_take_is_an_error() -> None:
    with pytest.raises(TypeError, match="n_part"):
        bind(hash_range, n_part=4)(1)
