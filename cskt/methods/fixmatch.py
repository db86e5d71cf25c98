"""FixMatch for heatmaps: where the network is sure of a weak view, its hard answer is the label of the strong view.

Source: Sohn et al., "FixMatch", NeurIPS 2020; adapted as in spec 3.3, its released variant as in spec 3.1.
"""

from dataclasses import dataclass
from typing import Any

import torch

from cskt.data.augment import Augmentation
from cskt.data.datasets import LabeledSet, UnlabeledSet
from cskt.methods.semi_supervised import Batches, Student, Terms
from cskt.methods.supervised import Surroundings, labeled_loss
from cskt.models import LandmarkNet


@dataclass(frozen=True)
class Options(Terms):
    """FixMatch's knobs.

    Attributes:
        confidence: least confidence of a pseudo-label that is used, landmark by landmark; 0: all, as in the release.
        weight: of the loss of the unlabeled images.
    """

    confidence: float = 0.6
    weight: float = 1.0


class FixMatch:
    """One network that labels for itself.

    Args:
        few_shot: where it starts.
        labeled, unlabeled: the data.
        around: codec, device, precision, seed.
        options: see `Options`.
        views: augmentations of "labeled", "weak" and "strong" views.
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
        """The averaged network."""
        return self.student.average

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]:
        """Descend the losses of the labeled and of the unlabeled images once."""
        o, student = self.options, self.student
        labeled, unlabeled = self.batches.labeled(step, generator), self.batches.unlabeled(step, generator)
        maps, weak, strong = student.maps(labeled.images, unlabeled.weak, unlabeled.strong)
        supervised = labeled_loss(maps, labeled.landmarks, student.net, student.around.codec)

        # what the network says of the weak view where it is sure ...
        landmarks, confidence = student.find(weak)
        sure = confidence >= o.confidence
        # ... it is to say of the strong view, there where that view shows it
        landmarks = self.batches.move(landmarks, unlabeled.weak_view, unlabeled.strong_view)
        pseudo = student.loss(strong, landmarks, sure)

        student.descend(supervised + o.weight * pseudo, lr)
        return {"labeled": supervised.detach(), "unlabeled": pseudo.detach(), "used": sure.float().mean()}

    def state_dict(self) -> dict[str, Any]:
        return self.student.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state)
