"""Failures cost little, whatever fails and however much of it; good work is done all the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clepsydra.cost import Cost
from clepsydra.models.isolation import Isolation

IDS = pd.Index([f"s{number:04}" for number in range(1000)])
PLACE = "(test_isolation.py:33)"


def work(ids: list[str], bad: set[str], how: str, log: str = "") -> list[str]:
    if log:
        with Path(log).open("a") as file:
            file.write(f"{len(ids)}\n")
    if bad.intersection(ids) or "all" in bad:
        if how == "hang":
            time.sleep(60)
        if how == "die":
            os._exit(3)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("a bad series" if how == "raise" else f"bad: {ids[0]}")
    return ids


def run(
    isolation: Isolation, bad: set[str], how: str = "raise", ids: pd.Index = IDS, **options: Any
) -> tuple[list[str], dict[str, str], Cost]:
    reasons: dict[str, str] = {}
    cost = Cost()
    log = options.pop("log", "")
    parts = isolation.run(
        work, lambda part: (list(part), bad, how, log), ids, reasons, cost, **options
    )
    return [uid for part in parts for uid in part], reasons, cost


@pytest.mark.parametrize("timeout", [None, 5.0])
@pytest.mark.parametrize("bad", [set(), {"s0000"}, {"s0999", "s0500"}, set(IDS[:20])])
def test_all_but_the_bad_ones_are_done_once(bad: set[str], timeout: float | None) -> None:
    with Isolation() as isolation:
        done, reasons, cost = run(isolation, bad, timeout=timeout, expected=0.001)
    assert sorted(done) == sorted(set(IDS) - bad)
    assert reasons == dict.fromkeys(bad, f"ValueError: a bad series {PLACE}")
    assert cost.seconds > 0


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_where_everything_fails_alike_few_are_tried(timeout: float | None, tmp_path: Any) -> None:
    log = tmp_path / "attempts"
    with Isolation() as isolation:
        done, reasons, _ = run(isolation, {"all"}, log=str(log), timeout=timeout, expected=0.001)
    assert done == []
    assert reasons == dict.fromkeys(IDS, f"ValueError: a bad series {PLACE}")
    assert len(log.read_text().splitlines()) < 150


def test_reasons_that_differ_are_each_found() -> None:
    with Isolation() as isolation:
        _, reasons, _ = run(isolation, {"all"}, "differ", IDS[:40])
    assert reasons == {uid: f"ValueError: bad: {uid} {PLACE}" for uid in IDS[:40]}


def test_a_series_that_hangs_costs_about_two_time_outs_and_is_not_tried_again() -> None:
    options: dict[str, Any] = {"timeout": 1.0, "expected": 0.001, "name": "mine"}
    with Isolation() as isolation:
        started = time.perf_counter()
        done, reasons, cost = run(isolation, {"s0300"}, "hang", **options)
        first = time.perf_counter() - started
        started = time.perf_counter()
        _, again, _ = run(isolation, {"s0300"}, "hang", **options)
        second = time.perf_counter() - started
    assert len(done) == len(IDS) - 1
    assert reasons == {"s0300": "timed out after 1 s"}
    assert again == {"s0300": "timed out before"}
    # Two time-outs, a second at most for each of nine halvings, and what a busy machine adds.
    assert first < 2 * 1.0 + 9 * 1.0 + 5.0
    assert second < 2.0
    assert cost.seconds > 1.5, "what failed is counted"


def test_a_process_that_dies_takes_nobody_with_it() -> None:
    with Isolation() as isolation:
        done, reasons, _ = run(isolation, {"s0010"}, "die", IDS[:30], timeout=20.0)
    assert sorted(done) == sorted(set(IDS[:30]) - {"s0010"})
    assert reasons == {"s0010": "its process ended with exit code 3"}


def test_parts_are_as_large_as_their_share_of_the_time_out(tmp_path: Any) -> None:
    sizes: dict[float, list[int]] = {}
    for expected in (0.5, 0.0001):
        log = tmp_path / f"sizes-{expected}"
        with Isolation() as isolation:
            run(isolation, set(), log=str(log), timeout=20.0, expected=expected)
        sizes[expected] = [int(line) for line in log.read_text().splitlines()]
    assert sizes[0.5][0] == 10
    assert sizes[0.0001] == [512, 488]
    assert sum(sizes[0.5]) == len(IDS)


def _in_a_daemon(answers: Any) -> None:
    assert multiprocessing.current_process().daemon
    outcomes = []
    for how, timeout in (("hang", 2.0), ("kill", 20.0)):
        with Isolation() as isolation:
            outcomes.append(run(isolation, {"s0003"}, how, IDS[:6], timeout=timeout)[:2])
    answers.send(outcomes)


def test_deadlines_and_crashes_are_kept_apart_in_a_daemonic_process_too() -> None:
    """Such as workers of Dask with a nanny, and of Celery."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_in_a_daemon, args=(there,), daemon=True)
    process.start()
    there.close()
    (hung, why_hung), (killed, why_killed) = here.recv()
    process.join()
    others = [uid for uid in IDS[:6] if uid != "s0003"]
    assert hung == killed == others
    assert why_hung == {"s0003": "timed out after 2 s"}
    assert why_killed == {"s0003": "its process ended with exit code -9"}


class OddError(Exception):
    """Pickles, and cannot be read again: it is made of other arguments than it keeps."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}:\n {text}")


def odd(ids: list[str]) -> list[str]:
    if "s0007" in ids:
        raise OddError(7, "no luck")
    return ids


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_an_error_that_no_other_process_can_read_is_a_reason_of_one_series(
    timeout: float | None,
) -> None:
    reasons: dict[str, str] = {}
    with Isolation() as isolation:
        parts = list(isolation.run(odd, lambda part: (list(part),), IDS, reasons, Cost(), timeout))
    assert len([uid for part in parts for uid in part]) == len(IDS) - 1
    assert reasons == {"s0007": "OddError: 7: no luck (test_isolation.py:144)"}


class Unreadable:
    """A result that does not pickle."""

    def __reduce__(self) -> str:
        raise TypeError("no pickle of me")


def unreadable(ids: list[str]) -> Any:
    return Unreadable() if "s0007" in ids else ids


def test_a_result_that_does_not_pickle_is_a_reason_of_one_series() -> None:
    reasons: dict[str, str] = {}
    with Isolation() as isolation:
        parts = list(
            isolation.run(unreadable, lambda part: (list(part),), IDS, reasons, Cost(), 5.0)
        )
    assert len([uid for part in parts for uid in part]) == len(IDS) - 1
    assert set(reasons) == {"s0007"}
    assert "no pickle of me" in reasons["s0007"]


def test_nothing_is_asked_of_no_series() -> None:
    """All of the second half are tried one by one, and go well: none of it is left."""
    ids = pd.Index([f"{number:02}" for number in range(24)])
    asked = []

    def work(part: list[str]) -> list[str]:
        asked.append(part)
        if not part or part[0] < "12":
            raise ValueError("no luck")
        return part

    reasons: dict[str, str] = {}
    with Isolation() as isolation:
        parts = list(isolation.run(work, lambda some: (list(some),), ids, reasons, Cost()))
    assert [] not in asked
    assert sorted(uid for part in parts for uid in part) == list(ids[12:])
    assert list(reasons) == list(ids[:12])
