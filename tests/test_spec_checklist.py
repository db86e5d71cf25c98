"""The published numbers that can be reproduced without any image, from the released lists, tables and landmarks."""

import csv

import numpy as np
import pytest
import torch
from builders import labeled_faces, unlabeled_faces

from cskt import geometry
from cskt.data.annotations import Annotations, read_landmark_csv
from cskt.data.augment import Augmentation, View, view_landmarks
from cskt.data.reading import read_list
from cskt.heatmaps import CODECS, Codec, decode_published, encode, encode_published
from cskt.landmarks import SCHEMES
from cskt.methods.meta_cskt import MetaCSKT, Options
from cskt.methods.supervised import Surroundings
from cskt.metrics import nme
from cskt.mining import categorize, count_categories, read_disagreements
from cskt.models import LandmarkNet
from cskt.shapes import fit_shape, place_shape
from cskt.species import species_of
from cskt.training import learning_rate


@pytest.fixture(scope="module")
def released(shared_data):
    """The folder of what was released beside AnimalWeb's images."""
    folder = shared_data / "animalweb"
    if not folder.is_dir():
        pytest.skip(f"the released lists and tables are not here: {folder}")
    return folder


# --- landmarks


def test_mirroring_swaps_the_published_pairs():
    assert set(SCHEMES["animalweb9"].flip_pairs) == {(0, 3), (1, 2), (5, 6)}
    assert SCHEMES["animalweb9"].flip_permutation == (3, 2, 1, 0, 4, 6, 5, 7, 8)


# --- the shape in the box, on the landmarks that are public

# mean place in the box (x / w, y / h) of the nine landmarks over all 150 images of all_150
PUBLISHED_MEAN_SHAPE = np.array(
    [
        (0.3322, 0.3485),
        (0.3938, 0.3686),
        (0.6066, 0.3733),
        (0.6636, 0.3513),
        (0.5064, 0.5478),
        (0.3955, 0.6234),
        (0.6184, 0.6238),
        (0.5096, 0.6430),
        (0.5076, 0.6830),
    ]
)


@pytest.fixture(scope="module")
def all_150(released) -> Annotations:
    return read_landmark_csv(released / "landmarks_known.csv", list_file=released / "lists" / "all_150.txt")


@pytest.fixture(scope="module")
def test_40_known(released) -> Annotations:
    return read_landmark_csv(released / "landmarks_known.csv", list_file=released / "lists" / "test_40_known.txt")


def percent_of_shape(shape, faces):
    return 100 * nme(place_shape(shape, faces.boxes), faces.landmarks, faces.norm).mean()


def test_published_mean_shape_scores_11_58_percent(test_40_known):
    assert percent_of_shape(PUBLISHED_MEAN_SHAPE, test_40_known) == pytest.approx(11.58, abs=0.006)


@pytest.mark.parametrize(("statistic", "published", "without_26"), [("mean", 11.58, 11.62), ("median", 10.68, 10.69)])
def test_shape_fitted_on_all_150(all_150, test_40_known, statistic, published, without_26):
    """The published value needs all 150 images; where the 26 of test_40_unknown are withheld it is a little higher."""
    expected = {150: published, 124: without_26}[len(all_150)]
    shape = fit_shape(all_150.landmarks, all_150.boxes, statistic)
    assert percent_of_shape(shape, test_40_known) == pytest.approx(expected, abs=0.006)


def test_landmarks_missing_from_the_table_are_those_of_the_unknown_test_list(released, all_150, test_40_known):
    unknown = read_list(released / "lists" / "test_40_unknown.txt").line_of.keys()
    for faces, count in ((all_150, 26), (test_40_known, 2)):
        missing = faces.problems.query("action == 'excluded'")
        assert len(missing) in (0, count)
        assert set(missing["image"]) <= unknown


# --- mining


@pytest.mark.parametrize(
    ("list_name", "negatives", "positives", "semi_hard"),
    [
        (None, 2289, 6878, 13283),
        ("test_40_known", 106, 935, 1897),
        ("test_40_unknown", 436, 1577, 2805),
    ],
)
def test_mining_counts_of_40_labels(released, list_name, negatives, positives, semi_hard):
    images = None if list_name is None else read_list(released / "lists" / f"{list_name}.txt").line_of
    table = read_disagreements(released / "shifts" / "40_human.csv", released / "shifts" / "40_flip.csv", images)
    categories = categorize(table["human_disagreement"], table["flip_disagreement"], t_pos=0.05, t_neg=0.2)
    assert count_categories(categories) == {
        "hard_negative": negatives,
        "positive": positives,
        "semi_hard": semi_hard,
    }


@pytest.mark.parametrize(
    ("human", "flip", "list_name", "t_pos", "counts"),
    [
        ("human_80", "flip_80", None, 0.05, (2058, 7630, 12762)),
        ("japanese_human", "japanese_flip", "primate", 0.0, (112, 0, 3310)),
    ],
)
def test_mining_counts_of_80_labels_and_of_macaques(released, human, flip, list_name, t_pos, counts):
    files = [released / "shifts" / f"{name}.csv" for name in (human, flip)]
    for file in files:
        if not file.is_file():
            pytest.skip(f"this table is not here: {file}")
    images = None if list_name is None else read_list(released / "lists" / f"{list_name}.txt").line_of
    table = read_disagreements(*files, images)
    categories = categorize(table["human_disagreement"], table["flip_disagreement"], t_pos=t_pos, t_neg=0.2)
    assert tuple(count_categories(categories)[name] for name in ("hard_negative", "positive", "semi_hard")) == counts


def test_mining_counts_at_other_thresholds(released):
    table = read_disagreements(released / "shifts" / "40_human.csv", released / "shifts" / "40_flip.csv")
    human, flip = table["human_disagreement"], table["flip_disagreement"]
    excluded = [
        count_categories(categorize(human, flip, 0.0, t_neg))["hard_negative"]
        for t_neg in (0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
    ]
    assert excluded == [66, 218, 691, 2289, 4181, 8674]
    included = [
        count_categories(categorize(human, flip, t_pos, np.inf))["positive"]
        for t_pos in (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07)
    ]
    assert included == [1, 652, 2666, 4950, 6891, 8468, 9829]


def test_seven_of_the_40_training_images_are_positive(released):
    images = read_list(released / "lists" / "train_40img.txt").line_of
    table = read_disagreements(released / "shifts" / "40_human.csv", released / "shifts" / "40_flip.csv", images)
    categories = categorize(table["human_disagreement"], table["flip_disagreement"], t_pos=0.05, t_neg=0.2)
    assert count_categories(categories)["positive"] == 7


# --- released results


@pytest.mark.parametrize(
    ("name", "rows", "percent"),
    [
        ("test_40_known", 2938, 5.6138),
        ("test_40_unknown", 4818, 7.4375),
        ("test_80_known", 4515, 5.5531),
        ("test_80_unknown", 4818, 7.2144),
        ("primatelnaf020_val_best", 33, 2.9620),
        ("test_40_known_fixmatch_pre", 4818, 7.4896),
        ("test_40_unknown_fixmatch_pre", 4818, 7.2683),
        ("test_40_known_uda_pre", 4818, 7.4782),
        ("test_40_unknown_uda_pre", 4818, 7.1791),
    ],
)
def test_means_of_the_released_results(released, name, rows, percent):
    path = released / "results" / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"this table is not here: {path}")
    with path.open(newline="") as file:
        errors = [float(row["nme"]) for row in csv.DictReader(file)]
    assert len(errors) == rows
    assert 100 * np.mean(errors) == pytest.approx(percent, abs=6e-5)


# --- lists


@pytest.fixture(scope="module")
def lists(released):
    return {path.stem: read_list(path) for path in (released / "lists").glob("*.txt")}


@pytest.mark.parametrize(
    ("name", "lines", "images", "species"),
    [
        ("all", 22450, 22450, 350),
        ("train_40img", 40, 40, 31),
        ("train_80img", 80, 79, 47),
        ("all_150", 150, 150, 105),
        ("test_40_known", 2938, 2938, 31),
        ("test_40_unknown", 4818, 4818, 306),
        ("test_80_known", 4515, 4515, 47),
        ("test_80_unknown", 4818, 4818, 296),
        ("japanesemacaque_train", 100, 100, 1),
        ("japanesemacaque_test", 33, 33, 1),
        ("primate", 3422, 3422, 61),
        ("primate_val", 100, 98, 36),
        ("cercopithecidae", 1672, 1672, 21),
        ("cercopithecidae_val", 100, 97, 17),
    ],
)
def test_size_of_the_published_lists(lists, name, lines, images, species):
    names, repeats = lists[name]
    assert (len(names) + len(repeats), len(names)) == (lines, images)
    assert len({species_of(image) for image in names}) == species


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ("test_40_known", "test_40_unknown", 2),
        ("all_150", "test_40_known", 21),
        ("all_150", "test_40_unknown", 26),
        ("all_150", "test_80_known", 38),
        ("all_150", "test_80_unknown", 32),
        ("all_150", "japanesemacaque_train", 1),
        ("train_40img", "test_80_known", 3),
        ("train_40img", "test_80_unknown", 3),
        ("train_80img", "test_40_known", 6),
        ("train_80img", "test_40_unknown", 10),
        ("train_40img", "train_80img", 33),
        ("japanesemacaque_test", "test_40_unknown", 9),
        ("cercopithecidae_val", "primate", 97),
    ],
)
def test_overlap_of_the_published_lists(lists, a, b, shared):
    assert len(lists[a].line_of.keys() & lists[b].line_of.keys()) == shared


def test_every_test_image_is_in_the_unlabeled_pool(lists):
    for name in ("all_150", "test_40_known", "test_40_unknown", "test_80_known", "test_80_unknown"):
        assert lists[name].line_of.keys() <= lists["all"].line_of.keys()


# --- network, codec and schedule


def test_hrnet_w18_has_9_64_million_parameters():
    net = LandmarkNet("hrnet_w18", "animalweb9", 9, 256, "linear")
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 9.64


@pytest.mark.parametrize("size", [255, 256])
def test_an_input_of_255_or_256_pixels_gives_64_cells(size):
    net = LandmarkNet("hrnet_w18", "animalweb9", 9, size, "linear").eval()
    with torch.no_grad():
        assert net.cells == 64
        assert net(torch.zeros(1, 3, size, size)).shape == (1, 9, 64, 64)


def containing_cell(heatmaps):
    """The cell of each maximum as it is."""
    peak, cell = heatmaps.flatten(-2).max(dim=-1)
    return torch.stack([cell % 64, cell // 64], dim=-1).double(), peak


def round_trip(faces, codec):
    """Mean NME in percent of landmarks that went through 64 x 64 heatmaps and back, faces [N]."""
    true = torch.tensor(faces.landmarks)
    to_cells = geometry.crop_matrix(torch.tensor(faces.boxes), 64)
    errors = []
    for first in range(0, len(faces), 128):
        rows = slice(first, first + 128)
        cells, _ = codec.decode(codec.encode(geometry.apply(to_cells[rows], true[rows]), 64))
        errors.append(codec.finish(geometry.apply(geometry.invert(to_cells[rows]), cells)))
    return 100 * nme(torch.cat(errors).numpy(), faces.landmarks, faces.norm).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "low", "high"),
    [
        ("published", CODECS["published"], 0.82, 0.86),
        ("stamp on the containing cell, read at its center", Codec(encode_published, containing_cell), 0.72, 0.77),
        ("exact Gaussian, quarter offset", Codec(encode, decode_published), 0.36, 0.38),
        ("subpixel", CODECS["subpixel"], 0.0, 0.003),
    ],
)
def test_floor_of_the_codec(test_40_known, name, codec, low, high):
    """Spec 1.3: 0.84, 0.75, 0.37 and 0.002 %; in the released reading, landmarks have pixel borders at the integers."""
    assert low < round_trip(test_40_known, codec) < high


def test_learning_rate_of_the_published_schedule():
    rates = [learning_rate(step, 10_000, 1e-4, dead=50) for step in (0, 49, 50, 5_000, 10_000)]
    assert rates == pytest.approx([0.0, 0.0, 0.99994e-4, 0.5e-4, 0.0], abs=1e-9)


def test_mirroring_landmarks_twice_is_the_identity():
    scheme = SCHEMES["animalweb9"]
    landmarks = 64 * torch.rand(3, 9, 2)
    mirror = View(torch.tensor([[-1.0, 0.0, 63.0], [0.0, 1.0, 0.0]]).expand(3, 2, 3), torch.tensor([True] * 3))
    once = view_landmarks(landmarks, mirror, scheme.flip_permutation)
    assert once[:, 0, 0].allclose(63 - landmarks[:, 3, 0]) and once[:, 0, 1].equal(landmarks[:, 3, 1])
    assert view_landmarks(once, mirror, scheme.flip_permutation).allclose(landmarks, atol=1e-4)


def test_sign_of_the_feedback():
    """A step that lowers the labeled loss gives a positive one; the step itself is tested in test_meta_cskt.py."""
    around = Surroundings(CODECS["subpixel"], torch.device("cpu"), "float32", seed=0)
    net = LandmarkNet("unet_small", "animalweb9", 9, 32, "softmax")
    views = dict.fromkeys(("labeled", "weak", "strong"), Augmentation())
    for feedback, expected in (("raw", 0.25), ("normalized", 0.125), ("none", 0.0)):
        method = MetaCSKT(net, labeled_faces(), unlabeled_faces(), np.ones(8, bool), around,
                          Options(feedback=feedback), views)  # fmt: skip
        before, after = 2.0, 1.75
        assert method._feedback(before - after, before, torch.Generator()) == expected
