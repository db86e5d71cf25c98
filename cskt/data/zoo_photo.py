"""The zoo's photographer: pose, light, background, things in the way, and the camera's faults."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cskt.data.zoo_head import Head, grow
from cskt.data.zoo_paint import paint
from cskt.data.zoo_render import Camera, Field, rotation, trace
from cskt.data.zoo_species import SPECIES

RAY_BUDGET = 17_000  # rays per picture that decide how finely a small face is sampled


@dataclass(frozen=True)
class Light:
    """Directional light in the camera frame (unit vector [3], linear color [3]) and light from sky and ground."""

    direction: np.ndarray
    sun: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


def render_face(species: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Photograph a new individual of a species.

    Args:
        species: name of one of `SPECIES`.
        rng: source of everything that varies.

    Returns:
        The image, uint8 RGB [H, W, 3], and its nine landmarks in image pixels, [9, 2], all inside the image.

    Raises:
        ValueError: no such species.
    """
    table = {one.name: one for one in SPECIES}
    if species not in table:
        raise ValueError(f"unknown species {species!r}: the zoo has {', '.join(table)}")
    head = grow(table[species], rng)
    size = _image_size(rng)
    camera = aim(head, size, random_pose(rng), rng)
    light = _random_light(rng)
    background = _background(head, size, rng)
    image = _add_head(background, head, camera, light, rng)
    landmarks = camera.project(head.landmarks)
    picture = Image.fromarray((np.clip(image, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))
    if head.species.whiskers:
        picture = _draw_whiskers(picture, head, camera, rng)
    if rng.random() < 0.4:
        picture = _draw_occluders(picture, landmarks, rng)
    return _camera_faults(picture, rng), landmarks


def random_pose(rng: np.random.Generator) -> np.ndarray:
    """Rotation [3, 3]: two thirds of the faces look roughly ahead, the others anywhere up to profile."""
    yaw = rng.normal(0, 22) if rng.random() < 0.6 else rng.uniform(-88, 88)
    pitch, roll = rng.normal(0, [11, 12])
    return rotation(*np.radians(np.clip([pitch, yaw, roll], [-30, -88, -45], [30, 88, 45])))


def aim(head: Head, size: tuple[int, int], pose: np.ndarray, rng: np.random.Generator) -> Camera:
    """A camera that sees all nine landmarks at a random size and place in an image of `size` (width, height)."""
    distance = np.exp(rng.uniform(np.log(4.5), np.log(12)))
    unit = Camera(pose, distance, 1.0, np.zeros(2)).project(head.landmarks)
    spread = np.ptp(unit, axis=0)
    # AnimalWeb's boxes are about 1.6 times the diagonal of the landmarks (spec 1.2)
    box = rng.uniform(68, 190)
    # a head seen from the side or with a small mouth must not fill the image just because its landmarks are close
    scale = min(box / 1.6 / np.hypot(*spread), 0.66 * box)
    room = np.array(size) - 1
    scale = min(scale, *(0.7 * room / spread))
    low, high = unit.min(axis=0) * scale, unit.max(axis=0) * scale
    slack = room - (high - low)
    # boxes reach half a width and 0.8 of a height beyond the landmarks: mostly inside the image, sometimes cut
    middle = (room - high - low) / 2
    shift = np.clip(rng.normal(0, 0.16, 2), -0.44, 0.44) * slack
    return Camera(pose, distance, scale, middle + shift)


def _image_size(rng: np.random.Generator) -> tuple[int, int]:
    longer, aspect = int(rng.integers(160, 257)), float(np.exp(rng.uniform(-0.35, 0.35)))
    return round(longer * min(aspect, 1.0)), round(longer / max(aspect, 1.0))


def _random_light(rng: np.random.Generator) -> Light:
    azimuth, height = rng.uniform(-1.3, 1.3), rng.uniform(-0.1, 1.2)
    direction = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    warmth = rng.normal(0, 0.12)
    strength, fill = rng.uniform(0.4, 1.4), rng.uniform(0.45, 0.9)
    sun = strength * np.array([1 + warmth, 1, 1 - warmth])
    sky = fill * np.array([1 - 0.5 * warmth, 1, 1 + 0.5 * warmth])
    return Light(direction, sun, sky, sky * rng.uniform(0.35, 0.7))


def _with_torso(head: Head, pose: np.ndarray) -> tuple[Field, np.ndarray]:
    """The head's field and blob colors with a body below it that stays upright when the head turns."""
    torso = np.array(head.species.torso)
    neck = head.field.centers[-1] * [0, 1, 1]
    base = pose @ neck
    middle_and_below = base + np.array([[0, -0.45, -0.15], [0, -0.35 - torso[1], -0.35]])
    centers = np.concatenate([head.field.centers, middle_and_below @ pose])
    radii = np.concatenate([head.field.radii, [[0.55 * torso[0], 0.8, 0.6 * torso[2]], torso]])
    turns = np.concatenate([head.field.turns, np.repeat(pose.T[None], 2, axis=0)])
    color = head.colors.get("torso", head.blob_colors[-1])
    return Field(centers, radii, turns, head.field.blend), np.concatenate([head.blob_colors, [color, color]])


def trace_layer(
    head: Head, camera: Camera, size: tuple[int, int], light: Light, noise: np.ndarray
) -> tuple[tuple[int, int, int, int], np.ndarray] | None:
    """Render a head alone.

    Args:
        head: the individual.
        camera: where it is seen from.
        size: width and height of the image.
        light: what shines on it.
        noise: [64, 64] standard normal noise that frays the outline of fur.

    Returns:
        The part of the image it may cover, (left, top, right, bottom) in whole pixels, and that part finely sampled:
        linear color premultiplied by opacity, and opacity, [h, w, 4]. None when the head lies outside.
    """
    field, blob_colors = _with_torso(head, camera.rotation)
    left, top, right, bottom = _extent(field, camera, size)
    if right <= left or bottom <= top:
        return None
    width, height = right - left, bottom - top
    fine = float(np.clip(np.sqrt(RAY_BUDGET / (width * height)), 0.7, 1.6))
    columns, rows = round(width * fine), round(height * fine)
    u = left - 0.5 + (np.arange(columns) + 0.5) * (width / columns)
    v = top - 0.5 + (np.arange(rows) + 0.5) * (height / rows)
    pixels = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    origin, directions = camera.rays(pixels)
    points, distances = trace(field, origin, directions)

    pixel = float(1 / (camera.scale * fine))
    fringe = noise[(np.arange(rows) % 64)[:, None], (np.arange(columns) % 64)].ravel() * (0.4 * head.species.fur)
    cover = np.clip(1 + (np.maximum(fringe, 0) + 2e-3 - distances) / pixel, 0, 1)
    seen = np.flatnonzero(cover > 0)
    points = points[:, seen]
    weights = field.weights(points)
    normals = field.normals(points, weights)
    albedo, gloss, bent = paint(replace(head, blob_colors=blob_colors), points, weights, normals, pixel)
    color = _shade(field, points, normals, bent, albedo, gloss, light, camera)
    layer = np.zeros((rows * columns, 4), dtype=np.float32)
    layer[seen, :3] = (color * cover[seen]).T
    layer[seen, 3] = cover[seen]
    return (left, top, right, bottom), layer.reshape(rows, columns, 4)


def _extent(field: Field, camera: Camera, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The pixels that the ellipsoids' bounding spheres may touch, cut to the image."""
    reach = field.radii.max(axis=1) + 2 * field.blend
    middle = camera.project(field.centers)
    depth = camera.distance - (camera.rotation @ field.centers.T)[2]
    radius = camera.scale * camera.distance / np.maximum(depth - reach, 0.5) * reach
    low, high = (middle - radius[:, None]).min(axis=0), (middle + radius[:, None]).max(axis=0)
    (left, top), (right, bottom) = np.maximum(np.floor(low), 0), np.minimum(np.ceil(high) + 1, size)
    return int(left), int(top), int(right), int(bottom)


def _shade(
    field: Field,
    points: np.ndarray,
    normals: np.ndarray,
    bent: np.ndarray,
    albedo: np.ndarray,
    gloss: np.ndarray,
    light: Light,
    camera: Camera,
) -> np.ndarray:
    """Linear color [3, N] of the lit surface: sun with soft shadow, sky and ground dimmed in hollows, highlights."""
    turn = camera.rotation.T.astype(np.float32)
    sun = (turn @ light.direction.astype(np.float32))[:, None]
    up = (turn @ np.array([0, 1, 0], dtype=np.float32))[:, None]
    eye = (camera.rotation.T @ [0, 0, camera.distance]).astype(np.float32)[:, None] - points
    eye /= np.linalg.norm(eye, axis=0)
    # how much farther the surface is than a flat one would be, a step outwards and a step towards the sun
    hollow = np.clip(0.25 + 0.75 * field.distance(points + 0.16 * normals) / 0.16, 0.2, 1)
    shadow = np.clip(field.distance(points + 0.06 * normals + 0.28 * sun) / 0.16 + 0.35, 0, 1)
    facing = (bent * sun).sum(axis=0)
    lit = np.clip((facing + 0.15) / 1.15, 0, 1) * shadow
    above = 0.5 + 0.5 * (bent * up).sum(axis=0)
    sunlight, sky, ground = (part.astype(np.float32)[:, None] for part in (light.sun, light.sky, light.ground))
    ambient = ground + (sky - ground) * above
    half = sun + eye
    half /= np.maximum(np.linalg.norm(half, axis=0), 1e-6)
    highlight = np.clip((bent * half).sum(axis=0), 0, 1) ** 40 * gloss * (facing > 0)
    rim = (1 - np.clip((normals * eye).sum(axis=0), 0, 1)) ** 3 * 0.25
    color = albedo * (ambient * hollow * (1 + rim) + sunlight * lit) + sunlight * highlight * 0.8
    return (1.25 * (1 - np.exp(-0.9 * color))).astype(np.float32)  # film's shoulder: white fur keeps its shades


def _resize(layer: np.ndarray, width: int, height: int) -> np.ndarray:
    if layer.shape[:2] == (height, width):
        return layer
    channels = [Image.fromarray(np.ascontiguousarray(layer[..., c])) for c in range(layer.shape[2])]
    method = Image.Resampling.BOX if layer.shape[0] > height else Image.Resampling.BILINEAR
    return np.stack([np.asarray(channel.resize((width, height), method)) for channel in channels], axis=-1)


def _add_head(background: np.ndarray, head: Head, camera: Camera, light: Light, rng: np.random.Generator) -> np.ndarray:
    height, width = background.shape[:2]
    noise = rng.standard_normal((64, 64), dtype=np.float32)
    traced = trace_layer(head, camera, (width, height), light, noise)
    if traced is None:
        return background
    (left, top, right, bottom), layer = traced
    layer = _resize(layer, right - left, bottom - top)
    image = background.copy()
    part = image[top:bottom, left:right]
    image[top:bottom, left:right] = part * (1 - layer[..., 3:]) + layer[..., :3]
    return image


def _background(head: Head, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Clutter, linear color [H, W, 3]: a gradient, noise of several sizes, shapes; sometimes in the coat's colors."""
    width, height = size
    scenes = ((0.18, 0.3, 0.08), (0.3, 0.38, 0.5), (0.32, 0.25, 0.17), (0.35, 0.35, 0.35), (0.1, 0.12, 0.09))
    base = np.array(scenes[rng.integers(len(scenes))]) * np.exp(rng.normal(0, 0.4)) * np.exp(rng.normal(0, 0.12, 3))
    if rng.random() < 0.3:
        base = head.blob_colors[0] * np.exp(rng.normal(0, 0.25))
    ends = base * np.exp(rng.normal(0, 0.35, (2, 1))) * np.exp(rng.normal(0, 0.12, (2, 3)))
    canvas = np.zeros((height, width, 3), dtype=np.float32)
    canvas += np.linspace(0, 1, height, dtype=np.float32)[:, None, None] * (ends[1] - ends[0]).astype(np.float32)
    canvas += ends[0].astype(np.float32)
    for cell in (64, 24, 9, 3):
        grid = rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32)
        blown = np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
        canvas *= np.exp(blown * np.float32(rng.uniform(0.04, 0.3)))[..., None]
    picture = Image.fromarray((np.clip(canvas, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))
    if rng.random() < 0.7:
        picture = _draw_shapes(picture, base, rng)
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.choice([0, 0.7, 2, 4]))))
    return (np.asarray(picture, dtype=np.float32) / 255) ** np.float32(2.2)


def _draw_shapes(picture: Image.Image, base: np.ndarray, rng: np.random.Generator) -> Image.Image:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(rng.integers(2, 14)):
        tint = _bytes(base * np.exp(rng.normal(0, 0.6)) * np.exp(rng.normal(0, 0.25, 3)))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = np.exp(rng.uniform(1.5, 4.3, 2))
        match rng.integers(3):
            case 0:
                draw.ellipse([x - w, y - h, x + w, y + h], fill=tint)
            case 1:
                lean = rng.normal(0, 0.4) * height
                draw.line([x - lean, 0, x + lean, height], fill=tint, width=int(rng.integers(2, 16)))
            case 2:
                corners = np.array([x, y]) + rng.normal(0, 1, (4, 2)) * [w, h]
                draw.polygon([tuple(corner) for corner in corners], fill=tint)
    return picture


def _bytes(color: np.ndarray) -> tuple[int, int, int]:
    r, g, b = (np.clip(color, 0, 1) ** (1 / 2.2) * 255).astype(int)
    return int(r), int(g), int(b)


def _draw_whiskers(picture: Image.Image, head: Head, camera: Camera, rng: np.random.Generator) -> Image.Image:
    large = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(large, "RGBA")
    toward = camera.rotation.T @ [0, 0, 1]
    for root in head.whisker_roots:
        out = np.array([np.sign(root[0]), rng.normal(-0.1, 0.15), rng.normal(0.1, 0.15)])
        if toward @ (out * [1, 0, 0] + [0, 0, 0.75]) < 0.1:
            continue  # on the far side
        way = np.linspace(0, 1, 6)[:, None]
        curve = root + way * out * rng.uniform(0.5, 0.9) + way**2 * [0, -0.15, -0.15]
        points = camera.project(curve) * 2 + 0.5
        draw.line([tuple(point) for point in points], fill=(235, 230, 222, 120), width=1)
    return large.resize(picture.size, Image.Resampling.BOX)


def _draw_occluders(picture: Image.Image, landmarks: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Grass, bars or blobs in front of the face, over at most a part of it."""
    large = Image.new("RGBA", (2 * picture.width, 2 * picture.height))
    draw = ImageDraw.Draw(large)
    middle, spread = landmarks.mean(axis=0) * 2, np.ptp(landmarks, axis=0).max() * 2
    width, height = large.size
    kind = rng.integers(3)
    base = np.array([(0.12, 0.24, 0.05), (0.2, 0.14, 0.08), (0.3, 0.3, 0.28)][kind]) * np.exp(rng.normal(0, 0.4))
    for _ in range((rng.integers(4, 16), rng.integers(1, 4), rng.integers(1, 3))[kind]):
        tint = (*_bytes(base * np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.1, 3))), 255)
        x = middle[0] + rng.normal(0, 0.9) * spread
        if kind == 0:
            tip = np.array([x + rng.normal(0, 0.4) * spread, middle[1] + rng.normal(0.2, 0.5) * spread])
            thick = rng.uniform(0.02, 0.05) * spread
            draw.polygon([(x - thick, height), tuple(tip), (x + thick, height)], fill=tint)
        elif kind == 1:
            lean, thick = rng.normal(0, 0.5) * height, rng.uniform(0.03, 0.11) * spread
            ends = [(x - lean, 0), (x + lean, height)] if rng.random() < 0.6 else [(0, x - lean), (width, x + lean)]
            draw.line(ends, fill=tint, width=max(2, int(thick)))
        else:
            y, r = middle[1] + rng.normal(0, 0.7) * spread, rng.uniform(0.1, 0.28, 2) * spread
            draw.ellipse([x - r[0], y - r[1], x + r[0], y + r[1]], fill=tint)
    layer = large.resize(picture.size, Image.Resampling.BOX)
    if kind == 2:
        layer = layer.filter(ImageFilter.GaussianBlur(2))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _camera_faults(picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Exposure, contrast, color cast, blur and grain; sometimes no color at all. Returns uint8 [H, W, 3]."""
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    levels = np.linspace(0, 1, 256)
    exposure, cast = np.clip(rng.normal(0, 0.16), -0.3, 0.3), rng.normal(0, 0.05, 3)
    contrast = np.exp(np.clip(rng.normal(0, 0.15), -0.4, 0.1))  # more would drown black fur
    curves = (levels[:, None] * np.exp(exposure + cast) - 0.5) * contrast + 0.5
    table = (np.clip(curves, 0, 1) * 255).astype(np.uint8)
    picture = picture.point(list(table.T.ravel()))
    if rng.random() < 0.06:
        picture = picture.convert("L").convert("RGB")
    image = np.asarray(picture)
    grain = rng.uniform(0, 9)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(grain)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
