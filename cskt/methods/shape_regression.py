"""Landmarks by way of a 3-D shape: a network tells camera and coefficients, the shape's projection the landmarks.

It stands where the articulated mesh model stands in the system for web images (spec 5.4): weak perspective, a single
camera, learned from annotated landmarks alone. It cannot predict what is no projection of a face.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from cskt import geometry
from cskt.data.augment import Augmentation
from cskt.data.datasets import LabeledSet, UnlabeledSet, batch_indices, labeled_batch, plain_images
from cskt.methods.supervised import Surroundings
from cskt.models import LandmarkNet, autocast
from cskt.shape3d import Shape3D
from cskt.training import average_in, averaged_copy, optimizer, take_step


class ShapeNet(nn.Module):
    """A landmark network without its last layer, then two linear layers to camera and coefficients.

    Args:
        start: the trained network that it starts from.
        shape: the shape it projects.
    """

    def __init__(self, start: LandmarkNet, shape: Shape3D):
        super().__init__()
        self.size, self.shape = start.size, shape
        self.base = copy.deepcopy(start)
        head = self.base.net.head
        last = head if isinstance(head, nn.Conv2d) else head[-1]
        self.base.net.head = nn.Identity() if last is head else head[:-1]
        self.out = nn.Sequential(
            nn.Conv2d(last.in_channels, 16, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(8), nn.Flatten(),
            nn.Linear(16 * 64, 128), nn.ReLU(), nn.Linear(128, 7 + len(shape.basis)),
        )  # fmt: skip
        nn.init.normal_(self.out[-1].weight, std=0.01)
        nn.init.zeros_(self.out[-1].bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Landmarks [B, L, 2] in the crop's pixels, of images [B, 3, size, size] from 0 to 1."""
        out = self.out(self.base(images)).float()
        upright = torch.tensor([1.0, 0, 0, 0], device=out.device)
        # a face in its box: the landmarks' mean distance from their center is about a quarter of the crop's side
        scale = self.size / 4 * torch.exp(0.3 * out[:, 4])
        shift = (self.size - 1) / 2 + self.size / 4 * out[:, 5:7]
        return self.shape.project(out[:, 7:], upright + out[:, :4], scale, shift)


class ShapeRegression:
    """Learn camera and coefficients from labeled images.

    Args:
        start: the trained network that it starts from.
        shape: by `shape3d.fit_shape`.
        data: the labeled images.
        around: device, precision, seed.
        batch: images per step.
        augmentation: of the images and their landmarks.
        ema: decay of the averaged weights that `result` returns.
    """

    def __init__(
        self, start: LandmarkNet, shape: Shape3D, data: LabeledSet, around: Surroundings, *, batch: int,
        augmentation: Augmentation, ema: float = 0.99,
    ):  # fmt: skip
        torch.manual_seed(around.seed)
        self.net = ShapeNet(start, shape).to(around.device).train()
        self.average = averaged_copy(self.net)
        self.opt = optimizer(self.net, 1e-4)
        self.data, self.around, self.batch, self.augmentation, self.ema = data, around, batch, augmentation, ema

    @property
    def result(self) -> ShapeNet:
        return self.average

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Descend the mean squared distance of the annotated landmarks once, in units of the crop's side."""
        a = self.around
        rows = batch_indices(len(self.data), self.batch, a.seed, step)
        batch = labeled_batch(self.data, rows, self.augmentation, generator, a.device)
        with autocast(a.device, a.precision):
            found = self.net(batch.images)
        seen = ~batch.landmarks.isnan().any(dim=-1)
        squared = ((found - batch.landmarks.nan_to_num()) / self.net.size).square().sum(dim=-1)
        loss = (squared * seen).sum() / seen.sum().clamp(min=1)
        take_step(self.opt, loss, lr)
        average_in(self.average, self.net, min(self.ema, step / (step + 10)))
        return {"labeled": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "opt": self.opt.state_dict(), "average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.opt.load_state_dict(state["opt"])
        self.average.load_state_dict(state["average"])


@torch.no_grad()
def reproject(net: ShapeNet, data: UnlabeledSet, batch: int = 64) -> np.ndarray:
    """The shape's landmarks on each plain crop, in image pixels, [N, L, 2]."""
    device = next(net.parameters()).device
    found = []
    for first in range(0, len(data), batch):
        rows = np.arange(first, min(first + batch, len(data)))
        found.append(net.eval()(plain_images(data, rows, device)).cpu())
    return geometry.apply(geometry.invert(data.to_crop), torch.cat(found).double()).numpy()
