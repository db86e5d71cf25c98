"""Proposed face boxes: the search goes where the network is sure, the detector's animals are those of COCO."""

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders import SCHEME, SHAPE
from PIL import Image
from torch import nn

from cskt import proposals
from cskt.errors import DataError
from cskt.heatmaps import encode
from cskt.proposals import detect_animal, overlap, propose, search, squares

FACE = np.array([90.0, 50.0, 60.0, 60.0])
CATEGORIES = ("__background__", "person", "cat", "dog")


class Likes(nn.Module):
    """Stands for a network that is sure of its nine landmarks where a bright patch just fills the crop."""

    size, cells, padding = 32, 16, 1.0

    def __init__(self):
        super().__init__()
        self.spec = {"scheme": SCHEME.name}
        self.weight = nn.Parameter(torch.zeros(1))

    def heatmaps(self, images):
        # places whose box by AnimalWeb's rule is the crop itself
        at = torch.tensor((SHAPE - [0.5, 0.55]) * [1.0, 0.77] + 0.5).float() * self.cells - 0.5
        inner = images[:, :, 3:-3, 3:-3].mean(dim=(1, 2, 3))
        border = (images.sum(dim=(1, 2, 3)) - inner * 3 * 26 * 26) / (3 * (32 * 32 - 26 * 26))
        sure = (inner - (border - 0.5).abs()).clamp(0, 1)
        return encode(at.expand(len(images), -1, -1), self.cells) * sure[:, None, None, None]


def bright_face(width=240, height=160):
    values = np.full((height, width, 3), 30, np.uint8)
    x, y, w, h = FACE.astype(int)
    values[y : y + h, x : x + w] = 250
    return Image.fromarray(values)


def detector(labels, scores, boxes):
    found = {"labels": torch.tensor(labels), "scores": torch.tensor(scores), "boxes": torch.tensor(boxes)}
    return lambda images: [found]


def test_squares_reach_every_border_and_are_never_far_apart():
    region = np.array([10.0, 20.0, 200.0, 100.0])
    tried = squares(region)
    for side in np.unique(tried[:, 2].round(6)):
        own = tried[np.isclose(tried[:, 2], side)]
        assert own[:, :2].min(axis=0).tolist() == [10, 20]
        assert np.allclose((own[:, :2] + own[:, 2:]).max(axis=0), [210, 120])
        for axis in (0, 1):
            assert np.diff(np.unique(own[:, axis].round(6))).max(initial=0) <= 0.3 * side + 1e-6
    assert np.all(tried[:, 2] == tried[:, 3])


def test_overlap_of_boxes_that_touch_equal_or_lie_apart():
    a = np.array([[0.0, 0.0, 4.0, 4.0]] * 3)
    b = np.array([[0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 4.0, 4.0], [2.0, 2.0, 4.0, 4.0]])
    assert overlap(a, b) == pytest.approx([1.0, 0.0, 4 / 28])


def test_the_search_ends_at_the_face_and_says_what_it_is():
    told = []
    found = search(bright_face(), Likes().eval(), report=lambda *at: told.append(at))
    assert overlap(found.box[None], FACE[None])[0] > 0.5
    assert "knows no animal and can be quite wrong" in found.how
    done, total = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == total[-1]


@pytest.mark.parametrize("grey", [0, 30])
def test_in_a_blank_picture_no_face_is_found_and_nothing_proposed(grey):
    blank = Image.new("RGB", (240, 160), (grey,) * 3)
    dog = detector([3], [0.9], [[10.0, 20.0, 110.0, 90.0]])
    assert search(blank, Likes().eval()).support < proposals.FACE
    with pytest.raises(DataError, match=r"No face found in this picture: .* of 1 at best, 0\.25 are wanted"):
        propose(blank, Likes().eval())
    with pytest.raises(DataError, match="No face found in the dog that torchvision's detector sees"):
        propose(blank, Likes().eval(), dog, CATEGORIES)
    found = propose(bright_face(), Likes().eval())
    assert found.support > proposals.FACE


def test_the_surest_animal_of_coco_is_taken_and_people_are_none():
    boxes = [[0.0, 0.0, 50.0, 50.0], [10.0, 20.0, 110.0, 90.0], [0.0, 0.0, 9.0, 9.0]]
    box, name, score = detect_animal(bright_face(), detector([1, 3, 2], [0.99, 0.8, 0.6], boxes), CATEGORIES)
    assert box.tolist() == [10, 20, 100, 70]
    assert (name, round(score, 2)) == ("dog", 0.8)
    assert detect_animal(bright_face(), detector([1, 3], [0.99, 0.4], boxes[:2]), CATEGORIES) is None
    assert detect_animal(bright_face(), detector([], [], []), CATEGORIES) is None


def test_a_large_picture_is_searched_in_a_smaller_copy(monkeypatch):
    picture = bright_face()
    large = picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.NEAREST)
    monkeypatch.setattr(proposals, "_LARGEST", max(picture.size))
    small, found = search(picture, Likes().eval()), search(large, Likes().eval())
    # pixel centers are the integers: the centers of 4 x 4 fine pixels lie at 1.5, 5.5, ...
    expected = np.concatenate([4 * (small.box[:2] + 0.5) - 0.5, 4 * small.box[2:]])
    assert found.box == pytest.approx(expected, abs=0.2)
    # a small region of a large picture is looked at as it is
    region = np.array([0.0, 0.0, 20.0, 20.0])
    sizes = []
    monkeypatch.setattr(proposals, "_tried", lambda picture, *_: sizes.append(picture.size) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        search(large, Likes().eval(), region)
    assert sizes == [large.size]


def test_inside_an_animal_the_network_searches_for_the_face(monkeypatch):
    asked = []
    monkeypatch.setattr(
        proposals, "search", lambda picture, net, region, *_: asked.append(region) or proposals.Proposal(FACE, "it.")
    )
    dog = detector([3], [0.9], [[10.0, 20.0, 110.0, 90.0]])
    assert propose(bright_face(), Likes(), dog, CATEGORIES).how.startswith(
        "torchvision's detector sees a dog (score 0.90)"
    )
    assert asked[0].tolist() == [10, 20, 100, 70]
    assert "sees none of them" in propose(bright_face(), Likes(), detector([1], [0.9], [[0.0] * 4]), CATEGORIES).how
    assert propose(bright_face(), Likes()).how.startswith("no detector")
    assert asked[1:] == [None, None]


def test_without_a_network_the_whole_animal_is_proposed_and_called_so():
    dog = detector([3], [0.9], [[10.0, 20.0, 110.0, 90.0]])
    found = propose(bright_face(), None, dog, CATEGORIES)
    assert found.box.tolist() == [10, 20, 100, 70]
    assert "the whole animal: pull the box to its face" in found.how
    with pytest.raises(DataError, match="No face found"):
        propose(bright_face(), None)
    with pytest.raises(DataError, match="No face found: the picture has only 20 x 20"):
        propose(Image.new("RGB", (20, 20)), Likes())


@pytest.mark.slow
def test_torchvision_says_where_the_weights_are_how_large_and_what_their_checksum_begins_with():
    weights = proposals.detector_weights()
    assert weights.file.name.endswith(f"-{weights.sha256}.pth")
    assert 60e6 < weights.bytes < 90e6
    assert set(proposals.ANIMALS) < set(weights.categories)


@pytest.mark.slow
def test_the_detector_loads_from_disk_alone_and_only_with_its_checksum(tmp_path):
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    weights = proposals.detector_weights()
    file = tmp_path / "weights.pth"
    with pytest.raises(DataError, match="weights are not here"):
        proposals.load_detector(replace(weights, file=file))
    torch.manual_seed(0)
    made = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=91)
    torch.save(made.state_dict(), file)
    own = replace(weights, file=file, sha256=hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    detector = proposals.load_detector(own)
    assert detect_animal(bright_face(), detector, weights.categories) is None, "random weights are sure of nothing"
    with pytest.raises(DataError, match="does not begin with"):
        proposals.load_detector(replace(own, sha256="00000000"))
    torch.save({"other": torch.zeros(1)}, file)
    own = replace(own, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(DataError, match="not the detector's weights"):
        proposals.load_detector(own)


def test_crops_are_those_of_a_data_set():
    net = SimpleNamespace(size=32, padding=1.0, spec={"scheme": SCHEME.name})
    inside = FACE + np.array([5, 5, -10, -10])
    crops = proposals.crops_of(bright_face(), np.array([inside, FACE * 0.5]), net)
    assert crops.crops.shape == (2, 32, 32, 3)
    assert crops.norm.tolist() == [50, 30]
    assert crops.crops[0].min() > 240
    # one that is meant for wider crops sees as much of a smaller box, whose norm stays its own
    net.padding = 1.25
    smaller = inside + np.array([0.1, 0.1, -0.2, -0.2]) * inside[[2, 3, 2, 3]]
    wider = proposals.crops_of(bright_face(), smaller[None], net)
    assert np.abs(wider.crops[0].astype(int) - crops.crops[0]).max() <= 1 and wider.norm.tolist() == [40]
    assert wider.to_crop[0].numpy() == pytest.approx(crops.to_crop[0].numpy())
