"""The chart of a run: a bar a node, where and when it ran."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from clepsydra.pipelines.report.gantt import draw_run
from clepsydra.profile import profile_table
from profiles import profile_of

PROFILE = profile_of(
    ("clean.b", 77, 1.0, 4.0),
    ("clean.a", 99, 0.0, 2.5),
    ("train.c", 77, 5.0, 9.0),
    waits={"train.c": {"clean.b"}},
)


def bars() -> dict[str, dict]:
    """What each node's bar looks like, by node."""
    found = {}
    for trace in draw_run(PROFILE).data[:-1]:
        columns = (trace.base, trace.x, trace.y, trace.customdata)
        for base, x, y, custom in zip(*columns, strict=True):
            found[custom[0]] = {
                "stage": trace.name,
                "colour": trace.marker.color,
                "bar": (base, base + x),
                "row": y,
                "hover": list(custom[1:]),
            }
    return found


def test_bars_begin_and_end_when_nodes_do_in_the_row_of_their_process() -> None:
    found = bars()
    assert {name: its["bar"] for name, its in found.items()} == {
        "clean.a": (0.0, 2.5),
        "clean.b": (1.0, 4.0),
        "train.c": (5.0, 9.0),
    }
    assert [found[name]["row"] for name in ("clean.a", "clean.b", "train.c")] == [1, 2, 2]


def test_the_critical_path_is_outlined_and_in_the_title() -> None:
    outline = draw_run(PROFILE).data[-1]
    assert outline.name == "critical path"
    outlined = set(zip(outline.base, outline.x, outline.y, strict=True))
    assert outlined == {(1.0, 3.0, 2), (5.0, 4.0, 2)}
    assert "7.0 s in 2 nodes, of 9.0 s" in draw_run(PROFILE).layout.title.text


def test_stages_have_colours_of_their_own() -> None:
    found = bars()
    assert found["clean.a"]["colour"] == found["clean.b"]["colour"] != found["train.c"]["colour"]
    assert found["train.c"]["stage"] == "train"


def test_the_pointer_shows_what_a_node_took() -> None:
    cpu, waited, peak, read, written, pid = bars()["train.c"]["hover"]
    assert (cpu, waited, peak, pid) == (2.0, 1.0, 500.0, 77)
    assert (read, written) == ("2.0", "?")


def test_a_run_without_nodes_has_a_chart_without_bars() -> None:
    figure = draw_run(profile_table([], Pipeline([]), "run-1"))
    assert len(figure.data) == 0
    assert figure.layout.title.text == "No node of this run was timed"


def test_two_thousand_nodes_make_a_small_chart() -> None:
    nodes = [
        (f"stage_{place % 10}.shard_{place}.some_longer_name", place % 8, place / 8, place / 8 + 1)
        for place in range(2000)
    ]
    figure = draw_run(profile_of(*nodes))
    assert len(figure.data) == 11
    assert sum(len(trace.x) for trace in figure.data[:-1]) == 2000
    assert len(figure.to_json()) < 500_000
    assert figure.layout.height < 1200
