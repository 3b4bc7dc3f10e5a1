"""The secrets of an API: what they add to a request, and what keeps them out of everything else."""

from __future__ import annotations

import base64
import functools
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, unquote

import httpx

from clepsydra.errors import SourceError

__all__ = ["Secrets", "check_headers", "read_secrets"]

_KEYS = ("token", "username", "password", "headers", "params")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A secret of fewer characters is hidden where it is a word of its own; elsewhere it is a chance.
_LONG = 4
# Parts of a header that are secrets by themselves: in 'Bearer abcdefgh', the second.
_LONG_PART = 8


@dataclass(frozen=True, repr=False)
class Secrets:
    """What credentials add to a request. The `repr` shows none of it.

    Attributes:
        headers: headers that only the API's own host gets.
        params: query parameters that only the API's own host gets.
        words: every text that must not be shown.
    """

    headers: Mapping[str, str]
    params: Mapping[str, str]
    words: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.headers or self.params)

    def sign(self, url: httpx.URL) -> httpx.URL:
        """The URL as the API's own host is asked for it.

        Examples:
            >>> secrets = read_secrets("s", {"params": {"key": "hunter2"}})
            >>> str(secrets.sign(httpx.URL("https://api.org/a?page=2")))
            'https://api.org/a?page=2&key=hunter2'
        """
        return url.copy_merge_params(self.params) if self.params else url

    def strip(self, url: httpx.URL) -> httpx.URL:
        """The URL as any other host is asked for it: without parameters that carry a secret."""
        return _without(url, lambda key, value: value in self.words)

    def public(self, url: httpx.URL) -> httpx.URL:
        """The URL without the parameters that credentials set, and without a user."""
        url = _without(url, lambda key, value: key in self.params)
        return url.copy_with(username="", password="") if url.userinfo else url

    def label(self, url: httpx.URL) -> str:
        """The URL as a person reads it, without secrets.

        Examples:
            >>> secrets = read_secrets("s", {"params": {"key": "hunter2"}})
            >>> secrets.label(httpx.URL("https://api.org/a?key=hunter2&from=10%3A00"))
            'https://api.org/a?from=10:00'
        """
        encoded = str(self.public(url))
        text = unquote(encoded)
        return self.hide(text if text.isprintable() else encoded)

    def hide(self, text: str) -> str:
        """Text in which every secret is `***`, however it is encoded.

        Examples:
            >>> read_secrets("s", {"token": "hunter2"}).hide("no access with 'hunter2'")
            "no access with '***'"
        """
        return self._pattern.sub("***", text) if self.words else text

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first: a secret may be a part of another.
        ordered = sorted(self.words, key=lambda word: (-len(word), word))
        return re.compile("|".join(map(_pattern, ordered)), re.IGNORECASE)


def read_secrets(name: str, credentials: Mapping[str, Any] | None) -> Secrets:
    """Read the credentials of a source.

    Args:
        name: of the source, for errors.
        credentials: `token` (sent as a bearer), `username` and `password` (basic), `headers` and
            `params` (mappings, added to those of the source).

    Raises:
        SourceError: a key is unknown, contradicts another, or its value cannot be sent.

    Examples:
        >>> read_secrets("s", {"token": "hunter2"}).headers
        {'Authorization': 'Bearer hunter2'}
        >>> read_secrets("s", {"tokn": "hunter2"})
        Traceback (most recent call last):
        clepsydra.errors.SourceError: source 's': unknown key 'tokn' in its credentials; an API
        takes: token, username, password, headers, params
    """
    where = f"source '{name}'"
    if credentials is not None and not isinstance(credentials, Mapping):
        raise SourceError(f"{where}: its credentials are no mapping, e.g. {{token: ...}}")
    given = dict(credentials or {})
    for key in given:
        if key not in _KEYS:
            raise SourceError(
                f"{where}: unknown key '{key}' in its credentials; an API takes: {', '.join(_KEYS)}"
            )
    if ("username" in given) != ("password" in given):
        raise SourceError(f"{where}: its credentials need 'username' and 'password', or neither")
    if "token" in given and "username" in given:
        raise SourceError(f"{where}: its credentials have a 'token' and a 'username'; take one out")
    headers = _texts(where, "headers", given)
    params = _texts(where, "params", given)
    words = {*headers.values(), *params.values()}
    words |= {part for value in headers.values() for part in _parts(value)}
    if "token" in given:
        token = _text(where, "token", given["token"])
        headers["Authorization"] = f"Bearer {token}"
        words.add(token)
    if "username" in given:
        pair = [_text(where, key, given[key]) for key in ("username", "password")]
        packed = base64.b64encode(":".join(pair).encode()).decode()
        headers["Authorization"] = f"Basic {packed}"
        # A user without a password is a key.
        words |= {pair[1] or pair[0], packed}
    check_headers(f"{where}: its credentials", headers)
    return Secrets(headers, params, frozenset(words - {""}))


def check_headers(where: str, headers: Mapping[str, str]) -> None:
    """Refuse headers that HTTP cannot carry, without showing them.

    Raises:
        SourceError: a name or a value holds what no header may.
    """
    for key, value in headers.items():
        if not _HEADER_NAME.fullmatch(key):
            raise SourceError(f"{where}: {key!r} is no name of a header")
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            raise SourceError(
                f"{where}: the value of the header '{key}' has a line break, a space at an end, "
                f"or a character that is not ASCII; take it out"
            )


def _without(url: httpx.URL, is_secret: Callable[[str, str], bool]) -> httpx.URL:
    pairs = url.params.multi_items()
    kept = [(key, value) for key, value in pairs if not is_secret(key, value)]
    if kept == pairs:
        return url
    return url.copy_with(params=kept) if kept else url.copy_with(query=None)


def _texts(where: str, key: str, given: Mapping[str, Any]) -> dict[str, str]:
    values = given.get(key, {})
    if not isinstance(values, Mapping):
        raise SourceError(f"{where}: '{key}' in its credentials is no mapping of names to values")
    return {str(inner): _text(where, f"{key}.{inner}", value) for inner, value in values.items()}


def _text(where: str, key: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float) and (value != "" or key == "password"):
        return str(value)
    what = "empty" if value in (None, "") else f"a {type(value).__name__}, not a text"
    raise SourceError(f"{where}: '{key}' in its credentials is {what}")


def _parts(value: str) -> Iterator[str]:
    yield from (part for part in re.split(r"[\s;,=]+", value) if len(part) >= _LONG_PART)


def _pattern(word: str) -> str:
    """A word, any character of which may be encoded as in URLs, JSON, HTML or Python."""
    pattern = "".join(map(_character, word))
    return pattern if len(word) >= _LONG else rf"(?:(?<!\w)|(?<=%[\da-f][\da-f])){pattern}(?!\w)"


def _character(character: str) -> str:
    percent = "".join(f"%{byte:02X}" for byte in character.encode())
    forms = {
        character,
        "\\" + character,
        percent,
        quote_plus(character),
        html.escape(character),
        json.dumps(character)[1:-1],
        repr(character)[1:-1],
    }
    return f"(?:{'|'.join(re.escape(form) for form in sorted(forms, key=len, reverse=True))})"
