"""The code that a node runs, as hashes of modules: those that its own imports, transitively.

Imports are read from the source, inside functions too, and nothing is imported for it. Modules that
a text names (`"package.module.Class"`, as registries do) belong to it, and files that lie beside a
module and are named in it. Installed packages are known by their names and versions, but for this
one and the user's own project, which may be built anew under the same version.

What runs is what is in memory. Of a module that is loaded, and whose file has changed since this
process began, nobody can tell which of the two is in memory: it has no hash.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

__all__ = ["Code", "files_of", "installed_packages", "is_own"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.\w+)+")
_FILE_NAME = re.compile(r"([\w-][\w.-]*/)*[\w-][\w.-]*\.\w{1,8}")
_LONGEST = 200
_INSTALLED = ("site-packages", "dist-packages")
_THIS = Path(__file__).resolve().parents[1]


def _start_of_process() -> float:
    """When this process began, as the clock has it; at the latest now."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - max(age, 0.0)
    return time.time()


# Taken when this module is imported: a process that is forked has the modules of its parent.
_started = _start_of_process()


@dataclass(frozen=True)
class _Source:
    """A file of code: its name and hash, what it may import, and the hashes of files beside it."""

    name: str
    digest: str | None
    names: tuple[str, ...]
    beside: tuple[tuple[str, str | None], ...]


class Code:
    """The modules of a project, found from the files of some.

    Args:
        roots: folders that modules are imported from; those of `sys.path` if not given. What is
            installed, or comes with Python, is not a part of the project.
        scans: what was found in files before, by path: they are read again only if they changed.
        package: of the user's project; it is a part of it even if it is installed.

    Attributes:
        scans: the same, of all files that were reached.
    """

    def __init__(
        self,
        roots: Iterable[Path] | None = None,
        scans: dict[str, Any] | None = None,
        package: str | None = None,
    ):
        self.scans = dict(scans or {})
        self._own = {_THIS.name: _THIS, **_folder_of(package)}
        found = [Path(entry or ".").resolve() for entry in sys.path] if roots is None else roots
        self._roots = [root for root in found if root.is_dir() and not _is_installed(root)]
        self._files: dict[str, Path | None] = {}
        self._sources: dict[Path, _Source] = {}
        self._reached: dict[Path, dict[str, str | None]] = {}
        self._modules: dict[Any, dict[str, str | None]] = {}

    def modules(self, files: Iterable[Path], texts: Iterable[str] = ()) -> dict[str, str | None]:
        """Name to hash of every module that these files reach; nothing if it has none.

        The files themselves count, the `__init__` of every package around them, what these import,
        and modules that one of the texts names. Of what is installed nothing counts.

        Args:
            files: of modules.
            texts: such as the values of parameters.
        """
        key = (frozenset(files), tuple(texts))
        if key not in self._modules:
            start = set(key[0])
            start |= {path for text in key[1] if "." in text for path in self._named(text)}
            found: dict[str, str | None] = {}
            for path in start:
                if not _is_installed(path, tuple(self._own.values())):
                    found |= self._reach(path)
            self._modules[key] = dict(sorted(found.items()))
        return self._modules[key]

    def _reach(self, start: Path) -> dict[str, str | None]:
        if start not in self._reached:
            found: dict[str, str | None] = {}
            seen = {start}
            todo = [start]
            while todo:
                path = todo.pop()
                source = self._source(path)
                found[source.name] = source.digest
                found |= {f"{source.name}:{name}": its for name, its in source.beside}
                named = (its for name in source.names for its in self._named(name))
                for its in chain(_inits_around(path), named):
                    if its not in seen:
                        seen.add(its)
                        todo.append(its)
            self._reached[start] = found
        return self._reached[start]

    def _source(self, path: Path) -> _Source:
        if path not in self._sources:
            stat = path.stat()
            signature = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"
            scan = self.scans.get(str(path))
            if not scan or scan[0] != signature:
                scan = self.scans[str(path)] = [signature, *_scan(path)]
            _, digest, names, beside = scan
            there = [name for name in beside if (path.parent / name).is_file()]
            self._sources[path] = _Source(
                _module_name(path),
                None if self._is_stale(path, path) else digest,
                tuple(names),
                tuple((name, self._beside(path, path.parent / name)) for name in there),
            )
        return self._sources[path]

    def _beside(self, module: Path, other: Path) -> str | None:
        """The module may have read the file when it was imported."""
        return None if self._is_stale(module, other) else _hash(other.read_bytes())

    def _is_stale(self, module: Path, file: Path) -> bool:
        """Whether the file is newer than what the loaded module may have made of it."""
        stat = file.stat()
        if max(stat.st_mtime, stat.st_ctime) < _started:
            return False
        return module in self._loaded

    @cached_property
    def _loaded(self) -> set[Path]:
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        return {Path(file).resolve() for file in files if file}

    def _named(self, text: str) -> Iterator[Path]:
        """The file of the longest part of a dotted name that is a module of the project."""
        if not _DOTTED.fullmatch(text) and not text.isidentifier():
            return
        while text:
            if path := self._file(text):
                yield path
                return
            text = text.rpartition(".")[0]

    def _file(self, name: str) -> Path | None:
        if name not in self._files:
            self._files[name] = self._find(name)
        return self._files[name]

    def _find(self, name: str) -> Path | None:
        head, _, _ = name.partition(".")
        if head != name and self._file(head) is None and not self._is_namespace(head):
            return None
        relative = Path(*name.split("."))
        own = [self._own[head].parent] if head in self._own else []
        for root in chain(self._roots, own):
            for path in (root / relative / "__init__.py", root / relative.with_suffix(".py")):
                if path.is_file():
                    return path
        return None

    def _is_namespace(self, head: str) -> bool:
        return any((root / head).is_dir() for root in self._roots)


def files_of(value: Any) -> tuple[Path, ...]:
    """The files that a function or a class, and those it is derived from, is written in.

    A decorator has another than it says.
    """
    if isinstance(value, type):
        return tuple(dict.fromkeys(file for kind in value.__mro__ for file in _files(kind)))
    return _files(value)


def is_own(value: Any) -> bool:
    """Whether a function or a class is written in this project, and not in what is installed."""
    return any(not _is_installed(file) for file in files_of(value))


def _files(value: Any) -> tuple[Path, ...]:
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    code = getattr(value, "__code__", None)
    return _existing(getattr(module, "__file__", None), getattr(code, "co_filename", None))


@cache
def _existing(*files: str | None) -> tuple[Path, ...]:
    paths = (Path(file).resolve() for file in files if file and file.endswith(".py"))
    return tuple(path for path in dict.fromkeys(paths) if path.is_file())


def installed_packages() -> tuple[str, ...]:
    """Python's version, and the names and versions of all that is installed."""
    entries = {path for path in sys.path if Path(path).name in _INSTALLED}
    found = {path.stem for entry in entries for path in Path(entry).glob("*.dist-info")}
    return (f"Python {sys.version}", *sorted(found))


def _scan(path: Path) -> tuple[str, list[str], list[str]]:
    """The hash of a file, dotted names in it that may be modules, and names that may be files."""
    data = path.read_bytes()
    name = _module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names: dict[str, None] = {}
    beside: dict[str, None] = {}
    try:
        tree = ast.parse(data)
    except SyntaxError:  # the node that imports it says so
        return _hash(data), [], []
    for item in ast.walk(tree):
        if isinstance(item, ast.Import):
            names |= dict.fromkeys(alias.name for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            base = item.module or ""
            if item.level:
                around = package.split(".")[: len(package.split(".")) - item.level + 1]
                base = ".".join([*around, *([base] if base else [])])
            names |= {base: None} | {f"{base}.{alias.name}": None for alias in item.names}
        elif isinstance(item, ast.Constant) and isinstance(item.value, str):
            text = item.value.replace(":", ".")
            if len(text) < _LONGEST and _DOTTED.fullmatch(text):
                names[text] = None
            if len(text) < _LONGEST and _FILE_NAME.fullmatch(item.value):
                beside[item.value] = None
    return _hash(data), list(names), list(beside)


def _module_name(path: Path) -> str:
    parts = [] if path.name == "__init__.py" else [path.stem]
    for folder in path.parents:
        if not (folder / "__init__.py").is_file():
            break
        parts.insert(0, folder.name)
    return ".".join(parts)


def _inits_around(path: Path) -> Iterator[Path]:
    """The `__init__` of the packages that the module is in: they run when it is imported."""
    for folder in path.parents:
        init = folder / "__init__.py"
        if not init.is_file():
            return
        if init != path:
            yield init


def _folder_of(package: str | None) -> dict[str, Path]:
    """The name of the outermost package to its folder, without importing it."""
    head = (package or "").partition(".")[0]
    spec = None
    with suppress(ValueError):  # of a module that was made, and not imported
        spec = importlib.util.find_spec(head) if head else None
    places = list(spec.submodule_search_locations or []) if spec else []
    return {head: Path(places[0]).resolve()} if places else {}


@cache
def _is_installed(path: Path, own: tuple[Path, ...] = (_THIS,)) -> bool:
    if any(folder in path.parents for folder in own):
        return False
    if any(part in _INSTALLED for part in path.parts):
        return True
    standard = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    return any(one == path or one in path.parents for one in standard) or path.suffix == ".zip"


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
