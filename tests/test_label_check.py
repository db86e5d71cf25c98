"""Suspicious labels: each kind of mistake is found where it was made, and nowhere else."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from builders import SCHEME, SHAPE, write_faces

from cskt.data.label_check import align, common_shape, suspicious
from cskt.data.table import Annotations, landmark_columns


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Annotations:
    """Twelve faces of nine landmarks that are all right."""
    faces = write_faces(tmp_path_factory.mktemp("faces"), count=12, width=120, height=90)
    table = faces.table.assign(x=18.0, y=14.0, w=48.0, h=44.0)
    points = 20 + np.random.default_rng(0).normal(0, 0.6, (12, 9, 2)) + SHAPE * [40, 36]
    table[landmark_columns(SCHEME)] = points.reshape(12, -1)
    return replace(faces, table=table)


def changed(faces, row, change):
    points = faces.landmarks
    change(points[row])
    table = faces.table.copy()
    table[landmark_columns(SCHEME)] = points.reshape(len(faces), -1)
    return replace(faces, table=table)


def swap(*pairs):
    def change(points):
        for a, b in pairs:
            points[[a, b]] = points[[b, a]]

    return change


def found(faces):
    return [tuple(row) for row in suspicious(faces)[["image", "landmark", "finding"]].to_numpy()]


def test_good_labels_give_no_finding(faces):
    assert found(faces) == []


@pytest.mark.parametrize(
    ("pairs", "detail"),
    [
        ([(0, 3)], "left_eye_outer / right_eye_outer"),
        ([(5, 6)], "mouth_left / mouth_right"),
        (SCHEME.flip_pairs, "left_eye_outer / right_eye_outer and left_eye_inner / right_eye_inner and "
         "mouth_left / mouth_right"),
    ],
)  # fmt: skip
def test_swapped_sides_are_found_one_pair_or_all(faces, pairs, detail):
    findings = suspicious(changed(faces, 5, swap(*pairs)))
    assert findings.to_numpy().tolist() == [["cat_5.png", "", "left/right swapped", detail]]


def test_a_turned_small_face_is_as_good_as_an_upright_one(faces):
    def turn(points):
        center = points.mean(axis=0)
        points[:] = (points - center) @ (0.6 * np.array([[0.0, 1.0], [-1.0, 0.0]])) + center

    assert found(changed(faces, 3, turn)) == []


def test_a_landmark_far_from_where_others_have_it_is_named(faces):
    def move(points):
        points[4] = points[3] + [6, -4]

    assert ("cat_7.png", "nose", "far off") in found(changed(faces, 7, move))
    assert {row[0] for row in found(changed(faces, 7, move))} == {"cat_7.png"}


def test_labels_outside_the_box_and_outside_the_picture_are_told_apart(faces):
    def move(points):
        points[0], points[8] = [17.0, 30.0], [45.0, 89.6]

    findings = suspicious(changed(faces, 0, move))
    findings = findings[findings["finding"].str.startswith("outside")]
    assert findings.to_numpy().tolist() == [
        ["cat_0.png", "lower_lip", "outside the picture", "at 45.0, 89.6"],
        ["cat_0.png", "left_eye_outer", "outside the box", "at 17.0, 30.0"],
    ]


def test_duplicates_of_landmarks_labels_and_pictures_are_found(faces, tmp_path):
    def same(points):
        points[8] = points[7]

    assert ("cat_2.png", "lower_lip", "same place") in found(changed(faces, 2, same))
    copied = changed(faces, 9, lambda points: np.copyto(points, faces.landmarks[1]))
    assert suspicious(copied).to_numpy().tolist() == [["cat_9.png", "", "same labels", "as cat_1.png"]]
    copy = tmp_path / "copy.png"
    shutil.copy(faces.table["path"][4], copy)
    table = faces.table.assign(path=[*faces.table["path"][:6], str(copy), *faces.table["path"][7:]])
    assert suspicious(replace(faces, table=table)).to_numpy().tolist() == [
        ["cat_6.png", "", "same picture", "as cat_4.png"]
    ]


def test_two_faces_in_one_picture_are_no_duplicate(faces):
    table = faces.table.assign(path=[*faces.table["path"][:11], faces.table["path"][0]])
    assert found(replace(faces, table=table)) == []


def test_a_landmark_at_the_first_pixel_is_told_as_perhaps_missing(faces):
    def change(points):
        points[4] = 0

    told = ("cat_2.png", "nose", "at 0, 0")
    assert told in found(changed(faces, 2, change))


def test_a_small_face_is_told(faces):
    table = faces.table.copy()
    table.loc[3, ["w", "h"]] = 23.0
    assert ("cat_3.png", "", "small face") in found(replace(faces, table=table))


def test_missing_landmarks_are_no_finding_and_do_no_harm(faces):
    missing = changed(faces, 5, lambda points: points.__setitem__([0, 1, 2, 4, 7, 8], np.nan))
    missing = changed(missing, 6, lambda points: points.__setitem__(slice(None), np.nan))
    assert found(missing) == []


def test_alignment_undoes_moving_turning_and_scaling_but_not_mirroring():
    angle = 0.7
    turn = 2.5 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert align(SHAPE @ turn + [7, -3], SHAPE) == pytest.approx(SHAPE)
    assert np.abs(align(SHAPE * [-1, 1], SHAPE) - SHAPE).max() > 0.2
    assert np.isnan(align(np.full((9, 2), np.nan), SHAPE)).all()


def test_the_common_shape_is_the_shape_that_all_have():
    rng = np.random.default_rng(0)
    turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in rng.uniform(-1, 1, 9)]
    faces = np.stack([SHAPE @ (turn * size) + size for turn, size in zip(turns, rng.uniform(5, 50, 9), strict=True)])
    faces[2, 3] = np.nan
    shape = common_shape(faces)
    assert align(SHAPE, shape) == pytest.approx(shape, abs=1e-9)
    assert np.sqrt((shape**2).sum(axis=1).mean()) == pytest.approx(1)
