"""Where turned views and mirror images of a picture agree."""

import numpy as np
import pandas as pd
import pytest
import torch
from builders import dots
from torch import nn

from cskt import geometry
from cskt.consensus import consensus, predict_consensus
from cskt.data.datasets import UnlabeledSet
from cskt.landmarks import Scheme
from cskt.predict import find_landmarks

SIZE, MARGIN, CELLS = 64, 16, 32
FACE = Scheme("face", ("left", "right", "nose"), ((0, 1),))
# an animal's left eye lies to the right in a picture
PLACES = torch.tensor([[[44.0, 22.0], [20.0, 25.0], [31.0, 44.0]], [[41.0, 20.0], [18.0, 20.0], [33.0, 40.0]]])


class Eyes(nn.Module):
    """Stands for a network: eyes are red, the nose is green, and left is what lies further right."""

    cells = CELLS

    def __init__(self, decoy=lambda call: False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.decoy, self.calls = decoy, 0

    def heatmaps(self, images):
        assert not self.training
        red, green = (nn.functional.avg_pool2d(images[:, k : k + 1], 2)[:, 0] for k in (0, 1))
        right_half = torch.arange(CELLS) >= CELLS // 2
        maps = torch.stack([red * right_half, red * ~right_half, green], dim=1)
        if self.decoy(self.calls):
            maps[:, 2, 3, 3] = 2.0
        self.calls += 1
        return maps


def faces():
    """Pictures of two faces, black but for a red dot on each eye and a green one on the nose."""
    side = SIZE + 2 * MARGIN
    crops = []
    for places in PLACES.numpy() + MARGIN:
        eyes, nose = (dots(points, side, side, sigma=2.0).max(axis=-1) for points in (places[[1, 0]], places[2:]))
        crops.append(np.stack([eyes, nose, np.zeros_like(eyes)], axis=-1))
    crops = np.clip(np.array(crops, dtype=np.int16) - 40, 0, 255).astype(np.uint8)
    table = pd.DataFrame({"image": ["a", "b"], "species": "cat", "family": "", "split": ""})
    to_crop = geometry.crop_matrix(torch.tensor([[0.0, 0.0, 64.0, 64.0]] * 2).double(), SIZE)
    return UnlabeledSet(table, crops, SIZE, FACE, to_crop, np.full(2, 64.0))


@pytest.mark.parametrize("turns", [(0.0,), (-30.0, 0.0, 30.0)])
def test_landmarks_come_back_to_the_plain_crop_under_their_own_names(turns, monkeypatch):
    monkeypatch.setattr("cskt.predict.BATCH", 1)
    landmarks, agreement = consensus(Eyes().eval(), faces(), turns=turns)
    assert (landmarks - PLACES).abs().max() < 0.25, "pixels"
    assert agreement.shape == (2, 3)


def test_a_place_that_only_one_view_names_does_not_win():
    """Though that view is surer of it than all views are of the true place."""
    sure = Eyes().eval()
    fooled = Eyes(decoy=lambda call: call == 2).eval()
    alone, _ = find_landmarks(Eyes(decoy=lambda call: True).eval(), faces())
    assert (alone[:, 2] - PLACES[:, 2]).norm(dim=-1).min() > 20, "that view alone names the decoy"
    landmarks, agreement = consensus(fooled, faces())
    assert (landmarks - PLACES).abs().max() < 0.25
    assert (agreement <= consensus(sure, faces())[1] + 1e-6).all()


def test_a_view_that_misses_a_landmark_lowers_the_agreement_on_it_alone():
    class Blind(Eyes):
        def heatmaps(self, images):
            maps = super().heatmaps(images)
            if self.calls == 1:
                maps[:, 2] = 0
            return maps

    _, agreement = consensus(Blind().eval(), faces())
    _, sure = consensus(Eyes().eval(), faces())
    assert agreement[:, :2].equal(sure[:, :2])
    # one factor of six has fallen to the floor
    assert (agreement[:, 2] / sure[:, 2]).tolist() == pytest.approx([1e-4 ** (1 / 6)] * 2, rel=0.15)


def test_its_table_has_the_consensus_in_image_pixels_and_the_agreement_as_confidence():
    table = predict_consensus(Eyes().eval(), faces())
    landmarks, agreement = consensus(Eyes().eval(), faces())
    # a box begins at the border of its first pixel, whose center is 0 in the crop
    found = table[[f"{name}_{axis}" for name in FACE.landmarks for axis in "xy"]].to_numpy().reshape(2, 3, 2)
    assert found == pytest.approx(landmarks.numpy() + 0.5, abs=1e-4)
    assert table[[f"{name}_confidence" for name in FACE.landmarks]].to_numpy() == pytest.approx(agreement.numpy())


def test_the_mode_of_the_network_is_put_back():
    net = Eyes().train()
    consensus(net, faces(), turns=(0.0,))
    assert net.training
