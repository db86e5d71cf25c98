"""Pseudo-label for heatmaps: the few-shot network labels all unlabeled images once, and its surer half is learned.

Source: Lee, "Pseudo-label", ICML workshop 2013; adapted as in spec 3.3.
"""

from dataclasses import dataclass
from typing import Any

import torch

from cskt.data.datasets import LabeledSet, labeled_batch
from cskt.methods.semi_supervised import Baseline, Terms, annotated, frozen_statistics
from cskt.methods.supervised import labeled_loss
from cskt.predict import find_landmarks


@dataclass(frozen=True)
class Options(Terms):
    """Pseudo-label's knobs.

    Attributes:
        quantile: share of each landmark's pseudo-labels, the least confident ones, that is not used; 0: all are.
        confidence: least confidence of a pseudo-label that is used, beside that.
        ramp: share of the run over which the weight of the unlabeled images rises, linearly from 0.
        weight: of their loss, after that.
        view: how the pseudo-labeled images are seen: as "labeled" ones, or as "strong" views.
    """

    quantile: float = 0.5
    confidence: float = 0.0
    ramp: float = 0.4
    weight: float = 1.0
    view: str = "labeled"


class PseudoLabel(Baseline):
    """One network; its pseudo-labels are those of the network it starts from."""

    pseudo: LabeledSet | None = None

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]:
        """Descend the losses of the labeled and of the pseudo-labeled images once."""
        o, student, a = self.options, self.student, self.student.around
        if self.pseudo is None:
            self._set_labels(self._label())
        labeled = self.batches.labeled(step, generator)
        rows = self.batches.rows(step)
        pseudo = labeled_batch(self.pseudo, rows, self.batches.views[o.view], generator, a.device).share()

        (maps,) = student.maps(labeled.images)
        supervised = labeled_loss(maps, labeled.landmarks, student.net, a.codec)
        with frozen_statistics(student.net):
            (pseudo_maps,) = student.maps(pseudo.images)
        used = annotated(pseudo.landmarks)
        unlabeled = student.loss(pseudo_maps, pseudo.landmarks, used)

        ramp = min(1.0, step / (o.ramp * o.steps)) if o.ramp else 1.0
        student.descend(supervised + o.weight * ramp * unlabeled, lr)
        return {"labeled": supervised.detach(), "unlabeled": unlabeled.detach(),
                "ramp": ramp, "used": used.float().mean()}  # fmt: skip

    def _label(self) -> torch.Tensor:
        """The few-shot network's landmarks of all unlabeled images [N, L, 2], NaN where it is not sure enough."""
        o, a = self.options, self.student.around
        landmarks, confidence = find_landmarks(
            self.student.net, self.batches.more, codec=a.codec, precision=a.precision
        )
        least = confidence.quantile(o.quantile, dim=0).clamp(min=o.confidence)
        return landmarks.masked_fill((confidence < least)[..., None], torch.nan)

    def _set_labels(self, landmarks_crop: torch.Tensor) -> None:
        self.pseudo = LabeledSet(**vars(self.batches.more), landmarks_crop=landmarks_crop)

    def state_dict(self) -> dict[str, Any]:
        return {"student": self.student.state_dict(), "pseudo": self.pseudo and self.pseudo.landmarks_crop}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state["student"])
        if state["pseudo"] is not None:
            self._set_labels(state["pseudo"])
