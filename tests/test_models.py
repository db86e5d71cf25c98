"""The networks."""

import math

import pytest
import torch
import torch.nn.functional as F
from reference.hrnet import original_weights

from cskt.errors import ConfigError
from cskt.heatmaps import decode, encode
from cskt.models import MEAN, NETWORKS, STD, LandmarkNet, pick_device, pick_precision
from cskt.models.unet import UNet


def net(name="unet_small", size=32, output="linear", landmarks=9, seed=0):
    torch.manual_seed(seed)
    return LandmarkNet(name, "animalweb9", landmarks, size, output).eval()


def test_hrnet_w18_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in net("hrnet_w18", 256).parameters()) == sum(
        p.numel() for p in original_weights().parameters()
    )


def test_the_plain_network_interpolates_no_more_than_the_original(monkeypatch):
    """Each coarser branch where scales are fused, three before the head: the benchmark compares with its time."""
    sizes, interpolate = [], F.interpolate

    def counted(x, size, **how):
        sizes.append((*x.shape[2:], *size))
        return interpolate(x, size, **how)

    monkeypatch.setattr(F, "interpolate", counted)
    with torch.no_grad():
        original_weights()(torch.rand(1, 3, 64, 64))
    assert len(sizes) == 1 * 1 + 4 * 3 + 3 * 6 + 3
    assert all(before < after for before, _, after, _ in sizes)


@pytest.mark.slow
@pytest.mark.parametrize("size", [255, 256])
def test_published_inputs_give_64_cells(size):
    model = net("hrnet_w18", size)
    assert model.cells == 64
    with torch.no_grad():
        assert model(torch.rand(1, 3, size, size)).shape == (1, 9, 64, 64)


def test_a_size_that_the_small_network_cannot_halve_four_times_is_named():
    with pytest.raises(ValueError, match=r"INPUT.SIZE 100 is not a multiple of 16"):
        net("unet_small", 100)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name.startswith("pose_") else name for name in NETWORKS]
)
def test_maps_are_as_large_as_the_network_says(name):
    model = net(name, 64, landmarks=5)
    with torch.no_grad():
        assert model(torch.rand(1, 3, 64, 64)).shape == (1, 5, model.cells, model.cells)
    assert model.cells == 64 // model.stride


def test_an_unknown_network_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"MODEL.NAME 'hrnet' is not one of unet_small, .*hrnet_w18"):
        net("hrnet")


def test_hrnet_starts_as_published():
    """Spec 1.1: convolutions from N(0, 0.001), batch norm 1 and 0 with a momentum of 0.01."""
    model = net("hrnet_w18", 64)
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    values = torch.cat([m.weight.flatten() for m in convolutions])
    assert values.std().item() == pytest.approx(1e-3, rel=0.01) and abs(values.mean()) < 1e-5
    assert all(m.bias.eq(0).all() for m in convolutions if m.bias is not None)
    assert all(m.momentum == 0.01 and m.weight.eq(1).all() and m.bias.eq(0).all() for m in norms)


def test_colors_are_normalized_as_imagenets():
    model = net()
    seen = []
    model.net.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model(torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, 32, 32))
        model(torch.ones(1, 3, 32, 32))
    assert seen[0].abs().max() < 1e-6
    assert seen[1][0, :, 0, 0].tolist() == pytest.approx([(1 - m) / s for m, s in zip(MEAN, STD, strict=True)])


@pytest.mark.parametrize("output", ["linear", "softmax"])
def test_heatmaps_are_what_the_output_says_of_the_maps(output):
    model, images = net(output=output), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        maps, heatmaps = model(images), model.heatmaps(images)
    if output == "linear":
        assert heatmaps.equal(maps)
    else:
        assert heatmaps.sum(dim=(-2, -1)).allclose(torch.tensor(2 * math.pi))
        assert heatmaps.flatten(-2).argmax(-1).equal(maps.flatten(-2).argmax(-1))


def test_in_evaluation_mode_an_image_is_seen_alone():
    """Nothing leaks from one image of a batch to another."""
    model, images = net(), torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        assert model(images)[1:2].allclose(model(images[1:2]), atol=1e-5)


def test_the_small_network_knows_where_in_the_crop_it_is():
    """Of an empty picture a plain convolution could say the same everywhere, but for the border."""
    torch.manual_seed(0)
    unet = UNet(1, width=8).eval()
    with torch.no_grad():
        inner = unet(torch.zeros(1, 3, 128, 128))[0, 0, 24:40, 24:40]
        unet.stem[0].weight[:, 3:] = 0
        blind = unet(torch.zeros(1, 3, 128, 128))[0, 0, 24:40, 24:40]
    assert inner.std() > 1e-3 > 10 * blind.std()


@pytest.mark.slow
def test_a_network_can_learn_to_point_at_a_dot():
    torch.manual_seed(0)
    unet = UNet(1, width=8)
    opt = torch.optim.Adam(unet.parameters(), 3e-3)
    for _ in range(60):
        places = 4 + 24 * torch.rand(16, 1, 2)
        images = encode(places, 32, sigma=2.0).expand(16, 3, 32, 32)
        target = encode((places + 0.5) / 2 - 0.5, 16)
        maps = unet(images).flatten(-2).log_softmax(-1)
        loss = -(maps * target.flatten(-2)).sum(-1).mean() / (2 * math.pi)
        opt.zero_grad()
        loss.backward()
        opt.step()
    found, _ = decode(unet.eval()(images).detach().exp())
    assert (2 * found + 0.5 - places).norm(dim=-1).mean() < 2.0, "pixels"


def test_a_device_that_is_not_here_is_named_with_what_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "gpu", "GPU 0", ""):
        with pytest.raises(ConfigError, match=rf"^device '{name}' is not here \(torch sees no GPU\): use auto or cpu$"):
            pick_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ConfigError, match=r"device 'cuda:1' is not here \(torch sees 1 GPU\): use auto, cuda or cpu"):
        pick_device("cuda:1")


def test_device_and_precision_follow_their_names():
    cpu = torch.device("cpu")
    assert pick_device("cpu") == cpu
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_precision("float32", cpu) == "float32"
    assert pick_precision("bfloat16", cpu) == "bfloat16"
    assert pick_precision("auto", torch.device("cuda")) == "bfloat16"
