"""The README's tables are what docs/results/ says."""

import json
import re
import shutil

import pandas as pd
import pytest

from cskt.config import PROJECT
from cskt.errors import DataError
from cskt.report import (
    beside_table,
    budget_table,
    fill,
    label_table,
    matrix_table,
    precision_table,
    publish,
    results_table,
    selection_against_table,
    selection_table,
    sweeps_table,
)

RESULTS = pd.DataFrame(
    [
        {"run": "few_shot", "group": "known", "landmarks": "all", "images": 9, "seeds": 3, "nme": 0.125,
         "nme_low": 0.12, "nme_high": 0.13, "nme_sd": 0.001, "nme_macro": 0.12, "fr08": 0.5, "fr10": 0.25,
         "auc20": 0.4, "reduction": float("nan"), "reduction_low": float("nan"), "reduction_high": float("nan"),
         "p_value": float("nan"), "p_seeds": float("nan"), "ratio": 1.5},
        {"run": "meta_cskt_corrected", "group": "known", "landmarks": "all", "images": 9, "seeds": 3, "nme": 0.1,
         "nme_low": 0.09, "nme_high": 0.11, "nme_sd": 0.002, "nme_macro": 0.1, "fr08": 0.4, "fr10": 0.2,
         "auc20": 0.5, "reduction": 0.2, "reduction_low": 0.15, "reduction_high": 0.25, "p_value": 0.001,
         "p_seeds": 0.034, "ratio": 1.2},
        {"run": "few_shot", "group": "unknown", "landmarks": "all", "images": 9, "seeds": 3, "nme": 0.9,
         "nme_low": 0.8, "nme_high": 1.0, "nme_sd": 0.1, "nme_macro": 0.9, "fr08": 1.0, "fr10": 1.0, "auc20": 0.0,
         "ratio": 2.0},
    ]
)  # fmt: skip


def test_a_table_holds_one_group_in_percent():
    lines = results_table(RESULTS, "known").splitlines()[2:]
    assert lines == [
        "| few-shot only | 3 | 12.50 (12.00 to 13.00) | ± 0.10 | 50.0 | 25.0 | 0.400 |  | 1.50 |",
        "| Meta-CSKT, corrected | 3 | 10.00 (9.00 to 11.00) | ± 0.20 | 40.0 | 20.0 | 0.500 "
        "| 20.0 % (15.0 to 25.0), p = 0.001; over seeds 0.034 | 1.20 |",
    ]


def test_only_what_stands_between_the_marks_is_renewed(tmp_path):
    RESULTS.to_csv(tmp_path / "toy.csv", index=False)
    page = "before\n<!-- results toy known all -->\nold\n<!-- end -->\nafter\n"
    renewed = fill(page, tmp_path)
    assert "old" not in renewed and renewed.startswith("before\n") and renewed.endswith("<!-- end -->\nafter\n")
    assert results_table(RESULTS, "known") in renewed
    assert fill(renewed, tmp_path) == renewed


MATRIX = pd.DataFrame(
    [("cat", "cat", 0.21, "helps"), ("cat", "cow", -0.011, "harms"), ("cow", "cat", 0.004, "unclear"),
     ("cow", "cow", 0.09, "helps")], columns=["tested", "tuned", "gain", "verdict"],
).assign(landmarks="shared")  # fmt: skip


def test_a_matrix_is_in_points_with_what_is_unclear_in_brackets():
    other = MATRIX.assign(landmarks="all", gain=0.5)
    assert matrix_table(pd.concat([MATRIX, other])).splitlines() == [
        "| tested on | cat | cow |", "|---|---|---|", "| cat | +21.0 | -1.1 |", "| cow | (+0.4) | +9.0 |"
    ]  # fmt: skip


NUMBERS = ["nme", "nme_low", "nme_high", "difference", "difference_low", "difference_high", "p_value", "p_seeds"]
COMPARED = pd.DataFrame(
    [("ls", None, 3, 0.08, 0.07, 0.09, *[None] * 5),
     ("ls_lu", "ls", 3, 0.07, 0.06, 0.08, -0.01, -0.015, -0.005, 0.001, 0.2),
     ("ls_lu_lf", "ls_lu", *[None] * 9),
     ("ls_lu_lf_negatives", "ls_lu_lf", 1, 0.06, 0.05, 0.07, *[None] * 5)],
    columns=["run", "reference", "seeds", *NUMBERS],
).assign(group="known")  # fmt: skip


def test_an_ablation_has_each_row_against_the_one_before_and_no_row_that_did_not_run(tmp_path):
    pd.concat([COMPARED, COMPARED.assign(group="unknown", nme=0.5)]).to_csv(tmp_path / "toy_ablation.csv", index=False)
    page = fill("<!-- ablation toy known -->\n<!-- end -->", tmp_path)
    assert page.splitlines()[3:-1] == [
        "| L_s: labels alone | 3 | 8.00 (7.00 to 9.00) |  |  |",
        "| + L_u: student imitates teacher | 3 | 7.00 (6.00 to 8.00) | -1.00 (-1.50 to -0.50), "
        "p = 0.001; over seeds 0.2 | L_s: labels alone |",
        "| + hard negatives excluded | 1 | 6.00 (5.00 to 7.00) |  |  |",
    ]


def finished(folder, run, seed, nme, **tables):
    folder.mkdir(parents=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    summary = {"setting": "toy", "run": run, "seed": seed, "commit": "c", "dirty": False, "seconds": 1.0, "nme": nme}
    (folder / "summary.json").write_text(json.dumps(summary))


HELD_OUT = pd.DataFrame(
    [("intra", "cow", 0, 54, 0.06, 0.05, 0.01, 0.005, 0.02), ("inter", "Canidae", 10, 9, 0.1, 0.06, 0.04, 0.03, 0.05)],
    columns=["protocol", "name", "shots", "images", "nme", "seen", "excess", "excess_low", "excess_high"],
)


def test_what_was_held_out_has_a_table(tmp_path):
    finished(tmp_path / "outputs" / "toy" / "neighbours", "neighbours", 0, 0.1, held_out=HELD_OUT)
    docs = tmp_path / "docs" / "results"
    docs.mkdir(parents=True)
    (tmp_path / "README.md").write_text("<!-- generalization toy -->\n<!-- end -->\n")
    publish("toy", tmp_path / "outputs", tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(docs / "toy_generalization.csv"), HELD_OUT)
    assert (tmp_path / "README.md").read_text().splitlines()[3:-1] == [
        "| cow | others of its family too | 0 | 54 | 6.00 | 5.00 | +1.00 (0.50 to 2.00) |",
        "| Canidae | other families | 10 | 9 | 10.00 | 6.00 | +4.00 (3.00 to 5.00) |",
    ]


def test_pseudo_labels_and_discovered_points_have_tables():
    errors = pd.DataFrame([("kp_conf", 50, 0.07), ("kp_conf", 50, 0.05), ("kp_conf", 200, 0.08), ("all", 1560, 0.09)],
                          columns=["criterion", "budget", "nme"])  # fmt: skip
    assert selection_table(errors).splitlines() == [
        "| pseudo-labels chosen by | 50 | 200 | 1,560 |", "|---|---|---|---|",
        "| KP-Conf | 6.00 | 8.00 |  |", "| all 1,560 |  |  | 9.00 |",
    ]  # fmt: skip
    against = pd.DataFrame(
        [("mining", 50, None, None, None), ("kp_conf", 50, -0.01, -0.02, 0.01), ("all", 1560, 0.02, 0.01, 0.03)],
        columns=["criterion", "budget", "difference", "difference_low", "difference_high"],
    )
    assert selection_against_table(against).splitlines() == [
        "| pseudo-labels chosen by | 50 | 1,560 |", "|---|---|---|",
        "| KP-Conf | -1.00 (-2.00 to 1.00) |  |", "| all 1,560 |  | +2.00 (1.00 to 3.00) |",
    ]  # fmt: skip
    budgets = pd.DataFrame([("animals", 1, 0.2, 0.4), ("animals", 1, 0.3, 0.6), ("animals", 40, 0.1, 0.2),
                            ("people", 1, 0.9, 0.9)], columns=["faces", "labels", "forward", "backward"])  # fmt: skip
    assert label_table(budgets, "animals").splitlines()[2:] == [
        "| 1 | 25.0 (20.0 to 30.0) | 50.0 (40.0 to 60.0) |", "| 40 | 10.0 | 20.0 |"
    ]  # fmt: skip
    beside = pd.DataFrame({"way": ["few_shot", "few_shot"], "labels": [40, 40], "nme": [0.1, 0.2]})
    assert beside_table(beside).splitlines()[2:] == ["| few-shot only | 40 | 15.00 |"]


def test_whole_animals_have_a_table_of_ap_over_all_categories():
    tables = pd.DataFrame(
        {"model": ["few_shot", "few_shot"], "category": ["all", "cat"], "instances": [120, 9], "ap": [0.5, 0.9],
         "ap_low": [0.4, None], "ap_high": [0.6, None], "ap50": [0.8, 1.0], "ap75": [0.55, 1.0], "ar": [0.6, 1.0]}
    )  # fmt: skip
    assert precision_table(tables).splitlines()[2:] == [
        "| few-shot only | 120 | 50.0 (40.0 to 60.0) | 80.0 | 55.0 | 60.0 |"
    ]


def test_what_is_finished_is_published_and_earlier_runs_keep_their_rows(tmp_path):
    outputs, docs = tmp_path / "outputs", tmp_path / "docs" / "results"
    docs.mkdir(parents=True)
    (tmp_path / "README.md").write_text("<!-- matrix toy shared -->\nold\n<!-- end -->\n")
    (tmp_path / "docs" / "better.md").write_text("<!-- ablation toy known -->\n<!-- end -->\n")
    (tmp_path / "docs" / "other.md").write_text("of no tables\n")
    finished(outputs / "toy" / "few_shot" / "seed0", "few_shot", 0, 0.3)
    with pytest.raises(DataError, match="no finished run of evaluate, species_confusion"):
        publish("toy", outputs, tmp_path)
    earlier = pd.DataFrame({"setting": "toy", "run": ["few_shot", "supervised"], "seed": 0, "nme": [0.5, 0.1]})
    earlier.to_csv(docs / "toy_runs.csv", index=False)
    finished(outputs / "toy" / "species_confusion", "species_confusion", 0, 0.2, matrix=MATRIX, group_errors=MATRIX)
    gaps = COMPARED.assign(nme=None)
    finished(outputs / "toy" / "ablation", "ablation", 0, 0.4, ladder=COMPARED, components=gaps, improved=gaps)
    written = publish("toy", outputs, tmp_path)
    assert {path.name for path in written} == {
        "toy_species_confusion_matrix.csv", "toy_species_confusion_errors.csv", "toy_ablation.csv",
        "toy_runs.csv", "README.md", "better.md"
    }  # fmt: skip
    runs = pd.read_csv(docs / "toy_runs.csv").set_index("run")["nme"]
    assert runs.to_dict() == {"few_shot": 0.3, "species_confusion": 0.2, "supervised": 0.1, "ablation": 0.4}
    assert matrix_table(MATRIX) in (tmp_path / "README.md").read_text()
    assert "| L_s: labels alone | 3 | 8.00" in (tmp_path / "docs" / "better.md").read_text()


def test_what_a_feedback_changes_is_published_beside_the_run_without(tmp_path):
    docs = tmp_path / "docs" / "results"
    docs.mkdir(parents=True)
    (tmp_path / "README.md").write_text("<!-- feedback toy all -->\n<!-- end -->\n")
    errors = {"few_shot": 0.05, "horse_published_detached": 0.07, "horse_published_raw": 0.5}
    for run, error in errors.items():
        scores = pd.DataFrame({"image": ["a", "b"], "nme": [error, error + 0.01], "group": "known", "species": "horse"})
        finished(tmp_path / "outputs" / "toy" / run / "seed0", run, 0, error, scores=scores)
    publish("toy", tmp_path / "outputs", tmp_path)
    table = pd.read_csv(docs / "toy_feedback.csv").set_index("run")
    assert list(table.index) == list(errors)
    assert table["difference"].dropna().to_dict() == {"horse_published_raw": pytest.approx(0.43)}
    assert "| published, raw feedback | 1 | 50.50" in (tmp_path / "README.md").read_text()


def test_a_start_without_the_human_model_is_published_beside_the_one_with_it(tmp_path):
    docs = tmp_path / "docs" / "results"
    docs.mkdir(parents=True)
    (tmp_path / "README.md").write_text("<!-- start toy known -->\n<!-- end -->\n")
    for run, error in {"few_shot": 0.05, "few_shot_without_human": 0.04, "supervised": 0.01}.items():
        scores = pd.DataFrame({"image": ["a", "b"], "nme": [error, error + 0.01], "group": "known", "species": "horse"})
        finished(tmp_path / "outputs" / "toy" / run / "seed0", run, 0, error, scores=scores)
    publish("toy", tmp_path / "outputs", tmp_path)
    table = pd.read_csv(docs / "toy_start.csv").set_index(["run", "group"])
    assert set(table.index) == {("few_shot_without_human", "known"), ("few_shot_without_human", "all")}
    assert table["difference"].to_list() == 2 * [pytest.approx(-0.01)]
    assert "| few-shot only, without the human model | 1 | 4.50" in (tmp_path / "README.md").read_text()


def test_errors_of_images_are_published_and_grow_from_machine_to_machine(tmp_path):
    outputs, docs = tmp_path / "outputs", tmp_path / "docs" / "results"
    docs.mkdir(parents=True)
    (tmp_path / "README.md").touch()
    scores = pd.DataFrame({"image": ["b", "a"], "nme": [0.1234567, None], "group": "known"})
    finished(outputs / "toy" / "ablation", "ablation", 0, 0.4, ladder=COMPARED)
    for run, seed in (("few_shot", 0), ("few_shot", 1), ("ls", 0)):
        home = outputs / "toy" / run / f"seed{seed}"
        finished(home, run, seed, 0.1, scores=scores.assign(nme=scores["nme"] * (seed + 1)))
    publish("toy", outputs, tmp_path)
    for run in ("few_shot", "ls"):
        shutil.rmtree(outputs / "toy" / run)
    finished(outputs / "toy" / "ls" / "seed0", "ls", 0, 0.1, scores=scores.assign(nme=0.5))
    assert docs / "toy_errors.csv" in publish("toy", outputs, tmp_path)
    told = (docs / "toy_errors.csv").read_text().splitlines()
    assert told == ["image,few_shot seed0,few_shot seed1,ls seed0", "a,,,0.5", "b,0.123457,0.246913,0.5"]
    shutil.rmtree(outputs / "toy" / "ls")
    finished(outputs / "toy" / "ls" / "seed0", "ls", 0, 0.1, scores=scores.assign(image=["b", "c"]))
    with pytest.raises(DataError, match="the test images are others"):
        publish("toy", outputs, tmp_path)


def test_a_setting_without_results_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv.*cskt report nothing"):
        fill("<!-- results nothing known all -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/findings.md", "docs/improved.md", "docs/neighbours.md"])
def test_our_pages_show_the_results_that_are_committed(page):
    page = (PROJECT / page).read_text(encoding="utf-8")
    assert re.search("<!-- (results|improved|generalization) ", page)
    assert fill(page, PROJECT / "docs" / "results") == page


def test_sweeps_and_label_budgets_have_tables():
    sweeps = pd.DataFrame(
        [("T_neg", "own", "own", 0.2, 0.06, 0, 0, 0), ("T_neg", "low", "own", 0.1, 0.05, -0.01, -0.02, 0.0),
         ("T_neg", "gap", "own", 0.3, None, None, None, None)],
        columns=["threshold", "run", "reference", "value", "nme", "difference", "difference_low", "difference_high"],
    ).assign(group="known", seeds=1, p_value=0.04, p_seeds=None, nme_low=0.04, nme_high=0.07)  # fmt: skip
    assert sweeps_table(sweeps, "known").splitlines()[2:] == [
        "| T_neg | 0.1 | 1 | 5.00 (4.00 to 7.00) | -1.00 (-2.00 to 0.00), p = 0.04 |",
        "| T_neg | 0.2 | 1 | 6.00 (4.00 to 7.00) |  |",
    ]
    budgets = pd.DataFrame(
        [("Meta-CSKT", 40.0, 0.06), ("all", 10.0, 0.1), ("all", 40.0, 0.09), ("easy", 40.0, 0.12)],
        columns=["kind", "labels", "nme"],
    ).assign(nme_low=0.05, nme_high=0.2)
    assert budget_table(budgets).splitlines() == [
        "| labels | 10 | 40 |", "|---|---|---|", "| few-shot, easy species |  | 12.00 (5.00 to 20.00) |",
        "| few-shot, all species | 10.00 (5.00 to 20.00) | 9.00 (5.00 to 20.00) |",
        "| Meta-CSKT, all species |  | 6.00 (5.00 to 20.00) |",
    ]  # fmt: skip
