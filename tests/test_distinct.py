"""Each different text is worked on once, whatever polars does with its codes in between."""

from __future__ import annotations

import gc

import polars as pl
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra import distinct
from clepsydra.distinct import ByText

cells = st.lists(st.sampled_from(["", "a", "b", "é", "NA", "2013-07-01", "x" * 40]), max_size=12)


class Counted:
    """Makes a table of texts, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: pl.Series) -> pl.DataFrame:
        self.asked += texts.to_list()
        return pl.DataFrame({"text": texts, "length": texts.str.len_chars()})


@settings(max_examples=15)
@given(batches=st.lists(st.tuples(cells, st.booleans()), min_size=1, max_size=6))
def test_every_cell_gets_the_row_of_its_text_and_no_coded_text_is_asked_for_twice(
    batches: list[tuple[list[str], bool]],
) -> None:
    gc.freeze()  # what others left behind is not looked through
    coded, plain = Counted(), Counted()
    table = ByText(lambda texts: (coded if is_coded else plain)(texts))
    for texts, is_coded in batches:
        column = pl.Series(texts, dtype=pl.Categorical if is_coded else pl.String)
        found = table(column)
        assert found["text"].to_list() == texts
        assert found["length"].to_list() == [len(text) for text in texts]
        del column
        # With the last column that has them, polars forgets its codes, and gives them anew.
        gc.collect()
        pl.Series(["other", *reversed(texts)], dtype=pl.Categorical)
    assert len(coded.asked) == len(set(coded.asked))
    assert len(plain.asked) == sum(len(set(texts)) for texts, is_coded in batches if not is_coded)
    gc.unfreeze()


def test_a_missing_cell_is_an_empty_text() -> None:
    for kind in (pl.String, pl.Categorical):
        found = ByText(Counted())(pl.Series([None, "a"], dtype=kind))
        assert found["text"].to_list() == ["", "a"]


def test_what_is_remembered_of_coded_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct, "_MOST_TEXTS", 2)
    make = Counted()
    table = ByText(make)
    for texts in (["a", "b", "c"], ["c", "d"], ["d", "e"]):
        assert table(pl.Series(texts, dtype=pl.Categorical))["text"].to_list() == texts
    assert sorted(make.asked) == ["a", "b", "c", "c", "d", "e"]


def test_nothing_is_remembered_of_texts_that_are_not_coded() -> None:
    held = psutil.Process().memory_info
    table = ByText(lambda texts: pl.DataFrame({"length": texts.str.len_chars()}))
    column = pl.Series([f"{number:040d}" for number in range(100_000)])
    table(column)
    before = held().rss
    for batch in range(30):
        table(column + str(batch))
    assert held().rss - before < 150_000_000
