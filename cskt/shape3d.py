"""A low-rank 3-D face shape from annotated landmarks alone: non-rigid structure from motion with weak perspective.

Each image shows `scale * R[:2] (mean + sum_k c_k basis_k) + shift`: one mean shape and K ways to vary for all images,
a camera and K coefficients for each (Bregler, Hertzmann and Biermann, 2000; with the Gaussian prior on the coefficients
of Torresani, Hertzmann and Bregler, 2008). All unknowns are fitted together by least squares; a missing landmark is
left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Shape3D:
    """A family of shapes.

    Attributes:
        mean: [L, 3], centered, of mean squared radius 1; x right and y down as in pictures, z away from the viewer (or
            towards: from weak perspective the two cannot be told apart).
        basis: [K, L, 3]; a coefficient of 1 is one standard deviation.
    """

    mean: torch.Tensor
    basis: torch.Tensor

    def shapes(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Shapes [N, L, 3] of coefficients [N, K]."""
        return self.mean.to(coefficients) + torch.einsum("nk,klc->nlc", coefficients, self.basis.to(coefficients))

    def project(
        self, coefficients: torch.Tensor, quaternion: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
    ) -> torch.Tensor:
        """Landmarks [N, L, 2] in the frame of scale [N] and shift [N, 2], of quaternions [N, 4] of any length."""
        turned = self.shapes(coefficients) @ rotation(quaternion).mT
        return scale[:, None, None] * turned[..., :2] + shift[:, None]


def rotation(quaternion: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [..., 3, 3] of quaternions (w, x, y, z) of any length but 0, [..., 4].

    Example:
        >>> half_turn_about_z = torch.tensor([0.0, 0.0, 0.0, 2.0])
        >>> rotation(half_turn_about_z).diagonal().tolist()
        [-1.0, -1.0, 1.0]
    """
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def with_mirror_images(landmarks: np.ndarray, permutation: Sequence[int]) -> np.ndarray:
    """Landmarks [N, L, 2] and, after them, those of the mirror images (x becomes -x), [2 N, L, 2].

    Args:
        landmarks: in any frame; NaN where missing.
        permutation: `Scheme.flip_permutation`.
    """
    return np.concatenate([landmarks, landmarks[:, list(permutation)] * [-1.0, 1.0]])


def fit_shape(
    landmarks: np.ndarray, rank: int = 2, prior: float = 1e-3, starts: int = 2, steps: int = 150, seed: int = 0
) -> tuple[Shape3D, np.ndarray]:
    """Fit shape, cameras and coefficients to annotated landmarks.

    Args:
        landmarks: in any frame, [N, L, 2]; NaN where missing.
        rank: K.
        prior: weight of the squared coefficients beside the squared residuals (in units of the shape's own size): what
            keeps a camera from being explained by a strange shape.
        starts: how many random depths to start from; the best fit is the result.
        steps: of the optimizer (L-BFGS), at most.
        seed: of the random depths.

    Returns:
        The shape, and its reprojection into each image, [N, L, 2].

    Raises:
        ValueError: an image with fewer than 3 landmarks.
    """
    seen = torch.as_tensor(~np.isnan(landmarks).any(axis=-1))
    if (seen.sum(dim=1) < 3).any():
        raise ValueError("an image with fewer than 3 landmarks has no camera: leave it out")
    points = torch.as_tensor(np.nan_to_num(landmarks))
    count = seen.sum(dim=1, keepdim=True)
    shift = (points * seen[..., None]).sum(dim=1) / count
    centered = (points - shift[:, None]) * seen[..., None]
    scale = (centered.square().sum(dim=(1, 2)) / count[:, 0]).sqrt()
    normal = centered / scale[:, None, None]
    flat = normal.sum(dim=0) / seen.sum(dim=0)[:, None].clamp(min=1)
    results = [_descend(normal, seen, flat, rank, prior, steps, seed + k) for k in range(starts)]
    _, shape, found = min(results, key=lambda one: one[0])
    return shape, (found * scale[:, None, None] + shift[:, None]).numpy()


def _descend(normal, seen, flat, rank, prior, steps, seed):
    """One fit from a random depth: the loss, the shape and its reprojection into the normalized frame."""
    n, landmarks = seen.shape
    generator = torch.Generator().manual_seed(seed)
    depth = 0.3 * torch.randn(landmarks, 1, generator=generator, dtype=torch.float64)
    start = [
        torch.cat([flat, depth], dim=1),
        0.1 * torch.randn(rank, landmarks, 3, generator=generator, dtype=torch.float64),
        torch.zeros(n, rank, dtype=torch.float64),
        torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).repeat(n, 1)
        + 0.1 * torch.randn(n, 4, generator=generator, dtype=torch.float64),
        torch.zeros(n, dtype=torch.float64),
        torch.zeros(n, 2, dtype=torch.float64),
    ]
    # all images at coefficient 0 would leave the basis without a gradient
    start[2] = start[2] + 0.1 * torch.randn(n, rank, generator=generator, dtype=torch.float64)
    values = [value.requires_grad_() for value in start]
    mean, basis, coefficients, quaternion, log_scale, shift = values

    def project():
        return Shape3D(mean, basis).project(coefficients, quaternion, log_scale.exp(), shift)

    def loss():
        residual = ((project() - normal).square().sum(dim=-1) * seen).sum() / seen.sum()
        # scale and size of the shape are free together, and so are basis and coefficients: pin both
        size = (mean.square().sum(dim=1).mean() - 1).square() + mean.mean(dim=0).square().sum()
        return residual + prior * (coefficients.square().mean() + basis.square().sum(dim=(1, 2)).mean()) + size

    optimizer = torch.optim.LBFGS(values, max_iter=steps, line_search_fn="strong_wolfe", history_size=20)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    with torch.no_grad():
        spread = coefficients.square().mean(dim=0).sqrt().clamp(min=1e-9)
        shape = Shape3D(mean.detach().float(), (basis * spread[:, None, None]).detach().float())
        return float(loss()), shape, project()
