"""What one of several processes does in tests/test_distributed.py: trains by several methods, and writes down how.

    torchrun --standalone --nproc-per-node 2 tests/together.py FOLDER STEPS METHOD ...

Without torchrun it is the one process that the several are compared with.
"""

import sys
from functools import partial
from pathlib import Path

import builders
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from cskt import distributed, training
from cskt.heatmaps import CODECS
from cskt.methods import fixmatch, mean_teacher, pseudo_label, uda
from cskt.methods.supervised import Supervised, Surroundings
from cskt.models import NETWORKS, LandmarkNet
from cskt.models.unet import UNet

AROUND = Surroundings(CODECS["subpixel"], builders.CPU, "float32", seed=0)


def supervised(network="tiny"):
    faces = builders.labeled_faces(8)
    faces.landmarks_crop[:3, 2:] = torch.nan  # of the joint batch's landmarks one process has far more than the other
    view = builders.VIEWS["labeled"]
    torch.manual_seed(0)
    net = LandmarkNet(network, builders.SCHEME.name, 9, builders.SIZE, "linear")
    return Supervised(net, faces, AROUND, batch=8, augmentation=view, weight_decay=1e-4, ema=0.9)


def activated(landmarks, weights):
    """A network with the batch norm of timm's EfficientNets."""
    norm = BatchNormAct2d(8, act_layer=nn.SiLU)
    return nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), norm, nn.Conv2d(8, landmarks, 3, 1, 1))


def baseline(kind, module):
    options = module.Options(steps=6, batch_labeled=4, batch_unlabeled=4)
    faces = builders.labeled_faces(4), builders.unlabeled_faces(8)
    return kind(builders.few_shot(), *faces, AROUND, options, builders.VIEWS)


METHODS = {
    "supervised": supervised,
    "with_activation": partial(supervised, "activated"),
    "corrected": partial(builders.meta_cskt, views=builders.VIEWS, update_steps=2),
    # with a jitter that walks, a pool of what was visited, and a batch long enough for the slip in the mouth term
    "published": partial(builders.meta_cskt, views=builders.VIEWS, output="linear", codec="published",
                         **builders.PUBLISHED | {"batch_labeled": 8, "batch_unlabeled": 4, "update_steps": 2,
                                                 "label_jitter": 0.02, "mouth_term": "batch_slice"}),
    "fixmatch": partial(baseline, fixmatch.FixMatch, fixmatch),
    "uda": partial(baseline, uda.UDA, uda),
    "mean_teacher": partial(baseline, mean_teacher.MeanTeacher, mean_teacher),
    "pseudo_label": partial(baseline, pseudo_label.PseudoLabel, pseudo_label),
}  # fmt: skip


def gradients(method) -> list[torch.Tensor]:
    """Those of a first step, of all networks: a tenth of them is Adam's memory after it."""
    method.step(0, 1e-3, training.step_generator(0, 0))
    return [value for value in moments(method.state_dict())]


def moments(state):
    """All first moments of the optimizers in a state."""
    if isinstance(state, dict):
        for key, value in state.items():
            yield from [value] if key == "exp_avg" else moments(value)


def main(folder: Path, steps: int, names: list[str]) -> None:
    torch.set_num_threads(1)
    NETWORKS["tiny"] = (lambda landmarks, weights: UNet(landmarks, width=4), 2)
    NETWORKS["activated"] = (activated, 2)
    distributed.start(builders.CPU)
    for name in names:
        first = gradients(METHODS[name]())
        method = METHODS[name]()
        own = folder / name / str(distributed.rank())
        metrics = training.train(method, steps=steps, rate=lambda step: 1e-3, seed=0, folder=own, save_seconds=0)
        metrics = metrics.drop(columns="seconds").to_dict("list")
        torch.save({"gradients": first, "metrics": metrics, "state": method.state_dict()}, own / "end.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
