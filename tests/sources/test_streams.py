"""Files are unpacked as they are read, and what is wrong with them is said, without secrets."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import PACKERS, pack_zip

from clepsydra.errors import SourceError
from clepsydra.sources.files import find_pieces
from clepsydra.sources.streams import as_seekable, open_stream, without_secrets
from helpers import make_source


def contents(file: Path) -> bytes:
    [piece] = find_pieces("s", make_source(path=file.name), file.parent)
    with piece.open() as stream:
        return stream.read()


every_kind = pytest.mark.parametrize("ending", list(PACKERS))


@every_kind
def test_a_packed_file_is_read_unpacked(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a.csv{ending}").write_bytes(PACKERS[ending](b"id,time\n" * 99_999))
    (tmp_path / f"B.CSV{ending.upper()}").write_bytes(PACKERS[ending](b"other"))
    second, first = find_pieces("s", make_source(path="*"), tmp_path)
    assert (first.name, first.label) == ("a.csv", f"a.csv{ending}")
    assert second.name == "B.CSV"
    with first.open() as stream:
        assert stream.read(8) == b"id,time\n"
        assert len(stream.read()) == 8 * 99_998


@every_kind
@given(st.data())
@settings(max_examples=100)
def test_a_damaged_archive_gives_bytes_or_an_error_that_names_it(
    ending: str, data: st.DataObject
) -> None:
    packed = bytearray(PACKERS[ending](bytes(range(256)) * 8))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    for stored in (bytes(packed), cut):
        try:
            with open_stream(
                "file 'a'", lambda stored=stored: io.BytesIO(stored), ending
            ) as stream:
                stream.read()
        except SourceError as error:
            assert str(error).startswith("file 'a' ")


@every_kind
def test_an_archive_that_is_none_or_cut_short_is_named(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"a.csv{ending}"
    whole = PACKERS[ending](bytes(range(256)) * 99)
    for data in (b"this is no archive", whole[: len(whole) // 2]):
        file.write_bytes(data)
        with pytest.raises(
            SourceError, match=rf"file 'a.csv\{ending}' is not a valid \{ending} arch"
        ):
            contents(file)


@pytest.mark.parametrize("more", [["b.csv"], [f"{i}.csv" for i in range(9)]])
def test_a_zip_of_several_files_is_refused_with_their_names(
    tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "a.zip").write_bytes(pack_zip(b"", *more))
    says = rf"holds {len(more) + 1} files: 'inner.csv', '.*; unpack it, or pack each file alone"
    with pytest.raises(SourceError, match=says):
        contents(tmp_path / "a.zip")


def test_a_zip_may_have_what_a_mac_adds_but_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv.zip").write_bytes(pack_zip(b"1", "__MACOSX/._inner.csv", "folder/"))
    assert contents(tmp_path / "a.csv.zip") == b"1"
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w"):
        pass
    with pytest.raises(SourceError, match=r"'a.csv.zip' holds 0 files; unpack"):
        contents(tmp_path / "a.csv.zip")


class Straight(io.BytesIO):
    """A stream that says it can seek, and cannot: so do those of some web servers."""

    def seek(self, *_: Any) -> int:
        raise ValueError("Cannot seek streaming HTTP file")


def test_what_cannot_be_read_at_any_place_is_copied() -> None:
    packed = pack_zip(b"inside")
    with open_stream("f", lambda: Straight(packed), ".zip") as stream:
        assert stream.read() == b"inside"
    with as_seekable(open_stream("f", lambda: Straight(b"abc"))) as stream:
        assert (stream.read(), stream.seek(1), stream.read()) == (b"abc", 1, b"bc")


@given(
    st.text(st.characters(codec="utf-8", exclude_characters=":/?@"), min_size=3, max_size=20),
    st.text(max_size=9),
)
def test_credentials_are_taken_out_of_any_text(secret: str, around: str) -> None:
    credentials = {"secret": secret, "more": {"deeper": f"{secret}'"}, "anon": False}
    text = without_secrets(f"before {secret}'{secret} after", credentials)
    assert secret not in text.replace("before", "").replace("after", "").replace("***", "")
    assert without_secrets("https://a/b?c=d&e", {}) == "https://a/b?***"
