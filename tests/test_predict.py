"""Predictions in image pixels, and their scores."""

import numpy as np
import pandas as pd
import pytest
import torch
from builders import SCHEME, labeled_faces, unlabeled_faces, write_faces
from torch import nn

from cskt.data.datasets import labeled_set, plain_images, unlabeled_set
from cskt.errors import DataError
from cskt.heatmaps import CODECS, encode
from cskt.models import NETWORKS, LandmarkNet
from cskt.models.unet import UNet
from cskt.predict import find_landmarks, known_unknown, predict, score, summarize


class Oracle(nn.Module):
    """Stands for a network that knows the landmarks of each crop by its look, in a mirror too."""

    def __init__(self, images, landmarks, size, cells, training=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        mirrored = landmarks[:, list(SCHEME.flip_permutation)] * torch.tensor([-1.0, 1.0]) + torch.tensor(
            [size - 1.0, 0]
        )
        self.images = torch.cat([images, images.flip(-1)])
        self.maps = encode((torch.cat([landmarks, mirrored]) + 0.5) * cells / size - 0.5, cells)
        self.cells = cells
        self.train(training)

    def heatmaps(self, images):
        assert not self.training
        distance = (images[:, None] - self.images[None]).flatten(2).norm(dim=-1)
        assert distance.amin(dim=1).max() < 1e-5
        return self.maps[distance.argmin(dim=1)]


def oracle(data, size=32, cells=16):
    images = plain_images(data, np.arange(len(data)), torch.device("cpu"))
    return Oracle(images, data.landmarks_crop, size, cells)


@pytest.mark.parametrize("how", [{}, {"mirrored": True}, {"average": True}, {"mirrored": True, "average": True}])
def test_landmarks_are_found_in_the_plain_crops_pixels(how):
    """In the mirror image too, brought back under their own names."""
    data = labeled_faces(5)
    found, confidence = find_landmarks(oracle(data), data, **how)
    assert (found - data.landmarks_crop).abs().max() < 2e-3
    assert confidence.min() > 0.7


def test_a_dead_map_is_no_agreement_with_the_mirror_image():
    """As released it is read at the corner of the image that the network saw: mirrored back, the other corner."""
    data = labeled_faces(3)
    net = oracle(data)
    net.maps[:, 0] = -0.1  # in the mirror image the landmark of the other side, 3
    kept = torch.ones(len(SCHEME.landmarks), dtype=torch.bool)
    kept[[0, 3]] = False
    found, _ = find_landmarks(net, data, codec=CODECS["published"])
    of_mirror, _ = find_landmarks(net, data, codec=CODECS["published"], mirrored=True)
    assert found[:, 0].tolist() == [[-1.5, -1.5]] * 3  # one cell of two pixels beside the crop's first
    assert of_mirror[:, 3].tolist() == [[32.5, -1.5]] * 3
    assert (found - of_mirror)[:, kept].abs().max() < 2.01


def test_the_mode_of_the_network_is_put_back():
    data = labeled_faces(2)
    for training in (True, False):
        net = oracle(data).train(training)
        find_landmarks(net, data)
        assert net.training is training


def test_more_images_than_one_batch_are_predicted_in_order(monkeypatch):
    monkeypatch.setattr("cskt.predict.BATCH", 2)
    data = labeled_faces(5)
    found, confidence = find_landmarks(oracle(data), data)
    assert len(confidence) == 5
    assert (found - data.landmarks_crop).abs().max() < 2e-3


def test_predictions_are_in_image_pixels_with_a_confidence_each():
    """The builder's crops show a box of 96 px at (100, 200), 3 image pixels for each of the crop's."""
    data = labeled_faces(3)
    table = predict(oracle(data), data)
    assert table["image"].tolist() == [f"labeled_{k}.png" for k in range(3)]
    expected = (data.landmarks_crop.numpy() + 0.5) * 3 + (100, 200)
    for k, name in enumerate(SCHEME.landmarks):
        assert table[[f"{name}_x", f"{name}_y"]].to_numpy() == pytest.approx(expected[:, k], abs=0.01)
        assert table[f"{name}_confidence"].between(0.7, 1.0).all()


def test_the_published_codec_gives_whole_image_pixels():
    data = labeled_faces(3)
    table = predict(oracle(data), data, codec=CODECS["published"])
    columns = [f"{name}_{axis}" for name in SCHEME.landmarks for axis in "xy"]
    assert (table[columns] % 1 == 0).all().all()


def test_from_photograph_to_score_and_back(tmp_path):
    """Read, cropped, predicted by an oracle in the crop, and scored in the photograph: nothing is lost on the way."""
    faces = write_faces(tmp_path / "data", count=3)
    data = labeled_set(faces, 64, 1.25, tmp_path / "cache")
    table = predict(oracle(data, 64, 32), data)
    scores = score(table.sample(frac=1, random_state=0), faces)
    assert scores["nme"].max() < 1e-3
    unlabeled = unlabeled_set(faces, 64, 1.25, tmp_path / "cache")
    pd.testing.assert_frame_equal(predict(oracle(data, 64, 32), unlabeled), table)


def test_a_score_is_the_distance_over_the_box(tmp_path):
    faces = write_faces(tmp_path, count=2)
    faces.table.loc[1, ["nose_x", "nose_y"]] = np.nan
    table = faces.table[["image", "species", "family"]].copy()
    for name in SCHEME.landmarks:
        table[f"{name}_x"], table[f"{name}_y"] = faces.table[f"{name}_x"] + 3.0, faces.table[f"{name}_y"] + 4.0
    scores = score(table.fillna(0.0)[::-1], faces)
    assert scores["image"].tolist() == ["cat_1.png", "cat_0.png"]
    # boxes 40 x 35 and 40 x 36
    assert scores["nme"].tolist() == pytest.approx([5 / np.sqrt(1400), 5 / np.sqrt(1440)])
    assert np.isnan(scores["nose_error"].iloc[0]) and scores["nose_error"].iloc[1] == pytest.approx(5 / np.sqrt(1440))


def test_a_summary_counts_images_and_species_apart():
    errors = [0.02, 0.04, 0.09, 0.25, np.nan]
    scores = pd.DataFrame({"nme": errors, "species": ["cat", "cat", "cat", "owl", "owl"]})
    numbers = summarize(scores, prefix="test_")
    assert numbers["test_images"] == 4
    assert numbers["test_nme"] == pytest.approx(0.1)
    assert numbers["test_nme_macro"] == pytest.approx((0.05 + 0.25) / 2)
    assert (numbers["test_fr08"], numbers["test_fr10"]) == (0.5, 0.25)
    # areas of the curve up to 0.2: an image of error e is within the limit from e on
    assert numbers["test_auc20"] == pytest.approx((0.18 + 0.16 + 0.11 + 0.0) / 4 / 0.2, abs=2e-3)
    assert numbers["test_nme_low"] < 0.1 < numbers["test_nme_high"]


def test_a_species_is_known_where_it_has_a_label():
    assert known_unknown(["cat", "owl", "cat"], ["cat", "dog"]).tolist() == ["known", "unknown", "known"]


def test_predictions_do_not_depend_on_what_else_is_in_the_set(monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny", (lambda landmarks, weights: UNet(landmarks, width=4), 2))
    torch.manual_seed(0)
    net = LandmarkNet("tiny", SCHEME.name, 9, 32, "softmax")
    data = unlabeled_faces(4)
    whole, _ = find_landmarks(net, data)
    part, _ = find_landmarks(net, data.subset(np.array([2])))
    assert part.allclose(whole[2:3], atol=1e-3)


def test_a_network_meant_for_crops_of_another_size_finds_landmarks_in_the_pixels_of_these(monkeypatch):
    """As a human model that was trained elsewhere."""
    monkeypatch.setitem(NETWORKS, "tiny", (lambda landmarks, weights: UNet(landmarks, width=4), 2))
    found = []
    for size in (32, 64):
        torch.manual_seed(0)
        found.append(find_landmarks(LandmarkNet("tiny", SCHEME.name, 9, size, "softmax"), unlabeled_faces(2))[0])
    assert found[0].equal(found[1])


@pytest.mark.parametrize("how", [{}, {"mirrored": True}, {"average": True}])
@pytest.mark.parametrize("output", ["softmax", "linear"])
def test_a_network_that_computes_no_finite_numbers_gives_no_landmarks(monkeypatch, how, output):
    monkeypatch.setitem(NETWORKS, "tiny", (lambda landmarks, weights: UNet(landmarks, width=4), 2))
    net = LandmarkNet("tiny", SCHEME.name, 9, 32, output)
    with torch.no_grad():
        for name, values in net.net.named_buffers():
            if name.endswith("running_var"):
                values.neg_()
    with pytest.raises(DataError, match="'tiny' gives heatmaps that are no finite numbers"):
        find_landmarks(net, unlabeled_faces(2), **how)
