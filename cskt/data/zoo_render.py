"""The zoo's renderer: a head of smoothly joined ellipsoids, ray-traced, painted and lit.

Head frame: x to the image's right in a frontal face, y up, z out of the face, one unit about half a head's width.
Pixels: 0-based centers, x right, y down. Everything is [3, N] or [K, N] so that numpy works along the long axis.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

TRACE_STEPS = 26
TOLERANCE = 1.5e-3  # head units from the surface, a tenth of a pixel
BLOCK = 8192  # rays traced together: [K, BLOCK] float32 stays in the processor's cache


class Field:
    """A smooth union of K ellipsoids as a signed distance (first-order estimate, exact on the surface of each).

    Args:
        centers: [K, 3].
        radii: [K, 3].
        turns: rotation of each ellipsoid, [K, 3, 3].
        blend: length over which neighbors melt into each other, head units.
    """

    def __init__(self, centers: np.ndarray, radii: np.ndarray, turns: np.ndarray, blend: float):
        self.blend = blend
        self.centers, self.radii, self.turns = centers, radii, turns
        # |p / r| and |p / r^2| squared, as rows over the ten monomials of p: one matrix product serves all ellipsoids
        shape = turns / radii[:, None, :] ** 2 @ turns.transpose(0, 2, 1)
        steep = turns / radii[:, None, :] ** 4 @ turns.transpose(0, 2, 1)
        self._shape = shape.astype(np.float32)
        self._rows = np.concatenate([_quadric_rows(shape, centers), _quadric_rows(steep, centers)]).astype(np.float32)
        wide = radii + 1.5 * blend
        hull = turns / wide[:, None, :] ** 2 @ turns.transpose(0, 2, 1)
        self._hull, self._hull_rows = hull, _quadric_rows(hull, centers).astype(np.float32)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance [N] of points [3, N], float32."""
        nearest, closeness = self._closeness(points)
        return nearest - np.float32(self.blend) * np.log(closeness.sum(axis=0))

    def weights(self, points: np.ndarray) -> np.ndarray:
        """How much each ellipsoid has a say at points [3, N]: [K, N], summing to 1."""
        _, closeness = self._closeness(points)
        return closeness / closeness.sum(axis=0)

    def _closeness(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance to the nearest ellipsoid [N], and exp of how much farther each is, in blends, [K, N]."""
        x, y, z = points
        monomials = np.empty((10, points.shape[1]), dtype=np.float32)
        np.multiply(points, points, out=monomials[:3])
        np.multiply(x, y, out=monomials[3])
        np.multiply(x, z, out=monomials[4])
        np.multiply(y, z, out=monomials[5])
        monomials[6:9] = points
        monomials[9] = 1
        squares = self._rows @ monomials
        np.maximum(squares, np.float32(1e-8), out=squares)
        np.sqrt(squares, out=squares)
        k0, k1 = squares[: len(self.centers)], squares[len(self.centers) :]
        distance = k0 - 1
        distance *= k0
        distance /= k1
        nearest = distance.min(axis=0)
        distance -= nearest
        distance *= np.float32(-1 / self.blend)
        return nearest, np.exp(distance, out=distance)

    def normals(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Unit outward normals [3, N] at points [3, N] on the surface."""
        normal = np.zeros_like(points)
        for shape, center, weight in zip(self._shape, self.centers.astype(np.float32), weights, strict=True):
            slope = shape @ (points - center[:, None])
            normal += slope * (weight / np.maximum(np.sqrt((slope * slope).sum(axis=0)), 1e-6))
        return normal / np.maximum(np.linalg.norm(normal, axis=0), 1e-6)

    def span(self, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each ray first enters and last leaves a slightly inflated ellipsoid, [N] each; (inf, -inf) if never."""
        x, y, z = directions
        squares = np.stack([x * x, y * y, z * z, x * y, x * z, y * z])
        a = self._hull_rows[:, :6] @ squares
        offset = origin - self.centers
        b = np.einsum("kij,kj->ki", self._hull, offset).astype(np.float32) @ directions
        c = np.einsum("ki,kij,kj->k", offset, self._hull, offset).astype(np.float32)[:, None] - 1
        root = b * b - a * c
        half = np.sqrt(np.maximum(root, 0)) / a
        middle = -b / a
        met = root > 0
        near = np.where(met, middle - half, np.float32(np.inf)).min(axis=0)
        return near, np.where(met, middle + half, np.float32(-np.inf)).max(axis=0)


def _quadric_rows(matrices: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """(p - c)' Q (p - c) as coefficients of xx yy zz xy xz yz x y z 1, [K, 10]."""
    q = matrices
    linear = -2 * np.einsum("kij,kj->ki", q, centers)
    constant = np.einsum("ki,kij,kj->k", centers, q, centers)
    mixed = 2 * np.stack([q[:, 0, 1], q[:, 0, 2], q[:, 1, 2]], axis=1)
    return np.concatenate([np.diagonal(q, axis1=1, axis2=2), mixed, linear, constant[:, None]], axis=1)


def trace(field: Field, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow rays from one origin [3] along unit directions [3, N] to the surface.

    Returns:
        The point of each ray nearest to the surface, [3, N], and its distance from it, [N]: about 0 for a hit,
        positive for a near miss, infinity for a ray far from everything.
    """
    origin = np.asarray(origin, dtype=np.float64)
    points = np.zeros_like(directions, dtype=np.float32)
    distances = np.full(directions.shape[1], np.inf, dtype=np.float32)
    for start in range(0, directions.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        points[:, block], distances[block] = _trace_block(field, origin, directions[:, block].astype(np.float32))
    return points, distances


def _trace_block(field: Field, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    start = origin.astype(np.float32)[:, None]
    t, end = field.span(origin, directions)
    best_t = np.where(np.isfinite(t), t, 0)
    best = np.full(t.shape, np.inf, dtype=np.float32)
    active = np.flatnonzero(np.isfinite(t))
    for _ in range(TRACE_STEPS):
        if active.size == 0:
            break
        distance = field.distance(start + t[active] * directions[:, active])
        closer = np.abs(distance) < best[active]
        improved = active[closer]
        best[improved] = np.abs(distance[closer])
        best_t[improved] = t[improved]
        # at least a small step ahead, so that rays that graze one part get on to the next
        t[active] += np.where(distance > 0, np.maximum(distance, 0.012), distance)
        active = active[(np.abs(distance) > TOLERANCE) & (t[active] < end[active])]
    return start + best_t * directions, best


@lru_cache(maxsize=1)
def _noise_volumes() -> tuple[np.ndarray, np.ndarray]:
    """Two tileable 48-cell cubes of standard normal noise, white and smooth: every texture is looked up in them."""
    white = np.random.default_rng(20230).standard_normal((48, 48, 48), dtype=np.float32)
    smooth = gaussian_filter(white, 2.0, mode="wrap")
    return np.clip(white, -2, 2), smooth / smooth.std()


def smooth_noise(points: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """Smooth noise [N] of about unit variance at points [3, N]; features are about 1 / scale head units apart."""
    return map_coordinates(
        _noise_volumes()[1], points * (4 * scale) + offset, order=1, mode="grid-wrap", output=np.float32
    )


def strand_noise(points: np.ndarray, flow: np.ndarray, fineness: float, offset: float) -> np.ndarray:
    """Noise [N] drawn out along `flow` [3, N] (unit vectors) into strands `1 / fineness` wide, like those of fur."""
    white, _ = _noise_volumes()
    total = np.zeros(points.shape[1], dtype=np.float32)
    start = points * np.float32(fineness) + np.float32(offset + 48 * 4)  # positive, so that truncation is floor
    for step in np.arange(-3, 4, dtype=np.float32):
        cells = (start + flow * step).astype(np.int32) % 48
        total += white[cells[0], cells[1], cells[2]]
    return total / np.float32(7**0.5)


def ramp(value: np.ndarray, width: float) -> np.ndarray:
    """0 below -width, 1 above width, smooth between: an anti-aliased step."""
    s = np.clip(value / float(2 * width) + 0.5, 0, 1)
    return s * s * (3 - 2 * s)


def lay(color: np.ndarray, over: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`over` [3] or [3, N] laid on `color` [3, N] with opacity `share` [N]."""
    over = np.asarray(over, dtype=np.float32)
    over = over[:, None] if over.ndim == 1 else over
    return color + (over - color) * share


@dataclass(frozen=True)
class Camera:
    """Perspective camera on the head frame's z axis after the head was turned.

    rotation: head frame to camera frame, [3, 3]. distance: from the head's origin, head units.
    scale: pixels per head unit at the origin. center: image position of the origin, [2].
    """

    rotation: np.ndarray
    distance: float
    scale: float
    center: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Image pixels [N, 2] of head-frame points [N, 3]."""
        x, y, z = self.rotation @ np.asarray(points, dtype=np.float64).T
        zoom = self.scale * self.distance / (self.distance - z)
        return np.stack([self.center[0] + zoom * x, self.center[1] - zoom * y], axis=1)

    def rays(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Origin [3] and unit directions [3, N], head frame, of the rays through pixels [N, 2]."""
        focal = self.scale * self.distance
        x = (pixels[:, 0] - self.center[0]) / focal
        y = (self.center[1] - pixels[:, 1]) / focal
        directions = np.stack([x, y, -np.ones_like(x)])
        directions /= np.linalg.norm(directions, axis=0)
        return self.rotation.T @ [0, 0, self.distance], self.rotation.T @ directions


def rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Rotation matrix; radians. Positive yaw turns the face to the image's right, positive pitch looks down,
    positive roll leans the head to the image's left."""
    cp, sp, cy, sy, cr, sr = (f(a) for a in (pitch, yaw, roll) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x
