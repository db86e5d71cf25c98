"""Data distillation: after a method has ended, a network learns what six views of each image agree on in its result.

Source: the idea is Radosavovic et al., "Data distillation", CVPR 2018; the six views and their mean are
`cskt.consensus`. Any method can come before it (docs/improved.md).
"""

from typing import Any

import torch

from cskt.consensus import consensus
from cskt.data.datasets import LabeledSet, labeled_batch
from cskt.methods.semi_supervised import Baseline
from cskt.methods.supervised import labeled_loss
from cskt.models import LandmarkNet
from cskt.training import Method


class Distillation(Baseline):
    """A method, and from a step on a second stage that begins with its result.

    Six views of an image, turned and mirrored, are a better teacher than any one of them; they are asked once. No
    landmark is left out for being unsure: where the views disagree is where the method errs most.

    Args:
        method: the first stage, with a `result`.
        first: the step with which the second stage begins; the method takes those before.
        others: what `Baseline` takes; `unlabeled` holds all images, those too that the method left out.
    """

    def __init__(self, method: Method, first: int, *others):
        super().__init__(*others)
        self.method, self.first = method, first
        self.agreed: LabeledSet | None = None

    @property
    def result(self) -> LandmarkNet:
        """What the method gave, and once the second stage has begun its averaged network."""
        return self.method.result if self.agreed is None else self.student.average

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]:
        """A step of the method; after its last one, descend the losses of labels and consensus once."""
        if step < self.first:
            return self.method.step(step, lr, generator)
        a, student = self.student.around, self.student
        if self.agreed is None:
            self._begin()
        labeled = self.batches.labeled(step, generator)
        rows = self.batches.rows(step)
        agreed = labeled_batch(self.agreed, rows, self.batches.views["strong"], generator, a.device).share()

        maps, agreed_maps = student.maps(labeled.images, agreed.images)
        supervised = labeled_loss(maps, labeled.landmarks, student.net, a.codec)
        imitation = labeled_loss(agreed_maps, agreed.landmarks, student.net, a.codec)
        # each image counts the same
        loss = (len(maps) * supervised + len(agreed_maps) * imitation) / (len(maps) + len(agreed_maps))
        taken = step - self.first
        student.descend(loss, lr, min(self.options.ema, taken / (taken + 10)))
        return {"labeled": supervised.detach(), "imitation": imitation.detach()}

    def _begin(self) -> None:
        """Let the student be what the method came to, and ask six views of that for all landmarks."""
        former = self.method.result
        a = self.student.around
        landmarks, _ = consensus(former, self.batches.more, codec=a.codec, precision=a.precision, progress=True)
        for net in (self.student.net, self.student.average):
            net.load_state_dict(former.state_dict())
        self._set_labels(landmarks)

    def _set_labels(self, landmarks_crop: torch.Tensor) -> None:
        self.agreed = LabeledSet(**vars(self.batches.more), landmarks_crop=landmarks_crop)

    def state_dict(self) -> dict[str, Any]:
        labels = self.agreed and self.agreed.landmarks_crop
        return {**super().state_dict(), "method": self.method.state_dict(), "agreed": labels}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.method.load_state_dict(state["method"])
        if state["agreed"] is not None:
            self._set_labels(state["agreed"])
