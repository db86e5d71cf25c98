"""One individual of a species: its own shape and colors, and its nine landmarks."""

from dataclasses import dataclass, replace

import numpy as np

from cskt.data.zoo_render import Field, rotation, trace
from cskt.data.zoo_tables import Blob, Mouth, Patch, Species

MIRROR = np.array([-1.0, 1.0, 1.0])
TRIES = 100


@dataclass(frozen=True)
class EyeChart:
    """Where an eye lies, as a flat chart looked at from `normal`: x runs from the outer to the inner corner."""

    center: np.ndarray
    normal: np.ndarray
    across: np.ndarray
    up: np.ndarray
    corners: np.ndarray  # outer, inner, [2, 3]


@dataclass(frozen=True)
class Head:
    """An individual, ready to be posed and painted.

    field: its shape. blob_colors: [K, 3]. landmarks: the nine points of AnimalWeb, head frame, [9, 3].
    """

    species: Species
    field: Field
    blob_colors: np.ndarray
    colors: dict[str, np.ndarray]
    eyes: tuple[EyeChart, EyeChart]
    mouth: "MouthLine"
    nose_tip: np.ndarray
    landmarks: np.ndarray
    gaze: np.ndarray
    offsets: np.ndarray  # shifts into the noise volume, one per texture, [8]
    whisker_roots: np.ndarray  # [W, 3]


@dataclass(frozen=True)
class MouthLine:
    """The mouth as angles about the jaw's hinge: `line` at the middle, opened by `gap` radians.

    corner: (x, distance from the hinge) of the right corner; inward: unit vector of the same plane, from the corner
    along the lips.
    """

    hinge: np.ndarray
    line: float
    gap: float
    corner: np.ndarray
    inward: np.ndarray
    reach: float

    def coordinates(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height over the closed line, and way in from the corner: [N] each, head units."""
        # plain floats: a float64 scalar of numpy's would turn whole float32 arrays into float64
        (hinge_y, hinge_z), (corner_x, corner_radius) = self.hinge.tolist(), self.corner.tolist()
        inward_x, inward_radius = self.inward.tolist()
        y, z = points[1] - hinge_y, points[2] - hinge_z
        radius = np.sqrt(y * y + z * z)
        height = (np.arctan2(y, z) - float(self.line)) * radius
        height = np.where(z > 0, height, np.float32(9))
        across = np.abs(points[0]) - corner_x
        return height, across * inward_x + (radius - corner_radius) * inward_radius


def grow(species: Species, rng: np.random.Generator, variety: float = 1.0) -> Head:
    """Draw an individual: shape, colors, gaze and mouth vary around the species' table; left and right stay mirrored.

    Args:
        species: whose table to start from.
        rng: source of the variation.
        variety: 0 gives the mean shape with closed mouth, 1 the usual spread.

    Raises:
        RuntimeError: the table has no surface where an eye, the nose or the mouth should be.
    """
    # about one individual in a thousand has a gap where a landmark should be: draw another
    for _ in range(TRIES):
        head = _grow_once(species, rng, variety)
        if head is not None:
            return head
    raise RuntimeError(f"{species.name}: no eye, nose or mouth in {TRIES} individuals: its table is wrong")


def _grow_once(species: Species, rng: np.random.Generator, variety: float) -> Head | None:
    extra = species.variants[rng.integers(len(species.variants)) if variety else 0]
    # the neck stays the last blob of the table: the body is joined to it
    blobs = (*extra, *species.blobs)
    species = replace(species, blobs=tuple(_vary_blob(blob, rng, variety) for blob in blobs))
    stretch = np.exp(rng.normal(0, 0.05 * variety, 3))
    gap = np.radians(rng.uniform(0.25, 1) * species.mouth.opens) * (rng.random() < 0.35) * (variety > 0)
    field, tags = _shape(species, stretch, gap)

    colors = {name: _vary_color(options, rng, variety) for name, options in species.colors.items()}
    blob_colors = np.array([colors[tag] for tag in tags], dtype=np.float32)

    size, width = np.exp(rng.normal(0, [0.08 * variety, 0.06 * variety]))
    lids = species.eyes
    squint = 1 - variety * (rng.uniform(0, 0.3) if rng.random() < 0.8 else rng.uniform(0.4, 0.75))
    lids = replace(lids, half_width=lids.half_width * size, upper=lids.upper * squint, lower=lids.lower * squint**0.5)
    shift = rng.normal(0, 0.02 * variety, 3) * [1, 1, 0]
    species = replace(species, eyes=replace(lids, at=tuple(np.array(lids.at) * stretch + shift)))
    right_eye = _place_eye(species, field, width)
    mouth_and_lips = _place_mouth(species.mouth, field, stretch, gap, rng.normal(0, 3 * variety))
    steep = np.radians(species.nose.elevation)
    nose = _hit(field, np.array(species.nose.at) * stretch, np.array([0, np.sin(steep), np.cos(steep)]))
    if right_eye is None or mouth_and_lips is None or nose is None:
        return None
    mouth, lips = mouth_and_lips
    left, right = eyes = (_mirror_eye(right_eye), right_eye)
    landmarks = np.stack([*left.corners, *right.corners[::-1], nose, *lips])

    gaze = rng.uniform(-1, 1, 2) * [0.3, 0.12] * variety
    offsets = rng.uniform(0, 48, 8).astype(np.float32)
    species = replace(species, patches=tuple(_stretch_patch(patch, stretch) for patch in species.patches))
    roots = _whisker_roots(species, landmarks)
    return Head(species, field, blob_colors, colors, eyes, mouth, nose, landmarks, gaze, offsets, roots)


def _vary_blob(blob: Blob, rng: np.random.Generator, variety: float) -> Blob:
    at = np.array(blob.at) + rng.normal(0, 0.025 * variety, 3) * [bool(blob.at[0]), 1, 1]
    size = np.array(blob.size) * np.exp(rng.normal(0, 0.05 * variety, 3))
    return replace(blob, at=tuple(at), size=tuple(size))


def _vary_color(options: tuple[str, ...], rng: np.random.Generator, variety: float) -> np.ndarray:
    picked = options[rng.integers(len(options))] if variety else options[0]
    color = np.array([int(picked[i : i + 2], 16) / 255 for i in (0, 2, 4)]) ** 2.2  # light adds up in linear color
    return (color * np.exp(rng.normal(0, 0.1 * variety)) * np.exp(rng.normal(0, 0.04 * variety, 3))).astype(np.float32)


def _stretch_patch(patch: Patch, stretch: np.ndarray) -> Patch:
    return replace(patch, at=tuple(np.array(patch.at) * stretch), size=tuple(np.array(patch.size) * stretch))


def _shape(species: Species, stretch: np.ndarray, gap: float) -> tuple[Field, list[str]]:
    """The blobs, mirrored where paired and with the jaw swung open, as one field; and the color name of each."""
    hinge = np.array([0, *species.mouth.hinge]) * stretch
    # an open mouth needs a floor to be painted on: a second jaw, half open
    jaws = [(replace(blob, jaw=False), gap / 2) for blob in species.blobs if blob.jaw and gap]
    centers, radii, turns, tags = [], [], [], []
    for blob, angle in [*jaws, *((blob, gap * blob.jaw) for blob in species.blobs)]:
        center, turn = np.array(blob.at) * stretch, rotation(*np.radians(blob.turn))
        if angle:
            swing = rotation(angle, 0, 0)
            center, turn = hinge + swing @ (center - hinge), swing @ turn
        for side in (1.0, -1.0)[: 1 + blob.pair]:
            flip = np.diag([side, 1, 1])
            centers.append(flip @ center)
            turns.append(flip @ turn @ flip)
            radii.append(np.array(blob.size) * stretch)
            tags.append(blob.color)
    return Field(np.array(centers), np.array(radii), np.array(turns), species.blend), tags


def _hit(field: Field, near: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
    """The surface point [3] seen when looking from `direction` at the point `near`; None when the look passes by."""
    direction = direction / np.linalg.norm(direction)
    point, distance = trace(field, near + 3 * direction, -direction[:, None])
    return point[:, 0].astype(np.float64) if distance[0] < 5e-3 else None


def _place_eye(species: Species, field: Field, width: float) -> EyeChart | None:
    eyes = species.eyes
    azimuth, elevation, tilt = np.radians([eyes.azimuth, eyes.elevation, eyes.tilt])
    normal = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    inward = np.array([-np.cos(azimuth), 0, np.sin(azimuth)])
    up = np.cross(normal, -inward)
    # a raised outer corner lowers the way in
    across, up = np.cos(tilt) * inward - np.sin(tilt) * up, np.cos(tilt) * up + np.sin(tilt) * inward
    center = _hit(field, np.array(eyes.at), normal)
    if center is None:
        return None
    half = eyes.half_width * width
    corners = [_hit(field, center - half * across, normal), _hit(field, center + half * across, normal)]
    if any(corner is None for corner in corners):
        return None
    return EyeChart(center, normal, across / half, up / half, np.stack(corners))


def _mirror_eye(eye: EyeChart) -> EyeChart:
    return EyeChart(*(MIRROR * vector for vector in (eye.center, eye.normal, eye.across, eye.up, eye.corners)))


def _place_mouth(
    mouth: Mouth, field: Field, stretch: np.ndarray, gap: float, turn: float
) -> tuple[MouthLine, list[np.ndarray]] | None:
    """The mouth line, and the landmarks 5 to 8: both corners, upper and lower lip."""
    hinge = np.array(mouth.hinge) * stretch[1:]
    front = np.array(mouth.front) * stretch[1:] - hinge
    line, length = np.arctan2(front[0], front[1]), np.hypot(*front)

    def seen(angle: float, aim: float, beside: float) -> np.ndarray | None:
        """Surface point in the plane at `angle`, aimed at distance `aim` ahead of the hinge from `beside`."""
        forward = np.array([0, np.sin(angle), np.cos(angle)])
        target = np.array([0, *hinge]) + aim * forward
        return _hit(field, target, np.cos(beside) * forward + np.sin(beside) * np.array([1.0, 0, 0]))

    # a thin bill may lie a little off the table's plane in this individual: take the nearest angle that meets it
    for step in (0, 0.02, -0.02, 0.05, -0.05, 0.1, -0.1):
        upper = seen(line + step + mouth.upper_lip / length, 0, 0)
        if upper is not None:
            line += step
            break
    for step in (0, 0.03, 0.06, 0.1, 0.15, 0.2):
        lower = seen(line - gap - step - mouth.lower_lip / length, 0, 0)
        if lower is not None:
            gap += step * bool(gap)
            break
    side = np.radians(np.clip(mouth.angle + turn, 5, 89))
    corner = seen(line + mouth.smile - gap / 2, mouth.depth * length, side)
    if upper is None or lower is None or corner is None:
        return None
    flat = np.array([corner[0], np.hypot(*(corner[1:] - hinge))])
    inward = np.array([-np.cos(side), np.sin(side)])
    tip = np.array([0, np.hypot(*(upper[1:] - hinge))])
    placed = MouthLine(hinge, line, gap, flat, inward, float((tip - flat) @ inward))
    return placed, [MIRROR * corner, corner, upper, lower]


def _whisker_roots(species: Species, landmarks: np.ndarray) -> np.ndarray:
    nose, corner = landmarks[4], landmarks[6]
    shares = np.linspace(0.3, 0.85, max(species.whiskers, 1))[: species.whiskers]
    roots = nose + (corner - nose) * np.stack([shares, np.tile([0.45, 0.7, 0.95], 4)[: shares.size], shares], axis=1)
    return np.concatenate([roots, roots * MIRROR])
