"""Which modules a node's code is made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import clepsydra
from clepsydra.pipelines.train.nodes import backtest_models
from clepsydra.runners import code
from clepsydra.runners.code import Code, files_of, installed_packages


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "own/__init__.py": "",
        "own/a.py": "from own import b\nfrom .deep import d\nimport pandas, json\n",
        "own/b.py": "def f():\n    import own.c\n    return __doc__\n",
        "own/c.py": 'ENGINES = {"x": "own.engines.Engine"}\nFILE = "table.yml"\n'
        'DEEP = "tables/one.csv"\nNO = "none.yml"\nNOT = "/table.yml"\n',
        "own/tables/one.csv": "a,b\n",
        "own/table.yml": "x: 1\n",
        "own/engines.py": "from own import a\n",
        "own/deep/__init__.py": "from own import around\n",
        "own/deep/d.py": "",
        "own/around.py": "",
        "own/idle.py": "",
        "own/torn.py": "def f(:\n",
        "single.py": "import own.torn\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path


def test_imports_texts_and_files_are_followed(project: Path) -> None:
    found = Code([project]).modules([project / "own/a.py"])
    assert set(found) == {
        *("own", "own.a", "own.b", "own.c", "own.c:table.yml", "own.c:tables/one.csv"),
        "own.engines",
        # Imported by name, so what it imports counts too.
        *("own.deep", "own.deep.d", "own.around"),
    }


def test_packages_around_count_and_what_they_import(project: Path) -> None:
    assert set(Code([project]).modules([project / "own/deep/d.py"])) == {
        *("own", "own.deep", "own.deep.d", "own.around"),
    }


def test_names_in_parameters_and_code_that_is_no_python(project: Path) -> None:
    found = Code([project])
    texts = ["single", "own.idle.Model", "pandas.DataFrame", "0.5", "no.such"]
    assert set(found.modules([], texts)) == {"own", "own.idle"}
    assert set(found.modules([project / "single.py"])) == {"single", "own", "own.torn"}


@pytest.mark.parametrize(
    "name", ["own/c.py", "own/table.yml", "own/tables/one.csv", "own/__init__.py"]
)
def test_a_change_is_seen_and_the_rest_is_not_read_again(project: Path, name: str) -> None:
    first = Code([project])
    before = first.modules([project / "own/a.py"])
    path = project / name
    path.write_text(path.read_text() + "# more\n")
    after = Code([project], scans=first.scans).modules([project / "own/a.py"])
    changed = {key for key in after if after[key] != before[key]}
    assert len(changed) == 1
    assert before.keys() == after.keys()
    again = Code([project], scans=first.scans)
    assert again.modules([project / "own/a.py"]) == after


def test_the_project_itself_quickly_and_no_installed_library() -> None:
    started = time.process_time()
    whole = Code()
    found = whole.modules(files_of(backtest_models))
    assert time.process_time() - started < 5
    assert {"clepsydra.models.deep", "clepsydra.models.registry", "clepsydra.config"} < set(found)
    assert all(name.startswith("clepsydra") for name in found)
    assert "clepsydra.pipelines.clean.shard" not in found
    started = time.process_time()
    assert Code(scans=whole.scans).modules(files_of(backtest_models)) == found
    assert time.process_time() - started < 1


def test_a_loaded_module_is_known_if_its_file_is_older_than_the_process(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "own/c.py"
    monkeypatch.setitem(sys.modules, "own_c", SimpleNamespace(__file__=str(path)))
    assert code._start_of_process() < time.time()
    unknown = {name for name, its in Code([project]).modules([path]).items() if its is None}
    assert unknown == {"own.c", "own.c:table.yml", "own.c:tables/one.csv"}
    monkeypatch.setattr(code, "_started", time.time() + 1)
    assert None not in Code([project]).modules([path]).values()


def test_packages_are_known_by_their_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = installed_packages()
    assert installed_packages() == before
    (tmp_path / "site-packages/own-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    assert installed_packages() != before


@pytest.mark.parametrize("package", ["own", "own.deep"])
def test_the_users_project_counts_where_it_is_installed(
    project: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    installed = project / "site-packages"
    installed.mkdir()
    (project / "own").rename(installed / "own")
    monkeypatch.syspath_prepend(str(installed))
    start = installed / "own/a.py"
    assert Code().modules([start]) == {}
    before = Code(package=package).modules([start], ["own.idle.Model"])
    assert {"own.a", "own.b", "own.c", "own.deep.d", "own.idle"} < set(before)
    (installed / "own/c.py").write_text("")
    after = Code(package=package).modules([start], ["own.idle.Model"])
    assert after["own.c"] != before["own.c"]
    assert after["own.b"] == before["own.b"]


def test_this_project_counts_where_it_is_installed(tmp_path: Path) -> None:
    """A wheel that is built anew has the same version."""
    installed = tmp_path / "site-packages"
    shutil.copytree(
        Path(clepsydra.__file__).parent,
        installed / "clepsydra",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    program = (
        "import json, sys, clepsydra.binding\n"
        "from clepsydra.runners.code import Code, files_of\n"
        "json.dump(Code().modules(files_of(clepsydra.binding.bind)), sys.stdout)\n"
    )

    def found() -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    before = found()
    assert set(before) == {"clepsydra", "clepsydra.binding"}
    path = installed / "clepsydra/binding.py"
    path.write_text(path.read_text() + "# built anew\n")
    after = found()
    assert after["clepsydra.binding"] != before["clepsydra.binding"]
    assert after["clepsydra"] == before["clepsydra"]
