"""Pictures with landmarks on them: each landmark is drawn where it is in the photograph."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from builders import labeled_faces, write_faces

from cskt import galleries
from cskt.data.augment import Augmentation
from cskt.data.table import landmark_columns


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def drawn(ax, number=0):
    """The points of one kind of landmarks in a picture, [L, 2]."""
    return np.asarray(ax.collections[number].get_offsets())


def shown(axes):
    """Which places of a grid hold a picture."""
    return [[bool(ax.images) for ax in row] for row in axes]


@pytest.mark.slow
def test_landmarks_are_drawn_on_their_dots(tmp_path):
    faces = write_faces(tmp_path)
    axes = galleries.gallery(faces.table, {"truth": faces.table}, columns=3)
    upper_lip = faces.scheme.landmarks.index("upper_lip")  # a red, green and blue dot
    for ax in axes[0]:
        picture = ax.images[0].get_array().astype(float)
        x, y = drawn(ax)[upper_lip]
        bright = picture.min(axis=-1)
        bright[:, : int(x) - 8] = bright[:, int(x) + 9 :] = bright[: int(y) - 8] = bright[int(y) + 9 :] = 0
        weight = np.clip(bright - bright.max() / 2, 0, None)
        rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
        center = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
        assert center == pytest.approx((x, y), abs=0.5)


def test_a_line_joins_truth_and_prediction_of_each_landmark(tmp_path):
    faces = write_faces(tmp_path, count=1)
    predictions = faces.table.copy()
    predictions["nose_x"] += 10
    axes = galleries.overlays(faces, predictions, pd.DataFrame({"image": ["cat_0.png"], "species": "cat", "nme": 0.12}))
    ax = axes[0, 0]
    assert ax.get_title() == "cat, 12.0 %"
    nose = faces.scheme.landmarks.index("nose")
    line = np.stack(ax.lines[nose].get_data(), axis=1)
    assert line[0] == pytest.approx(drawn(ax, 0)[nose])
    assert line[1] == pytest.approx(drawn(ax, 1)[nose])
    # 10 image pixels in a picture of 128 that shows 1.3 times the box of 40
    assert line[1, 0] - line[0, 0] == pytest.approx(10 * 128 / (1.3 * 40), rel=0.01)


def test_each_model_is_a_column_and_one_that_has_not_run_says_so(tmp_path):
    faces = write_faces(tmp_path, count=2)
    moved = faces.table.assign(nose_x=faces.table["nose_x"] + 10)
    scores = pd.DataFrame({"image": faces.table["image"][::-1], "nme": [0.2, 0.1]})
    axes = galleries.steps(faces, {"few-shot": moved, "+ L_u": None}, {"few-shot": scores, "+ L_u": None})
    assert axes.shape == (2, 2)
    assert [ax.get_title() for ax in axes[0]] == ["few-shot", "+ $L_{u}$"]
    assert [ax.texts[0].get_text() for ax in axes.T.ravel()] == ["10.0 %", "20.0 %", "not run", "not run"]
    assert shown(axes) == [[True, True], [True, True]]
    nose = faces.scheme.landmarks.index("nose")
    truth, found = drawn(axes[0, 0], 0)[nose], drawn(axes[0, 0], 1)[nose]
    assert found - truth == pytest.approx([10 * 128 / (1.3 * 40), 0], rel=0.01)


def test_a_missing_landmark_is_not_drawn(tmp_path):
    faces = write_faces(tmp_path, count=1)
    table = faces.table.copy()
    table[["nose_x", "nose_y"]] = np.nan
    ax = galleries.gallery(faces.table, {"truth": table})[0, 0]
    points = np.ma.masked_invalid(drawn(ax))
    assert points.mask.any(axis=1).tolist() == [name == "nose" for name in faces.scheme.landmarks]


def test_each_value_begins_a_row_and_long_ones_go_on_in_the_next(tmp_path):
    faces = write_faces(tmp_path, count=4)
    table = faces.table.assign(family=["Felidae", "Felidae", "Felidae", "Canidae"])
    axes = galleries.gallery(table, {}, rows="family", columns=2)
    assert shown(axes) == [[True, True], [True, False], [True, False]]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["Felidae", "", "Canidae"]


def test_landmarks_of_a_face_that_a_table_does_not_hold_are_an_error(tmp_path):
    faces = write_faces(tmp_path, count=2)
    with pytest.raises(KeyError, match=r"cat_1\.png"):
        galleries.gallery(faces.table, {"truth": faces.table.iloc[:1]})


def test_the_plain_view_has_the_landmarks_of_the_crop_and_others_are_moved_along():
    data = labeled_faces(count=3)
    axes = galleries.views(data, {"mirrored": Augmentation(flip=1.0)}, count=2, seed=4)
    rows = np.random.default_rng(4).permutation(3)[:2]
    for column, row in enumerate(rows):
        landmarks = data.landmarks_crop[row].numpy()
        assert drawn(axes[0, column]) == pytest.approx(landmarks, abs=1e-4)
        swapped = landmarks[list(data.scheme.flip_permutation)]
        assert drawn(axes[1, column]) == pytest.approx(np.stack([31 - swapped[:, 0], swapped[:, 1]], axis=1), abs=1e-4)
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["plain", "mirrored"]


def test_examples_are_limited_in_number_and_run_from_the_human_like_to_the_beaked():
    table = pd.DataFrame({"species": ["mallard"] * 5 + ["zebra"] + ["human"] * 3, "number": range(9)})
    found = galleries.examples(table, "species", count=2)
    assert found["species"].tolist() == ["human", "human", "mallard", "mallard", "zebra"]
    assert found.equals(galleries.examples(table, "species", count=2))
    assert not found.equals(galleries.examples(table, "species", count=2, seed=1))
    categories = pd.DataFrame({"category": ["hard_negative", "semi_hard", "positive"]})
    assert galleries.examples(categories, "category")["category"].tolist() == ["positive", "semi_hard", "hard_negative"]


def test_the_tables_columns_that_are_no_landmarks_are_not_drawn(tmp_path):
    faces = write_faces(tmp_path, count=1)
    table = faces.table.assign(nose_confidence=0.5)
    assert (
        len(drawn(galleries.gallery(faces.table, {"prediction": table})[0, 0]))
        == len(landmark_columns(faces.scheme)) // 2
    )
