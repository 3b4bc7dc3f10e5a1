"""One request to an API: retried with patience, redirected without secrets, failed clearly."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx
import tenacity

from clepsydra import __version__
from clepsydra.config import HttpConfig, SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources.http_bodies import BodyError, ending_of, parse, unpack
from clepsydra.sources.http_secrets import Secrets, check_headers

__all__ = ["Answer", "Client", "seconds_asked"]

_LOGGER = logging.getLogger(__name__)

# An answer that is not ready yet (202) is asked for again, as one that failed for the moment.
_AGAIN = {202, 408, 425, 429}
_ADVICE = {
    400: "correct 'params', or the dates that 'window' puts in",
    401: "check 'credentials'",
    403: "check 'credentials'",
    404: "correct 'url'",
    405: "correct 'url': it does not take GET",
    406: "correct 'headers'",
    407: "check the proxy that the environment names",
    410: "correct 'url'",
    422: "correct 'params', or the dates that 'window' puts in",
}
# What another host may see of the configured headers: the others may be keys.
_HARMLESS = {"accept", "accept-language", "user-agent"}
_PORTS = {"http": 80, "https": 443}
_MOST_REDIRECTS = 10
_SHOWN = 200


@dataclass(frozen=True)
class Answer:
    """A response that came whole.

    Attributes:
        url: where it came from, after redirects.
        label: the URL that was asked for, as a person reads it, without secrets.
        status: of HTTP.
        headers: of the response.
        body: decompressed.
        ending: of a file with that body, e.g. `.json`.
        document: what the body holds, if it is JSON.
    """

    url: httpx.URL
    label: str
    status: int
    headers: httpx.Headers
    body: bytes
    ending: str
    document: Any


class _PassingError(Exception):
    """A try failed for a reason that may pass; `wait` is what the API asked for, in seconds."""

    def __init__(self, reason: str, advice: str = "", wait: float | None = None):
        super().__init__(reason)
        self.advice = advice
        self.wait = wait


class Client:
    """Asks an API for one URL at a time. Use it in `with`.

    Args:
        name: of the source.
        source: its `http` says how patiently.
        secrets: go to the host of the configured URL only.
        sleep: waits for some seconds.

    Raises:
        SourceError: the configured URL or headers cannot be sent.
    """

    def __init__(
        self,
        name: str,
        source: SourceConfig,
        secrets: Secrets,
        sleep: Callable[[float], None],
    ):
        self._where = f"source '{name}'"
        self._source = source
        self._http: HttpConfig = source.http  # type: ignore[assignment]
        self._secrets = secrets
        self._sleep = sleep
        base = self._parsed(self._http.url)
        self._own = {_origin(base)}
        if _origin(base) == ("http", base.host, 80):
            self._own.add(("https", base.host, 443))
        check_headers(f"{self._where}, 'headers'", self._http.headers)
        _keep_quiet()
        self._client = httpx.Client(
            timeout=self._http.timeout, follow_redirects=False, verify=_tls()
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(
        self, url: httpx.URL, conditions: Mapping[str, str] | None = None, advice: str = ""
    ) -> Answer | None:
        """Ask for a URL, again and again while it fails for a reason that may pass.

        Args:
            url: without secrets.
            conditions: headers of a conditional request.
            advice: what else an error should say to do.

        Returns:
            The answer; `None` if the conditions say that the caller has it already.

        Raises:
            SourceError: the API refuses, or every try has failed.
        """
        label = self._secrets.label(url)
        tries = tenacity.Retrying(
            sleep=self._sleep,
            stop=tenacity.stop_after_attempt(self._http.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception_type(_PassingError),
            before_sleep=functools.partial(self._report, label),
            reraise=True,
        )
        try:
            return tries(self._try, url, label, dict(conditions or {}), advice)
        except _PassingError as error:
            times = f"{self._http.attempts} times" if self._http.attempts > 1 else "once"
            raise SourceError(
                f"{self._where}: {label} failed {times}, at last so: {error}; "
                f"""{error.advice or "try again later, or raise 'attempts'"}"""
            ) from None

    def _try(
        self, url: httpx.URL, label: str, conditions: dict[str, str], advice: str
    ) -> Answer | None:
        response = self._send(url, label, conditions)
        status = response.status_code
        if status == 304 and conditions:
            return None
        if status in _AGAIN or status >= 500:
            raise _PassingError(self._says(response), wait=_asked(response))
        if not response.is_success:
            todo = "; ".join(filter(None, [self._advice(response), advice]))
            raise SourceError(f"{self._where}: {label} {self._says(response)}; {todo}")
        media = response.headers.get("Content-Type", "")
        paths = (url.path, response.url.path)
        ending = ending_of(self._source, media, *paths)
        body, document = response.content, None
        if status != 204:
            try:
                body = unpack(body, media, *paths)
                document = parse(self._source, body, ending)
            except BodyError as error:
                raise _PassingError(
                    self._secrets.hide(f"{error}{self._beginning(body)}"),
                    "if the API gives another format or encoding, set 'format' or 'encoding'",
                ) from None
        return Answer(response.url, label, status, response.headers, body, ending, document)

    def _send(self, url: httpx.URL, label: str, conditions: dict[str, str]) -> httpx.Response:
        """Ask, and follow redirects; hosts other than the configured one get no secrets."""
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                response = self._client.send(self._request(url, conditions))
                if response.next_request is None:
                    return response
                url = response.next_request.url
        except httpx.TimeoutException as error:
            what = "connection" if isinstance(error, httpx.ConnectTimeout) else "answer"
            raise _PassingError(
                f"no {what} within {self._http.timeout:g} s", "try again later, or raise 'timeout'"
            ) from None
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            reason = self._secrets.hide(str(error))
            raise SourceError(f"{self._where}: {label} cannot be asked for: {reason}") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            reason = self._secrets.hide(str(error) or type(error).__name__)
            raise _PassingError(f"the connection or the body broke off ({reason})") from None
        raise SourceError(
            f"{self._where}: {label} redirects more than {_MOST_REDIRECTS} times; correct 'url'"
        )

    def _request(self, url: httpx.URL, conditions: dict[str, str]) -> httpx.Request:
        headers = httpx.Headers({"User-Agent": f"clepsydra/{__version__}"})
        headers.update(self._http.headers)
        if self._is_own(url):
            headers.update(self._secrets.headers)
            url = self._secrets.sign(url)
        else:
            headers = httpx.Headers({k: v for k, v in headers.items() if k in _HARMLESS})
            url = self._secrets.strip(url)
        headers.update(conditions)
        return self._client.build_request("GET", url, headers=headers)

    def _is_own(self, url: httpx.URL) -> bool:
        return _origin(url) in self._own

    def _parsed(self, text: str) -> httpx.URL:
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL as error:
            reason = "" if "@" in text else f": {error}"
            raise SourceError(f"{self._where}: 'url' is no URL{reason}; correct it") from None
        if url.userinfo:
            raise SourceError(
                f"{self._where}: 'url' has a user name or a password; take it out, and write "
                f"username and password in the source's credentials"
            )
        if not url.host:
            raise SourceError(f"{self._where}: 'url' names no host; correct it")
        return url

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """What the API asks for, else exponential backoff with full jitter; within limits."""
        longest = self._http.longest_wait
        asked = _failure(state).wait
        if asked is not None:
            return min(asked, longest)
        return tenacity.wait_random_exponential(max=longest)(state)

    def _report(self, label: str, state: tenacity.RetryCallState) -> None:
        failure, wait = _failure(state), state.upcoming_sleep
        asked = "" if failure.wait is None else f" (it asks for {failure.wait:g} s)"
        _LOGGER.warning(
            "%s: %s: try %d of %d failed: %s; next one in %.3g s%s",
            self._where,
            label,
            state.attempt_number,
            self._http.attempts,
            failure,
            wait,
            asked,
        )

    def _says(self, response: httpx.Response) -> str:
        status = response.status_code
        known = status in HTTPStatus._value2member_map_
        phrase = f"{status} {HTTPStatus(status).phrase}" if known else str(status)
        return f"answered {phrase}{self._beginning(response.content)}"

    def _beginning(self, body: bytes) -> str:
        text = self._secrets.hide(body[: 20 * _SHOWN].decode(errors="replace"))
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not line:
            return ", with no body"
        return f": '{line[:_SHOWN]}...'" if len(line) > _SHOWN else f": '{line}'"

    def _advice(self, response: httpx.Response) -> str:
        advice = _ADVICE.get(response.status_code, "check 'url', 'params' and 'headers'")
        if self._secrets and not self._is_own(response.url):
            host = self._secrets.hide(response.url.host)
            advice += f"; they were not sent to '{host}', which is not where 'url' is"
        return advice


def seconds_asked(retry_after: str, now: dt.datetime) -> float | None:
    """The seconds that a `Retry-After` header asks to wait (RFC 9110, 10.2.3).

    Args:
        retry_after: seconds or an HTTP date.
        now: an aware time, by the clock of the API if known.

    Returns:
        Seconds, not negative; `None` if the header cannot be read.

    Examples:
        >>> noon = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
        >>> seconds_asked("90", noon), seconds_asked("Wed, 01 May 2024 12:00:30 GMT", noon)
        (90.0, 30.0)
        >>> seconds_asked("soon", noon)
    """
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", retry_after):
        return float(retry_after)
    then = _http_date(retry_after)
    return None if then is None else max(0.0, (then - now).total_seconds())


def _asked(response: httpx.Response) -> float | None:
    header = response.headers.get("Retry-After")
    if header is None:
        return None
    # The date of the response is that of the clock that the header is written by.
    now = _http_date(response.headers.get("Date", "")) or dt.datetime.now(dt.UTC)
    return seconds_asked(header, now)


def _http_date(text: str) -> dt.datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return date.replace(tzinfo=dt.UTC) if date.tzinfo is None else date


def _failure(state: tenacity.RetryCallState) -> _PassingError:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, _PassingError) else _PassingError("unknown")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme)


def _keep_quiet() -> None:
    """Stop the libraries from logging URLs and headers, which carry secrets."""
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()
