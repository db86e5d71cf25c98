"""Landmarks on which several views of an image agree: a better answer than that of any one view, without any training.

Source: the idea is data distillation (Radosavovic et al., CVPR 2018). The mean is taken of the logarithms, so that one
view that rules a place out counts: on the validation split of animalpose that errs 10.7 % where a single view of the
same few-shot network errs 12.4 %, and the mean of the heatmaps themselves 11.2 % (docs/log.md).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from cskt import geometry
from cskt.data.augment import View, take_view, warp_heatmaps
from cskt.data.datasets import UnlabeledSet
from cskt.heatmaps import CODECS, Codec
from cskt.models import LandmarkNet, autocast
from cskt.predict import as_table, images_at_once
from cskt.progress import bar

TURNS = (-30.0, 0.0, 30.0)
FLOOR = 1e-4  # of a peak of 1: what a view says at least of any place


@torch.no_grad()
def consensus(
    net: LandmarkNet,
    data: UnlabeledSet,
    *,
    turns: Sequence[float] = TURNS,
    codec: Codec = CODECS["subpixel"],
    precision: str = "float32",
    progress: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find landmarks in turned views and their mirror images, and where they agree.

    Args:
        net: on the device to be used; its mode is put back.
        data: N crops; no landmark is looked at.
        turns: of the views, in degrees.
        codec: how heatmaps are read.
        precision: "float32" or "bfloat16".
        progress: show a bar.

    Returns:
        landmarks in the plain crop's pixels [N, L, 2]; the height of the mean heatmap there [N, L], about 1 where all
        views are sure of the same place and small where they are not. Both float32 on the CPU.
    """
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    found = []
    batches = np.array_split(np.arange(len(data)), -(-len(data) // images_at_once(data.size, device)))
    for rows in bar(batches, desc=f"{2 * len(turns)} views", unit="batch", disable=not progress, leave=False):
        crops = data.take(rows).to(device)
        total = 0.0
        for turn in turns:
            for mirrored in (False, True):
                view = View(*geometry.turned_views(len(rows), data.size, turn, mirrored)).to(device)
                with autocast(device, precision):
                    heatmaps = net.heatmaps(take_view(crops, view, data.size)).float()
                back = View(geometry.invert(view.matrix), view.mirrored)
                plain = warp_heatmaps(heatmaps, back, data.size, data.scheme.flip_permutation)
                total = total + (plain.clamp(min=0) + FLOOR).log()
        mean = (total / (2 * len(turns))).exp()
        found.append([part.cpu() for part in codec.decode(mean)])
    net.train(was_training)
    landmarks, agreement = (torch.cat(parts) for parts in zip(*found, strict=True))
    return geometry.apply(geometry.resize_matrix(mean.shape[-1], data.size), landmarks), agreement


def predict_consensus(net: LandmarkNet, data: UnlabeledSet, **how) -> pd.DataFrame:
    """The table of `predict.predict`, of what six views agree on; `how`: of `consensus`."""
    return as_table(data, *consensus(net, data, **how), codec=how.get("codec", CODECS["subpixel"]))
