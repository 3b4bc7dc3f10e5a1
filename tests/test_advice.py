"""Each piece of advice for a run that needs it, and for none that does not."""

from __future__ import annotations

import pytest
from kedro.pipeline import Pipeline

from clepsydra.advice import advise
from clepsydra.profile import profile_table
from profiles import profile_of


def shards(*seconds: float, stage: str = "train") -> list[tuple[str, int, float, float]]:
    """A shard a process, all from the start."""
    return [(f"{stage}.shard_{number}.fit", number, 0.0, its) for number, its in enumerate(seconds)]


def test_a_long_shard_wants_more_shards() -> None:
    profile = profile_of(*shards(60.0, 20.0))
    text = advise(profile, 61.0, n_shards=2)
    assert text == (
        "train is bound by its longest shard, train.shard_0.fit (60.0 s): raise n_shards from 2"
    )
    assert advise(profile, 61.0).endswith("raise n_shards")


def test_so_does_a_shard_that_is_left_over() -> None:
    third = ("train.shard_2.fit", 0, 30.0, 50.0)
    text = advise(profile_of(*shards(30.0, 30.0), third), 51.0, n_shards=3)
    assert text.startswith("train is bound by its last shard, train.shard_2.fit (20.0 s)")


def test_a_shard_that_n_shards_does_not_make_is_named() -> None:
    text = advise(profile_of(*shards(20.0, 60.0)), 61.0, n_shards=1)
    assert text.startswith("everything waits for train.shard_1.fit (60.0 s)")


def test_a_node_that_everything_waits_for_is_named() -> None:
    nodes = [("train.tune", 1, 0.0, 40.0), *shards(70.0, 70.0)]
    nodes = [nodes[0], *((name, pid, 40.0, end) for name, pid, _, end in nodes[1:])]
    text = advise(profile_of(*nodes), 71.0, n_shards=2)
    assert text == (
        "everything waits for train.tune (40.0 s), while processes idle for 40.0 s: make that "
        "faster first"
    )


def test_a_node_beside_which_others_work_is_not_to_blame() -> None:
    small = [(f"clean.part_{number}", 1, number * 6.0, number * 6.0 + 6.0) for number in range(10)]
    profile = profile_of(("train.tune", 0, 0.0, 60.0), *small)
    assert advise(profile, 61.0, n_shards=2) == ""


@pytest.mark.parametrize(("wall", "is_told"), [(20.0, True), (4.2, False)])
def test_a_run_that_mostly_starts_wants_one_process(wall: float, is_told: bool) -> None:
    profile = profile_of(("clean.a", 0, 0.0, 3.0), ("clean.b", 1, 0.0, 3.0))
    text = advise(profile, wall)
    assert text.startswith("nodes work 6.0 s in 20.0 s") == is_told
    assert ("--runner=SequentialRunner" in text) == is_told


def test_in_one_process_there_is_no_other_to_start_or_to_idle() -> None:
    profile = profile_of(
        ("clean.a", 0, 0.0, 3.0), ("clean.b", 0, 3.0, 4.0), waits={"clean.b": {"clean.a"}}
    )
    assert advise(profile, 4.1) == ""


@pytest.mark.parametrize(("memory", "is_told"), [(1200.0, True), (2000.0, False)])
def test_much_memory_comes_first(memory: float, is_told: bool) -> None:
    profile = profile_of(*shards(60.0, 20.0))
    text = advise(profile, 61.0, memory)
    assert text.startswith("2 processes had up to 1,000 MB in use, of the machine's") == is_told
    assert ("raise n_shards" in text) and ("use fewer processes" in text) == is_told


def test_memory_of_one_process_is_no_reason_for_fewer() -> None:
    assert advise(profile_of(("clean.a", 0, 0.0, 3.0)), 3.0, 510.0) == ""


def test_work_for_more_processes_than_there_are_is_told() -> None:
    nodes = [
        (f"train.shard_{number}.fit", number % 2, 10.0 * (number // 2), 10.0 * (number // 2) + 10)
        for number in range(8)
    ]
    assert advise(profile_of(*nodes), 40.0, n_shards=8) == (
        "on more cores than 2 it can be up to 4.0 times as fast"
    )
    assert advise(profile_of(*nodes), 60.0, n_shards=8) == ""  # they are not busy
    before = {name: {f"train.shard_{number}.fit"} for number, (name, *_) in enumerate(nodes[2:])}
    assert advise(profile_of(*nodes, waits=before), 40.0, n_shards=8) == ""  # no more to gain


@pytest.mark.parametrize(("cpu", "is_told"), [(2.0, True), (30.0, False)])
def test_nodes_that_seldom_compute_are_held_up_by_something(cpu: float, is_told: bool) -> None:
    """All other figures are of that, too, so it comes before them."""
    profile = profile_of(*shards(60.0, 20.0), ("collect.ask", 1, 20.0, 21.0))
    profile["cpu_seconds"] = [cpu, 10.0, 1.0]
    text = advise(profile, 61.0)
    assert text.startswith("nodes compute in 16% of their time") == is_told
    assert text.endswith("most in train") == is_told


def test_short_runs_are_fast_enough() -> None:
    hundredth = [(name, pid, 0.0, end / 100) for name, pid, _, end in shards(600.0, 200.0)]
    assert advise(profile_of(*hundredth), 6.1) == ""
    assert advise(profile_of(*hundredth), 6.1, memory_mb=1200.0) != ""


def test_no_nodes_and_no_time_need_no_advice() -> None:
    assert advise(profile_table([], Pipeline([]), "run-1"), 3.0) == ""
    assert advise(profile_of(("clean.a", 0, 0.0, 0.0), ("clean.b", 1, 0.0, 0.0)), 0.0) == ""
    assert advise(profile_of(("clean.a", 0, 0.0, 0.0), ("clean.b", 0, 0.0, 0.0)), 0.001) == ""
