"""Landmarks discovered without labels: the pieces on values worked by hand, the method on dots, the regression."""

import copy

import numpy as np
import pytest
import torch
from builders import CPU, few_shot, run, same, unlabeled_faces, use_tiny_network, weights
from torchvision.models import vgg16

from cskt import geometry, regression
from cskt.errors import ConfigError, DataError
from cskt.heatmaps import CODECS
from cskt.landmarks import register
from cskt.methods import inter_intra
from cskt.methods.supervised import Surroundings
from cskt.models import LandmarkNet

AROUND = Surroundings(CODECS["subpixel"], CPU, "float32", seed=0)


def method(monkeypatch, points=3, **options):
    use_tiny_network(monkeypatch)
    scheme = register(inter_intra.point_scheme(points))
    torch.manual_seed(0)
    detector = LandmarkNet("tiny", scheme.name, points, 32, "softmax")
    generator = inter_intra.Generator(points, width=4, blocks=1)
    features = inter_intra.net_features(few_shot())
    options = inter_intra.Options(**{"batch": 4} | options)
    return inter_intra.InterIntra(detector, generator, unlabeled_faces(8), features, AROUND, options)


def test_a_point_is_the_mean_of_its_softmax_and_is_drawn_where_it_was_found():
    maps = torch.full((1, 2, 8, 8), -5.0)
    maps[0, 0, 2, 6] = 5.0
    maps[0, 1, 4, 1] = maps[0, 1, 4, 3] = 5.0
    points = inter_intra.soft_argmax(maps)
    # between two equal peaks lies their middle
    expected = [[6.5 / 8, 2.5 / 8], [2.5 / 8, 4.5 / 8]]
    assert points[0].tolist() == [pytest.approx(place, abs=1e-6) for place in expected]
    drawn = inter_intra.render(points, 8)
    assert drawn[0, 0, 2, 6].item() == pytest.approx(1.0)
    # one cell away: exp(-1 / 0.5)
    assert drawn[0, 0, 2, 5].item() == pytest.approx(np.exp(-2))


def test_a_derangement_leaves_nobody_in_place_and_is_another_one_each_time():
    generator = torch.Generator().manual_seed(0)
    orders = [inter_intra.derangement(6, generator) for _ in range(20)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(6)) and (order != torch.arange(6)).all()
    assert len({tuple(order.tolist()) for order in orders}) > 10


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
def test_the_released_derangement_is_the_same_in_each_batch(monkeypatch, kind):
    own = method(monkeypatch, derangement=kind)
    orders = {tuple(own._derangement(torch.Generator().manual_seed(k)).tolist()) for k in range(8)}
    assert (len(orders) == 1) is (kind == "fixed")


def test_a_turn_and_a_zoom_leave_the_center_in_place():
    matrix = geometry.turned_and_zoomed(32, torch.tensor([90.0, 0.0]), torch.tensor([1.0, 2.0]))
    center, right = torch.tensor([[15.5, 15.5]]), torch.tensor([[20.5, 15.5]])
    assert torch.allclose(geometry.apply(matrix, center.expand(2, 1, 2)), center.expand(2, 1, 2), atol=1e-5)
    moved = geometry.apply(matrix, right.expand(2, 1, 2))[:, 0]
    assert torch.allclose(moved, torch.tensor([[15.5, 20.5], [25.5, 15.5]]), atol=1e-5)


def test_vgg_is_looked_through_after_four_of_its_layers_and_another_file_is_named(tmp_path):
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in vgg16(weights=None).state_dict().items()}
    # weights of 0, and as bias the number of the layer: what is seen tells where
    number = {key: float(key.split(".")[1]) * key.endswith("bias") for key in shapes}
    content = {key: torch.full((1,), number[key]).expand(shape) for key, shape in shapes.items()}
    torch.save(content, tmp_path / "vgg.pth")
    found = inter_intra.vgg_features(str(tmp_path / "vgg.pth"))(torch.rand(1, 3, 16, 16))
    # the convolutions before relu1_2, 2_2, 3_3 and 4_3
    assert [maps.unique().tolist() for maps in found] == [[2.0], [7.0], [14.0], [21.0]]
    assert [tuple(maps.shape[1:]) for maps in found] == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pth")
    (tmp_path / "garbage.pth").write_bytes(b"garbage")
    wrong = {"other": "not the weights of torchvision's VGG-16", "garbage": "cannot be read", "none": "no such"}
    for name, message in wrong.items():
        with pytest.raises(DataError, match=rf"{name}\.pth: {message}"):
            inter_intra.vgg_features(tmp_path / f"{name}.pth")


def test_a_batch_of_one_face_has_nobody_to_borrow_from(monkeypatch):
    with pytest.raises(ConfigError, match="take 2 or more"):
        method(monkeypatch, batch=1)


@pytest.mark.slow
def test_both_networks_learn_and_the_drawing_comes_nearer(monkeypatch):
    own = method(monkeypatch)
    before = [weights(net) for net in (own.detector, own.generator)]
    first = run(own, 1, lr=3e-3)
    last = run(own, 30, lr=3e-3, first=1)
    assert last["squared"] < 0.8 * first["squared"] and last["perceptual"] < first["perceptual"]
    for former, net in zip(before, (own.detector, own.generator), strict=True):
        assert (weights(net) - former).abs().max() > 1e-3
    points = inter_intra.find_points(own.result, own.data)
    assert points.shape == (8, 3, 2) and points.min() > 0 and points.max() < 1


def test_a_state_goes_on_where_it_was(monkeypatch):
    one, other = method(monkeypatch), method(monkeypatch)
    run(one, 2)
    state = copy.deepcopy(one.state_dict())
    other.load_state_dict(state)
    assert run(one, 1, first=2) == run(other, 1, first=2)
    assert same(one.detector.state_dict(), other.detector.state_dict())


def test_few_shot_training_starts_from_the_detector_but_for_its_last_layer(monkeypatch):
    own = method(monkeypatch)
    net = few_shot(seed=5)
    last = net.net.head.weight.clone()
    started = inter_intra.start_from(own.detector, net)
    assert torch.equal(started.net.head.weight, last)
    theirs, ours = own.detector.net.state_dict(), started.net.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if not key.startswith("head."))


# --- regression


def test_landmarks_that_depend_on_the_points_linearly_are_found_again():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (50, 4, 2))
    matrix = rng.normal(size=(6, 8)) / 8
    landmarks = ((points.reshape(50, -1) - 0.5) @ matrix.T).reshape(50, 3, 2) + 0.5
    landmarks[0, 1] = np.nan  # teaches nothing
    found = regression.regressed(points[:40], landmarks[:40], points[40:], r=1e-9)
    assert np.abs(found - landmarks[40:]).max() < 1e-6
    # a strong regularization draws everything to the center, 0.5
    drawn = regression.regressed(points[:40], landmarks[:40], points[40:], r=1e6)
    assert np.abs(drawn - 0.5).max() < 1e-3
    with pytest.raises(ValueError, match="no face has all landmarks"):
        regression.regressed(points[:1], landmarks[:1], points)


def test_the_regularization_is_relative_to_the_largest_entry():
    x, y = np.array([[1.0], [2.0]]), np.array([[2.0], [4.0]])
    # X'X = 5, X'Y = 10: 10 / (5 + 0.5 * 5)
    assert regression.ridge(x, y, r=0.5).item() == pytest.approx(4 / 3)
    assert regression.ridge(10 * x, 10 * y, r=0.5).item() == pytest.approx(4 / 3)


def test_errors_are_means_over_what_is_annotated_over_the_distance_of_the_eyes():
    true = np.array([[[0.0, 0.0], [10.0, 0.0], [np.nan, np.nan]]])
    found = true + np.array([3.0, 4.0])
    norm = regression.inter_ocular(true, (0,), (1,))
    assert norm.tolist() == [10.0]
    assert regression.mean_error(np.nan_to_num(found), true, norm).tolist() == [0.5]
