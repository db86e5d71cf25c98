"""A network's landmarks on a set of crops, the predictions table, and its scores against annotations."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from cskt import geometry, metrics
from cskt.data.datasets import UnlabeledSet, plain_images
from cskt.data.table import Annotations, landmark_columns
from cskt.errors import DataError
from cskt.heatmaps import CODECS, Codec
from cskt.models import LandmarkNet, autocast
from cskt.processes import keep_memory
from cskt.progress import bar

BATCH = 64  # images at a time, at most
PIXELS = 1 << 20  # of a batch on a CPU, at most: beyond, what a layer writes has left the caches when the next reads it


def images_at_once(size: int, device: torch.device) -> int:
    """How many images of so many pixels a side a network is given at a time, to predict.

    Example:
        >>> [images_at_once(size, torch.device("cpu")) for size in (64, 128, 256)]
        [64, 64, 16]
    """
    return BATCH if device.type != "cpu" else max(1, min(BATCH, PIXELS // size**2))


@torch.no_grad()
def find_landmarks(
    net: LandmarkNet,
    data: UnlabeledSet,
    *,
    codec: Codec = CODECS["subpixel"],
    precision: str = "float32",
    mirrored: bool = False,
    average: bool = False,
    progress: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predict landmarks on the plain crops, in evaluation mode.

    Args:
        net: on the device to be used; its mode is put back.
        data: N crops; no landmark is looked at.
        codec: how heatmaps are read.
        precision: "float32" or "bfloat16".
        mirrored: predict on the mirror images, and mirror the landmarks back.
        average: predict from the mean of the heatmaps of the crop and its mirror image.
        progress: show a bar.

    Returns:
        landmarks in the plain crop's pixels [N, L, 2], confidence [N, L]; both float32 on the CPU.
    """
    device = next(net.parameters()).device
    permutation = data.scheme.flip_permutation
    was_training = net.training
    net.eval()
    found, step = [], images_at_once(data.size, device)
    keep_memory()
    for first in bar(range(0, len(data), step), desc="predict", unit="batch", disable=not progress, leave=False):
        images = plain_images(data, np.arange(first, min(first + step, len(data))), device)
        heatmaps = find_heatmaps(net, images, permutation, precision=precision, mirrored=mirrored, average=average)
        landmarks, confidence = codec.decode(heatmaps)
        if mirrored and codec is CODECS["published"]:
            # the corner that stands for a dead map is the mirror image's, and mirrored back like any place (spec 1.8)
            dead = (landmarks == -1).all(dim=-1)
            landmarks[..., 0].masked_fill_(dead, heatmaps.shape[-1])
        found.append((landmarks.cpu(), confidence.cpu()))
    net.train(was_training)
    landmarks, confidence = (torch.cat(parts) for parts in zip(*found, strict=True))
    # of the maps themselves: a network may be meant for crops of another size (HUMAN.CHECKPOINT)
    to_crop = geometry.resize_matrix(heatmaps.shape[-1], data.size)
    return geometry.apply(to_crop, landmarks), confidence


@torch.no_grad()
def find_heatmaps(
    net: LandmarkNet,
    images: torch.Tensor,
    permutation: Sequence[int],
    *,
    precision: str = "float32",
    mirrored: bool = False,
    average: bool = False,
) -> torch.Tensor:
    """Heatmaps of plain crops, float32 [B, L, cells, cells].

    Args:
        net: in evaluation mode.
        images: from 0 to 1, on the network's device, [B, 3, size, size].
        permutation: which landmark each one becomes in the mirror (`Scheme.flip_permutation`).
        precision, mirrored, average: see `find_landmarks`.

    Raises:
        DataError: what the network computes is not finite; its argmax would be a landmark like any other.
    """
    with autocast(images.device, precision):
        heatmaps = None if mirrored else net.heatmaps(images)
        if mirrored or average:
            back = geometry.swap_sides(net.heatmaps(images.flip(-1)).flip(-1), permutation)
            heatmaps = back if heatmaps is None else (heatmaps + back) / 2
    if not torch.isfinite(heatmaps).all():
        raise DataError(
            f"the network {net.spec['name']!r} gives heatmaps that are no finite numbers: its weights are damaged, or "
            f"too large for {precision}"
        )
    return heatmaps.float()


def predict(net: LandmarkNet, data: UnlabeledSet, **how) -> pd.DataFrame:
    """Predict landmarks in image pixels.

    Args:
        net: the network.
        data: N crops.
        how: see `find_landmarks`.

    Returns:
        One row per image: image, species, family, then <landmark>_x, <landmark>_y (image pixels) and
        <landmark>_confidence of each landmark.
    """
    return as_table(data, *find_landmarks(net, data, **how), codec=how.get("codec", CODECS["subpixel"]))


def as_table(
    data: UnlabeledSet, landmarks_crop: torch.Tensor, confidence: torch.Tensor, codec: Codec = CODECS["subpixel"]
) -> pd.DataFrame:
    """The table of `predict` of what `find_landmarks` returned for the same crops."""
    landmarks = geometry.apply(geometry.invert(data.to_crop), landmarks_crop.double())
    landmarks = codec.finish(landmarks).numpy()
    columns = {}
    for k, name in enumerate(data.scheme.landmarks):
        columns |= {f"{name}_x": landmarks[:, k, 0], f"{name}_y": landmarks[:, k, 1],
                    f"{name}_confidence": confidence[:, k].numpy()}  # fmt: skip
    identity = data.table[["image", "species", "family"]].reset_index(drop=True)
    return pd.concat([identity, pd.DataFrame(columns)], axis=1)


def score(predictions: pd.DataFrame, truth: Annotations) -> pd.DataFrame:
    """Compare predictions with annotations of the same images.

    Returns:
        One row per annotated image that was predicted: image, species, family, nme (a fraction of sqrt(w * h); NaN
        where no landmark is annotated), and <landmark>_error of each landmark.
    """
    truth = truth.select(predictions["image"])
    found = predictions[landmark_columns(truth.scheme)].to_numpy(float).reshape(len(predictions), -1, 2)
    errors = metrics.landmark_errors(found, truth.landmarks, truth.norm)
    scores = predictions[["image", "species", "family"]].copy()
    scores["nme"] = metrics.nme(found, truth.landmarks, truth.norm)
    for k, name in enumerate(truth.scheme.landmarks):
        scores[f"{name}_error"] = errors[:, k]
    return scores


def summarize(scores: pd.DataFrame, seed: int = 0, prefix: str = "") -> dict[str, float]:
    """Reduce a scores table to the numbers that are reported.

    Returns:
        images (with at least one annotated landmark), nme and its 95 % bootstrap interval over images, nme_macro
        (mean of the species' means), fr08, fr10 (failure rates) and auc20 (area under the cumulative error curve up
        to 0.2), all fractions; each name begins with `prefix`.
    """
    errors = scores["nme"].to_numpy(float)
    low, high = metrics.bootstrap_interval(errors, np.random.default_rng(seed))
    numbers = {
        "images": int(np.isfinite(errors).sum()),
        "nme": float(np.nanmean(errors)),
        "nme_low": low,
        "nme_high": high,
        "nme_macro": metrics.macro_average(errors, scores["species"].to_numpy()),
        "fr08": metrics.failure_rate(errors, 0.08),
        "fr10": metrics.failure_rate(errors, 0.10),
        "auc20": metrics.auc(errors, 0.2),
    }
    return {prefix + name: value for name, value in numbers.items()}


def known_unknown(species: Sequence[str], labeled_species: Sequence[str]) -> np.ndarray:
    """For each image, "known" where its species occurs among the labeled images, else "unknown"."""
    return np.where(np.isin(np.asarray(species), np.unique(labeled_species)), "known", "unknown")
