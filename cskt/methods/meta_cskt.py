"""Meta-CSKT: bi-directional knowledge transfer between a teacher and a student (spec 1.5 to 1.8).

The teacher (the paper's base network) learns from the few labels and from the pool of pseudo-labels; the student (the
adaptation network) imitates the teacher's heatmaps on unlabeled images; what the student gained on the labeled images
is fed back into the teacher. `Options` names every decision in which the released code and the paper part, but for two
that are not here: the release takes a new labeled list only when its pass over the last one has ended (spec 1.6), and
has the unlabeled images in one order for all passes (fault 6).
"""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from cskt import distributed, geometry
from cskt.data.augment import Augmentation, View, between, view_landmarks, warp_heatmaps
from cskt.data.datasets import (
    LabeledBatch,
    LabeledSet,
    UnlabeledBatch,
    UnlabeledSet,
    batch_indices,
    labeled_batch,
    unlabeled_batch,
)
from cskt.heatmaps import CODECS, encode_published, sharpen
from cskt.methods.supervised import Surroundings, labeled_loss
from cskt.mining import Pool, at_most
from cskt.models import LandmarkNet, autocast
from cskt.models.losses import heatmap_loss, to_heatmaps
from cskt.predict import find_landmarks
from cskt.training import average_in, averaged_copy, optimizer, take_step


@dataclass(frozen=True)
class Options:
    """The method's knobs; the defaults are the corrected variant. Faults of the release are named with their number
    in spec 1.14.

    Attributes:
        batch_labeled, batch_unlabeled: images per step.
        weight_decay: decoupled, of both networks.
        ema: decay of the averaged student that is evaluated; 0: the last weights.
        unsupervised: weight of L_u; 0: there is no student and so no feedback, the teacher learns labels and pool
            alone, sees no other image, and is the result. Without a pool that is the paper's row L_s.
        feedback: "normalized" (the gain over the loss before), "raw" (the gain), "detached" (a constant without
            gradient: fault 13, the released horse run), "noise" (normal deviates of the size of the normalized
            feedback so far: the control), or "none".
        feedback_weight: factor on the feedback.
        feedback_forward: "eval" compares the student before and after its step on the same images with the same
            batch-norm statistics; "train_shrunk" compares a training-mode pass over all images with one over the
            labeled ones alone (fault 3).
        feedback_on: "labels" measures the gain on true labels, "batch" on the current labeled batch, which is mostly
            pool in the released run (fault 4); "train_shrunk" always measures on the batch.
        hard_targets: "all" landmarks, or "skip_first_column": the released stamp on the cell of the maximum, and zero
            everywhere for those whose maximum lies in column 0 (fault 2).
        target: "soft" (the teacher's heatmaps) or "sharpened" (a Gaussian at their peak).
        mouth_term: "none", "landmarks" (the mouth landmarks count twice, as was meant) or "batch_slice" (the images
            from the sixth on count twice, none in a batch of four: fault 1).
        label_jitter: largest random step of the mouth landmarks of labeled images, a fraction of the crop's side,
            added in place each time an image is drawn, so that it becomes a random walk (fault 21); 0: none.
        true_share: share of each labeled batch that holds true labels; 0: by their share of the joined list, as
            released.
        pool_labels: "average" (of the evaluated student in evaluation mode, plain view and mirror image) or "visited"
            (of the training-mode student before its update, whole image pixels: fault 4).
        pool_cap: largest number of pseudo-labeled images, drawn at random from the positives; 0: all of them.
        update_steps: steps between two updates of the labeled list from the pool.
        teacher_ema: 0, or the decay with which the teacher is also drawn towards the student after each step: not in
            the paper (docs/log.md).
    """

    batch_labeled: int = 16
    batch_unlabeled: int = 32
    weight_decay: float = 1e-4
    ema: float = 0.99
    unsupervised: float = 1.0
    feedback: str = "normalized"
    feedback_weight: float = 1.0
    feedback_forward: str = "eval"
    feedback_on: str = "labels"
    hard_targets: str = "all"
    target: str = "soft"
    mouth_term: str = "none"
    label_jitter: float = 0.0
    true_share: float = 0.5
    pool_labels: str = "average"
    pool_cap: int = 0
    update_steps: int = 100
    teacher_ema: float = 0.99


class MetaCSKT:
    """Teacher and student, both from the same few-shot network.

    Args:
        few_shot: where both start.
        labeled: the few labeled images.
        unlabeled: the unlabeled images, hard negatives already left out.
        positive: which of them are positives, [N] (bool).
        around: codec, device, precision, seed.
        options: see `Options`.
        views: augmentations of labeled images, and of the teacher's and the student's view of unlabeled ones.
    """

    _STATEFUL = ("teacher", "student", "average", "teacher_opt", "student_opt", "pool")

    def __init__(
        self,
        few_shot: LandmarkNet,
        labeled: LabeledSet,
        unlabeled: UnlabeledSet,
        positive: np.ndarray,
        around: Surroundings,
        options: Options,
        views: dict[str, Augmentation],
    ):
        self.teacher = copy.deepcopy(few_shot).to(around.device).train()
        self.student = copy.deepcopy(few_shot).to(around.device).train()
        self.average = averaged_copy(self.student)
        self.teacher_opt = optimizer(self.teacher, options.weight_decay)
        self.student_opt = optimizer(self.student, options.weight_decay)
        self.labeled, self.unlabeled = labeled, unlabeled
        self.around, self.options, self.views = around, options, views
        # an image whose true label is known gets no pseudo-label (spec 1.6)
        known = unlabeled.table["image"].isin(labeled.table["image"]).to_numpy()
        positive = np.asarray(positive, dtype=bool) & ~known
        if options.pool_cap:
            positive = at_most(positive, options.pool_cap, around.seed)
        self.pool = Pool(positive, len(labeled.scheme.landmarks))
        self.mouth = [k for k, name in enumerate(labeled.scheme.landmarks) if "mouth" in name or "lip" in name]
        self.walk = torch.zeros(len(labeled) + len(unlabeled), len(self.mouth), 2)
        self.feedback_size = 0.0
        self._join(*self.pool.labels())

    @property
    def result(self) -> LandmarkNet:
        """The student, the network that is evaluated and kept; the teacher where there is no L_u."""
        if self.options.ema:
            return self.average
        return self.student if self.options.unsupervised else self.teacher

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]:
        """Update the student, then the teacher, once each."""
        o = self.options
        if step and step % o.update_steps == 0:
            self._update_labeled_list()
        labeled = self._labeled_batch(step, generator)
        if not o.unsupervised:
            return self._teacher_alone(labeled, lr)
        unlabeled = self._unlabeled_batch(step, generator)
        n = len(labeled.images)

        # the student imitates the teacher's heatmaps
        teacher_maps = self._maps(self.teacher, labeled.images, unlabeled.weak)
        target = self._targets(teacher_maps, unlabeled, n)
        student_maps = self._maps(self.student, labeled.images, unlabeled.strong)
        imitation = heatmap_loss(student_maps, target, self.student.output)
        probe = self._probe(labeled, step, generator)
        before = self._student_loss(probe, student_maps[:n])
        take_step(self.student_opt, o.unsupervised * imitation, lr)

        # feedback: what that update gained on the labeled images
        gain = before - self._student_loss(probe)
        feedback = self._feedback(gain, before, generator)

        # the teacher learns the labels, and is reinforced in its own hard pseudo-labels by as much as it helped
        teacher_labeled = self._teacher_labeled_loss(teacher_maps[:n], labeled)
        pseudo = self._pseudo_loss(teacher_maps[n:])
        teacher_loss = teacher_labeled + (feedback if o.feedback == "detached" else feedback * pseudo)
        take_step(self.teacher_opt, teacher_loss, lr)

        if o.ema:
            average_in(self.average, self.student, o.ema)
        if o.teacher_ema:
            average_in(self.teacher, self.student, o.teacher_ema)
        if o.pool_labels == "visited":
            self._remember(student_maps[n:], unlabeled)
        return {"imitation": imitation.detach(), "labeled": teacher_labeled.detach(), "pseudo": pseudo.detach(),
                "gain": gain, "feedback": feedback, "pool": float(self.pool.size)}  # fmt: skip

    def _teacher_alone(self, labeled: LabeledBatch, lr: float) -> dict[str, torch.Tensor | float]:
        """Update the teacher on labels and pool."""
        with autocast(self.around.device, self.around.precision):
            maps = self.teacher(labeled.images)
        loss = self._teacher_labeled_loss(maps, labeled)
        take_step(self.teacher_opt, loss, lr)
        if self.options.ema:
            average_in(self.average, self.teacher, self.options.ema)
        return {"labeled": loss.detach(), "gain": 0.0, "feedback": 0.0, "pool": float(self.pool.size)}

    # --- batches ---------------------------------------------------------------------------------------------------

    def _labeled_batch(self, step: int, generator: torch.Generator) -> LabeledBatch:
        """True labels and pool, in the shares that the options say."""
        o, a = self.options, self.around
        true, pooled = len(self.labeled), len(self.current) - len(self.labeled)
        if o.true_share and pooled:
            n = round(o.true_share * o.batch_labeled)
            rows = np.concatenate(
                [
                    batch_indices(true, n, a.seed, step),
                    true + batch_indices(pooled, o.batch_labeled - n, a.seed + 1, step),
                ]
            )
        else:
            rows = batch_indices(true + pooled, o.batch_labeled, a.seed, step)
        batch = labeled_batch(self.current, rows, self.views["labeled"], generator, a.device)
        return (self._jittered(batch, generator) if o.label_jitter else batch).share()

    def _jittered(self, batch: LabeledBatch, generator: torch.Generator) -> LabeledBatch:
        """Let the mouth landmarks of the drawn images walk on, each with probability 1/2 (fault 21)."""
        images = self.current_ids[batch.indices]
        draw = torch.rand(len(images), len(self.mouth), 3, generator=generator)
        move = (2 * draw[..., :2] - 1) * self.options.label_jitter * self.labeled.size
        self.walk[images] += move * (draw[..., 2:] < 0.5)
        landmarks = batch.landmarks.clone()
        landmarks[:, self.mouth] += self.walk[images].to(landmarks)
        return replace(batch, landmarks=landmarks)

    def _unlabeled_batch(self, step: int, generator: torch.Generator) -> UnlabeledBatch:
        o, a = self.options, self.around
        rows = batch_indices(len(self.unlabeled), o.batch_unlabeled, a.seed + 2, step)
        weak, strong = self.views["weak"], self.views["strong"]
        return unlabeled_batch(self.unlabeled, rows, weak, strong, generator, a.device).share()

    def _maps(self, net: LandmarkNet, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """One training-mode pass over both groups of images."""
        with autocast(self.around.device, self.around.precision):
            return net(torch.cat([first, second]))

    # --- the student -----------------------------------------------------------------------------------------------

    def _targets(self, teacher_maps: torch.Tensor, unlabeled: UnlabeledBatch, n: int) -> torch.Tensor:
        """The teacher's heatmaps of all images, those of the unlabeled ones as the student's view sees them."""
        heatmaps = to_heatmaps(teacher_maps.detach(), self.teacher.output)
        if self.options.target == "sharpened":
            heatmaps = sharpen(heatmaps)
        if self.views["weak"] == self.views["strong"] == Augmentation():
            # resampling would leave rounding noise, of which Adam makes whole steps while the two networks agree
            return heatmaps
        view = between(unlabeled.weak_view, unlabeled.strong_view)
        moved = warp_heatmaps(heatmaps[n:], view, self.unlabeled.size, self.unlabeled.scheme.flip_permutation)
        return torch.cat([heatmaps[:n], moved])

    # --- feedback --------------------------------------------------------------------------------------------------

    def _probe(self, labeled: LabeledBatch, step: int, generator: torch.Generator) -> LabeledBatch:
        """The images on which the student's gain is measured."""
        o, a = self.options, self.around
        if o.feedback_on == "batch" or o.feedback_forward == "train_shrunk":
            return labeled
        rows = batch_indices(len(self.labeled), o.batch_labeled, a.seed + 3, step)
        return labeled_batch(self.labeled, rows, self.views["labeled"], generator, a.device).share()

    @torch.no_grad()
    def _student_loss(self, probe: LabeledBatch, known: torch.Tensor | None = None) -> float:
        """The student's loss on the labels of `probe`; 0 where no feedback asks for it.

        Args:
            probe: labeled images.
            known: the student's training-mode maps of them from a pass over all images, which the release compares.
        """
        shrunk = self.options.feedback_forward == "train_shrunk"
        if self.options.feedback == "none":
            return 0.0
        maps = known if shrunk else None
        if maps is None:
            self.student.train(shrunk)
            with autocast(self.around.device, self.around.precision):
                maps = self.student(probe.images)
            self.student.train()
        loss = labeled_loss(maps.detach(), probe.landmarks, self.student, self.around.codec)
        return float(distributed.mean(loss))

    def _feedback(self, gain: float, before: float, generator: torch.Generator) -> float:
        """The factor on the teacher's pseudo-label loss."""
        o = self.options
        if o.feedback == "none":
            return 0.0
        if o.feedback in ("raw", "detached"):
            return o.feedback_weight * gain
        relative = gain / before if before else 0.0
        if o.feedback == "normalized":
            return o.feedback_weight * relative
        # the control: as large as the real feedback, but it knows nothing
        self.feedback_size += (abs(relative) - self.feedback_size) * 0.1
        return o.feedback_weight * self.feedback_size * float(torch.randn((), generator=generator))

    # --- the teacher -----------------------------------------------------------------------------------------------

    def _teacher_labeled_loss(self, maps: torch.Tensor, labeled: LabeledBatch) -> torch.Tensor:
        """L_s, with the extra weight on the mouth as the options say."""
        net, codec, term = self.teacher, self.around.codec, self.options.mouth_term
        loss = labeled_loss(maps, labeled.landmarks, net, codec)
        if term == "landmarks" and self.mouth:
            loss = loss + labeled_loss(maps[:, self.mouth], labeled.landmarks[:, self.mouth], net, codec)
        elif term == "batch_slice" and len(maps) * distributed.size() > 5:
            # the release slices images where it means landmarks; its batch of four leaves nothing (and logs NaN)
            sixth = max(0, 5 - len(maps) * distributed.rank())
            loss = loss + labeled_loss(maps[sixth:], labeled.landmarks[sixth:], net, codec)
        return loss

    def _pseudo_loss(self, maps: torch.Tensor) -> torch.Tensor:
        """How far the teacher is from its own hard pseudo-labels."""
        heatmaps = to_heatmaps(maps.detach(), self.teacher.output)
        if self.options.hard_targets == "all":
            return heatmap_loss(maps, sharpen(heatmaps), self.teacher.output)
        width = heatmaps.shape[-1]
        cell = heatmaps.flatten(-2).argmax(dim=-1)
        column, row = cell % width, cell.div(width, rounding_mode="floor")
        stamps = encode_published(torch.stack([column, row], dim=-1).float(), width)
        target = stamps * (column > 0)[..., None, None]
        return heatmap_loss(maps, target, self.teacher.output)

    # --- the pool --------------------------------------------------------------------------------------------------

    def _remember(self, student_maps: torch.Tensor, unlabeled: UnlabeledBatch) -> None:
        """Put what the student saw in this step into the pool, in whole image pixels (fault 4)."""
        codec = CODECS["published"]
        cells, _ = codec.decode(to_heatmaps(student_maps.detach(), self.student.output).cpu())
        strong = geometry.apply(geometry.resize_matrix(student_maps.shape[-1], self.unlabeled.size), cells)
        seen = unlabeled.strong_view.to(strong.device)
        plain = view_landmarks(strong, View(geometry.invert(seen.matrix), seen.mirrored),
                               self.unlabeled.scheme.flip_permutation)  # fmt: skip
        to_crop = self.unlabeled.to_crop[unlabeled.indices]
        image = codec.finish(geometry.apply(geometry.invert(to_crop), plain.double()))
        found = geometry.apply(to_crop, image).float()
        self.pool.put(distributed.gathered(unlabeled.indices).numpy(), distributed.gathered(found))

    def _update_labeled_list(self) -> None:
        """Look at the positives again, and join the few-shot set and the pool as it is now."""
        o, rows, precision = self.options, self.pool.positives, self.around.precision
        if len(rows) and o.pool_labels == "average":
            of_student = find_landmarks(self.result, self.unlabeled.subset(rows), precision=precision, average=True)
            self.pool.put(rows, of_student[0])
        self._join(*self.pool.labels())

    def _join(self, rows: np.ndarray, landmarks_crop: torch.Tensor) -> None:
        self.pooled = (rows, landmarks_crop)
        self.current = self.labeled.joined(self.unlabeled, rows, landmarks_crop) if len(rows) else self.labeled
        self.current_ids = np.concatenate([np.arange(len(self.labeled)), len(self.labeled) + rows])

    # --- exact resume ----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        rows, landmarks = self.pooled
        return {
            **{name: getattr(self, name).state_dict() for name in self._STATEFUL},
            "pooled_rows": torch.from_numpy(rows),
            "pooled_landmarks": landmarks,
            "walk": self.walk,
            "feedback_size": self.feedback_size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.walk, self.feedback_size = state["walk"], state["feedback_size"]
        self._join(state["pooled_rows"].numpy(), state["pooled_landmarks"])
