"""The project's command line: `kedro run` in parallel by default, with errors a person can read."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.io import DatasetError
from kedro.utils import load_obj
from kedro.validation import ParameterValidationError
from yaml.parser import ParserError

from clepsydra.config.base import tidy
from clepsydra.errors import ClepsydraError, ConfigError

__all__ = ["cli", "run"]

_DEFAULT_RUNNER = "clepsydra.runners.ProcessRunner"

_FORCE_HELP = "Run every node, also where nothing has changed since it last ran."


@click.group(context_settings=CONTEXT_SETTINGS, name="clepsydra")
def cli() -> None:
    """Commands of this project."""


def _readable_errors(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return callback(*args, **kwargs)
        except ParameterValidationError as error:
            raise click.ClickException(tidy(str(error))) from error
        except (ClepsydraError, DatasetError, MissingConfigException, ParserError) as error:
            raise click.ClickException(str(error)) from error

    return wrapper


def _forced(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Hand `--force` to the runner; those of Kedro run every node in any case."""

    @functools.wraps(callback)
    def wrapper(*args: Any, force: bool, **kwargs: Any) -> Any:
        if force and kwargs["runner"].startswith("clepsydra."):
            kwargs["runner_params"] = {**(kwargs["runner_params"] or {}), "force": True}
        _check_runner_params(kwargs["runner"], kwargs["runner_params"] or {})
        return callback(*args, **kwargs)

    return wrapper


def _check_runner_params(runner: str, given: dict[str, Any]) -> None:
    cls = load_obj(runner, "kedro.runner")
    known = [name for name in inspect.signature(cls).parameters if name != "is_async"]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has: {', '.join(known) or 'none'}"
            raise ConfigError(f"runner parameter '{name}': {cls.__name__} has none, {hint}")


def _default_to_parallel(command: click.Command) -> click.Command:
    """Kedro's own `run`, option for option, with another default runner."""
    command = copy.copy(command)
    command.params = [copy.copy(parameter) for parameter in command.params]
    command.params.append(click.Option(["--force"], is_flag=True, help=_FORCE_HELP))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name == "runner":
            parameter.default = _DEFAULT_RUNNER
            parameter.show_default = True
    if command.callback:
        command.callback = _readable_errors(_forced(command.callback))
    return command


run = _default_to_parallel(kedro_run)
cli.add_command(run, "run")
