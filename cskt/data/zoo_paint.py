"""The zoo's painter: coat, patterns, fur, nose, mouth and eyes of a head, as functions of the place on its surface."""

import numpy as np

from cskt.data.zoo_head import EyeChart, Head
from cskt.data.zoo_render import lay, ramp, smooth_noise, strand_noise


def paint(
    head: Head, points: np.ndarray, weights: np.ndarray, normals: np.ndarray, pixel: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Color the surface of a head.

    Args:
        head: the individual.
        points: surface points, head frame, [3, N].
        weights: each blob's say at the points, [K, N].
        normals: unit normals, [3, N].
        pixel: width of a pixel in head units: no edge is sharper.

    Returns:
        Linear color [3, N], gloss [N], and the normals [3, N] bent by fur and eyeballs.
    """
    species, colors = head.species, head.colors
    sharp = weights * weights  # squared once more for bare skin: hair ends sharply there
    sharp = sharp if species.fur else sharp * sharp
    color = head.blob_colors.T @ (sharp / sharp.sum(axis=0))
    gloss = np.full(points.shape[1], species.gloss, dtype=np.float32)
    wobble = smooth_noise(points, 3.0, head.offsets[0])

    color = _paint_pattern(head, color, points, wobble)
    for patch in species.patches:
        if patch.color not in colors:
            continue
        x = np.abs(points[0]) if patch.pair else points[0]
        offset = np.stack([x, points[1], points[2]]) - np.array(patch.at, dtype=np.float32)[:, None]
        inside = 1 - np.sqrt(((offset / np.array(patch.size, dtype=np.float32)[:, None]) ** 2).sum(axis=0))
        share = ramp(inside + 0.5 * patch.soft * wobble * bool(species.fur), patch.soft)
        color = lay(color, colors[patch.color], share * (0.35 if patch.soft > 2 else 1))

    if species.fur:
        # fur lies away from the nose, along the surface
        flow = points - head.nose_tip.astype(np.float32)[:, None]
        flow -= normals * (flow * normals).sum(axis=0)
        flow /= np.maximum(np.linalg.norm(flow, axis=0), 1e-3)
        fineness = min(0.4 / pixel, 26)
        strands = strand_noise(points, flow, fineness, head.offsets[1])
        color = color * np.exp((0.1 + 2.0 * species.fur) * strands + 0.1 * wobble)
        normals = normals + np.cross(normals, flow, axis=0) * strands * min(2 * species.fur, 0.16)
    else:
        color = color * np.exp(0.05 * wobble)

    color, gloss = _paint_nose(head, color, gloss, points, pixel)
    color, gloss = _paint_mouth(head, color, gloss, points, pixel)
    for eye in head.eyes:
        color, gloss, normals = _paint_eye(head, eye, color, gloss, normals, points, pixel)
    return color, gloss, normals / np.maximum(np.linalg.norm(normals, axis=0), 1e-6)


def _paint_pattern(head: Head, color: np.ndarray, points: np.ndarray, wobble: np.ndarray) -> np.ndarray:
    x, y, z = points
    shift = head.offsets[2]
    match head.species.pattern:
        case "tiger" | "tabby":
            coarse = head.species.pattern == "tiger"
            # bars on the forehead run down to the nose, those on the cheeks run across
            brow = ramp(y - 0.35 * np.abs(x) - 0.25, 0.15)
            phase = brow * np.abs(x) * 1.3 + (1 - brow) * (y + 0.8 * z + 0.5 * np.abs(x))
            waves = np.sin(phase * (18 if coarse else 17) + 1.3 * wobble + shift)
            center = ramp(np.sqrt(x * x + (y + 0.3) ** 2 + (z - 0.9) ** 2) - 0.7, 0.2)
            share = ramp(waves - (0.25 if coarse else 0.3), 0.3) * center * (1.0 if coarse else 0.6)
            return lay(color, head.colors["dark"], share)
        case "blotches":
            return lay(color, head.colors["blot"], ramp(smooth_noise(points, 0.55, shift) - 0.35, 0.12))
        case "spots":
            return lay(color, head.colors["dark"], 0.75 * ramp(smooth_noise(points, 3.2, shift) - 1.0, 0.3))
        case "grizzle":
            return color * np.exp(0.25 * smooth_noise(points, 5.0, shift))
        case "feathers":
            return color * np.exp(0.18 * smooth_noise(points, 7.0, shift))
    return color


def _paint_nose(
    head: Head, color: np.ndarray, gloss: np.ndarray, points: np.ndarray, pixel: float
) -> tuple[np.ndarray, np.ndarray]:
    nose = head.species.nose
    steep = np.radians(nose.elevation)
    offset = points - head.nose_tip.astype(np.float32)[:, None]
    across = np.abs(offset[0])
    up = offset[1] * np.float32(np.cos(steep)) - offset[2] * np.float32(np.sin(steep))
    if nose.pad[0]:
        half_width, half_height = nose.pad
        v = up / half_height
        u = across / (half_width * (1 + nose.taper * 0.5 * (v - 0.4)).clip(0.1))
        inside = (1 - np.sqrt(u**2 + v**2)) * half_height
        share = ramp(inside, pixel + 0.012) * (offset[2] > -0.35)
        color = lay(color, head.colors["pad"], share)
        gloss = np.maximum(gloss, 0.45 * share)
    if nose.nostril[0]:
        hole = np.array(nose.nostril, dtype=np.float32) - np.array(nose.at, dtype=np.float32)
        offset = np.stack([across, offset[1], offset[2]]) - hole[:, None]
        size = np.array(nose.nostril_size, dtype=np.float32)[:, None]
        inside = (1 - np.sqrt(((offset / size) ** 2).sum(axis=0))) * min(nose.nostril_size)
        share = ramp(inside, pixel + 0.006)
        color, gloss = lay(color, np.array([0.012, 0.008, 0.008]), 0.9 * share), gloss * (1 - share)
    return color, gloss


def _paint_mouth(
    head: Head, color: np.ndarray, gloss: np.ndarray, points: np.ndarray, pixel: float
) -> tuple[np.ndarray, np.ndarray]:
    table, mouth = head.species.mouth, head.mouth
    height, way_in = mouth.coordinates(points)
    near = (np.abs(points[0]) < 1.3 * mouth.corner[0] + 0.1).astype(np.float32)
    inside = ramp(way_in, pixel) * near
    share_in = np.clip(way_in / max(mouth.reach, 1e-3), 0, 1)
    taper = np.clip(share_in * 3, 0, 1) ** 0.5
    # the line rises to the corners by `smile`; an open mouth closes towards them
    length = float(np.hypot(*(np.array(table.front) - np.array(table.hinge))))
    rise = table.smile * length * (1 - share_in) ** 2
    gap = float(mouth.gap) * length
    upper = height - rise + 0.5 * gap * (1 - taper)
    lower = height - rise + gap - 0.5 * gap * (1 - taper)
    if "lips" in head.colors:
        lip = np.minimum(table.upper_lip * taper - upper, lower + table.lower_lip * taper)
        color = lay(color, head.colors["lips"], ramp(lip, pixel + 0.008) * inside)
    if gap:
        hole = np.minimum(-upper, lower)
        depth = np.clip(hole / max(0.35 * gap, 1e-3), 0, 1)
        tongue = ramp(0.45 * gap - lower, 0.1 * gap) * ramp(way_in - 0.25 * mouth.reach, 0.1)
        flesh = lay(np.full_like(color, 0.02), np.array([0.42, 0.12, 0.11]), 0.8 * tongue)
        share = ramp(hole, pixel) * inside
        color = lay(color, flesh * (1 - 0.4 * depth), share)
        gloss = gloss * (1 - share) + 0.15 * share * tongue
    line = np.minimum(np.abs(upper), np.abs(lower))
    share = ramp(table.line - line, pixel) * inside
    return lay(color, np.array([0.02, 0.012, 0.012]), 0.85 * share), gloss


def _paint_eye(
    head: Head,
    eye: EyeChart,
    color: np.ndarray,
    gloss: np.ndarray,
    normals: np.ndarray,
    points: np.ndarray,
    pixel: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table, colors = head.species.eyes, head.colors
    offset = points - eye.center.astype(np.float32)[:, None]
    half = float(1 / np.linalg.norm(eye.across))
    a = eye.across.astype(np.float32) @ offset
    b = eye.up.astype(np.float32) @ offset
    close = np.flatnonzero((a * a + b * b < 4) & (np.abs(eye.normal.astype(np.float32) @ offset) < 2.2 * half))
    if not close.size:
        return color, gloss, normals
    color, gloss, normals = color.copy(), gloss.copy(), normals.copy()
    a, b = a[close], b[close]
    soft = pixel / half
    arch = np.maximum(1 - a * a, 0)
    lid = np.minimum(table.upper * arch**0.7 - b, b + table.lower * arch**0.8)
    lid = np.where(np.abs(a) < 1, lid, (1 - np.abs(a)) - 0.3 * np.abs(b))
    skin = color[:, close]
    rim = ramp(lid + table.rim, soft + 0.06)
    seen = lay(skin, np.array([0.02, 0.015, 0.014]), 0.75 * rim)

    gaze = (head.gaze * [-np.sign(eye.center[0]), 1]).tolist()
    middle = 0.5 * (table.upper - table.lower)
    da, db = a - gaze[0] * (1.05 - table.iris), b - middle - gaze[1] * 0.5
    r = np.sqrt(da * da + db * db) / table.iris
    ball = np.broadcast_to(colors["white"][:, None], skin.shape)
    ball = ball * np.clip(1.15 - 0.5 * np.abs(a) ** 3, 0, 1)
    iris = colors["iris"][:, None] * (1.25 - 0.7 * np.clip(r, 0, 1) ** 4)
    ball = lay(ball, iris, ramp(1 - r, soft / table.iris + 0.04))
    match table.pupil_shape:
        case "slit":
            size = np.sqrt((da / (0.32 * table.pupil)) ** 2 + (db / table.pupil) ** 2)
        case "bar":
            size = np.sqrt((da / (1.1 * table.pupil)) ** 2 + (db / (0.6 * table.pupil)) ** 2)
        case _:
            size = r / table.pupil
    ball = lay(ball, np.array([0.006, 0.005, 0.005]), ramp(1 - size, soft / table.iris + 0.06))
    ball = ball * (1 - 0.45 * ramp(b - 0.55 * table.upper * arch, 0.15))  # the upper lid's shadow
    share = ramp(lid, soft)
    color[:, close] = lay(seen, ball, share)
    gloss[close] = gloss[close] * (1 - share) + 0.9 * share
    # an eyeball's curvature: its normal turns twice as fast as the flat chart says
    tilt = eye.across[:, None] * (half * a) + eye.up[:, None] * (half * b)
    round_normal = eye.normal[:, None] + 0.9 * tilt
    normals[:, close] = lay(normals[:, close], (round_normal / np.linalg.norm(round_normal, axis=0)), share)
    return color, gloss, normals
