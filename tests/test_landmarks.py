"""Landmark schemes."""

import numpy as np
import pytest

from cskt.landmarks import SCHEMES, Scheme, combine, shared_landmarks


@pytest.mark.parametrize(
    ("name", "count"),
    [("animalweb9", 9), ("animalpose5", 5), ("horse5", 5), ("ibug68", 68), ("aflw19", 19), ("ap10k17", 17)],
)
def test_schemes_have_their_landmarks(name, count):
    assert SCHEMES[name].name == name
    assert len(SCHEMES[name].landmarks) == count


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_mirroring_twice_is_the_identity_and_changes_sides(scheme):
    permutation = scheme.flip_permutation
    assert [permutation[index] for index in permutation] == list(range(len(scheme.landmarks)))
    # a place on the image's left is where the one on its right was
    for place, indices in scheme.parts.items():
        other = place.replace("image_left", "image_RIGHT").replace("image_right", "image_left").lower()
        assert {permutation[index] for index in indices} == set(scheme.parts[other])


def test_ibug_flip_pairs_mirror_a_real_face_shape(shared_data):
    from cskt.data.annotations import read_animalweb

    faces = read_animalweb(shared_data / "300w", "splits/test.txt", scheme=SCHEMES["ibug68"], species="human")
    shape = ((faces.landmarks - faces.boxes[:, None, :2]) / faces.boxes[:, None, 2:]).mean(axis=0)
    shape[:, 0] -= shape[:, 0].mean()
    mirrored = shape * [-1.0, 1.0]
    nearest = np.linalg.norm(mirrored[:, None] - shape, axis=-1).argmin(axis=1)
    assert tuple(nearest) == SCHEMES["ibug68"].flip_permutation


@pytest.mark.parametrize(
    ("a", "b", "names"),
    [
        (
            "animalweb9",
            "aflw19",
            "image_left_eye_outer image_left_eye_inner image_right_eye_inner image_right_eye_outer nose "
            "mouth_image_left mouth_image_right",
        ),
        ("animalweb9", "animalpose5", "image_left_eye image_right_eye nose"),
        ("ibug68", "animalpose5", "image_left_eye image_right_eye nose"),
        ("animalweb9", "horse5", "image_left_eye image_right_eye nose mouth_image_left mouth_image_right"),
        ("ap10k17", "animalpose5", "image_left_eye image_right_eye nose"),
    ],
)
def test_shared_places(a, b, names):
    assert shared_landmarks(SCHEMES[a], SCHEMES[b]).names == tuple(names.split())


def test_shared_points_of_aflw_and_animalweb_are_the_papers_seven():
    shared = shared_landmarks(SCHEMES["animalweb9"], SCHEMES["aflw19"])
    assert shared.from_a.argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert shared.from_b.argmax(axis=1).tolist() == [6, 8, 9, 11, 13, 15, 17]


def test_animalweb_points_of_a_68_point_face():
    shared = shared_landmarks(SCHEMES["animalweb9"], SCHEMES["ibug68"])
    assert shared.from_b.argmax(axis=1).tolist() == [36, 39, 42, 45, 33, 48, 54, 51, 57]
    assert (np.count_nonzero(shared.from_b, axis=1) == 1).all()


def test_left_eye_of_animalpose_is_on_the_images_right():
    shared = shared_landmarks(SCHEMES["ibug68"], SCHEMES["animalpose5"])
    left_eye = shared.names[shared.from_b[:, SCHEMES["animalpose5"].landmarks.index("left_eye")].argmax()]
    assert left_eye == "image_right_eye"
    assert np.flatnonzero(shared.from_a[shared.names.index(left_eye)]).tolist() == [42, 43, 44, 45, 46, 47]


def test_horse_eye_is_the_mean_of_its_corners():
    shared = shared_landmarks(SCHEMES["animalweb9"], SCHEMES["horse5"])
    landmarks = np.full((1, 9, 2), np.nan)
    landmarks[0, 0], landmarks[0, 1] = (10.0, 4.0), (20.0, 8.0)
    places = combine(shared.from_a, landmarks)
    assert places[0, 0].tolist() == [15.0, 6.0]
    # the missing landmarks make only their own places missing
    assert np.isnan(places[0, 1:]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"landmarks": ("nose", "nose")}, "occurs twice"),
        ({"landmarks": ("a", "b", "c"), "flip_pairs": ((0, 1), (1, 2))}, "two flip pairs"),
        ({"landmarks": ("a", "b"), "flip_pairs": ((0, 2),)}, "indices 0 to 1"),
        ({"landmarks": ("a", "b"), "parts": {"nose": (5,)}}, "indices 0 to 1"),
    ],
)
def test_impossible_schemes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Scheme("odd", **arguments)
