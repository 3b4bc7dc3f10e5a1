"""Credentials for nodes that read sources: Kedro hands credentials to datasets only."""

from __future__ import annotations

from typing import Any

from kedro.io import AbstractDataset

from clepsydra.errors import ConfigError

__all__ = ["CredentialsDataset", "Secrets"]


class Secrets(dict[str, Any]):
    """A mapping that does not show its values when it is printed or logged."""

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self)})"

    __str__ = __repr__


class CredentialsDataset(AbstractDataset[None, Secrets]):
    """Loads the credentials that the catalog entry names.

    Args:
        credentials: from credentials.yml: a mapping of names to what each needs.
        metadata: free form, for plugins.

    Attributes:
        IS_CONTENT: what it holds is how to get at data, and no data: nothing is made of it.
    """

    IS_CONTENT = False

    def __init__(
        self, credentials: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None
    ):
        self._credentials: dict[str, Secrets] = {}
        for name, own in (credentials or {}).items():
            if not isinstance(own, dict):
                raise ConfigError(
                    f"credentials.yml: 'sources.{name}' must be a mapping, e.g. {{token: ...}}"
                )
            self._credentials[name] = Secrets(own)
        self.metadata = metadata

    def load(self) -> Secrets:
        return Secrets(self._credentials)

    def save(self, data: None) -> None:
        raise NotImplementedError("credentials are read only")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"names": sorted(self._credentials)}
