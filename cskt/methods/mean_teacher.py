"""Mean Teacher for heatmaps: the student is to agree with the running average of its own weights.

Source: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017.
"""

from dataclasses import dataclass
from typing import Any

import torch

from cskt.data.augment import Augmentation, between, warp_heatmaps
from cskt.data.datasets import LabeledSet, UnlabeledSet
from cskt.methods.semi_supervised import Batches, Student, Terms, rise
from cskt.methods.supervised import Surroundings, labeled_loss
from cskt.models import LandmarkNet
from cskt.models.losses import per_landmark


@dataclass(frozen=True)
class Options(Terms):
    """Mean Teacher's knobs; `ema` is the decay of the teacher, which is the result.

    Attributes:
        weight: of the consistency, after its rise.
        ramp: share of the run over which it rises.
        confidence: least confidence of the teacher in a landmark that is used; 0: all, as in the paper.
    """

    weight: float = 1.0
    ramp: float = 0.25
    confidence: float = 0.0


class MeanTeacher:
    """A student, and a teacher that is its average.

    Args:
        few_shot: where both start.
        labeled, unlabeled: the data.
        around: codec, device, precision, seed.
        options: see `Options`.
        views: augmentations of "labeled", "weak" (the teacher's) and "strong" (the student's) views.
    """

    def __init__(
        self,
        few_shot: LandmarkNet,
        labeled: LabeledSet,
        unlabeled: UnlabeledSet,
        around: Surroundings,
        options: Options,
        views: dict[str, Augmentation],
    ):
        self.student = Student(few_shot, around, options)
        self.batches = Batches(labeled, unlabeled, around, options, views)
        self.options = options

    @property
    def result(self) -> LandmarkNet:
        """The teacher."""
        return self.student.average

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]:
        """Update the student by labels and teacher, then the teacher by the student."""
        o, student = self.options, self.student
        labeled, unlabeled = self.batches.labeled(step, generator), self.batches.unlabeled(step, generator)
        maps, strong = student.maps(labeled.images, unlabeled.strong)
        supervised = labeled_loss(maps, labeled.landmarks, student.net, student.around.codec)

        taught = student.average_heatmaps(unlabeled.weak)
        used = taught.amax(dim=(-2, -1)) >= o.confidence
        view = between(unlabeled.weak_view, unlabeled.strong_view)
        target = warp_heatmaps(taught, view, student.net.size, self.batches.permutation)
        consistency = (per_landmark(strong, target, student.net.output) * used).mean()

        ramp = rise(step, o.ramp * o.steps)
        # the average is a plain mean at first, and forgets at its own pace later
        student.descend(supervised + o.weight * ramp * consistency, lr, ema=min(1 - 1 / (step + 1), o.ema))
        return {"labeled": supervised.detach(), "consistency": consistency.detach(),
                "ramp": ramp, "used": used.float().mean()}  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        return self.student.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state)
