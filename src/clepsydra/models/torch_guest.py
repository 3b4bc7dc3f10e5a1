"""PyTorch as a guest: what it changes in the process is changed back."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

__all__ = ["isolated_torch", "needs_extra"]

_TALKATIVE = ("pytorch_lightning", "lightning_fabric", "chronos", "transformers")
_used_in: list[int] = []  # the process that was the first to use PyTorch
_ENVIRONMENT = {
    # No library may ask the network for anything; weights are read from local paths only.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Written by Lightning when it seeds; empty until then.
    "PL_GLOBAL_SEED": None,
    "PL_SEED_WORKERS": None,
}


@contextmanager
def needs_extra(what: str) -> Iterator[None]:
    """Say which extra to install where a library of it is missing.

    Raises:
        ImportError: instead of the library's own, naming `what` and the extra.

    Examples:
        >>> with needs_extra("the example"):
        ...     import a_library_that_nobody_has
        Traceback (most recent call last):
        ImportError: the example needs the extra 'deep': `make dev-deep`, or pip install
        'clepsydra[deep]' (No module named 'a_library_that_nobody_has')
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{what} needs the extra 'deep': `make dev-deep`, or pip install 'clepsydra[deep]' "
            f"({error})"
        ) from error


@contextmanager
def isolated_torch(seed: int, threads: int | None = None) -> Iterator[None]:
    """Within this, random numbers start from `seed`; after it, nothing of it is left.

    Restored are the random states of Python, NumPy and PyTorch, the number of threads, the
    environment, the filters of warnings and the levels of the libraries' loggers. So no other
    model's result depends on whether a deep one ran before it.

    Args:
        seed: of every random number within.
        threads: of PyTorch; what the environment allows if not given, and one in a process forked
            from one that has used PyTorch: OpenMP's do not outlive a fork, and it would wait
            for them for ever.

    Raises:
        ImportError: without the extra `deep`.
    """
    if _used_in and os.getpid() != _used_in[0]:
        threads = 1
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(_environment())
        stack.enter_context(_quiet())
        with needs_extra("a deep model"):
            import torch
        _used_in[:] = _used_in or [os.getpid()]
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        stack.callback(torch.set_rng_state, torch.get_rng_state())
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        if threads is not None:
            torch.set_num_threads(threads)
        yield


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
