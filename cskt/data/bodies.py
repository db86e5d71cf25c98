"""The zoo of whole animals: quadrupeds drawn as jointed capsules, written to disk in AP-10K's own layout.

Eight species of four families differ in proportions and colors; each picture has one animal, every tenth two. The 17
landmarks are exact projections of a 3-D skeleton; an eye on the far side of the head is not annotated, as in AP-10K.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cskt.landmarks import SCHEMES

VERSION = 1
SCHEME = SCHEMES["ap10k17"]
PARTS = ("train", "val", "test")  # 7 : 1 : 2, as AP-10K
SIDE = (220, 320)  # of the pictures, pixels
BACKGROUNDS = ("#7d9a58", "#45603c", "#7a6650", "#dfe4e8", "#a8a49c", "#6c8078", "#cdb285", "#8896a8")
# limbs in drawing order within one side: pairs of landmarks
_LIMBS = (("shoulder", "elbow"), ("elbow", "front_paw"), ("hip", "knee"), ("knee", "back_paw"))


@dataclass(frozen=True)
class Body:
    """Proportions of a species, in lengths of its trunk.

    Attributes:
        name, family: as AP-10K's categories.
        legs, neck, head, width, thick: lengths of legs, neck and head, distance between left and right, thickness.
        fur: color.
    """

    name: str
    family: str
    legs: float
    neck: float
    head: float
    width: float
    thick: float
    fur: str


SPECIES = (
    Body("cat", "Felidae", 0.55, 0.2, 0.3, 0.22, 0.1, "#b08a5a"),
    Body("lion", "Felidae", 0.6, 0.22, 0.36, 0.26, 0.13, "#c9a05c"),
    Body("dog", "Canidae", 0.68, 0.28, 0.36, 0.22, 0.1, "#5a4632"),
    Body("fox", "Canidae", 0.55, 0.24, 0.34, 0.18, 0.08, "#c0642c"),
    Body("horse", "Equidae", 0.95, 0.6, 0.45, 0.24, 0.13, "#6b4226"),
    Body("zebra", "Equidae", 0.85, 0.5, 0.42, 0.24, 0.13, "#d8d4cc"),
    Body("cow", "Bovidae", 0.7, 0.35, 0.4, 0.32, 0.17, "#3c302a"),
    Body("sheep", "Bovidae", 0.5, 0.26, 0.32, 0.3, 0.18, "#e0d9c8"),
)


def skeleton(body: Body, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the pose of one animal.

    Returns:
        landmarks [17, 3] in trunk lengths: x from tail to head, y up, z to the animal's own right; and the direction in
        which each eye looks, [2, 3].
    """
    place = {"root_of_tail": np.array([-0.5, 0.05, 0.0]), "neck": np.array([0.5, 0.08, 0.0])}
    for side, z in (("left", -1.0), ("right", 1.0)):
        for upper, middle, paw, x in (("shoulder", "elbow", "front_paw", 0.42), ("hip", "knee", "back_paw", -0.42)):
            swing, bend = rng.normal(0, 0.35), abs(rng.normal(0.2, 0.2))
            top = np.array([x, -0.06, z * body.width / 2])
            bent = top + 0.5 * body.legs * _leg(swing)
            place[f"{side}_{upper}"], place[f"{side}_{middle}"] = top, bent
            place[f"{side}_{paw}"] = bent + 0.5 * body.legs * _leg(swing - bend if upper == "hip" else swing + bend)
    lift, turn, nod = rng.uniform(0.1, 1.2), rng.normal(0, 0.4), rng.uniform(-0.9, 0.2)
    skull = place["neck"] + body.neck * np.array([np.cos(lift), np.sin(lift), 0.0])
    ahead = np.array([np.cos(turn) * np.cos(nod), np.sin(nod), np.sin(turn) * np.cos(nod)])
    left = np.array([np.sin(turn), 0.0, -np.cos(turn)])
    up = np.cross(ahead, left)
    place["nose"] = skull + body.head * ahead
    for side, sign in (("left", 1.0), ("right", -1.0)):
        place[f"{side}_eye"] = skull + 0.35 * body.head * ahead + 0.22 * body.head * (sign * left + 0.8 * up)
    looks = np.stack([left + 0.4 * ahead, -left + 0.4 * ahead])
    return np.stack([place[name] for name in SCHEME.landmarks]), looks


def _leg(angle: float) -> np.ndarray:
    return np.array([np.sin(angle), -np.cos(angle), 0.0])


def draw(bodies: list[Body], rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray], int]:
    """Draw one picture.

    Returns:
        uint8 [H, W, 3]; of each animal the landmarks [17, 2] in image pixels (NaN where not annotated) and the box
        [4]; and the background, 1 to 8.
    """
    height, width = rng.integers(*SIDE, 2)
    ground = int(rng.integers(len(BACKGROUNDS)))
    picture = Image.new("RGB", (2 * int(width), 2 * int(height)), BACKGROUNDS[ground])
    canvas = ImageDraw.Draw(picture)
    _clutter(canvas, picture.size, ground, rng)
    landmarks, boxes = [], []
    for n, body in enumerate(bodies):
        points, looks = skeleton(body, rng)
        yaw, pitch = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.15)
        view = _camera(yaw, pitch)
        seen = points @ view.T
        room = np.array([width / len(bodies), height]) * rng.uniform(0.6, 0.82)
        extent = np.ptp(seen[:, :2], axis=0) + 2 * body.thick
        scale = (room / extent).min()
        middle = (seen[:, :2].max(axis=0) + seen[:, :2].min(axis=0)) / 2
        center = np.array([(n + 0.5) * width / len(bodies), height / 2]) + rng.normal(0, 4, 2)
        # image y points down
        flat = (seen[:, :2] - middle) * scale * [1, -1] + center
        _paint(canvas, body, flat, seen[:, 2], scale, rng)
        own = flat.copy()
        own[:2][(looks @ view.T)[:, 2] < 0] = np.nan
        low, high = flat.min(axis=0) - body.thick * scale / 2, flat.max(axis=0) + body.thick * scale / 2
        low, high = np.maximum(low, 0), np.minimum(high, [width - 1, height - 1])
        landmarks.append(own)
        boxes.append(np.concatenate([low, high - low]))
    small = np.asarray(picture.resize((int(width), int(height)), Image.Resampling.BOX), dtype=float)
    noisy = small * rng.uniform(0.75, 1.15) + rng.normal(0, 6, small.shape)
    return noisy.clip(0, 255).astype(np.uint8), landmarks, boxes, ground + 1


def _camera(yaw: float, pitch: float) -> np.ndarray:
    """Rotation [3, 3] from the animal's frame to that of the camera, whose z points towards the viewer."""
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return about_x @ about_y


def _clutter(canvas: ImageDraw.ImageDraw, size: tuple[int, int], ground: int, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(4, 12)):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(10, 80)
        color = BACKGROUNDS[(ground + rng.integers(0, 3)) % len(BACKGROUNDS)]
        canvas.ellipse([x - r, y - r * rng.uniform(0.3, 1), x + r, y + r], fill=color)


def _paint(canvas, body: Body, flat: np.ndarray, depth: np.ndarray, scale: float, rng: np.random.Generator) -> None:
    """Paint the far legs, then trunk, neck and head, then the near legs; the canvas has twice the pixels."""
    index = {name: k for k, name in enumerate(SCHEME.landmarks)}
    fur = np.array([int(body.fur[k : k + 2], 16) for k in (1, 3, 5)]) * rng.uniform(0.8, 1.15)

    def capsule(a: str, b: str, thick: float, shade: float) -> None:
        color = tuple(int(c) for c in (fur * shade).clip(0, 255))
        radius = thick * scale
        ends = [2 * flat[index[name]] + 0.5 for name in (a, b)]
        canvas.line([*map(tuple, ends)], fill=color, width=max(2, int(2 * radius)))
        for x, y in ends:
            canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)

    near = "left" if depth[index["left_shoulder"]] > depth[index["right_shoulder"]] else "right"
    far = "right" if near == "left" else "left"
    for joint, other in _LIMBS:
        capsule(f"{far}_{joint}", f"{far}_{other}", body.thick * 0.6, 0.7)
    capsule("root_of_tail", "neck", body.thick * 2.4, 0.95)
    between = f"{near}_eye"
    capsule("neck", between, body.thick * 1.2, 1.0)
    capsule(between, "nose", body.thick * 0.9, 1.05)
    for joint, other in _LIMBS:
        capsule(f"{near}_{joint}", f"{near}_{other}", body.thick * 0.6, 1.1)
    x, y = 2 * flat[index["nose"]] + 0.5
    r = 0.35 * body.thick * scale
    canvas.ellipse([x - r, y - r, x + r, y + r], fill="#1a1412")
    for side in ("left", "right"):
        if depth[index[f"{side}_eye"]] >= depth[[index["left_eye"], index["right_eye"]]].mean() - 0.02:
            x, y = 2 * flat[index[f"{side}_eye"]] + 0.5
            r = 0.3 * body.thick * scale
            canvas.ellipse([x - r, y - r, x + r, y + r], fill="#f4f0e0", outline="#101010")


def write_bodies(root: str | Path, *, images: int = 500, seed: int = 0) -> Path:
    """Write the zoo of whole animals to a folder, unless it is already there.

    root/data/*.jpg, root/annotations/ap10k-{train,val,test}-split1.json, root/splits/labeled_40.txt (as even over the
    species as can be), and root/bodies.json, which says what the folder holds. The folder appears only when complete.

    Args:
        root: folder to make.
        images: how many pictures.
        seed: of everything.

    Raises:
        FileExistsError: root holds something else.
        ValueError: fewer images than one of each species in each part.
    """
    root, asked = Path(root), {"images": images, "seed": seed, "version": VERSION}
    marker = root / "bodies.json"
    if root.exists():
        if marker.is_file() and json.loads(marker.read_text()) == asked:
            return root
        raise FileExistsError(f"{root} is there and holds something else than {asked}: delete it or choose another one")
    if images < 10 * len(SPECIES):
        raise ValueError(f"{images} images are too few: {len(SPECIES)} species in each part need {10 * len(SPECIES)}")
    rng = np.random.default_rng([seed, 2])
    tenth = images // 10
    order = ["train"] * (images - 3 * tenth) + ["val"] * tenth + ["test"] * (2 * tenth)
    parts = {part: {"images": [], "annotations": []} for part in PARTS}
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as scratch:
        folder = Path(scratch) / "bodies"
        for name in ("data", "annotations", "splits"):
            (folder / name).mkdir(parents=True)
        for k, part in enumerate(order):
            first = SPECIES[k % len(SPECIES)]
            bodies = [first, SPECIES[rng.integers(len(SPECIES))]] if k % 10 == 9 else [first]
            picture, landmarks, boxes, ground = draw(bodies, np.random.default_rng([seed, 3, k]))
            name = f"{k + 1:012d}.jpg"
            Image.fromarray(picture).save(folder / "data" / name, quality=88)
            height, width = picture.shape[:2]
            parts[part]["images"].append({"id": k + 1, "file_name": name, "width": width, "height": height,
                                          "background": ground, "license": 1})  # fmt: skip
            for n, body in enumerate(bodies):
                parts[part]["annotations"].append(_annotation(10 * (k + 1) + n, k + 1, body, landmarks[n], boxes[n]))
        for part, content in parts.items():
            content = {"info": {"description": "whole animals of the zoo"}, "licenses": []} | content
            text = json.dumps(content | {"categories": _categories()})
            (folder / "annotations" / f"ap10k-{part}-split1.json").write_text(text)
        # pictures of one animal, dealt over the species in drawing order
        single = [one["file_name"] for one in parts["train"]["images"] if one["id"] % 10]
        (folder / "splits" / "labeled_40.txt").write_text("".join(f"{name}\n" for name in single[:40]))
        (folder / "bodies.json").write_text(json.dumps(asked) + "\n")
        os.replace(folder, root)
    return root


def _annotation(number: int, image: int, body: Body, landmarks: np.ndarray, box: np.ndarray) -> dict:
    seen = ~np.isnan(landmarks).any(axis=-1)
    points = np.column_stack([np.nan_to_num(landmarks).round(2), 2 * seen])
    return {
        "id": number, "image_id": image, "category_id": SPECIES.index(body) + 1, "bbox": box.round(2).tolist(),
        "area": round(float(box[2] * box[3]), 2), "iscrowd": 0, "num_keypoints": int(seen.sum()),
        "keypoints": points.ravel().tolist(),
    }  # fmt: skip


def _categories() -> list[dict]:
    return [
        {"id": k, "name": body.name, "supercategory": body.family, "keypoints": list(SCHEME.landmarks), "skeleton": []}
        for k, body in enumerate(SPECIES, start=1)
    ]
