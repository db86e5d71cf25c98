"""Views of cached crops: geometric transforms, colors, painted-over rectangles; batched, all chance passed in."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cskt import geometry


@dataclass(frozen=True)
class Augmentation:
    """How far a view may differ from the plain crop; all zero (the default) is the plain crop itself.

    Attributes:
        rotation: largest turn, degrees.
        scale: largest zoom, a fraction.
        shift: largest move along each axis, a fraction of the side.
        flip: probability of a mirror image.
        color: strength of changes of brightness, contrast, saturation and tint.
        cutout: at most this many rectangles are painted over.
        half_body: probability of a view of the front or the back half of a body alone (`half_body`).
    """

    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    flip: float = 0.0
    color: float = 0.0
    cutout: int = 0
    half_body: float = 0.0


@dataclass(frozen=True)
class View:
    """How a batch of crops is seen.

    Attributes:
        matrix: from the plain crop's pixels to the view's, [B, 2, 3].
        mirrored: whether left and right changed places, [B] (bool).
    """

    matrix: torch.Tensor
    mirrored: torch.Tensor

    def to(self, device: torch.device) -> "View":
        return View(self.matrix.to(device), self.mirrored.to(device))


def random_view(count: int, size: int, augmentation: Augmentation, generator: torch.Generator) -> View:
    """Draw the geometric part of an augmentation for a batch of `count` crops of `size` pixels."""
    a = augmentation
    return View(*geometry.random_views(count, size, rotation=a.rotation, scale=a.scale, shift=a.shift, flip=a.flip,
                                       generator=generator))  # fmt: skip


def half_body(
    landmarks_crop: torch.Tensor,
    size: int,
    upper: Sequence[int],
    probability: float,
    generator: torch.Generator,
    least: int = 8,
    padding: float = 1.5,
) -> torch.Tensor:
    """Draw for each crop whether to look at one half of the body alone, and at which.

    Args:
        landmarks_crop: in the plain crop's pixels, [B, L, 2]; NaN where missing.
        size: side of the crop, pixels.
        upper: the landmarks of the front half; the others are the back half.
        probability: of a half.
        generator: where the randomness comes from (CPU).
        least: a crop with fewer annotated landmarks stays whole; so does one with fewer than 2 of the half.
        padding: side of the square around the half's landmarks over their longer extent.

    Returns:
        [B, 2, 3], from the plain crop's pixels to those of the view; the identity where the body stays whole.

    Source: mmpose's TopDownHalfBodyTransform, whose square is centered at the mean of the half's landmarks, as here.
    """
    draw = torch.rand(len(landmarks_crop), 2, generator=generator)
    seen = ~landmarks_crop.isnan().any(dim=-1)
    front = torch.zeros(landmarks_crop.shape[1], dtype=torch.bool)
    front[list(upper)] = True
    chosen = torch.where(draw[:, 1:] < 0.5, front, ~front) & seen
    halved = (draw[:, 0] < probability) & (seen.sum(dim=1) >= least) & (chosen.sum(dim=1) >= 2)
    points, mask = landmarks_crop.nan_to_num(0.0), chosen[..., None]
    center = (points * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    low = points.masked_fill(~mask, torch.inf).amin(dim=1)
    high = points.masked_fill(~mask, -torch.inf).amax(dim=1)
    side = (padding * (high - low).amax(dim=1)).nan_to_num(size, posinf=size, neginf=size).clamp(min=size / 8)
    boxes = torch.cat([center - side[:, None] / 2, side[:, None], side[:, None]], dim=1)
    matrix = geometry.crop_matrix(boxes, size)
    whole = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return torch.where(halved[:, None, None], matrix, whole)


def take_view(crops: torch.Tensor, view: View, size: int) -> torch.Tensor:
    """Resample cached crops as a view sees them.

    Args:
        crops: uint8 [B, C, C, 3], the plain crop and `(C - size) / 2` pixels around it.
        view: of the plain crop.
        size: side of the plain crop and of the view, pixels.

    Returns:
        [B, 3, size, size], float32 from 0 to 1; black beyond the cached crop.
    """
    images = crops.permute(0, 3, 1, 2).float().div_(255)
    margin = (crops.shape[1] - size) / 2
    inner = torch.tensor([[1.0, 0.0, -margin], [0.0, 1.0, -margin]], device=view.matrix.device)
    return geometry.warp(images, geometry.compose(view.matrix, inner.expand_as(view.matrix)), size)


def view_landmarks(landmarks_crop: torch.Tensor, view: View, permutation: Sequence[int]) -> torch.Tensor:
    """Landmarks [B, L, 2] of the plain crop in the view's pixels, each under its own name in mirrored views too."""
    moved = geometry.apply(view.matrix, landmarks_crop)
    return torch.where(view.mirrored[:, None, None], geometry.swap_sides(moved, permutation), moved)


def between(first: View, second: View) -> View:
    """The view that takes what `first` shows to what `second` shows."""
    matrix = geometry.compose(second.matrix, geometry.invert(first.matrix))
    return View(matrix, first.mirrored ^ second.mirrored)


def warp_heatmaps(heatmaps: torch.Tensor, view: View, size: int, permutation: Sequence[int]) -> torch.Tensor:
    """Heatmaps [B, L, H, H] of one view as another view sees them.

    Args:
        heatmaps: of the first view.
        view: from the first view to the second (`between`).
        size: side of the views in pixels.
        permutation: `Scheme.flip_permutation`.
    """
    cells = heatmaps.shape[-1]
    to_cells = geometry.resize_matrix(size, cells).to(heatmaps.device)
    from_cells = geometry.resize_matrix(cells, size).to(heatmaps.device)
    matrix = geometry.compose(to_cells, geometry.compose(view.matrix, from_cells.expand_as(view.matrix)))
    warped = geometry.warp(heatmaps, matrix, cells)
    return torch.where(view.mirrored[:, None, None, None], geometry.swap_sides(warped, permutation), warped)


def change_colors(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Change saturation, tint, contrast and brightness of each image; every seventh or so loses its color.

    Args:
        images: [B, 3, H, W] from 0 to 1.
        strength: 0.4 changes saturation and contrast by up to 40 %, brightness and tint by up to 16 % and 12 %.
        generator: where the randomness comes from (CPU).
    """
    if strength == 0:
        return images
    draw = torch.rand(len(images), 7, 1, 1, generator=generator).to(images.device)
    spread = (2 * draw[:, :6] - 1) * strength
    saturation = torch.where(draw[:, 6:] < 0.15, -1.0, spread[:, :1])
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (1 + saturation)
    images = images * (1 + 0.3 * spread[:, 1:4])
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    images = level + (images - level) * (1 + spread[:, 4:5]) + 0.4 * spread[:, 5:6]
    return images.clamp(0, 1)


def paint_rectangles(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    """Paint up to `most` rectangles of random color over each image, each with probability 1/2.

    Args:
        images: [B, 3, H, W]; sides of a rectangle are 8 to 32 % of the image's.
        most: how many at most; 0 returns the images.
        generator: where the randomness comes from (CPU).
    """
    if most == 0:
        return images
    size = images.shape[-1]
    draw = torch.rand(most, len(images), 8, generator=generator).to(images.device)
    axis = torch.arange(size, device=images.device)
    for place in draw:
        half = (0.04 + 0.12 * place[:, 2:4]) * size
        near = ((axis - place[:, :2, None] * size).abs() < half[..., None]) & (place[:, 4:5, None] < 0.5)
        inside = near[:, 1, :, None] & near[:, 0, None, :]
        images = torch.where(inside[:, None], place[:, 5:8, None, None], images)
    return images
