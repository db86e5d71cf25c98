"""Methods side by side: reductions, ratios, intervals, on numbers worked by hand."""

import numpy as np
import pandas as pd
import pytest

from cskt import comparison, metrics
from cskt.data.table import Annotations, with_landmarks
from cskt.errors import DataError
from cskt.landmarks import SCHEMES, Scheme, shared_landmarks

TWO = Scheme("two", ("left", "right"))
NO_PROBLEMS = pd.DataFrame(columns=["image", "file", "line", "problem", "action"])


def faces(landmarks, scheme=TWO, box=(0.0, 0.0, 100.0, 100.0)):
    """Annotations of faces in the same box, named 0.jpg, 1.jpg, ..."""
    landmarks = np.asarray(landmarks, dtype=float)
    table = pd.DataFrame({"image": [f"{k}.jpg" for k in range(len(landmarks))], "species": "cat", "family": "Felidae"})
    table[["x", "y", "w", "h"]] = box
    return Annotations(with_landmarks(table, scheme, landmarks), scheme, NO_PROBLEMS)


def long_scores(errors):
    """A long scores table of (run, seed) -> errors of the images a, b (known) and c, d (unknown)."""
    rows = [
        {"run": run, "seed": seed, "image": image, "species": image, "group": "known" if image in "ab" else "unknown",
         "nme": error}
        for (run, seed), own in errors.items()
        for image, error in zip("abcd", own, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


SCORES = long_scores(
    {
        ("few_shot", 0): [0.10, 0.20, 0.30, 0.50],
        ("few_shot", 1): [0.10, 0.20, 0.50, 0.70],
        ("meta_cskt_corrected", 0): [0.08, 0.16, 0.10, 0.30],
        ("meta_cskt_corrected", 1): [0.08, 0.16, 0.20, 0.40],
        ("supervised", 0): [0.04, 0.08, 0.10, 0.10],
    }
)


def test_the_mean_shape_lies_between_the_faces_it_is_made_of():
    fit = faces([[[20, 50], [70, 50]], [[30, 50], [90, 50]]])
    # the mean shape has x = 0.25 and 0.8 of the box
    test = faces([[[50, 100], [160, 100]], [[50, 100], [180, 100]]], box=(0.0, 0.0, 200.0, 200.0))
    assert comparison.shape_scores(fit, test)["nme"].tolist() == pytest.approx([0.0, 20 / 200 / 2])


def test_the_shared_place_of_an_eye_is_the_mean_of_its_six_points():
    people, animals = SCHEMES["ibug68"], SCHEMES["animalpose5"]
    shared = shared_landmarks(people, animals)
    landmarks = np.zeros((1, 68, 2))
    landmarks[0, 36:42] = [[10, 5], [12, 4], [14, 4], [16, 5], [14, 6], [12, 6]]
    table = faces(landmarks, people).table
    places = comparison.shared_places(table, people, shared.from_a, shared.names)
    assert places.loc[0, ["image_left_eye_x", "image_left_eye_y"]].tolist() == pytest.approx([13.0, 5.0])
    assert not any(name.startswith("jaw") for name in places)
    assert places.loc[0, "x"] == 0.0  # the box stays


def test_human_and_animal_models_are_scored_on_the_same_places():
    people, animals = SCHEMES["animalweb9"], SCHEMES["animalpose5"]
    shared = shared_landmarks(people, animals)
    # left_eye, right_eye, nose, ears: the animal's left eye is on the image's right
    truth = faces([[[70, 30], [30, 30], [50, 60], [90, 0], [10, 0]]], animals)
    corners = [[25, 30], [35, 30], [65, 30], [75, 30]]
    human = faces([[*corners, [50, 60], *[[0, 0]] * 4]], people).table
    assert comparison.shared_scores(human, people, truth, shared)["nme"].tolist() == [0.0]
    # an animal model whose nose is 30 px off and whose ears are anywhere
    animal = faces([[[70, 30], [30, 30], [80, 60], [0, 0], [0, 0]]], animals).table
    assert comparison.shared_scores(animal, animals, truth, shared)["nme"].tolist() == pytest.approx([0.3 / 3])


def test_groups_that_do_not_occur_are_not_summarized():
    scores = pd.DataFrame({"image": list("abc"), "species": ["cat", "cat", "cow"], "nme": [0.1, 0.2, 0.3]})
    numbers = comparison.summarize_groups(comparison.add_group(scores, ["cat", "cow"]))
    assert numbers["known_nme"] == pytest.approx(0.2)
    assert not any(name.startswith("unknown") for name in numbers)
    assert comparison.add_group(scores, ["cat"])["group"].tolist() == ["known", "known", "unknown"]


def test_reduction_and_ratio_are_of_the_mean_over_seeds():
    results = comparison.compare(SCORES).set_index(["run", "group"])
    unknown = results.loc[("meta_cskt_corrected", "unknown")]
    assert unknown["nme"] == pytest.approx(0.25)
    assert unknown["nme_sd"] == pytest.approx(np.std([0.2, 0.3], ddof=1))
    assert (unknown["images"], unknown["seeds"]) == (2, 2)
    assert unknown["reduction"] == pytest.approx(1 - 0.25 / 0.5)
    # by seed: 1 - 0.2 / 0.4 and 1 - 0.3 / 0.6
    assert unknown["reduction_sd"] == pytest.approx(0.0) and np.isnan(unknown["p_seeds"])
    assert np.isnan(results.loc[("supervised", "known"), "p_seeds"])
    assert unknown["ratio"] == pytest.approx(0.25 / 0.1)
    known = results.loc[("meta_cskt_corrected", "known")]
    assert known["reduction"] == pytest.approx(0.2)
    # every image is better, by 0.02 or by 0.04: no resample has another sign
    assert known["reduction_low"] == pytest.approx(0.02 / 0.15)
    assert known["reduction_high"] == pytest.approx(0.04 / 0.15)


def test_failure_rates_are_averaged_over_seeds_not_taken_of_averages():
    scores = long_scores({("few_shot", 0): [0.07, 0.07, 0.07, 0.07], ("few_shot", 1): [0.11, 0.11, 0.11, 0.11]})
    row = comparison.compare(scores).iloc[0]
    assert row["nme"] == pytest.approx(0.09)
    assert row["fr08"] == 0.5


def test_what_has_no_counterpart_is_missing():
    results = comparison.compare(SCORES).set_index(["run", "group"])
    assert results.loc[("few_shot", "all"), ["reduction", "p_value"]].isna().all()
    assert np.isnan(results.loc[("supervised", "all"), "nme_sd"])
    alone = comparison.compare(SCORES[SCORES["run"] == "supervised"])
    assert alone["ratio"].tolist() == [1.0, 1.0, 1.0]


def test_rows_come_in_the_order_of_the_names_and_others_last():
    results = comparison.compare(pd.concat([SCORES.assign(run="mine", seed=0).iloc[:4], SCORES.iloc[::-1]]))
    assert results["run"].unique().tolist() == ["few_shot", "meta_cskt_corrected", "supervised", "mine"]
    assert results["group"].iloc[:3].tolist() == ["all", "known", "unknown"]


def test_runs_that_scored_different_images_are_refused():
    scores = SCORES.drop(index=SCORES.index[-1])
    with pytest.raises(DataError, match=r"run supervised, seed 0 and run few_shot, seed 0 .* different images \('d'\)"):
        comparison.compare(scores)


# --- each run beside another


def test_each_row_of_a_ladder_is_held_against_the_row_above():
    rows = comparison.ladder(SCORES, ["few_shot", "meta_cskt_corrected", "supervised"]).set_index(["run", "group"])
    assert rows.index[:3].tolist() == [("few_shot", "all"), ("few_shot", "known"), ("few_shot", "unknown")]
    first = rows.loc[("few_shot", "unknown")]
    assert first["nme"] == pytest.approx(0.5) and first[["difference", "p_value"]].isna().all()
    second = rows.loc[("meta_cskt_corrected", "unknown")]
    assert second["reference"] == "few_shot"
    assert second["difference"] == pytest.approx(0.25 - 0.5)
    # images c and d, over seeds: 0.15 - 0.4 and 0.35 - 0.6
    assert (second["difference_low"], second["difference_high"]) == pytest.approx((-0.25, -0.25))
    # seeds: 0.2 - 0.4 and 0.3 - 0.6
    assert second["difference_sd"] == pytest.approx(np.std([-0.2, -0.3], ddof=1))
    # one degree of freedom: t = 0.25 / 0.05, whose distribution is Cauchy's
    assert second["p_seeds"] == pytest.approx(1 - 2 / np.pi * np.arctan(5.0))
    # supervised has seed 0 only, and is held against seed 0 of the row above: 0.1 - 0.2
    assert rows.loc[("supervised", "unknown"), "difference"] == pytest.approx(-0.1)
    assert rows.loc[("supervised", "unknown"), ["difference_sd", "p_seeds"]].isna().all()


def test_the_interval_and_the_p_value_of_a_row_are_those_of_the_paired_errors():
    rng = np.random.default_rng(0)
    errors = {"a": rng.gamma(2.0, 0.05, 40), "b": rng.gamma(2.0, 0.05, 40)}
    scores = pd.concat(
        pd.DataFrame({"run": run, "seed": 0, "image": [f"{k:02d}" for k in range(40)], "species": "cat",
                      "group": "known", "nme": own}).sample(frac=1, random_state=k)
        for k, (run, own) in enumerate(errors.items())
    )  # fmt: skip
    row = comparison.against(scores, {"b": "a"}, seed=3).set_index("group").loc["known"]
    assert row["difference"] == pytest.approx((errors["b"] - errors["a"]).mean())
    assert row["p_value"] == metrics.paired_test(errors["b"], errors["a"], 3)
    expected = metrics.paired_interval(errors["b"], errors["a"], 3)
    assert (row["difference_low"], row["difference_high"]) == expected


def test_a_row_that_is_not_there_is_a_gap_and_so_is_what_is_held_against_it():
    rows = comparison.ladder(SCORES, ["few_shot", "missing", "meta_cskt_corrected"])
    assert rows["run"].unique().tolist() == ["few_shot", "missing", "meta_cskt_corrected"]
    rows = rows[rows["group"] == "known"].set_index("run")
    assert rows.loc["missing"].drop(["group", "reference"]).isna().all()
    assert np.isnan(rows.loc["meta_cskt_corrected", "difference"])
    assert rows.loc["meta_cskt_corrected", "nme"] == pytest.approx(0.12)
    nothing = comparison.ladder(SCORES, ["missing", "too"])
    assert nothing["group"].tolist() == ["all", "all"] and nothing["nme"].isna().all()


def test_runs_that_are_not_asked_for_do_not_matter():
    odd = SCORES[SCORES["run"] == "supervised"].iloc[:2]
    scores = pd.concat([SCORES[SCORES["run"] != "supervised"], odd])
    expected = comparison.against(SCORES, {"meta_cskt_corrected": "few_shot"})
    pd.testing.assert_frame_equal(comparison.against(scores, {"meta_cskt_corrected": "few_shot"}), expected)
    # nor do their groups: a run with labels of fewer species has more unknown ones
    known = SCORES[(SCORES["group"] == "known") | (SCORES["run"] == "supervised")]
    assert set(comparison.against(known, {"meta_cskt_corrected": "few_shot"})["group"]) == {"all", "known"}


def test_a_label_budget_has_a_row_for_each_kind_and_number_of_all_images():
    scores = pd.concat([
        long_scores({("few_10", k): [0.1 + 0.2 * k, 0.2 + 0.2 * k, 0.3 + 0.2 * k, 0.4 + 0.2 * k] for k in (0, 1)})
        .assign(kind="easy", labels=10.0),
        long_scores({("few_40", 0): [0.1, 0.1, 0.1, 0.1]}).assign(kind="easy", labels=40.0),
    ])  # fmt: skip
    found = comparison.label_budget(scores).set_index(["kind", "labels"])
    assert found["nme"].to_dict() == pytest.approx({("easy", 10.0): 0.35, ("easy", 40.0): 0.1})
    assert found["seeds"].tolist() == [2, 1]
    assert comparison.label_budget(scores.iloc[:0]).empty
