"""Landmarks discovered without labels, by inter- and intra-subject consistency (spec 4).

A detector finds K points of a face; a generator draws the face anew from a picture and the points of another view.
The detour: the picture is first drawn with another face's points, and from that drawing back with its own. Only
points that carry a face's structure, and nothing of its looks, make that possible (Li et al., ICPR 2020).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cskt import geometry
from cskt.data.augment import View, take_view
from cskt.data.datasets import UnlabeledSet, batch_indices, plain_images
from cskt.errors import ConfigError, DataError
from cskt.landmarks import Scheme, SharedLandmarks
from cskt.methods.supervised import Surroundings
from cskt.models import LandmarkNet, autocast, checkpoints
from cskt.training import average_in, averaged_copy
from cskt.untrusted import read_plain

TEMPERATURE = 0.1  # of the soft-argmax
SPREAD = 0.5  # of the rendered points: exp(-d^2 / SPREAD), d in cells


@dataclass(frozen=True)
class Options:
    """Knobs of the method.

    Attributes:
        batch: faces per step.
        derangement: which face's points each one borrows: "fresh" in each batch, or "fixed" by the place in the batch
            for the whole run, as released.
        perceptual: weight of the perceptual term beside the squared error.
        weight_decay: of both networks.
        ema: decay of the averaged detector that is the result.
    """

    batch: int = 16
    derangement: str = "fresh"
    perceptual: float = 1.0
    weight_decay: float = 5e-4
    ema: float = 0.99


def point_scheme(count: int) -> Scheme:
    """The scheme of `count` points that mean nothing yet."""
    return Scheme(f"discovered{count}", tuple(f"point_{k}" for k in range(count)))


def soft_argmax(maps: torch.Tensor, temperature: float = TEMPERATURE) -> torch.Tensor:
    """Mean place of each map's softmax, as shares of the side from 0 to 1 (pixel edges), [B, K, 2].

    Example:
        >>> maps = torch.zeros(1, 1, 4, 4)
        >>> maps[0, 0, 1, 3] = 10.0
        >>> soft_argmax(maps).tolist()
        [[[0.875, 0.375]]]
    """
    height, width = maps.shape[-2:]
    weights = (maps.float().flatten(-2) / temperature).softmax(dim=-1).view(maps.shape)
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    y = (torch.arange(height, device=maps.device) + 0.5) / height
    return torch.stack([(weights.sum(dim=-2) * x).sum(dim=-1), (weights.sum(dim=-1) * y).sum(dim=-1)], dim=-1)


def render(points: torch.Tensor, cells: int) -> torch.Tensor:
    """Maps [B, K, cells, cells] with exp(-d^2 / 0.5) around each point [B, K, 2] (shares of the side)."""
    axis = torch.arange(cells, device=points.device)
    squared = (axis - (points[..., None] * cells - 0.5)) ** 2
    return torch.exp(-(squared[..., 1, :, None] + squared[..., 0, None, :]) / SPREAD)


def derangement(count: int, generator: torch.Generator) -> torch.Tensor:
    """A random order of `count` (2 or more) things in which none keeps its place: one cycle (Sattolo), [count]."""
    order = torch.arange(count)
    for k in range(count - 1, 0, -1):
        other = int(torch.randint(k, (1,), generator=generator))
        order[[k, other]] = order[[other, k]]
    return order


class Residual(nn.Module):
    """Two 3 x 3 convolutions on a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1), nn.InstanceNorm2d(width),
        )  # fmt: skip

    def forward(self, x):
        return x + self.body(x)


class Generator(nn.Module):
    """A picture drawn anew with the structure that points tell.

    Args:
        points: how many, K.
        width: channels at the picture's own size.
        blocks: residual blocks at a quarter of it.
    """

    def __init__(self, points: int, width: int = 32, blocks: int = 6):
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(3, width, 7, 1, 3), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1), nn.InstanceNorm2d(4 * width), nn.ReLU(),
        )  # fmt: skip
        both = 4 * width + points
        self.draw = nn.Sequential(
            nn.BatchNorm2d(both), *(Residual(both) for _ in range(blocks)),
            nn.ConvTranspose2d(both, 2 * width, 4, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 3, 7, 1, 3), nn.Tanh(),
        )  # fmt: skip

    def forward(self, images: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Pictures [B, 3, H, H] from 0 to 1, of pictures and points [B, K, 2]."""
        look = self.look(images)
        return 0.5 * (self.draw(torch.cat([look, render(points, look.shape[-1]).to(look.dtype)], dim=1)) + 1)


def vgg_features(weights: str | Path) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """relu1_2, 2_2, 3_3 and 4_3 of torchvision's VGG-16 with the weights of a file; its input is not normalized.

    Raises:
        DataError: no such file, or one that does not hold these weights.
    """
    from torchvision.models import vgg16

    content = read_plain(weights)
    with torch.device("meta"):
        net = vgg16(weights=None)
    try:
        net.load_state_dict(content, assign=True)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise DataError(f"{weights}: not the weights of torchvision's VGG-16") from error
    layers = net.features[:23].eval().requires_grad_(False)

    def features(images: torch.Tensor) -> list[torch.Tensor]:
        found = []
        layers.to(images.device)
        for k, layer in enumerate(layers):
            images = layer(images)
            if k in (3, 8, 15, 22):
                found.append(images)
        return found

    return features


def net_features(net: LandmarkNet) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """What a frozen landmark network sees before its last layer: the substitute where no VGG is at hand."""
    frozen = copy.deepcopy(net).eval().requires_grad_(False)
    head = frozen.net.head
    frozen.net.head = nn.Identity() if isinstance(head, nn.Conv2d) else head[:-1]
    return lambda images: [frozen.to(images.device)(images)]


class InterIntra:
    """Detector and generator, trained together on unlabeled faces.

    Args:
        detector: a landmark network of K points.
        generator: of as many.
        data: the faces.
        features: of pictures, for the perceptual term (`vgg_features`, `net_features`).
        around: device, precision, seed.
        options: see `Options`.
    """

    def __init__(
        self, detector: LandmarkNet, generator: Generator, data: UnlabeledSet,
        features: Callable[[torch.Tensor], list[torch.Tensor]], around: Surroundings, options: Options,
    ):  # fmt: skip
        if options.batch < 2:
            raise ConfigError("UNSUPERVISED.BATCH 1: a face has no other one to borrow points from; take 2 or more")
        self.detector = detector.to(around.device).train()
        self.generator = generator.to(around.device).train()
        self.average = averaged_copy(self.detector)
        self.data, self.features, self.around, self.options = data, features, around, options
        self.parameters = [p for net in (self.detector, self.generator) for p in net.parameters() if p.requires_grad]
        self.opt = torch.optim.Adam(self.parameters, lr=0.0, betas=(0.0, 0.9), weight_decay=options.weight_decay)

    @property
    def result(self) -> LandmarkNet:
        return self.average

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Update both networks once."""
        o, a = self.options, self.around
        rows = batch_indices(len(self.data), o.batch, a.seed, step)
        # the same face, turned twice
        first, second = (self._turned(rows, spread, generator) for spread in (30.0, 15.0))
        borrowed = self._derangement(generator)
        with autocast(a.device, a.precision):
            points, other = (soft_argmax(self.detector(images)) for images in (first, second))
            aux = points[borrowed]
            back = self.generator(self.generator(first, aux), other)
            again = self.generator(self.generator(second, aux), points)
        squared = (back.float() - second).square().mean() + (again.float() - first).square().mean()
        perceptual = sum(
            (mine.float() - true.float()).square().mean()
            for made, real in ((back, second), (again, first))
            for mine, true in zip(self.features(made.float()), self.features(real), strict=True)
        )
        self.opt.zero_grad(set_to_none=True)
        (squared + o.perceptual * perceptual).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.opt.param_groups:
            group["lr"] = lr
        self.opt.step()
        average_in(self.average, self.detector, min(o.ema, step / (step + 10)))
        return {"squared": squared.detach(), "perceptual": perceptual.detach()}

    def _turned(self, rows, spread: float, generator: torch.Generator) -> torch.Tensor:
        """Crops turned by normal deviates of `spread` degrees, at most 40, and a little larger or smaller."""
        draw = torch.randn(len(rows), 2, generator=generator)
        angle = (spread * draw[:, 0]).clamp(-40, 40)
        matrix = geometry.turned_and_zoomed(self.data.size, angle, 1 + 0.04 * draw[:, 1])
        view = View(matrix, torch.zeros(len(rows), dtype=torch.bool)).to(self.around.device)
        return take_view(self.data.take(rows).to(self.around.device), view, self.data.size)

    def _derangement(self, generator: torch.Generator) -> torch.Tensor:
        if self.options.derangement == "fixed":
            generator = torch.Generator().manual_seed(self.around.seed)
        return derangement(self.options.batch, generator).to(self.around.device)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in ("detector", "generator", "average", "opt")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            getattr(self, name).load_state_dict(value)


@torch.no_grad()
def find_points(net: LandmarkNet, data: UnlabeledSet, batch: int = 64) -> torch.Tensor:
    """Points of each plain crop as shares of its side, [N, K, 2]."""
    device = next(net.parameters()).device
    net.eval()
    parts = torch.arange(len(data)).split(batch)
    return torch.cat([soft_argmax(net(plain_images(data, part.numpy(), device))).cpu() for part in parts])


def start_from(detector: LandmarkNet, net: LandmarkNet) -> LandmarkNet:
    """A landmark network with all the weights of a detector of other points but the last layer's."""
    k, n = detector.spec["landmarks"], net.spec["landmarks"]
    checkpoints.transfer(detector, net, SharedLandmarks((), torch.zeros(0, k).numpy(), torch.zeros(0, n).numpy()))
    return net
