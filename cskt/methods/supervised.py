"""Supervised training: of the human model, of the few-shot model, and of the fully supervised reference line."""

from dataclasses import dataclass
from typing import Any

import torch

from cskt import geometry
from cskt.data.augment import Augmentation
from cskt.data.datasets import LabeledSet, batch_indices, labeled_batch
from cskt.heatmaps import Codec
from cskt.models import LandmarkNet, autocast
from cskt.models.losses import heatmap_loss
from cskt.training import average_in, averaged_copy, optimizer, take_step


def to_cells(landmarks_crop: torch.Tensor, size: int, cells: int) -> torch.Tensor:
    """Landmarks [..., L, 2] of the crop's pixels in heatmap cells."""
    return geometry.apply(geometry.resize_matrix(size, cells).to(landmarks_crop), landmarks_crop)


@dataclass(frozen=True)
class Surroundings:
    """What every method needs beside its networks and data.

    Attributes:
        codec: landmarks to heatmaps and back.
        device: where the networks are.
        precision: "float32" or "bfloat16" (autocast).
        seed: of the order of the batches.
    """

    codec: Codec
    device: torch.device
    precision: str
    seed: int


def labeled_loss(maps: torch.Tensor, landmarks: torch.Tensor, net: LandmarkNet, codec: Codec) -> torch.Tensor:
    """Loss of maps [B, L, H, H] against landmarks [B, L, 2] of the crop, over the annotated ones; a scalar."""
    target = codec.encode(to_cells(landmarks, net.size, maps.shape[-1]), maps.shape[-1])
    return heatmap_loss(maps, target, net.output, weight=~landmarks.isnan().any(dim=-1))


class Supervised:
    """Learn landmarks from labeled images.

    Args:
        net: trained in place.
        data: the labeled images.
        around: codec, device, precision, seed.
        batch: images per step.
        augmentation: of the images and their landmarks.
        weight_decay: decoupled.
        ema: decay of the averaged weights that `result` returns; 0: the last weights.
    """

    def __init__(
        self,
        net: LandmarkNet,
        data: LabeledSet,
        around: Surroundings,
        *,
        batch: int,
        augmentation: Augmentation,
        weight_decay: float = 0.0,
        ema: float = 0.0,
    ):
        self.net = net.to(around.device).train()
        self.data, self.around, self.batch, self.augmentation, self.ema = data, around, batch, augmentation, ema
        self.opt = optimizer(self.net, weight_decay)
        self.average = averaged_copy(self.net) if ema else None

    @property
    def result(self) -> LandmarkNet:
        """The network to evaluate and to keep."""
        return self.average if self.ema else self.net

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Descend the labeled loss once."""
        a = self.around
        rows = batch_indices(len(self.data), self.batch, a.seed, step)
        batch = labeled_batch(self.data, rows, self.augmentation, generator, a.device).share()
        with autocast(a.device, a.precision):
            maps = self.net(batch.images)
        loss = labeled_loss(maps, batch.landmarks, self.net, a.codec)
        take_step(self.opt, loss, lr)
        if self.ema:
            average_in(self.average, self.net, min(self.ema, step / (step + 10)))
        return {"labeled": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "opt": self.opt.state_dict(),
                "average": self.average.state_dict() if self.ema else None}  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.opt.load_state_dict(state["opt"])
        if self.ema:
            self.average.load_state_dict(state["average"])
