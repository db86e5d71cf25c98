"""Codec between landmarks and heatmaps, in two versions: `subpixel` (exact) and `published` (as released, spec 1.3).

Frames: `landmarks_heatmap` are in heatmap cells, 0-based cell centers. A heatmap has its peak of 1 at the landmark.
The confidence of a decoded landmark is its map's maximum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

SIGMA = 1.0


def encode(landmarks_heatmap: torch.Tensor, size: int, sigma: float = SIGMA) -> torch.Tensor:
    """Draw each landmark as a Gaussian at its exact place.

    Args:
        landmarks_heatmap: [B, L, 2] in heatmap cells; NaN where missing.
        size: side of the maps in cells.
        sigma: standard deviation in cells.

    Returns:
        [B, L, size, size]; all zero for a missing landmark.
    """
    axis = torch.arange(size, dtype=landmarks_heatmap.dtype, device=landmarks_heatmap.device)
    # separable: two exponentials per row and column instead of one per cell
    profile = torch.exp(-((axis - landmarks_heatmap[..., None]) ** 2) / (2 * sigma**2)).nan_to_num(0.0)
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
    column, row, peak = _argmax(heatmaps)
    offsets = [_parabola(heatmaps, row, column, axis) for axis in ("x", "y")]
    cells = torch.stack([column, row], dim=-1).to(heatmaps.dtype)
    return cells + torch.stack(offsets, dim=-1), peak


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
    axis = torch.arange(size, dtype=cell.dtype, device=cell.device)
    near = (axis - cell[..., None]).abs() <= 3
    return encode(cell, size) * (near[..., 1, :, None] & near[..., 0, None, :])


def decode_published(heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Read heatmaps as the released code does: the maximum's cell, moved by a quarter towards the higher neighbor.

    Returns:
        landmarks in heatmap cells [B, L, 2], confidence [B, L]. A dead map (maximum <= 0) decodes to (-1, -1), next
        to the crop's corner, as released.
    """
    column, row, peak = _argmax(heatmaps)
    cells = torch.stack([column, row], dim=-1).to(heatmaps.dtype)
    inside = ((cells > 0) & (cells < heatmaps.shape[-1] - 1)).all(dim=-1)
    quarter = torch.stack([_slope(heatmaps, row, column, axis).sign() for axis in ("x", "y")], dim=-1) / 4
    cells = torch.where(inside[..., None], cells + quarter, cells)
    return torch.where((peak > 0)[..., None], cells, -1.0), peak


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
}


def sharpen(heatmaps: torch.Tensor, sigma: float = SIGMA) -> torch.Tensor:
    """Hard pseudo-labels: a Gaussian of height 1 at each map's peak, [B, L, H, H] (the paper's H-hat)."""
    return encode(decode(heatmaps)[0], heatmaps.shape[-1], sigma)


def _argmax(heatmaps):
    peak, cell = heatmaps.flatten(-2).max(dim=-1)
    width = heatmaps.shape[-1]
    return cell % width, cell.div(width, rounding_mode="floor"), peak


def _neighbors(heatmaps, row, column, axis):
    """Values before, at and after the cell along an axis, clamped at the edge, each [B, L]; and whether none was."""
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.flatten(-2)
    place, stride, last = (column, 1, width - 1) if axis == "x" else (row, width, height - 1)
    inside = (place > 0) & (place < last)
    cell = row * width + column
    step = torch.where(inside, stride, 0)
    values = [flat.gather(-1, (cell + k * step)[..., None])[..., 0] for k in (-1, 0, 1)]
    return values, inside


def _slope(heatmaps, row, column, axis):
    (before, _, after), _ = _neighbors(heatmaps, row, column, axis)
    return after - before


def _parabola(heatmaps, row, column, axis):
    values, inside = _neighbors(heatmaps, row, column, axis)
    low, mid, high = (v.clamp(min=1e-6).log() for v in values)
    curvature = low - 2 * mid + high
    offset = (low - high) / (2 * curvature)
    usable = inside & (curvature < -1e-6) & (values[1] > 0)
    return torch.where(usable, offset, 0.0).clamp(-0.5, 0.5)
