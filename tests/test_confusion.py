"""Who helps whom: draws, gains and marks worked by hand, clusters of a matrix made of blocks."""

import numpy as np
import pandas as pd
import pytest

from cskt import confusion, metrics
from cskt.data.table import Annotations, with_landmarks
from cskt.errors import ConfigError, DataError
from cskt.landmarks import SCHEMES, Scheme, shared_landmarks

TWO = Scheme("two", ("left", "right"))
NO_PROBLEMS = pd.DataFrame(columns=["image", "file", "line", "problem", "action"])


def faces(species, scheme=TWO, landmarks=None):
    """Annotations of faces in boxes of 100 x 100 pixels, named cat0, cat1, cow0, ..."""
    count = pd.Series(species).groupby(species).cumcount()
    table = pd.DataFrame({"image": [f"{name}{k}" for name, k in zip(species, count, strict=True)], "species": species})
    table[["x", "y", "w", "h"]] = 0.0, 0.0, 100.0, 100.0
    if landmarks is None:
        landmarks = np.ones((len(species), len(scheme.landmarks), 2))
    table["family"] = "any"
    return Annotations(with_landmarks(table, scheme, np.asarray(landmarks, float)), scheme, NO_PROBLEMS)


def long_scores(errors):
    """A long table of (model, draw) -> errors of images whose first letter is their group."""
    rows = [
        {"model": model, "draw": draw, "image": image, "tested": image[0], "nme": error}
        for (model, draw), own in errors.items()
        for image, error in own.items()
    ]
    return pd.DataFrame(rows)


def cells_of(shares, gains=None, verdict="helps"):
    """A table like that of `matrix`, from a square of shares (a DataFrame)."""
    rows = shares.rename_axis("tested").melt(ignore_index=False, var_name="tuned", value_name="share").reset_index()
    return rows.assign(gain=rows["share"] if gains is None else gains, verdict=verdict, gain_sd=0.01, images=9, draws=3)


# --- draws ------------------------------------------------------------------------------------------------------------


def test_groups_with_too_few_annotated_faces_are_left_out_by_name():
    landmarks = np.ones((9, 2, 2))
    landmarks[8] = np.nan
    some = faces(["cat"] * 4 + ["cow"] * 3 + ["dog"] * 2, landmarks=landmarks)
    sizes, left_out = confusion.group_sizes(some, "species", 3)
    assert (dict(sizes), dict(left_out)) == ({"cat": 4, "cow": 3}, {"dog": 1})
    with pytest.raises(DataError, match="'cow': 3"):
        confusion.group_sizes(some, "species", 4)


def test_a_draw_is_of_its_group_and_the_same_whatever_other_groups_there_are():
    some = faces(["cat"] * 9 + ["cow"] * 9 + ["dog"] * 30)
    draws = confusion.draw_images(some, "species", ["cat", "cow"], 4, 2, seed=0)
    counts = draws.groupby(["model", "draw"])["image"].nunique()
    assert counts.to_dict() == {(model, k): 4 for model in ("cat", "cow", "random") for k in (0, 1)}
    assert draws.loc[draws["model"] == "cow", "image"].str.startswith("cow").all()
    # of all animals, not of those groups that are large enough
    assert draws.loc[draws["model"] == "random", "image"].str.startswith("dog").any()
    cats = draws.loc[draws["model"] == "cat", "image"].tolist()
    assert set(cats[:4]) != set(cats[4:])

    alone = confusion.draw_images(faces(["cat"] * 9), "species", ["cat"], 4, 3, seed=0)
    assert alone.loc[(alone["model"] == "cat") & (alone["draw"] < 2), "image"].tolist() == cats
    other = confusion.draw_images(some, "species", ["cat"], 4, 2, seed=1)
    assert other.loc[other["model"] == "cat", "image"].tolist() != cats


def test_a_face_without_landmarks_is_not_drawn_and_two_others_must_be_left():
    landmarks = np.ones((6, 2, 2))
    landmarks[[1, 4]] = np.nan
    some = faces(["cat"] * 6, landmarks=landmarks)
    drawn = confusion.draw_images(some, "species", ["cat"], 2, 20, seed=0)["image"]
    assert set(drawn) == {"cat0", "cat2", "cat3", "cat5"}
    with pytest.raises(ConfigError, match=r"cat has 4 images: 3 cannot be drawn"):
        confusion.draw_images(some, "species", ["cat"], 3, 1, seed=0)


def test_only_a_models_own_draw_is_left_out_of_its_scores():
    scores = long_scores({(model, k): {"a1": 0.1, "a2": 0.2} for model in ("a", "b") for k in (0, 1)})
    draws = pd.DataFrame([("a", 0, "a1"), ("a", 1, "a2")], columns=["model", "draw", "image"])
    left = confusion.leave_out_drawn(scores, draws)
    assert set(zip(left["model"], left["draw"], left["image"], strict=True)) == {
        *(("a", 0, "a2"), ("a", 1, "a1")),
        *(("b", k, image) for k in (0, 1) for image in ("a1", "a2")),
    }


# --- errors -----------------------------------------------------------------------------------------------------------

PEOPLE, ANIMALS = SCHEMES["animalweb9"], SCHEMES["animalpose5"]
SHARED = shared_landmarks(PEOPLE, ANIMALS)
# left_eye, right_eye, nose, left_ear, right_ear: the animal's left is on the image's right
FACE = np.array([[70, 30], [30, 30], [50, 60], [90, 0], [10, 0]], float)


def test_a_model_is_scored_on_the_shared_landmarks_and_on_all():
    found = FACE.copy()
    found[3] += 50, 0  # an ear half a box off
    truth = faces(["cat", "cow"], ANIMALS, [FACE, FACE])
    errors = confusion.image_errors(faces(["cat", "cow"], ANIMALS, [FACE, found]).table, truth, SHARED, "species")
    assert errors.to_dict("list") == {
        "image": ["cat0", "cow0"],
        "tested": ["cat", "cow"],
        "shared": [0.0, 0.0],
        "all": [0.0, pytest.approx(0.5 / 5)],
    }


def test_what_the_human_model_does_not_know_stands_at_its_mean_place_in_the_box():
    truth = faces(["cat"], ANIMALS, [FACE])
    # the labeled faces' ears are at a mean 10 pixels below those of the tested face, all else 20 pixels right of it
    few = np.stack([FACE, FACE])
    few[1, 3:, 1] += 20
    few[:, :3, 0] += 20
    corners = [[25, 30], [35, 30], [65, 30], [75, 30]]
    zero_shot = faces(["cat"], PEOPLE, [[*corners, [50, 65], *[[0, 0]] * 4]]).table
    errors = confusion.reference_errors(zero_shot, PEOPLE, truth, faces(["a", "b"], ANIMALS, few), SHARED, "species")
    human, shape = errors.to_dict("records")
    assert (human["model"], human["draw"], shape["model"], human["tested"]) == ("human_model", 0, "mean_shape", "cat")
    assert human["shared"] == pytest.approx(0.05 / 3)  # the nose
    assert human["all"] == pytest.approx((0.05 + 2 * 0.1) / 5)
    assert shape["shared"] == pytest.approx(0.2)
    assert shape["all"] == pytest.approx((3 * 0.2 + 2 * 0.1) / 5)


def test_where_people_have_all_landmarks_both_versions_are_one():
    rng = np.random.default_rng(0)
    truth = faces(["cat", "cow"], PEOPLE, rng.uniform(0, 100, (2, 9, 2)))
    zero_shot = faces(["cat", "cow"], PEOPLE, rng.uniform(0, 100, (2, 9, 2))).table
    errors = confusion.reference_errors(zero_shot, PEOPLE, truth, truth, shared_landmarks(PEOPLE, PEOPLE), "species")
    assert errors["shared"].tolist() == pytest.approx(errors["all"].tolist())


# --- the matrix -------------------------------------------------------------------------------------------------------

A, B = ("a1", "a2", "a3", "a4"), ("b1", "b2")
SCORES = long_scores(
    {
        ("human_model", 0): dict.fromkeys(A, 0.10) | dict.fromkeys(B, 0.30),
        # a's own models: 0.08 lower in one draw, 0.06 in the other; b loses
        ("a", 0): dict.fromkeys(A[:2], 0.02) | dict(zip(B, (0.39, 0.41), strict=True)),
        ("a", 1): dict.fromkeys(A[2:], 0.04) | dict(zip(B, (0.39, 0.41), strict=True)),
        # b's: a gains in one draw what it loses in the other
        ("b", 0): dict.fromkeys(A, 0.07) | dict.fromkeys(B, 0.10),
        ("b", 1): dict.fromkeys(A, 0.13) | dict.fromkeys(B, 0.10),
        ("random", 0): dict.fromkeys((*A, *B), 0.05),
        ("random", 1): dict.fromkeys((*A, *B), 0.07),
    }
)


def test_gains_are_means_over_draws_of_means_over_images():
    cells = confusion.matrix(SCORES).set_index(["tested", "tuned"])
    assert list(cells.index) == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert cells["gain"].tolist() == pytest.approx([0.07, 0.0, -0.10, 0.20])
    assert cells["share"].tolist() == pytest.approx([0.7, 0.0, -1 / 3, 2 / 3])
    assert cells["gain_sd"].tolist() == pytest.approx([0.02 / 2**0.5, 0.06 / 2**0.5, 0.0, 0.0], abs=1e-12)
    # two of a's images are tested in each of its own draws, other ones
    assert cells["images"].tolist() == [4, 4, 2, 2]
    assert cells["draws"].tolist() == [2, 2, 2, 2]


def test_a_cell_is_sure_where_its_interval_does_not_cover_zero():
    cells = confusion.matrix(SCORES).set_index(["tested", "tuned"])
    assert cells["verdict"].to_dict() == {
        ("a", "a"): "helps",
        # a mean of 0
        ("a", "b"): "unclear",
        # two images, which lose 0.09 and 0.11: Student's t of one degree of freedom reaches 12.7 times 0.01
        ("b", "a"): "unclear",
        ("b", "b"): "helps",
    }
    low, high = metrics.crossed_interval(np.array([[-0.09, -0.09], [-0.11, -0.11]]))
    assert cells.loc[("b", "a"), ["gain_low", "gain_high"]].tolist() == pytest.approx([low, high])
    assert low < -0.2 < 0 < high
    surer = SCORES.assign(nme=np.where(SCORES["nme"] > 0.3, 0.4, SCORES["nme"]))
    assert confusion.matrix(surer).set_index(["tested", "tuned"]).loc[("b", "a"), "verdict"] == "harms"


def test_an_image_without_annotation_counts_nowhere():
    more = long_scores({(model, k): {"b3": np.nan} for model, k in SCORES.groupby(["model", "draw"]).groups})
    cells = confusion.matrix(pd.concat([SCORES, more]))
    pd.testing.assert_frame_equal(cells, confusion.matrix(SCORES))
    errors = confusion.group_errors(pd.concat([SCORES, more]), ("human_model", "random"))
    pd.testing.assert_frame_equal(errors, confusion.group_errors(SCORES, ("human_model", "random")))


def test_a_single_draw_has_no_spread():
    cells = confusion.matrix(SCORES[SCORES["draw"] == 0])
    assert cells["gain_sd"].isna().all()
    assert cells["draws"].tolist() == [1] * 4


def test_a_group_with_nothing_left_to_test_is_told_by_name():
    with pytest.raises(DataError, match="too few images of a to test a model on that is fine-tuned on a"):
        confusion.matrix(SCORES[~((SCORES["model"] == "a") & (SCORES["image"] == "a1"))])
    with pytest.raises(DataError, match="fine-tuned on b"):
        confusion.matrix(SCORES[SCORES["model"] != "b"])


def test_errors_by_group_follow_the_human_model_and_have_the_range_of_the_draws():
    worse = SCORES.assign(tested=SCORES["tested"].replace({"a": "z"}))
    errors = confusion.group_errors(worse, ("human_model", "random")).set_index(["model", "tested"])
    assert list(errors.index) == [(m, t) for m in ("human_model", "random") for t in ("z", "b")]
    assert errors["nme"].tolist() == pytest.approx([0.1, 0.3, 0.06, 0.06])
    assert errors.loc["random", "lowest"].tolist() == pytest.approx([0.05, 0.05])
    assert errors.loc["random", "highest"].tolist() == pytest.approx([0.07, 0.07])
    assert errors["draws"].tolist() == [1, 1, 2, 2]


def test_the_papers_five_families_are_chosen_where_they_are():
    families = ["Cebidae", "Felidae", "Phocidae", "Bovidae", "Ursidae", "Equidae", "Spheniscidae"]
    assert confusion.five(families) == ["Cebidae", "Phocidae", "Bovidae", "Ursidae", "Spheniscidae"]
    assert confusion.five(families[:4]) == families[:4]


def test_a_square_has_tested_groups_in_rows_in_the_order_asked_for():
    square = confusion.square(confusion.matrix(SCORES), order=["b", "a"])
    assert square.to_numpy() == pytest.approx(np.array([[0.2, -0.1], [0.0, 0.07]]))
    assert list(square.index) == list(square.columns) == ["b", "a"]


# --- who helps whom ---------------------------------------------------------------------------------------------------


def blocks(names="acebdf", within=0.5, between=-0.1):
    """Shares of two blocks, a to c and d to f, in a shuffled order; nobody is equal to anybody."""
    shares = [[within if (x < "d") == (y < "d") else between for y in names] for x in names]
    noise = np.random.default_rng(0).uniform(-0.02, 0.02, (len(names), len(names)))
    return pd.DataFrame(shares + noise, list(names), list(names))


def test_help_is_mutual():
    shares = pd.DataFrame([[0.9, 0.4], [-0.2, 0.8]], list("ab"), list("ab"))
    both = confusion.mutual_help(cells_of(shares))
    assert both.loc["a", "b"] == both.loc["b", "a"] == pytest.approx(0.1)
    assert np.isnan(np.diag(both)).all()


def test_blocks_of_a_matrix_become_clusters_and_stand_together():
    clusters = confusion.cluster(cells_of(blocks()))
    assert {"".join(sorted(clusters.order[:3])), "".join(sorted(clusters.order[3:]))} == {"abc", "def"}
    assert len({clusters.label[name] for name in "abc"}) == len({clusters.label[name] for name in "def"}) == 1
    assert [clusters.label[name] for name in clusters.order] == [1, 1, 1, 2, 2, 2]
    # the last join is at the mean help across the blocks
    across = confusion.mutual_help(cells_of(blocks())).loc[list("abc"), list("def")].to_numpy().mean()
    assert clusters.top - clusters.linkage[-1, 2] == pytest.approx(across)


def test_blocks_that_help_each_other_a_little_are_one_cluster_in_the_same_order():
    clusters = confusion.cluster(cells_of(blocks(between=0.1)))
    assert set(clusters.label.values()) == {1}
    assert {"".join(sorted(clusters.order[:3])), "".join(sorted(clusters.order[3:]))} == {"abc", "def"}


@pytest.mark.parametrize("help", [0.0, -0.3])
def test_who_is_not_helped_stays_alone(help):
    shares = pd.DataFrame([[0.5, help, help], [help, 0.5, help], [help, help, 0.5]], list("abc"), list("abc"))
    clusters = confusion.cluster(cells_of(shares))
    assert sorted(clusters.label.values()) == [1, 2, 3]
    some = shares.copy()
    some.loc["a", "b"] = some.loc["b", "a"] = 0.2
    label = confusion.cluster(cells_of(some)).label
    assert label["a"] == label["b"] != label["c"]


def test_helpers_count_the_others_only_and_only_what_is_sure():
    shares = pd.DataFrame([[0.9, 0.4, 0.1], [0.3, 0.8, -0.2], [-0.1, -0.3, 0.7]], list("abc"), list("abc"))
    cells = cells_of(shares)
    cells["verdict"] = np.where(cells["gain"] > 0.2, "helps", np.where(cells["gain"] < -0.15, "harms", "unclear"))
    table = confusion.helpers(cells, confusion.cluster(cells)).set_index("group")
    assert table.loc["a", ["own_gain", "best_helper", "best_gain"]].tolist() == [0.9, "b", 0.4]
    assert table.loc["c", ["best_helper", "best_gain"]].tolist() == ["a", -0.1]
    counts = table.loc[list("abc"), ["helped_by", "harmed_by", "helps", "harms"]]
    assert counts.to_numpy().tolist() == [[1, 0, 1, 0], [1, 1, 1, 1], [0, 1, 0, 1]]
    assert table["cluster"].to_dict() == confusion.cluster(cells).label


def test_a_matrix_in_few_numbers():
    shares = pd.DataFrame([[0.9, 0.4], [-0.2, 0.7]], list("ab"), list("ab"))
    cells = cells_of(shares).assign(verdict=["helps", "harms", "unclear", "helps"])
    assert confusion.summarize_matrix(cells) == {
        "own_gain": pytest.approx(0.8),
        "other_gain": pytest.approx(0.1),
        "helps": 0,
        "harms": 1,
        "unclear": 1,
    }
