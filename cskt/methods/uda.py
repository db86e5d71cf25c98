"""UDA for heatmaps: the sharpened answer to a weak view is what the strong view is to be answered with.

Source: Xie et al., "Unsupervised data augmentation for consistency training", NeurIPS 2020; adapted as in spec 3.3,
its released variant, which has a teacher, as in spec 3.1.
"""

from dataclasses import dataclass
from typing import Any

import torch

from cskt.data.augment import between, warp_heatmaps
from cskt.data.datasets import LabeledBatch, UnlabeledBatch
from cskt.heatmaps import sharpen
from cskt.methods.semi_supervised import Baseline, Student, Terms
from cskt.methods.supervised import labeled_loss
from cskt.models import LandmarkNet
from cskt.models.losses import heatmap_loss, per_landmark, to_heatmaps


@dataclass(frozen=True)
class Options(Terms):
    """UDA's knobs.

    Attributes:
        confidence: least confidence of an answer that is used, landmark by landmark; 0: all, as in the release.
        temperature: to whose inverse the answer is raised.
        weight: of the loss of the unlabeled images.
        target: "sharpened" by the temperature, or "hard" as in the release: a Gaussian at the answer's peak.
        labels: what the labeled images teach: "true" landmarks, or as in the release the heatmaps of a "teacher",
            which learns the true ones beside.
    """

    confidence: float = 0.5
    temperature: float = 0.4
    weight: float = 1.0
    target: str = "sharpened"
    labels: str = "true"


class UDA(Baseline):
    """One network that is to be consistent with itself; and in the release a second one that labels."""

    def __init__(self, few_shot: LandmarkNet, *given):
        super().__init__(few_shot, *given)
        taught = self.options.labels == "teacher"
        self.teacher = Student(few_shot, self.student.around, self.options) if taught else None

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]:
        """Descend the losses of the labeled and of the unlabeled images once."""
        o, student = self.options, self.student
        labeled, unlabeled = self.batches.labeled(step, generator), self.batches.unlabeled(step, generator)
        maps, weak, strong = student.maps(labeled.images, unlabeled.weak, unlabeled.strong)
        supervised = self._labeled_loss(maps, labeled, lr)

        # the answer to the weak view, as the strong view shows it
        answer = to_heatmaps(weak.detach(), student.net.output)
        sure = answer.amax(dim=(-2, -1)) >= o.confidence
        target = self._in_strong_view(
            sharpen(answer) if o.target == "hard" else raised(answer, o.temperature), unlabeled
        )
        consistency = (per_landmark(strong, target, student.net.output) * sure).mean()

        student.descend(supervised + o.weight * consistency, lr)
        return {"labeled": supervised.detach(), "unlabeled": consistency.detach(), "used": sure.float().mean()}

    def _in_strong_view(self, heatmaps: torch.Tensor, unlabeled: UnlabeledBatch) -> torch.Tensor:
        view = between(unlabeled.weak_view, unlabeled.strong_view)
        return warp_heatmaps(heatmaps, view, self.student.net.size, self.batches.permutation)

    def _labeled_loss(self, maps: torch.Tensor, labeled: LabeledBatch, lr: float) -> torch.Tensor:
        """The student's loss on labeled images; in the release, against a teacher that takes its own step here."""
        net, codec = self.student.net, self.student.around.codec
        if self.teacher is None:
            return labeled_loss(maps, labeled.landmarks, net, codec)
        (taught,) = self.teacher.maps(labeled.images)
        self.teacher.descend(labeled_loss(taught, labeled.landmarks, self.teacher.net, codec), lr)
        return heatmap_loss(maps, to_heatmaps(taught.detach(), net.output), net.output)

    def state_dict(self) -> dict[str, Any]:
        return {"student": self.student.state_dict(), "teacher": self.teacher and self.teacher.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state["student"])
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])


def raised(heatmaps: torch.Tensor, temperature: float) -> torch.Tensor:
    """Sharpen heatmaps [B, L, H, W]: raise them to 1 / temperature and scale them to the peak they had.

    Of a softmax map this is the softmax of the logits over the temperature, as in the paper, up to its scale, which
    cross-entropy does not see.
    """
    heatmaps = heatmaps.clamp(min=0)
    peak = heatmaps.amax(dim=(-2, -1), keepdim=True).clamp(min=1e-6)
    return peak * (heatmaps / peak) ** (1 / temperature)
