"""Proposing a face box: animals by torchvision's detector where its weights are at hand, faces by trying many squares.

Neither has learned where animals' faces are. The detector knows ten animals of COCO, as wholes; the search takes the
square that the landmark network itself is surest about. Both say so (`Proposal.how`), and a person has the last word.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from cskt import geometry
from cskt.data.boxes import box_of
from cskt.data.datasets import UnlabeledSet, crop_image, plain_images, widened
from cskt.data.download import fetch, sha256_of_name
from cskt.data.uploads import LEAST_SIDE
from cskt.errors import DataError
from cskt.heatmaps import decode
from cskt.landmarks import SCHEMES
from cskt.models import LandmarkNet
from cskt.predict import find_heatmaps
from cskt.untrusted import read_plain

ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
SURE = 0.5  # score from which on a detected animal counts
# support below which there is no face: two networks gave 36 real faces 0.26 to 0.99, one of them 0.21; four gave
# blank pictures 0.03 to 0.19; other pictures without a face may have more (docs/demos.md)
FACE = 0.25
_SIDES = (1.0, 0.8, 0.62, 0.48, 0.37, 0.28)  # of the squares tried, over the region's shorter side
_STEP = 0.3  # between two squares, over their side
_ROUNDS = 3  # how often the best squares are drawn anew around their landmarks
_KEPT = 6  # how many of them
_LARGEST = 1024  # pixels; a region with a longer side is searched in a smaller copy


@dataclass(frozen=True)
class Proposal:
    """A face box that nobody has drawn.

    Attributes:
        box: x, y, w, h in image pixels, [4].
        how: what it rests on, for people.
        support: how much speaks for a face in it, from 0 to 1; NaN where no network has looked.
    """

    box: np.ndarray
    how: str
    support: float = float("nan")


def crops_of(picture: Image.Image, boxes: np.ndarray, net: LandmarkNet, name: str = "picture") -> UnlabeledSet:
    """Crops of one picture as `data.datasets.unlabeled_set` would cut them from its file.

    Args:
        picture: RGB, upright.
        boxes: x, y, w, h in image pixels, [N, 4].
        net: whose input they are.
        name: of the picture.

    Returns:
        N crops, of the network's landmark scheme.
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    crops = np.stack([crop_image(picture, box, net.size, net.size) for box in widened(boxes, net.padding)])
    table = pd.DataFrame({"image": [name] * len(boxes), "species": "animal", "family": ""})
    to_crop = geometry.crop_matrix(torch.tensor(boxes), net.size, net.padding)
    norm = np.sqrt(boxes[:, 2] * boxes[:, 3])
    return UnlabeledSet(table, crops, net.size, SCHEMES[net.spec["scheme"]], to_crop, norm)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes x, y, w, h, pair by pair: [N, 4] and [N, 4] -> [N].

    Example:
        >>> overlap(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 2.0, 2.0]])).round(3).tolist()
        [0.333]
    """
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    return common / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - common)


def squares(region: np.ndarray, sides: tuple[float, ...] = _SIDES, step: float = _STEP) -> np.ndarray:
    """Squares of several sizes that cover a region evenly.

    Args:
        region: x, y, w, h in image pixels, [4].
        sides: of the squares, over the region's shorter side.
        step: between two squares at most, over their side.

    Returns:
        x, y, w, h, [N, 4].

    Example:
        >>> squares(np.array([10.0, 0.0, 200.0, 100.0]), sides=(1.0,), step=0.5).tolist()
        [[10.0, 0.0, 100.0, 100.0], [60.0, 0.0, 100.0, 100.0], [110.0, 0.0, 100.0, 100.0]]
    """
    x, y, w, h = np.asarray(region, dtype=float)
    found = []
    for share in sides:
        side = share * min(w, h)
        columns, rows = (np.linspace(0, free, int(np.ceil(free / (step * side) - 1e-9)) + 1)
                         for free in (w - side, h - side))  # fmt: skip
        found += [(x + left, y + top, side, side) for top in rows for left in columns]
    return np.array(found)


def search(
    picture: Image.Image,
    net: LandmarkNet,
    region: np.ndarray | None = None,
    precision: str = "float32",
    report: Callable[[int, int], None] = lambda done, of: None,
) -> Proposal:
    """Try squares all over a region and take the one whose landmarks the network is surest about.

    A square counts for less where its landmarks would have given another box by AnimalWeb's rule, as the boxes that the
    network was trained with were made. The best squares are then drawn anew by that rule. Nothing here knows what an
    animal is.

    Args:
        picture: RGB, upright.
        net: the landmark network, on its device.
        region: x, y, w, h in image pixels, [4]; None: the whole picture.
        precision: "float32" or "bfloat16".
        report: called with the squares tried so far and all of them.
    """
    if (factor := int(max(picture.size if region is None else region[2:]) // _LARGEST)) > 1:
        # a coarse pixel covers `factor` fine ones, whose centers lie at the integers
        if region is not None:
            region = np.concatenate([(region[:2] + 0.5) / factor - 0.5, region[2:] / factor])
        found = search(picture.reduce(factor), net, region, precision, report)
        box = np.concatenate([(found.box[:2] + 0.5) * factor - 0.5, found.box[2:] * factor])
        return replace(found, box=np.round(box, 1))
    boxes = squares(np.array([0.0, 0.0, *picture.size]) if region is None else region)
    total = len(boxes) + _ROUNDS * _KEPT
    scores, landmarks = _tried(picture, net, boxes, precision, lambda done: report(done, total))
    best = np.argsort(-scores, kind="stable")[:_KEPT]
    all_boxes, all_scores = boxes[best], scores[best]
    current = landmarks[best]
    for k in range(_ROUNDS):
        anew = _boxes_of(current, picture.size)
        done = len(boxes) + k * len(best)
        scores, current = _tried(picture, net, anew, precision, lambda n, done=done: report(done + n, total))
        all_boxes, all_scores = np.concatenate([all_boxes, anew]), np.concatenate([all_scores, scores])
    winner = int(np.argmax(all_scores))
    return Proposal(
        np.round(all_boxes[winner], 1),
        f"of {total} squares and boxes tried, the one whose landmarks this network is surest about "
        f"({all_scores[winner]:.2f} of 1). It knows no animal and can be quite wrong: look, and draw it anew if so.",
        float(all_scores[winner]),
    )


def _boxes_of(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes of landmarks [N, L, 2] by AnimalWeb's rule, none of them without a size, [N, 4]."""
    boxes = np.stack([box_of(points, *size) for points in landmarks])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], LEAST_SIDE)
    return boxes


def _tried(picture, net, boxes, precision, report, batch: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """How much speaks for each box, from 0 to 1 [N], and its landmarks in image pixels [N, L, 2]."""
    device = next(net.parameters()).device
    scores, landmarks = [], []
    for first in range(0, len(boxes), batch):
        crops = crops_of(picture, boxes[first : first + batch], net)
        images = plain_images(crops, np.arange(len(crops)), device)
        maps = find_heatmaps(net, images, crops.scheme.flip_permutation, precision=precision)
        points, confidence = decode(maps)
        points = geometry.apply(geometry.resize_matrix(net.cells, net.size), points.cpu())
        landmarks.append(geometry.apply(geometry.invert(crops.to_crop), points.double()).numpy())
        # one lost landmark tells more than many found ones
        scores.append(confidence.cpu().clamp(1e-6, 1.0).log().mean(dim=1).exp().numpy())
        report(min(first + batch, len(boxes)))
    landmarks = np.concatenate(landmarks)
    agreeing = overlap(boxes, _boxes_of(landmarks, picture.size))
    return np.concatenate(scores) * np.sqrt(agreeing), landmarks


# --- torchvision's detector --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """Weights to be had: where from, how large, how to know them, and where they belong."""

    url: str
    bytes: int
    sha256: str
    file: Path
    categories: tuple[str, ...]


def detector_weights() -> Weights:
    """What torchvision says of the weights of its smallest detector; downloads nothing."""
    from torchvision.models.detection import FasterRCNN_MobileNet_V3_Large_320_FPN_Weights

    weights = FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1
    name = weights.url.rsplit("/", 1)[-1]
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    size = round(weights.meta["_file_size"] * 2**20)
    return Weights(weights.url, size, sha256_of_name(name), file, tuple(weights.meta["categories"]))


def download_detector(
    weights: Weights | None = None, report: Callable[[int, int], None] = lambda done, of: None
) -> Path:
    """Download the detector's weights to where torchvision looks for them; only to be called on a person's word."""
    weights = weights or detector_weights()
    return fetch(weights.url, weights.file, sha256=weights.sha256, size=weights.bytes, report=report)


def load_detector(weights: Weights | None = None) -> torch.nn.Module:
    """The detector with its weights from disk, in evaluation mode on the CPU.

    Raises:
        DataError: the weights are not there, or are others.
    """
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    weights = weights or detector_weights()
    if not weights.file.is_file():
        raise DataError(f"the detector's weights are not here: {weights.file}")
    path = fetch(weights.url, weights.file, sha256=weights.sha256, size=weights.bytes)
    detector = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=len(weights.categories)
    )
    try:
        detector.load_state_dict(read_plain(path))
    except (RuntimeError, TypeError, AttributeError) as error:  # other names or shapes, or no weights at all
        raise DataError(f"{path}: not the detector's weights ({str(error).splitlines()[0][:200]})") from error
    return detector.eval()


@torch.no_grad()
def detect_animal(picture: Image.Image, detector: torch.nn.Module, categories: tuple[str, ...]) -> tuple | None:
    """The animal that a detector is surest about.

    Args:
        picture: RGB, upright.
        detector: of torchvision's kind: a list of images [3, H, W] from 0 to 1 -> boxes, labels and scores of each.
        categories: its classes' names.

    Returns:
        its box x, y, w, h in image pixels [4], its name, and the score; None: no animal with a score of SURE.
    """
    image = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float().div(255)
    (found,) = detector([image])
    names = np.array([categories[k] for k in found["labels"].tolist()], dtype=object)
    scores = np.where(np.isin(names, ANIMALS), found["scores"].numpy(), 0.0)
    if len(scores) == 0 or scores.max() < SURE:
        return None
    best = int(scores.argmax())
    left, top, right, bottom = found["boxes"][best].double().tolist()
    return np.array([left, top, right - left, bottom - top]), str(names[best]), float(scores[best])


def propose(
    picture: Image.Image,
    net: LandmarkNet | None,
    detector: torch.nn.Module | None = None,
    categories: tuple[str, ...] = (),
    precision: str = "float32",
    report: Callable[[int, int], None] = lambda done, of: None,
) -> Proposal:
    """Propose a face box: inside the detected animal if there are a detector and an animal, else in the whole picture.

    Args:
        picture: RGB, upright.
        net: the landmark network that searches for the face; None: the whole animal is proposed.
        detector: see `detect_animal`; None: there is none.
        categories: its classes' names.
        precision: of the network, "float32" or "bfloat16".
        report: called with the squares tried so far and all of them.

    Raises:
        DataError: no face was found, the picture is too small to hold one, or there is nothing to propose one with.
    """
    if min(picture.size) < 32:
        raise DataError(f"No face found: the picture has only {picture.width} x {picture.height} pixels")
    animal = detect_animal(picture, detector, categories) if detector is not None else None
    if net is None and animal is None:
        raise DataError("No face found: it takes a trained network, or the detector and an animal that it knows")
    if net is None:
        box, name, score = animal
        return Proposal(np.round(box, 1), f"torchvision's detector sees a {name} (score {score:.2f}). "
                                          "This is the whole animal: pull the box to its face.")  # fmt: skip
    found = search(picture, net, animal[0] if animal else None, precision, report)
    if found.support < FACE:
        where = f"in the {animal[1]} that torchvision's detector sees" if animal else "in this picture"
        raise DataError(
            f"No face found {where}: the network is nowhere sure enough of its landmarks "
            f"({found.support:.2f} of 1 at best, {FACE} are wanted). If there is a face, draw a box around it"
        )
    if animal:
        _, name, score = animal
        before = f"torchvision's detector sees a {name} (score {score:.2f}); inside it, "
    elif detector is not None:
        before = f"torchvision's detector knows {len(ANIMALS)} animals and sees none of them here, so: "
    else:
        before = "no detector: "
    return replace(found, how=before + found.how)
