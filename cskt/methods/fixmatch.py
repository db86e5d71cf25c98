"""FixMatch for heatmaps: where the network is sure of a weak view, its hard answer is the label of the strong view.

Source: Sohn et al., "FixMatch", NeurIPS 2020; adapted as in spec 3.3, its released variant as in spec 3.1.
"""

from dataclasses import dataclass

import torch

from cskt.methods.semi_supervised import Baseline, Terms
from cskt.methods.supervised import labeled_loss


@dataclass(frozen=True)
class Options(Terms):
    """FixMatch's knobs.

    Attributes:
        confidence: least confidence of a pseudo-label that is used, landmark by landmark; 0: all, as in the release.
        weight: of the loss of the unlabeled images.
    """

    confidence: float = 0.6
    weight: float = 1.0


class FixMatch(Baseline):
    """One network that labels for itself."""

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
