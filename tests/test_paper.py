"""The paper's tables beside ours: what is published, what has run, and what is missing."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from cskt import grids, paper, published
from cskt.errors import DataError


def write_run(folder, run, errors, seed=0, config=None, done=True):
    """A finished run of four images: errors of two known ones and of two unknown ones."""
    home = folder / run / f"seed{seed}"
    home.mkdir(parents=True)
    scores = pd.DataFrame({"image": ["cat_1", "cat_2", "seal_1", "seal_2"], "species": ["cat", "cat", "seal", "seal"],
                           "family": ["Felidae", "Felidae", "Phocidae", "Phocidae"], "nme": errors,
                           "group": ["known", "known", "unknown", "unknown"]})  # fmt: skip
    scores.to_csv(home / "scores.csv", index=False)
    (home / "config.yaml").write_text(yaml.safe_dump({"SEED": seed, **(config or {})}))
    if done:
        (home / "summary.json").write_text(json.dumps({"run": run, "seed": seed}))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "outputs" / "some"
    for seed in (0, 1):
        write_run(folder, "few_shot", [0.10, 0.14, 0.19, 0.21 + 0.04 * seed], seed)
        write_run(folder, "fixmatch", [0.08, 0.10, 0.25, 0.35], seed)
    write_run(folder, "uda", [0.01] * 4, done=False)
    return folder


# --- ours


def test_known_and_unknown_come_from_one_setting_or_from_two(folder):
    assert paper.places(folder) == {"known": (folder, "known"), "unknown": (folder, "unknown")}
    sibling = folder.with_name("some_unknown")
    write_run(sibling, "few_shot", [0.1] * 4, done=False)
    assert paper.places(folder)["unknown"] == (folder, "unknown")  # nothing there has finished
    write_run(sibling, "few_shot", [0.1] * 4, seed=1)
    assert paper.places(folder)["unknown"] == (sibling, "unknown")
    assert paper.places(sibling)["unknown"] == (sibling, "unknown")


def test_results_are_means_over_seeds_of_a_group(folder):
    found = paper.results(paper.places(folder), ["few_shot", "fixmatch", "uda"]).set_index(["column", "run"])
    assert found["nme"].to_dict() == pytest.approx({
        ("known", "few_shot"): 0.12, ("known", "fixmatch"): 0.09,
        ("unknown", "few_shot"): 0.21, ("unknown", "fixmatch"): 0.3,
    })  # fmt: skip
    assert found.loc["known", "seeds"].tolist() == [2, 2]
    assert found.loc["known", "images"].tolist() == [2, 2]


def test_a_setting_without_runs_has_no_results(tmp_path):
    for group in ("known", "all"):
        place = paper.Place(tmp_path / "nowhere", group)
        assert paper.scores(place).empty
        found = paper.results({"known": place}, ["few_shot"])
        assert found.empty
        assert {"column", "run", "nme"} <= set(found.columns)


def test_the_shapes_in_the_box_come_from_the_evaluation(folder):
    home = folder / "evaluate"
    home.mkdir()
    rows = [
        ("mean_shape", "known", "all", 0.14),
        ("mean_shape", "known", "shared", 0.9),
        ("few_shot", "known", "all", 9),
    ]
    pd.DataFrame(rows, columns=["run", "group", "landmarks", "nme"]).to_csv(home / "results.csv", index=False)
    places = paper.places(folder)
    assert "mean_shape" not in set(paper.results(places, ["mean_shape", "few_shot"])["run"])  # not finished
    (home / "summary.json").write_text("{}")
    found = paper.results(places, ["mean_shape", "few_shot"]).query("column == 'known'").set_index("run")["nme"]
    assert found.to_dict() == pytest.approx({"few_shot": 0.12, "mean_shape": 0.14})


def test_runs_that_scored_other_images_are_not_compared(folder):
    scores = pd.read_csv(folder / "fixmatch" / "seed0" / "scores.csv").iloc[1:]
    scores.to_csv(folder / "fixmatch" / "seed0" / "scores.csv", index=False)
    with pytest.raises(DataError, match="have scored different images"):
        paper.results(paper.places(folder), ["few_shot", "fixmatch"])


# --- tables

ROWS = {"FixMatch": "fixmatch", "UDA": "uda", "HG2": "", "ours": "few_shot"}
HEADINGS = {"known": "known", "unknown": "unknown"}


@pytest.fixture
def table(folder, monkeypatch):
    monkeypatch.setitem(paper.ROWS, "ssl", ROWS)
    return paper.side_by_side("ssl", paper.places(folder))


def test_numbers_stand_beside_the_published_ones(table):
    row = table.loc["FixMatch"]
    assert (row["published_known"], row["published_unknown"]) == (0.0594, 0.0749)
    assert (row["known"], row["unknown"]) == pytest.approx((0.09, 0.3))
    assert row["known_low"] <= row["known"] <= row["known_high"]


def test_every_published_row_has_a_row_of_its_name():
    for name in ("animalweb", "macaque", "ablation", "ssl"):
        assert set(published.table(name).index) <= set(paper.ROWS[name])


def test_every_run_of_a_table_is_in_the_graph():
    entries = grids.read()
    named = {run.partition("@")[0] for rows in paper.ROWS.values() for run in rows.values()}
    assert named - {"", "mean_shape"} <= set(entries)


def test_the_number_of_labels_says_which_setting(tmp_path):
    for name, error in (("web_40", 0.4), ("web_80", 0.8), ("zoo", 0.2)):
        write_run(tmp_path / name, "meta", [error] * 4)
    names = ["meta@40", "meta@80"]
    for own, found in (("web_40", {"meta@40": 0.4, "meta@80": 0.8}), ("web_80", {"meta@40": 0.4, "meta@80": 0.8}),
                       ("zoo", {"meta@40": 0.2})):  # fmt: skip
        place = paper.Place(tmp_path / own, "known")
        assert paper.results({"known": place}, names).set_index("run")["nme"].to_dict() == pytest.approx(found)


def test_what_has_not_run_is_a_gap_and_what_cannot_run_is_nothing(table):
    shown = paper.texts(table, HEADINGS)
    assert list(shown.columns) == [
        "published, known, %", "published, unknown, %", "ours, known, %", "ours, unknown, %", "seeds",
    ]  # fmt: skip
    assert shown.loc["UDA"].tolist() == ["5.80", "7.48", "not run", "not run", ""]
    assert shown.loc["HG2"].tolist() == ["–", "–", "–", "–", ""]
    assert shown.loc["FixMatch", "ours, known, %"].startswith("9.00 (")
    assert shown.loc["ours", "seeds"] == "2"


def test_a_row_with_more_seeds_in_one_column_than_in_the_other_says_both(folder, monkeypatch):
    monkeypatch.setitem(paper.ROWS, "ssl", ROWS)
    sibling = folder.with_name("some_unknown")
    write_run(sibling, "few_shot", [0.1] * 4)
    write_run(sibling, "uda", [0.1] * 4)
    seeds = paper.texts(paper.side_by_side("ssl", paper.places(folder)), HEADINGS)["seeds"]
    assert seeds.to_dict() == {"FixMatch": "2", "UDA": "1", "HG2": "", "ours": "2 / 1"}


def test_the_lowest_of_ours_is_marked_among_those_that_compete(table):
    shown = paper.texts(table, HEADINGS)
    marks = paper.lowest(table, HEADINGS, shown)
    assert [(row, column) for row in marks.index for column in marks if marks.loc[row, column]] == [
        ("FixMatch", "ours, known, %"), ("ours", "ours, unknown, %"),
    ]  # fmt: skip
    assert not paper.lowest(table, HEADINGS, shown, bounds=["FixMatch"])["ours, known, %"].any()


def test_a_table_is_saved_as_numbers_and_as_texts(table, tmp_path):
    page = paper.write(tmp_path / "tables", "ssl", table, HEADINGS, "Errors of two methods.")
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["ssl.csv", "ssl.md", "ssl.tex"]
    numbers = pd.read_csv(tmp_path / "tables" / "ssl.csv", index_col="method")
    assert numbers.loc["FixMatch", "known"] == pytest.approx(0.09)
    assert np.isnan(numbers.loc["UDA", "known"])
    assert (tmp_path / "tables" / "ssl.md").read_text() == page
    assert "| **9.00 (8.00–10.00)** | 30.00 (25.00–35.00) |" in page
    assert r"\label{tab:ssl}" in (tmp_path / "tables" / "ssl.tex").read_text()


def test_an_effect_is_the_paired_difference_to_its_reference(folder):
    columns = paper.places(folder) | {"elsewhere": paper.Place(folder / "nowhere", "all")}
    numbers, shown = paper.effects(columns, {"fixmatch": "few_shot", "uda": "few_shot"})
    found = numbers.set_index("column", append=True)["difference"]
    assert found["fixmatch", "known"] == pytest.approx(0.09 - 0.12)
    assert found["fixmatch", "unknown"] == pytest.approx(0.30 - 0.21)
    assert np.isnan(found["uda", "known"]) and np.isnan(found["fixmatch", "elsewhere"])
    assert shown.loc["FixMatch", "known"].startswith("−3.00 (−4.00 to −2.00), p = ")
    assert shown.loc["UDA"].tolist() == ["not run"] * 3


def test_each_feedback_of_the_horse_runs_is_held_against_the_same_variant_without():
    assert set(paper.FEEDBACK) | set(paper.FEEDBACK.values()) == {
        run for run, entry in grids.read().items() if entry.grid == "horse"
    }
    for run, without in paper.FEEDBACK.items():
        assert run.split("_")[:2] == without.split("_")[:2]
        assert without.endswith("detached")


# --- Fig. 1


def test_our_cells_stand_beside_the_published_ones():
    ours = pd.DataFrame({"tested": ["Cebidae", "Felidae"], "tuned": ["Ursidae", "Ursidae"], "gain": [-0.031, 0.02],
                         "gain_low": [-0.04, 0.0], "gain_high": [-0.02, 0.04]})  # fmt: skip
    numbers, shown = paper.gains_beside(ours)
    assert shown.loc["Cebidae"].to_dict() == {
        "Cebidae": "+0.0 / –", "Ursidae": "−5.7 / −3.1", "Bovidae": "−5.7 / –", "Phocidae": "−5.7 / –",
        "Spheniscidae": "−8.0 / –",
    }  # fmt: skip
    assert len(numbers) == 25
    assert numbers.loc["Cebidae"].set_index("tuned").loc["Ursidae", "gain"] == -0.031
    assert (paper.gains_beside(None)[1] == shown.replace("−5.7 / −3.1", "−5.7 / –")).all(axis=None)


def test_the_confusion_of_the_shared_landmarks_is_taken(tmp_path):
    home = tmp_path / "species_confusion"
    home.mkdir()
    pd.DataFrame({"landmarks": ["shared", "all"], "gain": [0.1, 0.2]}).to_csv(home / "matrix.csv", index=False)
    assert paper.confusion(tmp_path, "matrix") is None
    (home / "summary.json").write_text("{}")
    assert paper.confusion(tmp_path, "matrix").to_dict("list") == {"gain": [0.1]}
    assert paper.confusion(tmp_path, "group_errors") is None
