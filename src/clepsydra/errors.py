"""Errors that a user can act on: each names what is at fault and what to do.

The command line prints them without a traceback. They cross process borders, so each is built
from one message string and pickles as any exception does.
"""

__all__ = ["ClepsydraError", "ConfigError", "LeakError", "PanelError", "SourceError"]


class ClepsydraError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(ClepsydraError):
    """A configuration value is missing, unknown or contradicts another."""


class SourceError(ClepsydraError):
    """A raw source cannot be read as it is described."""


class LeakError(ClepsydraError):
    """A forecast depends on what was not known when it was made."""


class PanelError(ClepsydraError):
    """The cleaned data cannot carry the forecast that was asked for."""
