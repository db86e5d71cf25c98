"""The measurements are fair, and the tables say what was measured."""

import time

import numpy as np
import pandas as pd
import pytest
import torch

from cskt.speed import growth, networks, peers, results, stages, timing
from cskt.speed.material import largest, noisy_heatmaps, plain
from cskt.speed.timing import Contender, Machine

MACHINE = Machine(read=1e10, write=1e10, matmul=1e11, matmul_bf16=2e11, conv=1e11, conv_bf16=2e11)


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.slow
def test_a_race_takes_turns_of_two_calls_and_a_slow_one_only_one(monkeypatch):
    monkeypatch.setattr(timing, "QUICK", 0.02)
    order = []

    def run(name, seconds):
        return lambda: (order.append(name), busy(seconds))

    runs, first = {"a": run("a", 0.001), "b": run("b", 0.001), "slow": run("slow", 0.05)}, {}
    times = timing.race(runs, 0.03, least=3, results=first)
    assert list(first) == ["a", "b", "slow"]
    assert order[:3] == ["a", "b", "slow"]
    assert order[3:12] == ["a", "a", "b", "b", "slow", "a", "a", "b", "b"]
    assert len(times["slow"]) == 1 and len(times["a"]) == len(times["b"]) >= 3
    assert 0.001 <= np.median(times["a"]) < 0.01


def test_a_stage_gives_times_of_one_item_and_compares_ours_with_the_plain_one():
    contenders = [
        Contender("plain", "plain", lambda: (busy(0.004), 1.0)[1]),
        Contender("quick", "ours", lambda: (busy(0.001), 1.5)[1]),
        Contender("other", "peer", lambda: busy(0.002)),
    ]
    how = {"seconds": 0.02, "difference": largest, "floor": (0.0005, "why")}
    rows = pd.DataFrame(timing.stage("toy", "image", 2, contenders, **how))
    assert rows["kind"].tolist() == ["plain", "ours", "peer", "floor"]
    assert rows["difference"].tolist()[1] == 0.5 and rows["difference"].isna().tolist() == [True, False, True, True]
    row = results.summary(rows).iloc[0]
    assert row["plain"] == pytest.approx(0.002, rel=0.5)
    assert row["quicker"] == pytest.approx(4, rel=0.5) and row["ahead"] == pytest.approx(2, rel=0.5)
    assert row["share"] == pytest.approx(0.5, rel=0.5)


ROWS = pd.DataFrame(
    [("NME", "image", "plain loops", "plain", 1e-4, np.nan), ("NME", "image", "cskt", "ours", 1e-6, 0.0),
     ("forward", "image", "plain loops", "plain", 0.4, np.nan),
     ("forward", "image", "cskt, bfloat16", "ours", 0.1, 0.01),
     ("forward", "image", "cskt, without the network", "ours", 1e-9, np.nan),
     ("forward", "image", "floor", "floor", 0.05, np.nan)],
    columns=["stage", "unit", "contender", "kind", "seconds", "difference"],
)  # fmt: skip


def test_the_table_names_our_fastest_and_what_was_asked_for():
    lines = results.markdown(ROWS).splitlines()[2:]
    assert lines == [
        "| NME | 100.00 µs | 1.00 µs (cskt) | 100 x | 60 x |  |  |  | 0 |",
        "| forward | 400.00 ms | 100.00 ms (bfloat16) | 4 x | 2.8 x |  |  | 50 % | 0.01 |",
    ]


def test_a_contender_with_a_target_of_its_own_has_a_row_of_its_own():
    """Peer and floor stand in the first row alone: the floor is bfloat16's."""
    more = ["cskt, float32", "cskt, float32, batch norm folded", "cskt, OpenVINO float32"]
    ours = [ROWS.iloc[[3]].assign(contender=name, seconds=0.2 - k / 20) for k, name in enumerate(more)]
    rows = pd.concat([ROWS, *ours], ignore_index=True)
    found = results.summary(rows).set_index("stage")
    assert found["target"].to_dict() == {"NME": 60, "forward": 2.8, "forward, in float32": 1.6}
    assert found.loc["forward, in float32", "quicker"] == pytest.approx(0.4 / 0.1)
    assert found["share"].notna().tolist() == [False, True, False]

    found = results.summary(rows.replace({"stage": {"forward": "mining a pool"}})).set_index("stage")
    assert found["target"].to_dict() == {"NME": 60, "mining a pool": 3.2, "mining a pool, exported": 4.5}
    assert found["fastest"].tolist()[1:] == ["cskt, bfloat16", "cskt, OpenVINO float32"]
    shown = next(line for line in results.figure(rows).lines if line.get_label() == "target")
    assert list(shown.get_xdata()) == [60, 2.8, 1.6]


def test_a_stage_without_its_usual_contender_keeps_peer_and_floor():
    rows = ROWS[ROWS["stage"] == "forward"].replace({"stage": {"forward": "mining a pool"}})
    rows = rows.replace({"contender": {"cskt, bfloat16": "cskt, OpenVINO bfloat16"}})
    assert results.summary(rows)[["stage", "target", "share"]].to_numpy().tolist() == [
        ["mining a pool, exported", 4.5, 0.5]
    ]


def test_the_page_is_renewed_between_its_marks():
    page = "a\n<!-- performance -->\nold\n<!-- end -->\nb\n<!-- end -->\n"
    renewed = results.fill(page, ROWS)
    assert renewed == f"a\n<!-- performance -->\n{results.markdown(ROWS)}\n<!-- end -->\nb\n<!-- end -->\n"
    assert results.fill(renewed, ROWS) == renewed
    assert results.fill("no marks", ROWS) == "no marks"


def test_the_figures_show_every_stage_and_every_size():
    ax = results.figure(ROWS)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["NME", "forward"]
    grown = pd.DataFrame({"what": ["a", "a", "b"], "size": [10, 100, 10], "seconds": [1e-6, 1e-6, 1e-3]})
    assert len(results.growth_figure(grown).lines) == 2


def test_noise_moves_subpixel_landmarks_by_less_than_a_thirtieth_of_a_cell():
    """At 2 % noise, along each axis (root mean square)."""
    from cskt.heatmaps import decode

    maps, places = noisy_heatmaps(64, 64)
    error = decode(maps)[0] - places
    assert error.square().mean().sqrt() < 0.03


def test_the_plain_loops_are_those_of_the_tests():
    assert plain("loops").find_cells(torch.ones(1, 1, 4, 4)).shape == (1, 1, 2)


@pytest.mark.slow
def test_the_stages_without_a_network_agree_with_the_plain_loops(tmp_path):
    rows = stages.codec(MACHINE, batch=2, cells=16, seconds=0.0) + stages.errors(batch=2, seconds=0.0)
    rows = pd.DataFrame(rows + stages.items(tmp_path / "items", size=64, count=2, rows=100, seconds=0.0))
    compared = rows[(rows["kind"] == "ours") & (rows["stage"] != "random view of a cached crop")]
    assert compared["difference"].max() < 1e-4
    left = {name for name in results.TARGETS if not name.endswith(tuple(results.OWN_TARGET))}
    assert left - set(rows["stage"]) == {
        "forward", "forward and backward", "Meta-CSKT step, 4 + 16", "mining a pool", "evaluation, end to end"
    }  # fmt: skip


@pytest.mark.slow
def test_time_per_item_does_not_grow_with_the_table():
    few, many = 10_000, 1_000_000
    # the least of three, since what else the machine does only adds
    rows = pd.concat([pd.DataFrame(growth.annotations((few, many))) for _ in range(3)])
    rows = rows.groupby(["what", "size"])["seconds"].min()
    for what in rows.index.unique("what").drop("plain: the table is searched for each item"):
        assert rows[what, many] < 5 * rows[what, few]
    slow = rows["plain: the table is searched for each item"]
    assert slow[many] > 10 * slow[few], "the plain search grows, so this can fail"
    found = pd.concat([pd.DataFrame(growth.crops((50, 5_000), side=64)) for _ in range(3)])
    assert (found["memory"] < 20e6).all()
    seconds = found.groupby("size")["seconds"].min()
    assert seconds[5_000] < 3 * seconds[50]


def test_a_library_that_cannot_be_loaded_is_left_out_and_said(monkeypatch, capsys):
    monkeypatch.setattr(peers, "missing", list)
    found = []

    def broken():
        raise KeyError("numkong")

    peers._add(found, "some", "Some", broken)
    peers._add(found, "other", "Other", lambda: lambda: 1)
    assert [contender.name for contender in found] == ["Other"]
    assert "Some is left out: it cannot be loaded (KeyError: 'numkong')" in "".join(capsys.readouterr())


@pytest.mark.slow
def test_mining_and_evaluation_agree_with_the_plain_loops(tmp_path):
    rows = pd.DataFrame(networks.mine(tmp_path, size=64, count=2, seconds=0.0))
    differs = rows[rows["contender"] == "cskt, float32"].set_index("stage")["difference"]
    assert differs["evaluation, end to end"] < 1e-9
    # the plain ones are of whole pixels, of faces of some 530
    assert differs["mining a pool"] < 1 / 500


def test_a_machine_that_does_not_tell_its_memory_is_measured_all_the_same(tmp_path, monkeypatch):
    assert timing.anonymous_memory() > 10e6
    for status in (tmp_path / "absent", tmp_path / "status"):
        monkeypatch.setattr(timing, "Path", lambda path, status=status: status)
        (tmp_path / "status").write_text("VmRSS:\t 1 kB\n")
        assert np.isnan(timing.anonymous_memory())
