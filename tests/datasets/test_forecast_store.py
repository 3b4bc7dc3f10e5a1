"""The serving store on real SQLite: publishing replaces, and does so wholly or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from kedro.io import DatasetError

from clepsydra.datasets.atomic import ParquetDataset
from clepsydra.datasets.forecast_store import (
    ForecastQueryDataset,
    ForecastStore,
    ForecastStoreDataset,
)
from clepsydra.environment import RUN_ID_VARIABLE

MONDAY, TUESDAY = pd.to_datetime(["2013-07-01 04:00", "2013-07-02 04:00"])


def forecasts(
    cutoff: pd.Timestamp = MONDAY,
    model: str = "theta",
    ids: tuple[str, ...] = ("a", "b"),
    y_hat: float = 1.5,
    steps: int = 3,
) -> pd.DataFrame:
    ds = pd.date_range(cutoff + pd.Timedelta("1h"), periods=steps, freq="h")
    frame = pd.MultiIndex.from_product([ids, ds], names=["unique_id", "ds"]).to_frame(index=False)
    frame.insert(1, "cutoff", cutoff)
    missing_once = [np.nan, *[y_hat + 1] * (len(frame) - 1)]
    return frame.assign(**{"model": model, "y_hat": y_hat, "q0.1": y_hat - 1, "q0.9": missing_once})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForecastStoreDataset:
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-1")
    return ForecastStoreDataset(str(tmp_path / "deep/er/forecasts.db"))


def published(store: ForecastStoreDataset) -> pd.DataFrame:
    """What is stored, without what differs from run to run."""
    return store.load().drop(columns=["run_id", "published_at"])


def in_order(*frames: pd.DataFrame) -> pd.DataFrame:
    keys = ["unique_id", "cutoff", "ds", "model"]
    return pd.concat(frames).sort_values(keys, ignore_index=True)


def test_what_is_published_is_read_back(store: ForecastStoreDataset) -> None:
    frame = forecasts().sample(frac=1, random_state=0)
    store.save(frame)
    pd.testing.assert_frame_equal(published(store), in_order(frame), check_dtype=True)
    loaded = store.load()
    assert set(loaded["run_id"]) == {"run-1"}
    assert loaded["published_at"].dtype == "datetime64[ns]"


def test_a_store_is_there_once_something_was_published(
    store: ForecastStoreDataset, tmp_path: Path
) -> None:
    assert not store.exists()
    assert list(tmp_path.iterdir()) == [], "asking leaves no file behind"
    store.save(forecasts())
    assert store.exists()


def test_publishing_twice_replaces_and_never_duplicates(
    store: ForecastStoreDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(forecasts())
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-2")
    store.save(forecasts(y_hat=7.0))
    pd.testing.assert_frame_equal(published(store), in_order(forecasts(y_hat=7.0)))
    assert set(store.load()["run_id"]) == {"run-2"}


def test_another_champion_leaves_one_forecast(store: ForecastStoreDataset) -> None:
    store.save(forecasts(model="theta"))
    store.save(forecasts(model="boosting"))
    pd.testing.assert_frame_equal(published(store), in_order(forecasts(model="boosting")))


def test_a_shorter_horizon_leaves_no_step_of_the_longer_one(store: ForecastStoreDataset) -> None:
    store.save(forecasts(steps=5))
    store.save(forecasts(steps=2))
    pd.testing.assert_frame_equal(published(store), in_order(forecasts(steps=2)))


def test_other_cutoffs_and_other_series_are_untouched(store: ForecastStoreDataset) -> None:
    store.save(forecasts(MONDAY))
    store.save(forecasts(TUESDAY))
    store.save(forecasts(TUESDAY, ids=("b", "c"), y_hat=9.0))
    expected = in_order(
        forecasts(MONDAY),
        forecasts(TUESDAY).query("unique_id == 'a'"),
        forecasts(TUESDAY, ids=("b", "c"), y_hat=9.0),
    )
    pd.testing.assert_frame_equal(published(store), expected)


def test_more_series_than_fit_a_statement_are_replaced(store: ForecastStoreDataset) -> None:
    ids = tuple(f"series {number:04d}" for number in range(1_203))
    store.save(forecasts(ids=ids, steps=1))
    store.save(forecasts(ids=ids, steps=1, model="boosting"))
    assert published(store)["model"].tolist() == ["boosting"] * len(ids)


def test_quantiles_that_are_all_missing_stay_numbers(store: ForecastStoreDataset) -> None:
    frame = forecasts().assign(**{"q0.9": np.nan})
    store.save(frame)
    pd.testing.assert_frame_equal(published(store), in_order(frame))


def test_publishing_nothing_leaves_what_there_is(store: ForecastStoreDataset) -> None:
    store.save(forecasts())
    store.save(forecasts().iloc[:0])
    pd.testing.assert_frame_equal(published(store), in_order(forecasts()))


def twice_the_same_row(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.tail(1)])


def no_series(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(unique_id=[*frame["unique_id"][:-1], None])


def no_cutoff(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(cutoff=[*frame["cutoff"][:-1], pd.NaT])


def no_time(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(ds=[*frame["ds"][:-1], pd.NaT])


def no_model(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(model=[*frame["model"][:-1], None])


def unknown_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(surprise=1.0)


@pytest.mark.parametrize(
    "spoil", [twice_the_same_row, no_series, no_cutoff, no_time, no_model, unknown_column]
)
def test_a_failure_in_the_middle_leaves_the_old_rows(
    store: ForecastStoreDataset, spoil: object
) -> None:
    store.save(forecasts())
    before = store.load()
    with pytest.raises(DatasetError):
        store.save(spoil(forecasts(y_hat=7.0, model="boosting")))  # type: ignore[operator]
    pd.testing.assert_frame_equal(store.load(), before)
    store.save(forecasts(y_hat=7.0))
    assert published(store)["y_hat"].tolist() == [7.0] * 6


def test_the_database_itself_refuses_duplicates_and_missing_keys(
    store: ForecastStoreDataset, tmp_path: Path
) -> None:
    store.save(forecasts())
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'deep/er/forecasts.db'}")
    try:
        inspector = sa.inspect(engine)
        keys = inspector.get_pk_constraint("forecasts")["constrained_columns"]
        columns = {column["name"]: column for column in inspector.get_columns("forecasts")}
    finally:
        engine.dispose()
    assert set(keys) == {"unique_id", "cutoff", "ds", "model"}
    assert not any(columns[key]["nullable"] for key in keys)


def test_a_url_serves_as_well_as_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    by_url = ForecastStoreDataset(credentials={"url": url}, table="Odd name; table")
    by_url.save(forecasts())
    assert by_url.exists()
    by_file = ForecastStoreDataset(str(tmp_path / "other.db"), table="Odd name; table")
    pd.testing.assert_frame_equal(by_file.load(), by_url.load())
    assert "url" not in str(by_url)


@pytest.mark.parametrize("credentials", [None, {}, {"user": "me"}])
def test_neither_a_file_nor_a_url_is_an_error(credentials: dict[str, str] | None) -> None:
    with pytest.raises(DatasetError, match=r"'filepath'.*or 'credentials' with a 'url'"):
        ForecastStoreDataset(credentials=credentials)


def files(folder: Path, *frames: pd.DataFrame) -> list[Path]:
    """The frames in Parquet files, as shards leave them."""
    paths = [folder / f"shard_{number}.parquet" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        ParquetDataset(filepath=str(path), save_args={"index": False}).save(frame)
    return paths


def test_files_are_published_as_one_frame(store: ForecastStoreDataset, tmp_path: Path) -> None:
    store.save(forecasts(ids=("b", "c")))
    store.save(forecasts(ids=("old",)))
    parts = forecasts(ids=("a",)), forecasts().iloc[:0], forecasts(ids=("b", "c"), model="naive")
    store.save(files(tmp_path, *parts))
    pd.testing.assert_frame_equal(published(store), in_order(*parts, forecasts(ids=("old",))))
    assert store.load()[["run_id", "published_at"]].drop_duplicates()["run_id"].item() == "run-1"


@pytest.mark.parametrize(
    "spoil", [twice_the_same_row, no_series, no_cutoff, no_time, no_model, unknown_column]
)
def test_a_failure_in_the_second_file_leaves_the_old_rows_of_the_first(
    store: ForecastStoreDataset, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    store.save(forecasts())
    before = store.load()
    good, bad = forecasts(ids=("a",), y_hat=7.0), forecasts(ids=("b",), y_hat=7.0)
    with pytest.raises(DatasetError):
        store.save(files(tmp_path, good, spoil(bad)))
    pd.testing.assert_frame_equal(store.load(), before)


def test_a_file_that_cannot_be_read_leaves_the_old_rows(
    store: ForecastStoreDataset, tmp_path: Path
) -> None:
    store.save(forecasts())
    before = store.load()
    paths = files(tmp_path, forecasts(ids=("a",), y_hat=7.0), forecasts(ids=("b",)))
    paths[1].write_bytes(b"no Parquet")
    with pytest.raises(DatasetError):
        store.save(paths)
    pd.testing.assert_frame_equal(store.load(), before)


def test_a_failure_before_anything_was_published_leaves_no_table(
    store: ForecastStoreDataset, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError):
        store.save(files(tmp_path, forecasts(), no_model(forecasts(TUESDAY))))
    assert not store.exists() or store.load().empty


def ask(store: ForecastStoreDataset, tmp_path: Path) -> ForecastStore:
    """What nodes get that read a part of it."""
    del store
    return ForecastQueryDataset(str(tmp_path / "deep/er/forecasts.db")).load()


def test_what_was_forecast_before_is_of_earlier_cutoffs_and_of_the_series_asked_for(
    store: ForecastStoreDataset, tmp_path: Path
) -> None:
    second_later = TUESDAY + pd.Timedelta("1s")
    for cutoff in (MONDAY, TUESDAY, second_later):
        store.save(forecasts(cutoff, ids=("a", "b", "c")))
    query, everything = ask(store, tmp_path), store.load()
    found = query.before(TUESDAY, ["c", "a", "unheard of"])
    expected = everything[(everything["cutoff"] == MONDAY) & (everything["unique_id"] != "b")]
    assert len(expected) == 6
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True))
    later = query.before(second_later, ["b"])
    expected = everything[(everything["cutoff"] < second_later) & (everything["unique_id"] == "b")]
    assert len(expected) == 6
    pd.testing.assert_frame_equal(later, expected.reset_index(drop=True))
    pd.testing.assert_frame_equal(query.all(), everything)


def test_more_series_than_fit_a_statement_are_found(
    store: ForecastStoreDataset, tmp_path: Path
) -> None:
    ids = tuple(f"series {number:04d}" for number in range(1_203))
    store.save(forecasts(MONDAY, ids=ids, steps=1))
    store.save(forecasts(TUESDAY, ids=ids, steps=1))
    found = ask(store, tmp_path).before(TUESDAY, np.array(ids[1:]))
    assert found["unique_id"].tolist() == list(ids[1:])
    assert set(found["cutoff"]) == {MONDAY}


@pytest.mark.parametrize("ids", [[], ["unheard of"]])
def test_nothing_before_has_the_columns_and_types_of_something(
    store: ForecastStoreDataset, tmp_path: Path, ids: list[str]
) -> None:
    store.save(forecasts())
    query = ask(store, tmp_path)
    found, filled = query.before(TUESDAY, ids), query.before(TUESDAY, ["a"])
    assert found.empty
    assert found.dtypes.to_dict() == filled.dtypes.to_dict()


def test_times_are_stored_alike_by_a_file_and_by_a_url(tmp_path: Path) -> None:
    """What an older version stored is found among what this one stores."""
    store = ForecastStoreDataset(str(tmp_path / "forecasts.db"))
    store.save(forecasts())
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'forecasts.db'}")
    try:
        table = sa.Table("forecasts", sa.MetaData(), autoload_with=engine)
        with engine.begin() as connection:
            row = connection.execute(sa.select(table).limit(1)).mappings().one()
            assert row["cutoff"] == MONDAY.to_pydatetime()
            connection.execute(table.insert(), {**row, "unique_id": "by hand"})
            texts = connection.exec_driver_sql("SELECT DISTINCT cutoff FROM forecasts").all()
    finally:
        engine.dispose()
    assert texts == [("2013-07-01 04:00:00.000000",)]
