"""The benchmark's networks, and mmpose's checkpoints: state dicts of mmpose's names and shapes, written down here.

The lists below are made from the definition of the networks (HRNet: four stages, widths C, 2C, 4C, 8C; ResNet: blocks
3-4-6-3 or 3-4-23-3), not from ours.
"""

import pytest
import torch
from builders import SCHEME, unlabeled_faces
from torch import nn

from cskt.errors import ConfigError, DataError
from cskt.heatmaps import encode
from cskt.landmarks import SCHEMES
from cskt.models import LandmarkNet, checkpoints
from cskt.models.simple_baseline import SimpleBaseline
from cskt.predict import find_landmarks


def convolution(name, out, into, kernel):
    return {f"{name}.weight": (out, into, kernel, kernel)}


def norm(name, width):
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")} | {
        f"{name}.num_batches_tracked": ()
    }


def bottleneck(name, into, width, downsample):
    shapes = convolution(f"{name}.conv1", width, into, 1) | norm(f"{name}.bn1", width)
    shapes |= convolution(f"{name}.conv2", width, width, 3) | norm(f"{name}.bn2", width)
    shapes |= convolution(f"{name}.conv3", 4 * width, width, 1) | norm(f"{name}.bn3", 4 * width)
    if downsample:
        shapes |= convolution(f"{name}.downsample.0", 4 * width, into, 1) | norm(f"{name}.downsample.1", 4 * width)
    return shapes


def resnet(blocks):
    shapes = convolution("conv1", 64, 3, 7) | norm("bn1", 64)
    into = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for k in range(count):
            shapes |= bottleneck(f"layer{stage + 1}.{k}", into, width, downsample=k == 0)
            into = 4 * width
    return shapes


def hrnet(width):
    shapes = convolution("conv1", 64, 3, 3) | norm("bn1", 64) | convolution("conv2", 64, 64, 3) | norm("bn2", 64)
    for k in range(4):
        shapes |= bottleneck(f"layer1.{k}", 64 if k == 0 else 256, 64, downsample=k == 0)
    widths = [width * 2**k for k in range(4)]
    shapes |= convolution("transition1.0.0", width, 256, 3) | norm("transition1.0.1", width)
    before = [256]
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        new = stage - 1  # the branch that this stage adds
        shapes |= convolution(f"transition{new}.{new}.0.0", widths[new], before[-1], 3)
        shapes |= norm(f"transition{new}.{new}.0.1", widths[new])
        before = widths[:stage]
        for m in range(modules):
            for i in range(stage):
                for k in range(4):
                    for c in (1, 2):
                        where = f"stage{stage}.{m}.branches.{i}.{k}"
                        shapes |= convolution(f"{where}.conv{c}", widths[i], widths[i], 3)
                        shapes |= norm(f"{where}.bn{c}", widths[i])
            # of the very last module only the finest branch goes on
            for i in range(1 if (stage, m) == (4, 2) else stage):
                for j in range(stage):
                    where = f"stage{stage}.{m}.fuse_layers.{i}.{j}"
                    if j > i:
                        shapes |= convolution(f"{where}.0", widths[i], widths[j], 1) | norm(f"{where}.1", widths[i])
                    for k in range(i - j):
                        out = widths[i] if k == i - j - 1 else widths[j]
                        shapes |= convolution(f"{where}.{k}.0", out, widths[j], 3) | norm(f"{where}.{k}.1", out)
    return shapes


def head(width, deconvolutions, landmarks=17):
    shapes = {}
    for k in range(deconvolutions):
        shapes |= {f"deconv_layers.{3 * k}.weight": (width, 256, 4, 4)} | norm(f"deconv_layers.{3 * k + 1}", 256)
        width = 256
    return shapes | {"final_layer.weight": (landmarks, width, 1, 1), "final_layer.bias": (landmarks,)}


MODELS = {
    "mmpose_hrnet_w32": lambda: (hrnet(32), head(32, 0)),
    "mmpose_hrnet_w48": lambda: (hrnet(48), head(48, 0)),
    "mmpose_resnet50": lambda: (resnet((3, 4, 6, 3)), head(2048, 3)),
    "mmpose_resnet101": lambda: (resnet((3, 4, 23, 3)), head(2048, 3)),
}


def published(name, prefix):
    """A checkpoint as mmpose writes it, with random numbers, none below 0 as variances are."""
    backbone, own = MODELS[name]()
    shapes = {f"backbone.{key}": shape for key, shape in backbone.items()}
    shapes |= {f"{prefix}.{key}": shape for key, shape in own.items()}
    torch.manual_seed(0)
    values = {key: torch.rand(shape) if shape else torch.tensor(7) for key, shape in shapes.items()}
    return {"meta": {"epoch": 210}, "state_dict": values}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "prefix"), [*((name, "keypoint_head") for name in MODELS), ("mmpose_resnet50", "head")]
)
def test_a_published_checkpoint_comes_back_weight_for_weight(tmp_path, name, prefix):
    content = published(name, prefix)
    torch.save(content, tmp_path / "model.pth")
    net = checkpoints.load(tmp_path / "model.pth", SCHEMES["ap10k17"], size=64)
    assert net.spec["name"] == name and net.padding == 1.25
    own = net.net.state_dict()
    # back to mmpose's names by a rule of our own: nothing may be left over on either side
    back = {
        key if key.startswith("backbone.") else f"{prefix}.{key.replace('head.0', 'final_layer')}": value
        for key, value in own.items()
    }
    assert back.keys() == content["state_dict"].keys()
    assert all(torch.equal(back[key], value) for key, value in content["state_dict"].items())


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_is_refused_with_the_names(tmp_path):
    content = published("mmpose_resnet50", "keypoint_head")
    del content["state_dict"]["backbone.layer2.0.conv1.weight"]
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(DataError, match=r"missing: .backbone\.layer2\.0\.conv1\.weight"):
        checkpoints.load_mmpose(tmp_path / "model.pth", "ap10k17", 17)


def test_what_is_no_checkpoint_of_mmposes_is_refused(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(1)}}, tmp_path / "model.pth")
    with pytest.raises(DataError, match="no weights of a model with a backbone"):
        checkpoints.load_mmpose(tmp_path / "model.pth", "ap10k17", 17)
    with pytest.raises(DataError, match="no such checkpoint"):
        checkpoints.load_mmpose(tmp_path / "none.pth", "ap10k17", 17)


@pytest.mark.parametrize(("key", "name"), [("backbone.layer3.7.conv1.weight", r"mmpose_resnet\?"),
                                           ("backbone.stage2.0.branches.0.0.conv1.weight", r"mmpose_hrnet_w\?"),
                                           ("backbone.blocks.0.attn.qkv.weight", "of another kind")])  # fmt: skip
def test_networks_of_mmpose_that_are_not_here_are_named(tmp_path, key, name):
    torch.save({"state_dict": {key: torch.ones(1)}}, tmp_path / "model.pth")
    with pytest.raises(DataError, match=rf"a network of mmpose \(.*{name}\) that is none of mmpose_resnet50"):
        checkpoints.load(tmp_path / "model.pth", SCHEMES["ap10k17"])


def test_maps_of_mmpose_are_brought_into_our_frame():
    """mmpose draws a landmark at pixel p of the crop into cell p / 4, in the mirror image too."""
    data = unlabeled_faces(4, size=64)
    places = torch.rand((4, 9, 2), generator=torch.Generator().manual_seed(0)) * 32 + 16

    class Drawing(nn.Module):
        def forward(self, images):
            return [encode(self.places / 4, 16, sigma=2.0)]

    net = LandmarkNet("pose_resnet18", SCHEME.name, 9, 64, "linear")
    net.net.mmpose_frame = True
    net.net.backbone, net.net.deconv_layers = Drawing(), nn.Identity()
    net.net.head = nn.Conv2d(9, 9, 1, bias=False)
    nn.init.dirac_(net.net.head.weight)
    net.net.backbone.places = places
    found, _ = find_landmarks(net, data)
    assert (found - places).abs().max() < 0.05
    mirrored = places * torch.tensor([-1.0, 1.0]) + torch.tensor([63.0, 0.0])
    net.net.backbone.places = mirrored[:, list(SCHEME.flip_permutation)]
    of_mirror, _ = find_landmarks(net, data, mirrored=True)
    assert (of_mirror - places).abs().max() < 0.05


@pytest.mark.parametrize("name", ["pose_resnet18", "hrnet_w18"])
def test_weights_that_timm_does_not_have_are_named(name):
    with pytest.raises(ConfigError, match=r"MODEL.WEIGHTS .none_such.: .*Invalid pretrained tag"):
        LandmarkNet(name, "ap10k17", 17, 64, "linear", "none_such")


def test_the_maps_are_a_quarter_of_the_input_and_start_near_zero():
    net = LandmarkNet("pose_resnet18", "ap10k17", 17, 64, "linear").eval()
    with torch.no_grad():
        maps = net(torch.rand(1, 3, 64, 64))
    assert maps.shape == (1, 17, net.cells, net.cells) == (1, 17, 16, 16)
    assert maps.abs().max() < 0.1


@pytest.mark.slow
def test_the_finest_branch_of_hrnet_is_what_the_head_sees():
    net = SimpleBaseline(17, "hrnet_w32").eval()
    seen = []
    net.head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    with torch.no_grad():
        assert net(torch.rand(1, 3, 64, 64)).shape == (1, 17, 16, 16)
    assert seen == [(1, 32, 16, 16)]
    # 28.5 million parameters, as published for pose HRNet-w32
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(28.5, abs=0.1)
