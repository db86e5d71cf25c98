"""Mean Teacher for heatmaps: the student is to agree with the running average of its own weights.

Source: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017.
"""

from dataclasses import dataclass

import torch

from cskt.data.augment import between, warp_heatmaps
from cskt.methods.semi_supervised import Baseline, Terms, rise
from cskt.methods.supervised import labeled_loss
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


class MeanTeacher(Baseline):
    """A student, and a teacher that is its average."""

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
