"""One step of the released Meta-CSKT (spec 1.5, 1.6), written down from its list, faults included."""

import torch
from torch.nn.functional import mse_loss

from reference import loops


def hard_targets(maps):
    """A 7 x 7 stamp at the maximum of each map [B, L, H, H]; all zero where the maximum lies in column 0."""
    size = maps.shape[-1]
    targets = torch.zeros_like(maps)
    for b in range(maps.shape[0]):
        for k in range(maps.shape[1]):
            cell = int(maps[b, k].reshape(-1).argmax())
            column, row = cell % size, cell // size
            if column == 0:
                continue
            # a box of the map's own size, so that image pixels are cells
            targets[b, k] = torch.from_numpy(loops.draw([[column, row]], (0, 0, size, size), size))[0]
    return targets


def meta_step(teacher, student, teacher_opt, student_opt, labeled, targets, unlabeled):
    """Update the student, then the teacher.

    Args:
        teacher, student: networks in training mode, images to linear heatmaps.
        teacher_opt, student_opt: their optimizers, rates set.
        labeled: images [B, 3, S, S], with `targets` [B, L, H, H].
        unlabeled: images.

    Returns:
        the losses, and the student's maps of the unlabeled images before its update (what the pool remembers).
    """
    count = len(labeled)
    images = torch.cat([labeled, unlabeled])

    teacher_maps = teacher(images)
    supervised = mse_loss(teacher_maps[:count], targets)

    student_maps = student(images)
    old = mse_loss(student_maps[:count].detach(), targets)
    imitation = mse_loss(student_maps, teacher_maps.detach())
    student_opt.zero_grad()
    imitation.backward()
    student_opt.step()

    # still in training mode, and now of the labeled images alone (fault 3)
    with torch.no_grad():
        new = mse_loss(student(labeled), targets)
    feedback = float(old) - float(new)

    pseudo = mse_loss(teacher_maps[count:], hard_targets(teacher_maps[count:].detach()))
    teacher_opt.zero_grad()
    (supervised + feedback * pseudo).backward()
    teacher_opt.step()

    losses = {"imitation": imitation.item(), "labeled": supervised.item(), "pseudo": pseudo.item(), "gain": feedback}
    return losses, student_maps[count:].detach()
