"""What the supplement's figures show, from made-up runs."""

import json

import numpy as np
import pandas as pd
import pytest
from test_paper import write_run

from cskt import config, supplement
from cskt.paper import Place

HUMAN = [0.01, 0.04, 0.04, 0.3]
FLIP = [0.1, 0.1, 0.3, 0.45]


def write_mining(folder, seed=0, t_pos=0.05, t_neg=0.2):
    home = folder / "mining" / f"seed{seed}"
    home.mkdir(parents=True)
    table = pd.DataFrame({"image": list("abcd"), "family": ["Felidae", "Felidae", "Felidae", "Phocidae"],
                          "human_disagreement": HUMAN, "flip_disagreement": FLIP})  # fmt: skip
    table.to_csv(home / "mining.csv", index=False)
    (home / "config.yaml").write_text(json.dumps({"MINING": {"T_POS": t_pos, "T_NEG": t_neg}}))
    (home / "summary.json").write_text(json.dumps({"run": "mining", "seed": seed}))


def test_a_sweep_is_the_runs_that_differ_in_one_setting(tmp_path):
    settings = {
        "meta_cskt_corrected": {"MINING": {"T_NEG": 0.2, "T_POS": 0.05}},
        "neg_5": {"MINING": {"T_NEG": 0.5, "T_POS": 0.05}},
        # made by a later version, which writes down an option that the others do not know and another notebook's steps
        "neg_1": {
            "MINING": {"T_NEG": 0.1, "T_POS": 0.05},
            "THREADS": 2,
            "DETERMINISTIC": False,
            "METHOD": {"DISTILL": 0.0},
            "SELECTION": {"STEPS": 7},
        },
        "pos_1": {"MINING": {"T_NEG": 0.2, "T_POS": 0.01}},
        "both": {"MINING": {"T_NEG": 0.5, "T_POS": 0.01}},
        "same": {"MINING": {"T_NEG": 0.2, "T_POS": 0.05}},
    }
    assert supplement.runs_along(tmp_path, "MINING.T_NEG") == {}
    for seed in (0, 1):
        for run, own in settings.items():
            write_run(tmp_path, run, [0.1] * 4, seed, own)
    found = supplement.runs_along(tmp_path, "MINING.T_NEG")
    assert list(found.items()) == [("neg_1", 0.1), ("meta_cskt_corrected", 0.2), ("neg_5", 0.5)]
    assert supplement.runs_along(tmp_path, "MINING.T_POS") == {"pos_1": 0.01, "meta_cskt_corrected": 0.05}


def test_a_sweep_compares_the_seeds_that_all_its_runs_have_and_counts_their_images(tmp_path):
    base = {"T_NEG": 0.2, "T_POS": 0.05}
    write_run(tmp_path, "meta_cskt_corrected", [0.1, 0.1, 0.2, 0.2], 0, {"MINING": base})
    write_run(tmp_path, "meta_cskt_corrected", [0.9, 0.9, 0.9, 0.9], 1, {"MINING": base})
    write_run(tmp_path, "neg_4", [0.3, 0.3, 0.4, 0.4], 0, {"MINING": base | {"T_NEG": 0.4}})
    write_mining(tmp_path)
    places = {group: Place(tmp_path, group) for group in ("known", "unknown")}
    found = supplement.sweep(places, "MINING.T_NEG", "hard_negative")
    assert found[["group", "value"]].to_numpy().tolist() == [
        ["known", 0.2], ["known", 0.4], ["unknown", 0.2], ["unknown", 0.4],
    ]  # fmt: skip
    assert found["nme"].tolist() == pytest.approx([0.1, 0.3, 0.2, 0.4])
    assert found["images"].tolist() == [2, 1, 2, 1]
    assert set(found["of"]) == {4}
    assert supplement.sweep(places, "MINING.T_POS", "positive").empty


def test_shares_of_families_follow_the_threshold(tmp_path):
    assert supplement.family_shares(tmp_path, "MINING.T_NEG", "hard_negative", [0.2]).empty
    for seed in (0, 1):
        write_mining(tmp_path, seed)
    negatives = supplement.family_shares(tmp_path, "MINING.T_NEG", "hard_negative", [0.5, 0.4, 0.2])
    assert negatives.index.tolist() == ["Felidae", "Phocidae"]
    assert negatives.to_numpy() == pytest.approx(np.array([[0, 0, 1 / 3], [0, 1, 1]]))
    # a hard negative is never positive, however well human and animal model agree
    positives = supplement.family_shares(tmp_path, "MINING.T_POS", "positive", [0.02, 0.05])
    assert positives.to_numpy() == pytest.approx(np.array([[1 / 3, 2 / 3], [0, 0]]))


def test_label_budgets_are_in_the_order_of_the_paper(tmp_path):
    assert supplement.label_budget(tmp_path).empty
    for run, error in (
        ("few_shot_hard_10", 0.4),
        ("few_shot_easy_80", 0.1),
        ("few_shot_easy_10", 0.2),
        ("few_shot", 9),
    ):
        write_run(tmp_path, run, [error] * 4)
    found = supplement.label_budget(tmp_path)
    assert found[["difficulty", "labels", "nme"]].to_numpy().tolist() == [
        ["easy", 10, 0.2], ["easy", 80, 0.1], ["hard", 10, 0.4],
    ]  # fmt: skip


def test_faces_are_chosen_by_their_place_in_the_order_of_errors(tmp_path):
    place = Place(tmp_path, "all")
    assert supplement.spread(place) == []
    write_run(tmp_path, "few_shot", [0.3, 0.1, 0.2, 0.4])
    # from the middle (place 1.5 of 0 to 3) to the worst
    assert supplement.spread(place, count=2) == ["cat_1", "seal_2"]


def test_one_table_of_the_first_seed_is_taken(tmp_path):
    assert supplement.first_seed(tmp_path, "few_shot", "scores") is None
    write_run(tmp_path, "few_shot", [0.1] * 4, seed=0, done=False)
    write_run(tmp_path, "few_shot", [0.2] * 4, seed=1)
    assert supplement.first_seed(tmp_path, "few_shot", "scores")["nme"].tolist() == [0.2] * 4
    assert supplement.first_seed(tmp_path, "few_shot", "predictions") is None


def test_a_setting_is_found_by_its_runs(tmp_path):
    write_run(tmp_path, "few_shot", [0.1] * 4)
    config.dump(config.load("params/zoo.yaml", {"INPUT.SIZE": 48}), tmp_path / "few_shot" / "seed0" / "config.yaml")
    assert supplement.setting_of(tmp_path).cfg.INPUT.SIZE == 48
