"""The paper's tables beside ours: what is published, what has run, and what is missing."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from cskt import paper
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


# --- what was published


def test_published_numbers_are_fractions_in_the_order_of_the_paper():
    ablation = paper.published("ablation")
    assert list(ablation.index) == ["L_s", "+ L_u", "+ L_f", "+ exclude negatives", "+ include positives"]
    assert ablation.loc["+ include positives"].to_dict() == {"known": 0.0561, "unknown": 0.0744}
    assert ablation["unknown"].is_monotonic_decreasing


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("animalweb", "HG3", "unknown", 0.0596),
        ("animalweb", "HG2", "known_labels", 17960),
        ("macaque", "MDMD, 300-W", "test", 0.0344),
        ("ssl", "ScarceNet", "unknown", 0.0832),
        ("label_budget", "hard", "10", 0.1653),
        ("t_neg", "0.2", "images", 1822),
        ("t_pos", "0.05", "known", 0.05804),
        ("t_neg_families", "0.1", "highest_share", 0.95),
        ("family_nme", "66", "fine_tuned", 0.3299),
        ("family_gain", "Spheniscidae", "Bovidae", 0.033),
    ],
)
def test_published_numbers_are_those_of_the_spec(table, row, column, value):
    assert paper.published(table).loc[row, column] == value


def test_what_was_not_published_is_missing():
    assert np.isnan(paper.published("t_pos").loc["0.01", "images"])


def test_the_paper_says_the_same_twice():
    """The pseudo-label row is the ablation's second one, and the full method is the same in three tables."""
    assert paper.published("ssl").loc["Pseudo-label"].equals(paper.published("ablation").loc["+ L_u"])
    full = paper.published("ablation").loc["+ include positives"].tolist()
    assert paper.published("ssl").loc["Meta-CSKT"].tolist() == full
    assert paper.published("animalweb").loc["Meta-CSKT 40", ["known", "unknown"]].tolist() == full


def test_digitized_numbers_are_named_as_such():
    assert paper.sources("ablation") == "README, ablation_study.png (printed)"
    assert paper.sources("family_gain") == "README, Fig. 1b (quantized)"
    with pytest.raises(ValueError, match="no published table 'horse'; there are animalweb"):
        paper.sources("horse")


# --- ours


def test_known_and_unknown_come_from_one_setting_or_from_two(folder):
    assert paper.places(folder) == {"known": (folder, "known"), "unknown": (folder, "unknown")}
    sibling = folder.with_name("some_unknown")
    sibling.mkdir()
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
    assert paper.runs_along(tmp_path / "nowhere", "MINING.T_NEG") == {}


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


@pytest.fixture
def table(folder):
    columns = paper.places(folder)
    return paper.side_by_side(ROWS, paper.results(columns, ROWS.values()), list(columns), "ssl")


def test_numbers_stand_beside_the_published_ones(table):
    row = table.loc["FixMatch"]
    assert (row["published_known"], row["published_unknown"]) == (0.0594, 0.0749)
    assert (row["known"], row["unknown"]) == pytest.approx((0.09, 0.3))
    assert row["known_low"] <= row["known"] <= row["known_high"]


def test_what_has_not_run_is_a_gap_and_what_cannot_run_is_nothing(table):
    shown = paper.texts(table, {"known": "known", "unknown": "unknown"})
    assert list(shown.columns) == [
        "published, known, %", "published, unknown, %", "ours, known, %", "ours, unknown, %", "seeds",
    ]  # fmt: skip
    assert shown.loc["UDA"].tolist() == ["5.80", "7.48", "not run", "not run", ""]
    assert shown.loc["HG2"].tolist() == ["–", "–", "–", "–", ""]
    assert shown.loc["FixMatch", "ours, known, %"].startswith("9.00 (")
    assert shown.loc["ours", "seeds"] == "2"


def test_the_lowest_of_ours_is_marked_among_those_that_compete(table):
    columns = {"known": "known", "unknown": "unknown"}
    shown = paper.texts(table, columns)
    marks = paper.lowest(table, columns, shown)
    assert [(row, column) for row in marks.index for column in marks if marks.loc[row, column]] == [
        ("FixMatch", "ours, known, %"), ("ours", "ours, unknown, %"),
    ]  # fmt: skip
    assert not paper.lowest(table, columns, shown, bounds=["FixMatch"])["ours, known, %"].any()


def test_a_table_is_saved_as_numbers_and_as_texts(table, tmp_path):
    shown = paper.texts(table, {"known": "known", "unknown": "unknown"})
    page = paper.save(tmp_path / "tables", "ssl", table, shown, "Errors of two methods.")
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["ssl.csv", "ssl.md", "ssl.tex"]
    numbers = pd.read_csv(tmp_path / "tables" / "ssl.csv", index_col="method")
    assert numbers.loc["FixMatch", "known"] == pytest.approx(0.09)
    assert np.isnan(numbers.loc["UDA", "known"])
    assert (tmp_path / "tables" / "ssl.md").read_text() == f"Errors of two methods.\n\n{page}\n"
    assert r"\label{tab:ssl}" in (tmp_path / "tables" / "ssl.tex").read_text()


# --- sweeps


def test_a_sweep_is_the_runs_that_differ_in_one_setting(tmp_path):
    settings = {
        "meta_cskt_corrected": {"MINING": {"T_NEG": 0.2, "T_POS": 0.05}},
        "neg_5": {"MINING": {"T_NEG": 0.5, "T_POS": 0.05}},
        "neg_1": {"MINING": {"T_NEG": 0.1, "T_POS": 0.05}, "THREADS": 2},
        "pos_1": {"MINING": {"T_NEG": 0.2, "T_POS": 0.01}},
        "both": {"MINING": {"T_NEG": 0.5, "T_POS": 0.01}},
        "same": {"MINING": {"T_NEG": 0.2, "T_POS": 0.05}},
    }
    for seed in (0, 1):
        for run, config in settings.items():
            write_run(tmp_path, run, [0.1] * 4, seed, config)
    assert paper.runs_along(tmp_path, "MINING.T_NEG") == {"neg_1": 0.1, "meta_cskt_corrected": 0.2, "neg_5": 0.5}
    assert list(paper.runs_along(tmp_path, "MINING.T_NEG")) == ["neg_1", "meta_cskt_corrected", "neg_5"]
    assert paper.runs_along(tmp_path, "MINING.T_POS") == {"pos_1": 0.01, "meta_cskt_corrected": 0.05}
