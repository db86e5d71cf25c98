"""Codec between landmarks and heatmaps, in two versions: `subpixel` (exact) and `published` (as released, spec 1.3).

Frames: `landmarks_heatmap` are in heatmap cells, 0-based cell centers. A heatmap has its peak of 1 at the landmark.
The confidence of a decoded landmark is its map's maximum.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

SIGMA = 1.0


def encode(landmarks_heatmap: torch.Tensor, size: int, sigma: float = SIGMA) -> torch.Tensor:
    """Draw each landmark as a Gaussian at its exact place.

    Args:
        landmarks_heatmap: [B, L, 2] in heatmap cells; NaN where missing.
        size: side of the maps in cells.
        sigma: standard deviation in cells.

    Returns:
        [B, L, size, size]; 0 where a profile is below 1e-19 (float32); all zero for a missing landmark.
    """
    profile = _profiles(landmarks_heatmap, size, sigma)
    return profile[..., 1, :, None] * profile[..., 0, None, :]


def decode(heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find each map's peak to a fraction of a cell: a parabola through the logarithms around the maximum.

    Exact for a Gaussian (floor 0.002 % NME, spec 1.3). At the map's edge, or where the neighborhood is not a peak, the
    maximum's own cell stands.

    Args:
        heatmaps: [B, L, H, W].

    Returns:
        landmarks in heatmap cells [B, L, 2], confidence [B, L].
    """
    place, peak, values, inside = _around_peak(heatmaps)
    low, mid, high = values.clamp(min=1e-6).log()
    curvature = low - 2 * mid + high
    offset = (low - high) / (2 * curvature)
    usable = inside & (curvature < -1e-6) & (peak > 0)
    offset = torch.where(usable, offset, 0.0).clamp(-0.5, 0.5)
    return torch.stack(tuple(place.to(heatmaps.dtype) + offset), dim=-1), peak


def encode_published(landmarks_heatmap: torch.Tensor, size: int) -> torch.Tensor:
    """Heatmaps as the released code draws them: a 7 x 7 stamp around the truncated cell (spec 1.3).

    Args:
        landmarks_heatmap: [B, L, 2] in heatmap cells; NaN where missing.
        size: side of the maps in cells.

    Returns:
        [B, L, size, size]
    """
    # the released frame has cell borders, not centers, at the integers
    cell = (landmarks_heatmap + 0.5).trunc()
    profile = _profiles(cell, size, SIGMA, reach=3)
    return profile[..., 1, :, None] * profile[..., 0, None, :]


def decode_published(heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Read heatmaps as the released code does: the maximum's cell, moved by a quarter towards the higher neighbor.

    Returns:
        landmarks in heatmap cells [B, L, 2], confidence [B, L]. A dead map (maximum <= 0) decodes to (-1, -1), next
        to the crop's corner, as released.
    """
    landmarks, peak = _quarters(heatmaps)
    return landmarks.masked_fill_(~(peak > 0)[..., None], -1.0), peak


def decode_quarter(heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Read heatmaps as AP-10K's benchmark does: as `decode_published`, and a dead map as any other."""
    return _quarters(heatmaps)


def _quarters(heatmaps):
    """Each maximum's cell, moved by a quarter towards the higher neighbors [B, L, 2], and its value [B, L]."""
    if heatmaps.device.type == "cpu" and heatmaps.dtype in (torch.float32, torch.float64):
        return _quarters_on_cpu(heatmaps)
    place, peak, (before, _, after), inside = _around_peak(heatmaps)
    cells = place.to(heatmaps.dtype)
    cells = torch.where(inside.all(dim=0), cells + (after - before).sign() / 4, cells)
    return torch.stack(tuple(cells), dim=-1), peak


def _quarters_on_cpu(heatmaps):
    """The same by numpy, whose small operations take half the time of torch's."""
    *many, height, width = heatmaps.shape
    maps = heatmaps.detach().numpy().reshape(-1, height * width)
    cell = maps.argmax(axis=1)
    row, column = np.divmod(cell, width)
    flat, at = maps.reshape(-1), np.arange(0, maps.size, height * width) + cell
    inside = (column > 0) & (column < width - 1) & (row > 0) & (row < height - 1)
    cells = np.empty((len(maps), 2), maps.dtype)
    for axis, (place, step) in enumerate(((column, 1), (row, width))):
        step = inside * step
        cells[:, axis] = place + np.sign(flat.take(at + step) - flat.take(at - step)) / 4
    return torch.from_numpy(cells).view(*many, 2), torch.from_numpy(flat.take(at)).view(many)


def round_published(landmarks_image: torch.Tensor) -> torch.Tensor:
    """Image coordinates as the released code reports them: truncated to whole pixels, plus 1.

    Args:
        landmarks_image: decoded landmarks, 0-based pixel centers, [..., 2].
    """
    # the released frame has the pixels' borders at the integers, and takes the annotations as they are in it
    return landmarks_image.trunc() + 1


@dataclass(frozen=True)
class Codec:
    """How landmarks become heatmaps and come back; see `CODECS`.

    Attributes:
        encode: (landmarks_heatmap [B, L, 2], size) -> heatmaps [B, L, size, size].
        decode: heatmaps -> landmarks_heatmap [B, L, 2], confidence [B, L].
        finish: what is done to the decoded landmarks in image pixels.
    """

    encode: Callable[[torch.Tensor, int], torch.Tensor]
    decode: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    finish: Callable[[torch.Tensor], torch.Tensor] = lambda landmarks_image: landmarks_image


CODECS = {
    "subpixel": Codec(encode, decode),
    "published": Codec(encode_published, decode_published, round_published),
    "benchmark": Codec(partial(encode, sigma=2.0), decode_quarter),
}


def sharpen(heatmaps: torch.Tensor) -> torch.Tensor:
    """Hard pseudo-labels: a Gaussian of height 1 at each map's peak, [B, L, H, H] (the paper's H-hat)."""
    return encode(decode(heatmaps)[0], heatmaps.shape[-1])


def _profiles(landmarks_heatmap, size, sigma, reach=None):
    """Each landmark's Gaussian along x and y, [B, L, 2, size]: an exponential per row and column, not one per cell.

    It is zero further than `reach` cells away, else where it is below 1e-19 (float32), and for NaN.
    """
    dtype = landmarks_heatmap.dtype
    # exponentials and products that underflow take a CPU five times as long, and masks longer than all the rest
    least = math.log(torch.finfo(dtype).tiny) / 2 if reach is None else -((reach + 0.5) ** 2) / (2 * sigma**2)
    places = landmarks_heatmap.nan_to_num(nan=-1e6)
    away = torch.arange(size, dtype=dtype, device=places.device) - places[..., None]
    heights = away.square_().div_(-2 * sigma**2).clamp_(min=least).exp_()
    return F.threshold_(heights, 1.01 * math.exp(least), 0.0)


def _argmax(flat):
    """Index of the first maximum of each row of [..., N]."""
    if flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64):
        # torch's is no vector code on a CPU: ten times as long as numpy's
        return torch.from_numpy(np.asarray(flat.detach().numpy().argmax(axis=-1)))
    return flat.argmax(dim=-1)


def _around_peak(heatmaps):
    """Where the maxima of maps [B, L, H, W] are, and what is around them.

    Returns:
        column and row of each maximum [2, B, L]; its value [B, L]; the values before, at and after it along x and along
        y, [3, 2, B, L]; and whether there is a cell on both sides of it, [2, B, L] (all three are the maximum if not).
    """
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.flatten(-2)
    cell = _argmax(flat)
    place = torch.stack([cell % width, cell.div(width, rounding_mode="floor")])
    column, row = place
    inside = torch.stack([(column > 0) & (column < width - 1), (row > 0) & (row < height - 1)])
    step = torch.stack([inside[0] * 1, inside[1] * width])
    begin = torch.arange(0, flat.numel(), height * width, device=flat.device).view(cell.shape)
    at = begin + cell
    values = torch.take(flat, torch.stack([at - step, at.expand_as(step), at + step]))
    return place, values[1, 0], values, inside
