"""What a network's maps mean, and how far they are from target heatmaps: two outputs, each with its loss.

`linear`   the maps are heatmaps; mean squared error over all cells (the published network and loss).
`softmax`  the maps are logits over the cells; the heatmap is their softmax, scaled so that a perfect one has the
           target's peak of 1; cross-entropy. It cannot collapse to the all-zero map that squared error settles in
           first, and at 64 px on a CPU it reaches in 100 steps what squared error does not in 900 (docs/log.md).
"""

import math

import torch

from cskt import distributed
from cskt.heatmaps import SIGMA

OUTPUTS = ("linear", "softmax")


def to_heatmaps(maps: torch.Tensor, output: str) -> torch.Tensor:
    """Turn a network's maps [B, L, H, W] into heatmaps of the same shape, float32."""
    maps = maps.float()
    if output == "linear":
        return maps
    # a Gaussian of height 1 sums to 2 pi sigma^2
    return maps.flatten(-2).softmax(dim=-1).view_as(maps) * (2 * math.pi * SIGMA**2)


def per_landmark(maps: torch.Tensor, target: torch.Tensor, output: str) -> torch.Tensor:
    """Loss of each map against its target heatmap.

    Args:
        maps: what the network gave, [B, L, H, W].
        target: heatmaps, not negative, [B, L, H, W]; an all-zero target asks a linear map to be zero, and says nothing
            to a softmax map (loss 0).
        output: what the maps mean, one of `OUTPUTS`.

    Returns:
        [B, L], float32: squared error averaged over the cells, or cross-entropy in nats.
    """
    maps = maps.float()
    if output == "linear":
        return (maps - target).square().mean(dim=(-2, -1))
    mass = target.sum(dim=(-2, -1))
    expected = (target * maps).sum(dim=(-2, -1)) / mass.clamp(min=1e-6)
    return (maps.flatten(-2).logsumexp(dim=-1) - expected) * (mass > 1e-6)


def heatmap_loss(
    maps: torch.Tensor, target: torch.Tensor, output: str, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean loss over landmarks, a scalar.

    Args:
        maps: what the network gave, [B, L, H, W].
        target: heatmaps, [B, L, H, W].
        output: what the maps mean.
        weight: of each landmark, [B, L]; None: all count as 1. The mean is over the sum of weights, and 0 where that
            is 0.
    """
    losses = per_landmark(maps, target, output)
    if weight is None:
        return losses.mean()
    weight = weight.to(losses.dtype)
    return (losses * weight).sum() / distributed.mean(weight.sum()).clamp(min=1e-6)
