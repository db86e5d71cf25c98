"""Landmark schemes of a person's own: what names tell, the YAML file, and networks that carry their scheme."""

import numpy as np
import pytest
import torch
import yaml

from cskt import config
from cskt.data.schemes import PLACES, propose_flip_pairs, propose_parts, read_scheme, scheme_of, side_of, write_scheme
from cskt.errors import DataError
from cskt.landmarks import SCHEMES, Scheme, register, shared_landmarks
from cskt.models import LandmarkNet, checkpoints
from cskt.settings import Setting


@pytest.fixture(autouse=True)
def forget():
    """Schemes of one test are not known in the next."""
    before = dict(SCHEMES)
    yield
    SCHEMES.clear()
    SCHEMES.update(before)


@pytest.mark.parametrize("name", ["animalweb9", "animalpose5", "horse5", "aflw19", "ap10k17"])
def test_names_of_known_schemes_tell_their_flip_pairs(name):
    pairs = propose_flip_pairs(SCHEMES[name].landmarks)
    assert Scheme("proposed", SCHEMES[name].landmarks, pairs).flip_permutation == SCHEMES[name].flip_permutation


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("eye_left", "eye_right"),
        ("EyeLeft", "EyeRight"),
        ("LEFT EYE", "RIGHT EYE"),
        ("eye_l", "eye_r"),
        ("L-eye", "R-eye"),
        ("eye.L", "eye.R"),
        ("eyeL", "eyeR"),
        ("lEye", "rEye"),
        ("Leye", "Reye"),
        ("l1", "r1"),
        ("leftear1_tip", "rightear1_tip"),
    ],
)
def test_sides_are_found_however_they_are_written(left, right):
    assert propose_flip_pairs([right, "nose", left]) == ((0, 2),)


def test_a_name_without_a_partner_makes_no_pair():
    assert propose_flip_pairs(["left_eye", "Lip", "lower_lip", "nose", "cleft", "Rump", "eye_r"]) == ()


def test_no_landmark_is_in_two_pairs():
    pairs = propose_flip_pairs(["l", "r", "left", "right", "L", "R", "left_l", "right_r", "left_r", "right_l"])
    flat = [index for pair in pairs for index in pair]
    assert len(flat) == len(set(flat)) == 10


def test_labels_tell_whose_left_is_meant():
    names = ("left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right", "left_ear", "tail")
    pairs = propose_flip_pairs(names)
    points = np.array([[2.0, 1], [8, 1], [5, 5], [4, 8], [6, 8], [1, 0], [9, 9]])
    viewer = propose_parts(names, points[None], pairs)
    assert viewer == {"image_left_eye": (0,), "image_right_eye": (1,), "nose": (2,), "mouth_image_left": (3,),
                      "mouth_image_right": (4,), "image_left_ear": (5,)}  # fmt: skip
    own = propose_parts(names, points[None] * [-1, 1], pairs)
    assert (own["image_left_eye"], own["mouth_image_left"], own["image_right_ear"]) == ((1,), (4,), (5,))
    both = np.stack([points, points * [-1, 1]])
    assert propose_parts(names, both, pairs) == {"nose": (2,)}


def test_the_sides_of_a_known_scheme_hold_only_where_the_labels_agree():
    names = SCHEMES["animalpose5"].landmarks  # the animal's own left
    points = np.array([[[8.0, 1], [2, 1], [5, 5], [9, 0], [1, 0]]])
    assert scheme_of(names, points) is SCHEMES["animalpose5"]
    viewer = scheme_of(names, points * [-1, 1])
    assert viewer.name.startswith("own5_")
    assert viewer.parts["image_left_eye"] == (0,)
    assert scheme_of(names, points * [-1, 1]) == viewer


def test_side_of_a_name():
    assert [side_of(name) for name in ("lEar", "ear_R", "Lip", "chin", "left_brow_left")] == [
        "left", "right", "", "", "left"]  # fmt: skip


# --- the file


def test_a_scheme_file_says_landmarks_pairs_and_correspondences(tmp_path):
    (tmp_path / "dog.yaml").write_text(
        "landmarks: [a, b, snout, brow_1, brow_2]\nflip_pairs: [[a, b]]\n"
        "same_as:\n  image_left_eye: [a, brow_1]\n  nose: snout\n"
    )
    scheme = read_scheme(tmp_path / "dog.yaml")
    assert scheme == Scheme("dog", ("a", "b", "snout", "brow_1", "brow_2"), ((0, 1),), scheme.parts)
    assert scheme.parts == {"image_left_eye": (0, 3), "nose": (2,)}
    assert shared_landmarks(SCHEMES["ibug68"], scheme).names == ("image_left_eye", "nose")
    assert SCHEMES["dog"] is scheme


def test_flip_pairs_are_proposed_where_the_file_says_none(tmp_path):
    for entry, pairs in (("", ((0, 2),)), ("flip_pairs: auto", ((0, 2),)), ("flip_pairs: []", ())):
        SCHEMES.pop("cat", None)
        (tmp_path / "cat.yaml").write_text(f"landmarks: [eyeL, nose, eyeR]\n{entry}\n")
        assert read_scheme(tmp_path / "cat.yaml").flip_pairs == pairs


@pytest.mark.parametrize("name", [name for name in SCHEMES if name != "ibug68"])
def test_a_scheme_that_is_written_is_read_back(tmp_path, name):
    write_scheme(tmp_path / "own.yaml", SCHEMES[name])
    content = yaml.safe_load((tmp_path / "own.yaml").read_text()) | {"name": "copy"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    copy = read_scheme(tmp_path / "own.yaml")
    assert (copy.landmarks, copy.flip_permutation) == (SCHEMES[name].landmarks, SCHEMES[name].flip_permutation)
    assert copy.parts == SCHEMES[name].parts
    assert Scheme.from_plain(copy.as_plain()) == copy


def test_landmarks_named_by_numbers_are_written_as_texts(tmp_path):
    names = ("07", "08", "9", "1e5")
    write_scheme(tmp_path / "points.yaml", Scheme("010", names, ((0, 1),), {"nose": (1,)}))
    assert read_scheme(tmp_path / "points.yaml") == Scheme("010", names, ((0, 1),), {"nose": (1,)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("landmarks: [a", r"dog\.yaml, line 1: not YAML"),
        ("a, b", r"dog\.yaml: expected 'landmarks: \[name, name, \.\.\.\]'"),
        ("landmarks: [a, 3]", r"expected landmarks to be a list of names, found \['a', 3\]"),
        ("landmarks: [a, b, a]", r"a name occurs twice in landmarks: a, b, a"),
        ("landmarks: [a]\npairs: []", r"unknown entry 'pairs'; there are name, landmarks, flip_pairs, same_as"),
        ("landmarks: [ear, eye]\nflip_pairs: [[ear, eyes]]", r"flip_pairs: 'eyes' is none .*; did you mean eye\?"),
        ("landmarks: [a, b]\nflip_pairs: [[a, b, a]]", r"expected pairs of two names, found \['a', 'b', 'a'\]"),
        ("landmarks: [a, b, c]\nflip_pairs: [[a, b], [b, c]]", r"a landmark is in two flip pairs"),
        ("landmarks: [a]\nsame_as: {left_eye: a}", r"unknown place 'left_eye'; did you mean image_left_eye"),
        ("landmarks: [a]\nsame_as: {nose: b}", r"same_as: nose: 'b' is none of the landmarks; there are a"),
        ("name: horse5\nlandmarks: [a]", r"landmark scheme 'horse5' is already another one"),
    ],
)  # fmt: skip
def test_each_fault_of_a_scheme_file_is_named(tmp_path, text, message):
    (tmp_path / "dog.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_scheme(tmp_path / "dog.yaml")
    assert str(tmp_path / "dog.yaml") in str(error.value)


def test_correspondences_of_ones_own_scheme_may_change_those_of_ours_not():
    first = register(Scheme("mine", ("a", "b")))
    second = register(Scheme("mine", ("a", "b"), parts={"nose": (0,)}))
    assert SCHEMES["mine"] is second is not first
    assert register(Scheme("horse5", SCHEMES["horse5"].landmarks, SCHEMES["horse5"].flip_pairs)).parts
    with pytest.raises(DataError, match="'horse5' has its own correspondences: give yours a new name"):
        register(Scheme("horse5", SCHEMES["horse5"].landmarks, SCHEMES["horse5"].flip_pairs, {"nose": (0,)}))
    with pytest.raises(DataError, match="'mine' is already another one"):
        register(Scheme("mine", ("a", "b"), ((0, 1),)))


def test_places_are_those_of_the_known_schemes():
    assert {"image_left_eye", "nose", "mouth_image_right", "upper_lip", "image_left_ear"} <= set(PLACES)


# --- where schemes are used


def test_a_params_file_may_name_a_scheme_file_beside_the_data(tmp_path):
    (tmp_path / "dog.yaml").write_text("landmarks: [left_eye, right_eye, nose]\n")
    cfg = config.load("params/zoo.yaml", {"DATA.ROOT": str(tmp_path), "DATA.SCHEME": "dog.yaml"})
    assert Setting(cfg).scheme.landmarks == ("left_eye", "right_eye", "nose")
    cfg = config.load("params/zoo.yaml", {"DATA.SCHEME": "wolf"})
    with pytest.raises(DataError, match=r"DATA\.SCHEME: no landmark scheme 'wolf'; there are .*, or name a YAML file"):
        _ = Setting(cfg).scheme


def test_a_checkpoint_carries_its_scheme(tmp_path):
    register(Scheme("mine2", ("left_eye", "right_eye"), ((0, 1),), {"image_left_eye": (1,)}))
    torch.manual_seed(0)
    checkpoints.save(tmp_path / "net.pt", LandmarkNet("unet_small", "mine2", 2, 32, "softmax"))
    del SCHEMES["mine2"]
    checkpoints.load(tmp_path / "net.pt")
    assert SCHEMES["mine2"].flip_permutation == (1, 0)
    assert SCHEMES["mine2"].parts == {"image_left_eye": (1,)}
    SCHEMES["mine2"] = Scheme("mine2", ("left_eye", "tail"))
    with pytest.raises(DataError, match=r"net\.pt: landmark scheme 'mine2' is already another one"):
        checkpoints.load(tmp_path / "net.pt")
