"""What the semi-supervised baselines share: options, a student with its average, batches, labels that move with views.

Each of them starts at the same few-shot network as Meta-CSKT and sees the same images in the same views, step for step
(spec 3): the labeled batch of a step, and a weak and a strong view of its unlabeled ones. A network's confidence in a
landmark is the peak of its heatmap, which is 1 where the map is the Gaussian that labels are drawn as.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cskt.data.augment import Augmentation, View, between, view_landmarks
from cskt.data.datasets import (
    LabeledBatch,
    LabeledSet,
    UnlabeledBatch,
    UnlabeledSet,
    batch_indices,
    labeled_batch,
    unlabeled_batch,
)
from cskt.methods.supervised import Surroundings, to_cells
from cskt.models import LandmarkNet, autocast
from cskt.models.losses import per_landmark, to_heatmaps
from cskt.training import average_in, averaged_copy, optimizer, take_step


@dataclass(frozen=True)
class Terms:
    """The equal terms of all baselines.

    Attributes:
        steps: length of the run, of which ramps are a share.
        batch_labeled, batch_unlabeled: images per step.
        weight_decay: decoupled.
        ema: decay of the averaged student that is evaluated; 0: the last weights.
    """

    steps: int = 600
    batch_labeled: int = 16
    batch_unlabeled: int = 32
    weight_decay: float = 1e-4
    ema: float = 0.99


class Student:
    """A network in training and the running average of its weights.

    Args:
        few_shot: where both start.
        around: codec, device, precision, seed.
        terms: weight decay and decay of the average.
    """

    def __init__(self, few_shot: LandmarkNet, around: Surroundings, terms: Terms):
        self.net = copy.deepcopy(few_shot).to(around.device).train()
        self.average = averaged_copy(self.net)
        self.opt = optimizer(self.net, terms.weight_decay)
        self.around, self.terms = around, terms

    def maps(self, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The network's maps of several groups of images [B, 3, size, size], in one training-mode pass."""
        with autocast(self.around.device, self.around.precision):
            return self.net(torch.cat(images)).split([len(group) for group in images])

    @torch.no_grad()
    def average_heatmaps(self, images: torch.Tensor) -> torch.Tensor:
        """The averaged network's heatmaps, in evaluation mode."""
        with autocast(self.around.device, self.around.precision):
            return self.average.heatmaps(images)

    def losses(self, maps: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        """Loss [B, L] of maps [B, L, H, H] against landmarks [B, L, 2] of the view's pixels; of no use where NaN."""
        target = self.around.codec.encode(to_cells(landmarks, self.net.size, maps.shape[-1]), maps.shape[-1])
        return per_landmark(maps, target, self.net.output)

    def loss(self, maps: torch.Tensor, landmarks: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The same times the weight of each [B, L], averaged over all landmarks: those of weight 0 and NaN count."""
        return (self.losses(maps, landmarks) * weight * annotated(landmarks)).mean()

    def find(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Landmarks in the view's pixels [B, L, 2] and their confidence [B, L], of maps; no gradient."""
        return self.read(to_heatmaps(maps.detach(), self.net.output))

    def read(self, heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `find`, of heatmaps."""
        cells, confidence = self.around.codec.decode(heatmaps)
        return to_cells(cells, heatmaps.shape[-1], self.net.size), confidence

    def descend(self, loss: torch.Tensor, lr: float, ema: float | None = None) -> None:
        """Take a step and move the average, with another decay than usual if one is given."""
        take_step(self.opt, loss, lr)
        average_in(self.average, self.net, self.terms.ema if ema is None else ema)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in ("net", "average", "opt")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, own in state.items():
            getattr(self, name).load_state_dict(own)


class Batches:
    """The images of each step.

    Args:
        labeled, unlabeled: the data.
        around: device and seed.
        terms: batch sizes.
        views: augmentations of labeled images, and the weak and the strong one of unlabeled images.
    """

    def __init__(
        self,
        labeled: LabeledSet,
        unlabeled: UnlabeledSet,
        around: Surroundings,
        terms: Terms,
        views: dict[str, Augmentation],
    ):
        self.data, self.more, self.around, self.terms, self.views = labeled, unlabeled, around, terms, views

    @property
    def permutation(self) -> tuple[int, ...]:
        """Which landmark each one becomes in the mirror."""
        return self.more.scheme.flip_permutation

    def labeled(self, step: int, generator: torch.Generator) -> LabeledBatch:
        a, t = self.around, self.terms
        rows = batch_indices(len(self.data), t.batch_labeled, a.seed, step)
        return labeled_batch(self.data, rows, self.views["labeled"], generator, a.device).share()

    def rows(self, step: int):
        """Rows of the unlabeled images of a step, [B]."""
        return batch_indices(len(self.more), self.terms.batch_unlabeled, self.around.seed + 2, step)

    def unlabeled(self, step: int, generator: torch.Generator) -> UnlabeledBatch:
        views, device = self.views, self.around.device
        rows = self.rows(step)
        return unlabeled_batch(self.more, rows, views["weak"], views["strong"], generator, device).share()

    def move(self, landmarks: torch.Tensor, first: View, second: View) -> torch.Tensor:
        """Landmarks [B, L, 2] of one view in the pixels of another, left and right by their own names."""
        return view_landmarks(landmarks, between(first, second), self.permutation)


class Baseline:
    """What all baselines are made of: a student with its average, which is the result, and batches.

    A baseline adds its `step`; one that remembers more than its student adds that to the state.

    Args:
        few_shot: where it starts.
        labeled, unlabeled: the data.
        around: codec, device, precision, seed.
        options: the `Options` of its own module.
        views: augmentations of "labeled", "weak" and "strong" views.
    """

    def __init__(
        self,
        few_shot: LandmarkNet,
        labeled: LabeledSet,
        unlabeled: UnlabeledSet,
        around: Surroundings,
        options: Terms,
        views: dict[str, Augmentation],
    ):
        self.student = Student(few_shot, around, options)
        self.batches = Batches(labeled, unlabeled, around, options, views)
        self.options = options

    @property
    def result(self) -> LandmarkNet:
        """The averaged network."""
        return self.student.average

    def state_dict(self) -> dict[str, Any]:
        return {"student": self.student.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state["student"])


@contextmanager
def frozen_statistics(net: nn.Module) -> Iterator[None]:
    """Passes in which batch norm goes by the batch, as ever in training, but does not remember it."""
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def annotated(landmarks: torch.Tensor) -> torch.Tensor:
    """Which landmarks [B, L, 2] are there, [B, L] (bool)."""
    return ~landmarks.isnan().any(dim=-1)


def rise(step: int, length: float) -> float:
    """From exp(-5) at step 0 along a bell to 1 at `length` and after: the ramp of Mean Teacher and its heirs.

    Example:
        >>> [round(rise(step, 100), 3) for step in (0, 50, 100, 200)]
        [0.007, 0.287, 1.0, 1.0]
    """
    left = 1 - min(step / length, 1.0) if length else 0.0
    return math.exp(-5 * left**2)
