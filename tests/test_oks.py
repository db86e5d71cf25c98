"""OKS and its AP: worked values, an independent slow reference, and equality with pycocotools."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from pycocotools.cocoeval import COCOeval

from cskt import oks
from cskt.landmarks import SCHEMES

SCHEME = SCHEMES["ap10k17"]
SIGMAS = np.array(oks.SIGMAS["ap10k17"]["ap10k"])
THRESHOLDS = np.arange(0.5, 0.96, 0.05)


def scene(seed=0, pictures=6, categories=("bobcat", "fox", "wolf")):
    """Random instances, several in a picture, some small, and detections from good to hopeless, some in excess."""
    rng = np.random.default_rng(seed)
    truth, true, found, landmarks = [], [], [], []
    for k in range(pictures):
        for _ in range(rng.integers(1, 4)):
            side = rng.uniform(20, 200)
            category = categories[rng.integers(len(categories))]
            points = rng.uniform(0, side, (17, 2)) + rng.uniform(0, 300, 2)
            seen = rng.random(17) < 0.8
            seen[0] = True
            box = np.array([*points.min(axis=0), *np.ptp(points, axis=0)])
            truth.append((f"{k}.jpg", category, 0.6 * side**2, *box))
            true.append(np.where(seen[:, None], points, np.nan))
            for _ in range(rng.integers(0, 3)):
                found.append((f"{k}.jpg", category, rng.random()))
                landmarks.append(points + rng.normal(0, side * rng.uniform(0.005, 0.12), (17, 2)))
    truth = pd.DataFrame(truth, columns=["picture", "category", "area", "x", "y", "w", "h"])
    return truth, np.array(true), pd.DataFrame(found, columns=["picture", "category", "score"]), np.array(landmarks)


def slow_ap(truth, true, found, landmarks, sigmas):
    """AP of one category by the rules, written down anew: greedy matching by score, 101 recall points."""
    values = []
    order = np.argsort(-found["score"].to_numpy(), kind="stable")
    for threshold in THRESHOLDS:
        used, hits = set(), []
        for d in order:
            best, match = threshold - 1e-10, None
            for g in range(len(truth)):
                if truth["picture"].iloc[g] == found["picture"].iloc[d] and g not in used:
                    seen = ~np.isnan(true[g, :, 0])
                    squared = ((landmarks[d] - true[g]) ** 2).sum(axis=1)[seen]
                    value = np.mean(np.exp(-squared / (2 * truth["area"].iloc[g] * (2 * sigmas[seen]) ** 2)))
                    if value >= best:
                        best, match = value, g
            if match is not None:
                used.add(match)
            hits.append(match is not None)
        recall = np.cumsum(hits) / len(truth)
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        points = [precision[recall >= level - 1e-12].max(initial=0.0) for level in np.linspace(0, 1, 101)]
        values.append(np.mean(points))
    return np.mean(values)


def test_the_sigmas_are_those_of_the_joints_and_the_old_order_is_a_permutation():
    named = dict(zip(SCHEME.landmarks, SIGMAS, strict=True))
    assert (named["left_eye"], named["nose"], named["neck"], named["left_elbow"]) == (0.025, 0.026, 0.035, 0.072)
    assert (named["right_front_paw"], named["left_hip"], named["right_knee"]) == (0.062, 0.107, 0.087)
    for side in ("elbow", "shoulder", "front_paw", "hip", "knee", "back_paw"):
        assert named[f"left_{side}"] == named[f"right_{side}"]
    old = oks.SIGMAS["ap10k17"]["coco_order"]
    assert sorted(old) == sorted(SIGMAS) and old != tuple(SIGMAS)
    assert old[SCHEME.landmarks.index("right_hip")] == 0.087


def test_a_perfect_prediction_is_1_and_one_without_annotation_is_nan():
    _, true, _, _ = scene()
    assert oks.oks(np.nan_to_num(true), true, np.full(len(true), 900.0), SIGMAS) == pytest.approx(1.0)
    nothing = np.full_like(true, np.nan)
    assert np.isnan(oks.oks(np.zeros_like(true), nothing, np.full(len(true), 900.0), SIGMAS)).all()


def test_ours_equals_pycocotools_similarity():
    truth, true, found, landmarks = scene(3, pictures=10)
    names = {name: k for k, name in enumerate(sorted(truth["category"].unique()), 1)}
    pictures = {name: k for k, name in enumerate(sorted(truth["picture"].unique()), 1)}
    with contextlib.redirect_stdout(io.StringIO()):
        ground = oks._coco(oks._ground_truth(truth, true, names, pictures), names, pictures)
        run = COCOeval(ground, ground.loadRes(oks._detections(found, landmarks, names, pictures)), "keypoints")
        run.params.kpt_oks_sigmas = SIGMAS
        run.evaluate()
    compared = 0
    for (picture, category), table in run.ious.items():
        here = [(frame["picture"].map(pictures) == picture) & (frame["category"].map(names) == category)
                for frame in (found, truth)]  # fmt: skip
        d, g = (np.flatnonzero(rows) for rows in here)
        d = d[np.argsort(-found["score"].to_numpy()[d], kind="stable")]
        for row, detection in enumerate(d):
            for column, instance in enumerate(g):
                ours = oks.oks(landmarks[[detection]], true[[instance]], truth["area"].to_numpy()[[instance]], SIGMAS)
                assert ours[0] == pytest.approx(table[row][column], abs=1e-12)
                compared += 1
    assert compared > 10


@pytest.mark.parametrize("order", ["ap10k", "coco_order"])
def test_the_average_precision_is_that_of_the_rules(order):
    sigmas = np.array(oks.SIGMAS["ap10k17"][order])
    truth, true, found, landmarks = scene(1, pictures=8)
    table = oks.average_precision(truth, true, found, landmarks, sigmas).set_index("category")
    slow = {}
    for category in sorted(truth["category"].unique()):
        here, there = truth["category"] == category, found["category"] == category
        slow[category] = slow_ap(truth[here], true[here], found[there], landmarks[there], sigmas)
        assert table.loc[category, "ap"] == pytest.approx(slow[category], abs=1e-9)
        assert table.loc[category, "instances"] == here.sum()
    assert table.loc["all", "ap"] == pytest.approx(np.mean(list(slow.values())), abs=1e-9)
    assert 0.05 < table.loc["all", "ap"] < 0.95


def test_the_two_orders_of_sigmas_give_different_numbers():
    both = [
        oks.average_precision(*scene(1, pictures=8), np.array(sigmas))["ap"][0]
        for sigmas in oks.SIGMAS["ap10k17"].values()
    ]
    assert abs(both[0] - both[1]) > 1e-3


def test_without_detections_the_precision_is_0_and_without_large_instances_theirs_is_missing():
    truth, true, found, landmarks = scene(2)
    truth["area"] = 40.0**2
    table = oks.average_precision(truth, true, found.head(0), landmarks[:0], SIGMAS)
    assert (table["ap"] == 0).all() and table["ap_large"].isna().all()


def test_a_detection_in_a_picture_without_an_animal_is_a_false_one_as_for_pycocotools():
    truth, true, _, _ = scene(2)
    right = truth[["picture", "category"]].assign(score=0.5)
    places = np.nan_to_num(true, nan=50.0)
    before = oks.average_precision(truth, true, right, places, SIGMAS)
    wrong = right.head(1).assign(picture="empty.jpg", score=0.9)
    both = pd.concat([right, wrong]), np.concatenate([places, places[:1]])
    after = oks.average_precision(truth, true, *both, SIGMAS).set_index("category")["ap"]
    assert before["ap"].tolist() == pytest.approx([1.0] * len(before))
    assert after[right["category"][0]] < 0.95 and after["all"] < 0.99


@pytest.mark.parametrize("what", ["landmark", "score"])
def test_a_detection_that_is_no_number_is_no_hit(what):
    truth, true, found, landmarks = scene(2)
    if what == "landmark":
        landmarks[0, 3, 0] = np.nan
    else:
        found.loc[0, "score"] = np.inf
    with pytest.raises(ValueError, match="without a place or a score"):
        oks.average_precision(truth, true, found, landmarks, SIGMAS)


def test_suppression_keeps_the_better_of_two_that_are_alike():
    _, true, _, _ = scene()
    one = np.nan_to_num(true[0], nan=50.0)
    three = np.stack([one + 0.01, one, one + 100.0])
    area = np.full(3, 2500.0)
    assert oks.suppress(three, np.array([0.5, 0.9, 0.7]), area, SIGMAS).tolist() == [1, 2]
    assert oks.suppress(three, np.array([0.9, 0.5, 0.7]), area, SIGMAS).tolist() == [0, 2]
    assert oks.suppress(three[:1], np.array([0.9]), area[:1], SIGMAS).tolist() == [0]


def test_the_interval_is_of_pictures_drawn_with_replacement():
    truth, true, found, landmarks = scene(5, pictures=12)
    names = sorted(truth["picture"].unique())
    parts, arrays = ([], []), ([], [])
    for place, k in enumerate(np.random.default_rng(0).integers(len(names), size=len(names))):
        for part, array, table, places in zip(parts, arrays, (truth, found), (true, landmarks), strict=True):
            here = (table["picture"] == names[k]).to_numpy()
            part.append(table[here].assign(picture=f"{place:02d}"))
            array.append(places[here])
    drawn = [pd.concat(part, ignore_index=True) for part in parts]
    expected = oks.average_precision(drawn[0], np.concatenate(arrays[0]), drawn[1], np.concatenate(arrays[1]), SIGMAS)
    once = oks.average_precision(truth, true, found, landmarks, SIGMAS, resamples=1).iloc[0]
    assert once["ap_low"] == once["ap_high"] == pytest.approx(expected["ap"][0])
    table = oks.average_precision(truth, true, found, landmarks, SIGMAS, resamples=50)
    assert table["ap_low"][0] < table["ap"][0] < table["ap_high"][0] and table["ap_low"][1:].isna().all()
