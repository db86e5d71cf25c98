"""The landmark networks: a backbone, a head, and what their maps mean."""

from functools import partial

import torch
from torch import nn

from cskt.errors import ConfigError
from cskt.models import losses
from cskt.models.efficientnet import EfficientNetLite
from cskt.models.hrnet import HRNet
from cskt.models.simple_baseline import SimpleBaseline
from cskt.models.unet import UNet

# name -> (network of L maps with weights of that name, input pixels per heatmap cell)
NETWORKS = {
    "unet_small": (lambda landmarks, weights: UNet(landmarks, width=32), 2),
    "unet": (lambda landmarks, weights: UNet(landmarks, width=48), 2),
    "efficientnet_lite0": (EfficientNetLite, 4),
    "hrnet_w18": (lambda landmarks, weights: HRNet(landmarks, "hrnet_w18", weights), 4),
    "hrnet_w18_small": (lambda landmarks, weights: HRNet(landmarks, "hrnet_w18_small", weights), 4),
    "hrnet_w32": (lambda landmarks, weights: HRNet(landmarks, "hrnet_w32", weights), 4),
    # of AP-10K's benchmark, with the simple-baseline head
    "pose_resnet18": (partial(SimpleBaseline, name="resnet18"), 4),
    "pose_resnet50": (partial(SimpleBaseline, name="resnet50"), 4),
    "pose_resnet101": (partial(SimpleBaseline, name="resnet101"), 4),
    "pose_hrnet_w32": (partial(SimpleBaseline, name="hrnet_w32"), 4),
    "pose_hrnet_w48": (partial(SimpleBaseline, name="hrnet_w48"), 4),
    # the same with mmpose's own weights
    "mmpose_resnet50": (partial(SimpleBaseline, name="resnet50", mmpose_frame=True), 4),
    "mmpose_resnet101": (partial(SimpleBaseline, name="resnet101", mmpose_frame=True), 4),
    "mmpose_hrnet_w32": (partial(SimpleBaseline, name="hrnet_w32", mmpose_frame=True), 4),
    "mmpose_hrnet_w48": (partial(SimpleBaseline, name="hrnet_w48", mmpose_frame=True), 4),
}
# of the colors of ImageNet, which all inputs are normalized with
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class LandmarkNet(nn.Module):
    """A network with all that is needed to use it: its name, landmark scheme, input size and what its maps mean.

    Args:
        name: one of `NETWORKS`.
        scheme: name of the landmark scheme that the maps follow.
        landmarks: how many, L.
        size: side of the crop it is meant for, pixels.
        output: what its maps mean, one of `losses.OUTPUTS`.
        weights: what to start the backbone from: "imagenet" (in a package, for efficientnet_lite0), the tag of timm
            weights to download, or "" for random weights.
        frozen: how many stages of the backbone keep their weights; only efficientnet_lite0 can.
        padding: side of the crop it is meant for over the longer side of the box.
    """

    def __init__(
        self,
        name: str,
        scheme: str,
        landmarks: int,
        size: int,
        output: str,
        weights: str = "",
        frozen: int = 0,
        padding: float = 1.0,
    ):
        super().__init__()
        if name not in NETWORKS:
            raise ConfigError(f"MODEL.NAME {name!r} is not one of {', '.join(NETWORKS)}")
        for kind, deepest in (("unet", 16), ("efficientnet", 32)):
            if name.startswith(kind) and size % deepest:
                raise ConfigError(f"INPUT.SIZE {size} is not a multiple of {deepest}, as the scales of {name} need")
        build, self.stride = NETWORKS[name]
        # images come in channels-last too: a fifth quicker on a CPU in bfloat16, more on a GPU
        try:
            self.net = build(landmarks, weights=weights).to(memory_format=torch.channels_last)
        except RuntimeError as error:
            # timm, of a tag that it does not know for this backbone
            if "pretrained tag" not in str(error):
                raise
            raise ConfigError(f"MODEL.WEIGHTS {weights!r}: {error}") from error
        self.spec = {"name": name, "scheme": scheme, "landmarks": landmarks, "size": size, "output": output}
        if frozen:
            if not hasattr(self.net, "freeze"):
                raise ConfigError(f"MODEL.FROZEN {frozen}: no stage of {name} can be frozen")
            self.net.freeze(frozen)
            self.spec["frozen"] = frozen
        if padding != 1:
            self.spec["padding"] = padding
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    @property
    def output(self) -> str:
        """What its maps mean, one of `losses.OUTPUTS`."""
        return self.spec["output"]

    @property
    def size(self) -> int:
        """Side of the crop it is meant for, pixels."""
        return self.spec["size"]

    @property
    def padding(self) -> float:
        """Side of the crop it is meant for over the longer side of the box."""
        return self.spec.get("padding", 1.0)

    @property
    def cells(self) -> int:
        """Side of the heatmaps, cells."""
        return -(-self.size // self.stride)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Raw maps [B, L, cells, cells] of images [B, 3, size, size] with values from 0 to 1."""
        x = (images - self.mean) / self.std
        return self.net(x.contiguous(memory_format=torch.channels_last)).float()

    def heatmaps(self, images: torch.Tensor) -> torch.Tensor:
        """Heatmaps [B, L, cells, cells], peak about 1, of images [B, 3, size, size]."""
        return losses.to_heatmaps(self(images), self.output)


def pick_device(name: str) -> torch.device:
    """The device of a name, "auto" being the GPU where there is one.

    Raises:
        ConfigError: no device, or none that is here.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    there = {"cpu": 1, "cuda": gpus, "mps": int(torch.backends.mps.is_available())}
    try:
        device = torch.device(name)
    except RuntimeError:  # of an unknown name
        device = None
    if device is None or (device.index or 0) >= there.get(device.type, 0):
        found = f"torch sees {gpus} GPU{'' if gpus == 1 else 's'}" if gpus else "torch sees no GPU"
        raise ConfigError(f"device {name!r} is not here ({found}): use {'auto, cuda' if gpus else 'auto'} or cpu")
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """The precision of a name, "auto" being bfloat16 on a GPU and on CPUs that compute in it."""
    if name == "auto":
        fast = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return "bfloat16" if fast else "float32"
    return name


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which a network runs in `precision` ("float32" or "bfloat16")."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
