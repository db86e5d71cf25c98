"""ScarceNet for heatmaps: pseudo-labels of small loss are kept, the others replaced where two views agree.

And the student is to agree with the running average of its weights. Source: Li and Lee, "ScarceNet", CVPR 2023, with
its released code; adapted as in spec 3.4, the ramps scaled to the run's length.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from cskt import geometry
from cskt.data.augment import Augmentation, View, view_landmarks, warp_heatmaps
from cskt.data.datasets import UnlabeledBatch, one_view
from cskt.methods.semi_supervised import Baseline, Terms, annotated, rise
from cskt.predict import BATCH


@dataclass(frozen=True)
class Options(Terms):
    """ScarceNet's knobs; `ema` is the decay of the teacher, which is the result.

    Attributes:
        keep: share of all first pseudo-labels, the most confident ones, that is used.
        label_views: views over which the first pseudo-labels are averaged, each with its mirror image.
        small_loss: share of a batch's labels that is trusted at last, those of smallest loss; it falls from 1.
        rampdown: share of the run over which it falls along half a cosine.
        agreement: distance of the predictions in two weak views, in heatmap cells, below which they replace a label
            that is not trusted.
        label_weight: of a true label's loss; a pseudo-label's is 1.
        consistency: weight of the loss against the teacher, after its rise.
        ramp: share of the run over which it rises.
    """

    keep: float = 0.6
    label_views: int = 5
    small_loss: float = 0.8
    rampdown: float = 0.2
    agreement: float = 0.6
    label_weight: float = 2.0
    consistency: float = 2.0
    ramp: float = 0.07


class ScarceNet(Baseline):
    """A student, a teacher that is its average, and the pseudo-labels of the network they start from."""

    pseudo: torch.Tensor | None = None  # in the plain crops' pixels [N, L, 2], NaN where there is none

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]:
        """Update the student by labels, sifted pseudo-labels and teacher, then the teacher by the student."""
        o, student, batches = self.options, self.student, self.batches
        if self.pseudo is None:
            self.pseudo = self._label(generator)
        labeled, unlabeled = batches.labeled(step, generator), batches.unlabeled(step, generator)
        n = len(labeled.images)
        maps = torch.cat(student.maps(labeled.images, unlabeled.strong))

        # of all labels, true ones and pseudo-labels, those of small loss are trusted
        pseudo = self.pseudo[unlabeled.indices].to(maps.device)
        pseudo = view_landmarks(pseudo, unlabeled.strong_view, batches.permutation)
        given = torch.cat([labeled.landmarks, pseudo])
        trusted = small_loss(student.losses(maps.detach(), given), annotated(given), self._share(step))

        # of the other pseudo-labels, those are replaced on which two weak views agree
        found, agree = self._agreement(unlabeled, generator)
        reused = agree & ~trusted[n:]
        found = batches.move(found, unlabeled.weak_view, unlabeled.strong_view)
        given = torch.cat([labeled.landmarks, torch.where(reused[..., None], found, pseudo)])
        weight = torch.cat([o.label_weight * annotated(labeled.landmarks), trusted[n:] | reused])
        sifted = student.loss(maps, given, weight)

        # and the student follows the teacher
        taught, _ = student.read(student.average_heatmaps(unlabeled.weak))
        taught = batches.move(taught, unlabeled.weak_view, unlabeled.strong_view)
        consistency = student.loss(maps[n:], taught, torch.ones_like(weight[n:]))

        loss = sifted + o.consistency * rise(step, o.ramp * o.steps) * consistency
        student.descend(loss, lr, ema=min(1 - 1 / (step + 1), o.ema))
        return {"sifted": sifted.detach(), "consistency": consistency.detach(),
                "trusted": trusted[n:].float().mean(), "reused": reused.float().mean()}  # fmt: skip

    def _share(self, step: int) -> float:
        """Share of the labels that is trusted."""
        o = self.options
        part = min(1.0, step / (o.rampdown * o.steps)) if o.rampdown else 1.0
        return max(o.small_loss, 0.5 * (1 + math.cos(math.pi * part)))

    @torch.no_grad()
    def _agreement(self, unlabeled: UnlabeledBatch, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """What the student finds in the weak view [B, L, 2], and whether it finds the same in another one [B, L]."""
        student, batches = self.student, self.batches
        weak, device = batches.views["weak"], student.around.device
        again, view = one_view(batches.more, unlabeled.indices, weak, generator, device)
        maps = student.maps(unlabeled.weak, again)
        found, other = (student.find(own)[0] for own in maps)
        apart = found - batches.move(other, view, unlabeled.weak_view)
        cell = student.net.size / maps[0].shape[-1]
        return found, apart.norm(dim=-1) < self.options.agreement * cell

    @torch.no_grad()
    def _label(self, generator: torch.Generator) -> torch.Tensor:
        """The few-shot network's landmarks, from the mean of its heatmaps over views; NaN where it is not sure.

        Returns:
            in the plain crops' pixels, [N, L, 2]
        """
        o, student, batches = self.options, self.student, self.batches
        turned = replace(batches.views["labeled"], flip=0.0, color=0.0, cutout=0)
        found = []
        for rows in torch.arange(len(batches.more)).split(BATCH):
            total = 0.0
            for k in range(o.label_views):
                augmentation = turned if k else Augmentation()
                images, view = one_view(batches.more, rows, augmentation, generator, student.around.device)
                mirrored = student.average_heatmaps(images.flip(-1)).flip(-1)
                heatmaps = student.average_heatmaps(images) + geometry.swap_sides(mirrored, batches.permutation)
                back = View(geometry.invert(view.matrix), view.mirrored)
                total = total + warp_heatmaps(heatmaps / 2, back, student.net.size, batches.permutation)
            found.append([part.cpu() for part in student.read(total / o.label_views)])
        landmarks, confidence = (torch.cat(parts) for parts in zip(*found, strict=True))
        return landmarks.masked_fill((confidence < confidence.quantile(1 - o.keep))[..., None], torch.nan)

    def state_dict(self) -> dict[str, Any]:
        return {"student": self.student.state_dict(), "pseudo": self.pseudo}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state["student"])
        self.pseudo = state["pseudo"]


def small_loss(losses: torch.Tensor, there: torch.Tensor, share: float) -> torch.Tensor:
    """Which labels have the smallest losses of a batch.

    Args:
        losses: [B, L].
        there: which of them belong to a label, [B, L] (bool).
        share: how many of these, rounded down.

    Returns:
        [B, L] (bool)
    """
    ranked = losses.masked_fill(~there, torch.inf).flatten()
    chosen = torch.zeros_like(ranked, dtype=torch.bool)
    chosen[ranked.topk(int(share * there.sum()), largest=False).indices] = True
    return chosen.view_as(losses)
