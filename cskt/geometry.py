"""Where a crop lies in its photograph, and how points and pictures move between frames; batched, on torch.

One convention everywhere: pixel centers sit at the integers, so a picture of `size` pixels covers [-0.5, size - 0.5].
A transform is a matrix [..., 2, 3] that takes (x, y, 1) of one frame to (x, y) of another.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F


def crop_matrix(boxes: torch.Tensor, size: int, context: float = 1.0) -> torch.Tensor:
    """Transform from image pixels to the pixels of a square crop around each box.

    The square has the side `max(w, h) * context` and the box's center: no padding at `context=1`, as published
    (spec 1.2).

    Args:
        boxes: x, y, w, h in image pixels, [N, 4].
        size: side of the crop in pixels.
        context: side of the square over the longer side of the box.

    Returns:
        [N, 2, 3]
    """
    x, y, w, h = boxes.unbind(-1)
    side = torch.maximum(w, h) * context
    scale = size / side
    left, top = x + (w - side) / 2, y + (h - side) / 2
    zero = torch.zeros_like(scale)
    rows = [scale, zero, -left * scale - 0.5, zero, scale, -top * scale - 0.5]
    return torch.stack(rows, dim=-1).reshape(-1, 2, 3)


def resize_matrix(source: float, target: float) -> torch.Tensor:
    """Transform [2, 3] between two samplings of the same square, `source` and `target` pixels wide."""
    scale = target / source
    shift = (scale - 1) / 2
    return torch.tensor([[scale, 0.0, shift], [0.0, scale, shift]])


def apply(matrix: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Move points [..., L, 2] by a transform [..., 2, 3]; a missing (NaN) point stays missing."""
    return points @ matrix[..., :2].mT + matrix[..., None, :, 2]


def compose(second: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The transform [..., 2, 3] that applies `first`, then `second`."""
    linear = second[..., :2] @ first[..., :2]
    shift = second[..., :2] @ first[..., 2:] + second[..., 2:]
    return torch.cat([linear, shift], dim=-1)


def invert(matrix: torch.Tensor) -> torch.Tensor:
    """The inverse transform, [..., 2, 3]; raises on a singular one."""
    linear = torch.linalg.inv(matrix[..., :2])
    return torch.cat([linear, -linear @ matrix[..., 2:]], dim=-1)


def warp(images: torch.Tensor, matrix: torch.Tensor, size: int) -> torch.Tensor:
    """Resample pictures into a frame of `size` pixels, bilinearly; zero outside the picture.

    Args:
        images: [B, C, H, W], float.
        matrix: from the picture's pixels to the new frame's pixels, [B, 2, 3].
        size: side of the new frame in pixels.

    Returns:
        [B, C, size, size]
    """
    height, width = images.shape[-2:]
    back = invert(matrix.float())
    # affine_grid speaks of coordinates in [-1, 1] between pixel edges (align_corners=False)
    to_pixels = torch.tensor([[size / 2, 0, (size - 1) / 2], [0, size / 2, (size - 1) / 2]], device=back.device)
    to_unit = torch.tensor([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1]], device=back.device)
    theta = compose(to_unit, compose(back, to_pixels.expand_as(back)))
    grid = F.affine_grid(theta, [len(images), 1, size, size], align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)


def swap_sides(values: torch.Tensor, permutation: Sequence[int]) -> torch.Tensor:
    """Give each mirrored landmark its name back: landmark points [..., L, 2] or maps [..., L, H, W] along L.

    Args:
        values: [B, L, ...].
        permutation: which landmark each one becomes in the mirror (`Scheme.flip_permutation`).
    """
    return values[:, list(permutation)]


def random_views(
    count: int, size: int, *, rotation: float, scale: float, shift: float, flip: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw random similarity transforms of a square frame onto itself.

    Args:
        count: how many, B.
        size: side of the frame in pixels.
        rotation: largest turn, in degrees.
        scale: largest zoom in or out, as a fraction (0.25: by a factor from 1/1.25 to 1.25).
        shift: largest move along each axis, as a fraction of the side.
        flip: probability of a mirror image.
        generator: where the randomness comes from (CPU).

    Returns:
        matrix from the frame to the view [B, 2, 3], and whether it is mirrored [B] (bool). The mirror image only moves
        pixels: landmarks need `swap_sides` as well.
    """
    draw = torch.rand(count, 5, generator=generator)
    angle = (2 * draw[:, 0] - 1) * math.radians(rotation)
    zoom = torch.exp((2 * draw[:, 1] - 1) * math.log1p(scale))
    move = (2 * draw[:, 2:4] - 1) * shift * size
    flipped = draw[:, 4] < flip
    return _views(size, angle, zoom, move, flipped), flipped


def turned_views(
    count: int, size: int, turn: float, mirrored: bool, zoom: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same transform for each of `count` frames: a turn (degrees) and zoom about the center, of it or its mirror.

    Returns:
        as `random_views`.
    """
    flipped = torch.full((count,), mirrored)
    angle = torch.full((count,), math.radians(turn))
    return _views(size, angle, torch.full((count,), zoom), torch.zeros(count, 2), flipped), flipped


def turned_and_zoomed(size: int, turns: torch.Tensor, zooms: torch.Tensor) -> torch.Tensor:
    """Transforms [B, 2, 3] of a frame onto itself: turns (degrees, [B]) and zooms (factors, [B]) about its center."""
    still = torch.zeros(len(turns), 2)
    return _views(size, turns * (math.pi / 180), zooms, still, torch.zeros(len(turns), dtype=torch.bool))


def _views(size, angle, zoom, move, flipped):
    """Matrices [B, 2, 3]: a mirror image where `flipped`, then a turn and a zoom about the center, then a move."""
    center = (size - 1) / 2
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    sign = torch.where(flipped, -1.0, 1.0)
    linear = torch.stack([cos * sign, -sin, sin * sign, cos], dim=-1).reshape(-1, 2, 2)
    offset = center + move - (linear @ torch.full((2,), center))
    return torch.cat([linear, offset[..., None]], dim=-1)
