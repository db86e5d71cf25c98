"""Labeled and unlabeled data sets over a crop cache, and the batches that methods ask for.

A batch is a function of (seed, step) alone, so a run that is stopped and resumed sees the batches it would have seen.
Pictures are gathered from one memory-mapped file and turned into views as a whole batch.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from cskt import distributed, geometry
from cskt.data.augment import (
    Augmentation,
    View,
    change_colors,
    half_body,
    paint_rectangles,
    random_view,
    take_view,
    view_landmarks,
)
from cskt.data.pictures import read_image, read_reduced
from cskt.data.table import Annotations, box_problem
from cskt.errors import DataError
from cskt.files import atomic_path, reserve, write_csv
from cskt.landmarks import Scheme
from cskt.progress import bar, say

CACHE_VERSION = 3
_MOST_CANVAS = 2**26  # pixels that are resized at once: 256 MB


class Crops:
    """Cached crops picked from one or several memory-mapped arrays; nothing is copied until it is asked for.

    Args:
        arrays: uint8 [n, C, C, 3] each.
        source: which array each crop is in, [N].
        row: and at which row there, [N].
    """

    def __init__(self, arrays: tuple[np.ndarray, ...], source: np.ndarray, row: np.ndarray):
        self.arrays, self.source, self.row = arrays, source, row

    @classmethod
    def of(cls, crops: "np.ndarray | Crops") -> "Crops":
        """All crops of an array."""
        if isinstance(crops, Crops):
            return crops
        return cls((crops,), np.zeros(len(crops), int), np.arange(len(crops)))

    def __len__(self) -> int:
        return len(self.row)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self.arrays[0].shape[1:]

    def __getitem__(self, indices) -> np.ndarray:
        source, row = self.source[indices], self.row[indices]
        if np.ndim(row) == 0 or len(self.arrays) == 1:
            return self.arrays[np.max(source, initial=0)][row]
        out = np.empty((len(row), *self.shape[1:]), np.uint8)
        for k, array in enumerate(self.arrays):
            out[source == k] = array[row[source == k]]
        return out

    def subset(self, rows: np.ndarray) -> "Crops":
        """The crops of the given rows."""
        return Crops(self.arrays, self.source[rows], self.row[rows])

    def joined(self, other: "Crops") -> "Crops":
        """These crops, then those."""
        source = np.concatenate([self.source, other.source + len(self.arrays)])
        return Crops(self.arrays + other.arrays, source, np.concatenate([self.row, other.row]))


@dataclass(frozen=True)
class UnlabeledSet:
    """Crops without landmarks: there is no field that could hold one.

    Attributes:
        table: image, species, family, ... of each crop, N rows; no landmark column.
        crops: uint8 [N, C, C, 3], the plain crop in the middle of a wider one: an array, or picked from arrays.
        size: side of the plain crop, the network's input, pixels.
        scheme: the landmarks that a method is to find (names and mirror pairs).
        to_crop: from image pixels to the plain crop's pixels, [N, 2, 3], float64.
        norm: what errors are divided by, sqrt(w * h) of the box in image pixels, [N].
    """

    table: pd.DataFrame
    crops: np.ndarray | Crops
    size: int
    scheme: Scheme
    to_crop: torch.Tensor
    norm: np.ndarray

    def __len__(self) -> int:
        return len(self.crops)

    def take(self, indices: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Cached crops [B, C, C, 3] (uint8) of the given rows."""
        return torch.from_numpy(self.crops[np.asarray(indices)])

    def subset(self, rows: np.ndarray) -> "UnlabeledSet":
        """The given rows only."""
        crops = Crops.of(self.crops).subset(rows)
        return UnlabeledSet(self.table.iloc[rows].reset_index(drop=True), crops, self.size, self.scheme,
                            self.to_crop[rows], self.norm[rows])  # fmt: skip


@dataclass(frozen=True)
class LabeledSet(UnlabeledSet):
    """Crops with landmarks.

    Attributes:
        landmarks_crop: in the plain crop's pixels, [N, L, 2], float32; NaN where missing.
    """

    landmarks_crop: torch.Tensor

    def __post_init__(self):
        if len(self) == 0:
            raise DataError("a labeled set without an image")

    def subset(self, rows: np.ndarray) -> "LabeledSet":
        """The given rows only, with their landmarks."""
        return LabeledSet(**vars(super().subset(rows)), landmarks_crop=self.landmarks_crop[rows])

    def joined(self, other: UnlabeledSet, rows: np.ndarray, landmarks_crop: torch.Tensor) -> "LabeledSet":
        """This set and the given rows of another one with (pseudo-)landmarks [n, L, 2] in its plain crops' pixels."""
        return replace(
            self,
            table=pd.concat([self.table, other.table.iloc[rows]], ignore_index=True),
            crops=Crops.of(self.crops).joined(Crops.of(other.crops).subset(rows)),
            to_crop=torch.cat([self.to_crop, other.to_crop[rows]]),
            norm=np.concatenate([self.norm, other.norm[rows]]),
            landmarks_crop=torch.cat([self.landmarks_crop, landmarks_crop.float()]),
        )


@dataclass(frozen=True)
class LabeledBatch:
    """Views of labeled crops.

    Attributes:
        images: [B, 3, size, size] from 0 to 1.
        landmarks: in the view's pixels, [B, L, 2]; NaN where missing.
        indices: rows of the data set, [B].
    """

    images: torch.Tensor
    landmarks: torch.Tensor
    indices: torch.Tensor

    def share(self) -> "LabeledBatch":
        """The rows that this process computes: all of them, where it trains alone."""
        own = distributed.share(len(self.images))
        return LabeledBatch(self.images[own], self.landmarks[own], self.indices[own])


@dataclass(frozen=True)
class UnlabeledBatch:
    """Two views of the same unlabeled crops: one for the teacher, one for the student.

    Attributes:
        weak, strong: [B, 3, size, size] from 0 to 1.
        weak_view, strong_view: of the plain crop.
        indices: rows of the data set, [B].
    """

    weak: torch.Tensor
    strong: torch.Tensor
    weak_view: View
    strong_view: View
    indices: torch.Tensor

    def share(self) -> "UnlabeledBatch":
        """The rows that this process computes: all of them, where it trains alone."""
        own = distributed.share(len(self.weak))
        views = [View(view.matrix[own], view.mirrored[own]) for view in (self.weak_view, self.strong_view)]
        return UnlabeledBatch(self.weak[own], self.strong[own], *views, self.indices[own])


def unlabeled_set(
    annotations: Annotations,
    size: int,
    context: float,
    cache: str | Path,
    padding: float = 1.0,
    *,
    reduced: bool = False,
) -> UnlabeledSet:
    """Make a data set that cannot see a landmark, whatever the annotations hold; see `crop_cache`."""
    return _crop_set(annotations.without_landmarks(), size, context, cache, padding, reduced)


def labeled_set(
    annotations: Annotations, size: int, context: float, cache: str | Path, padding: float = 1.0
) -> LabeledSet:
    """Make a data set of crops with their landmarks; see `crop_cache`."""
    crops = _crop_set(annotations.without_landmarks(), size, context, cache, padding)
    kept = annotations.select(crops.table["image"])
    landmarks = geometry.apply(crops.to_crop, torch.tensor(kept.landmarks)).float()
    return LabeledSet(**vars(crops), landmarks_crop=landmarks)


def _crop_set(
    annotations: Annotations,
    size: int,
    context: float,
    cache: str | Path,
    padding: float = 1.0,
    reduced: bool = False,
) -> UnlabeledSet:
    """`padding`: side of the crop over the longer side of the box; the box itself, and so the norm, stays as it is."""
    faces = annotations
    if padding != 1:
        wide = widened(annotations.boxes, padding)
        faces = replace(annotations, table=annotations.table.assign(**dict(zip("xywh", wide.T, strict=True))))
    crops, readable = crop_cache(faces, size, context, cache, reduced=reduced)
    kept = annotations if readable.all() else annotations.select(annotations.table["image"][readable])
    to_crop = geometry.crop_matrix(torch.tensor(kept.boxes), size, padding)
    return UnlabeledSet(kept.table, crops, size, kept.scheme, to_crop, kept.norm)


def widened(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Boxes x, y, w, h in pixels, [N, 4], that much larger about their centers."""
    return np.concatenate([boxes[:, :2] - (factor - 1) / 2 * boxes[:, 2:], factor * boxes[:, 2:]], axis=1)


def crop_cache(
    annotations: Annotations, size: int, context: float, folder: str | Path, *, reduced: bool = False
) -> tuple[Crops, np.ndarray]:
    """Crop every face once, into one memory-mapped file that later runs find again.

    The file's name is a fingerprint of the images (path, size, time of change), the boxes and the geometry. An image
    that cannot be decoded is left out and named in the `.problems.csv` beside the file.

    Args:
        annotations: which faces; landmarks are not looked at.
        size: side of the plain crop, pixels.
        context: how much wider the cached crop is.
        folder: where the file is.
        reduced: decode large JPEG files at a half, a quarter or an eighth where that is enough: see `read_reduced`.

    Returns:
        the n crops of the images that could be read, and which of the N rows those are [N] (bool).

    Raises:
        DataError: no image can be read.
    """
    side = cached_side(size, context)
    key = hashlib.sha256(f"{CACHE_VERSION} {size} {side}{' reduced' * reduced}".encode())
    for path, box in zip(annotations.table["path"], annotations.boxes, strict=True):
        state = Path(path).stat()
        key.update(f"{path} {state.st_size} {state.st_mtime_ns} {box.tolist()}".encode())
    file = Path(folder) / f"crops_{size}_{key.hexdigest()[:16]}.npy"
    problems = file.with_suffix(".problems.csv")
    if not (file.exists() and problems.exists()):
        unreadable = _write_crops(annotations, size, side, file, reduced)
        write_csv(problems, pd.DataFrame(unreadable, columns=["image", "file", "problem"]))
    # as texts: a picture may be called 7 or NA
    found = pd.read_csv(problems, dtype=str, keep_default_na=False)
    readable = ~annotations.table["image"].isin(found["image"]).to_numpy()
    told = "; ".join(found["problem"][:3]) + ("; ..." if len(found) > 3 else "")
    if not readable.any():
        raise DataError(f"none of the {len(annotations)} images can be read: {told}")
    if not readable.all():
        say(f"{(~readable).sum()} of {len(readable)} images cannot be read and are left out: {told}")
    return Crops.of(np.load(file, mmap_mode="r")).subset(np.flatnonzero(readable)), readable


def unreadable_images(cache: str | Path) -> dict[str, str]:
    """Image -> why it was left out, of all images that were cropped into this folder."""
    found = sorted(Path(cache).glob("*.problems.csv"))
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in found]
    rows = [row for table in tables for row in table.itertuples()]
    return {row.image: row.problem.removeprefix(f"{row.file}: ") for row in rows}


def cached_side(size: int, context: float) -> int:
    """Side C of the cached crop: `size * context`, with a whole number of pixels on either side of the plain crop."""
    return size + 2 * round(size * (context - 1) / 2)


def _write_crops(
    annotations: Annotations, size: int, side: int, file: Path, reduced: bool
) -> list[tuple[str, str, str]]:
    unreadable = []
    rows = zip(annotations.table["image"], annotations.table["path"], annotations.boxes, strict=True)
    with atomic_path(file) as temporary:
        # rows of unreadable images stay black and are never picked
        shape = (len(annotations), side, side, 3)
        crops = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        reserve(temporary)
        for row, (name, path, box) in enumerate(bar(list(rows), desc="crops", unit="image", leave=False)):
            try:
                crops[row] = read_crop(path, box, size, side, reduced=reduced)
            except DataError as error:
                unreadable.append((name, path, str(error)))
        crops.flush()
    return unreadable


def read_crop(path: str | Path, box: np.ndarray, size: int, side: int, *, reduced: bool = False) -> np.ndarray:
    """Cut a face out of a picture file; see `crop_image`.

    Raises:
        DataError: it cannot be read, or the box does not lie in it.
    """
    if reduced:
        picture, factor, full = read_reduced(path, max(box[2:]) / size)
    else:
        picture = read_image(path)
        factor, full = 1, picture.size
    if problem := box_problem(tuple(box), full):
        raise DataError(f"{path}: {problem}")
    if factor > 1:
        # a coarse pixel covers `factor` fine ones, whose centers lie at the integers
        box = np.concatenate([(box[:2] + 0.5) / factor - 0.5, box[2:] / factor])
    return crop_image(picture, box, size, side)


def crop_image(picture: Image.Image, box: np.ndarray, size: int, side: int) -> np.ndarray:
    """Cut the square around a box, `side` pixels wide where the box's own square is `size`; black outside.

    Returns:
        uint8 [side, side, 3]
    """
    to_crop = geometry.crop_matrix(torch.tensor(box, dtype=torch.float64)[None], size)[0]
    scale = float(to_crop[0, 0])
    margin = (side - size) / 2
    # where the wider square begins, in the picture's pixel edges (a pixel's center is half a pixel inside)
    left, top = ((-0.5 - margin - to_crop[:, 2]) / scale + 0.5).tolist()
    length = side / scale
    # the filter looks at two pixels of the crop beyond its border: cut no closer, or it would see black there
    reach = int(np.ceil(2 * max(1.0, length / side))) + 1
    beyond = max(0.0, -left, -top, left + length - picture.width, top + length - picture.height)
    pad = int(np.ceil(beyond)) + reach
    first_x, first_y = max(0, int(left) - reach), max(0, int(top) - reach)
    last_x, last_y = int(np.ceil(left + length)) + reach, int(np.ceil(top + length)) + reach
    window = picture.crop((first_x, first_y, min(picture.width, last_x), min(picture.height, last_y)))
    x, y = left - first_x + pad, top - first_y + pad
    if (window.width + 2 * pad) * (window.height + 2 * pad) > _MOST_CANVAS:
        # one axis after the other: the black around a small picture in a large square is never there as a whole
        for start in (x, y):
            window = _resize_columns(window, pad, start, length, side).transpose(Image.Transpose.TRANSPOSE)
        return np.asarray(window)
    canvas = Image.new("RGB", (window.width + 2 * pad, window.height + 2 * pad))
    canvas.paste(window, (pad, pad))
    # BICUBIC filters over the source's pixels when it shrinks, so nothing aliases
    return np.asarray(canvas.resize((side, side), Image.Resampling.BICUBIC, box=(x, y, x + length, y + length)))


def _resize_columns(picture: Image.Image, pad: int, start: float, length: float, side: int) -> Image.Image:
    """Resize the columns from `start` on, with `pad` black ones on either side, to `side`; a few rows at a time."""
    width, height = picture.width + 2 * pad, max(1, _MOST_CANVAS // (picture.width + 2 * pad))
    resized = Image.new("RGB", (side, picture.height))
    for first in range(0, picture.height, height):
        rows = min(height, picture.height - first)
        canvas = Image.new("RGB", (width, rows))
        canvas.paste(picture.crop((0, first, picture.width, first + rows)), (pad, 0))
        part = canvas.resize((side, rows), Image.Resampling.BICUBIC, box=(start, 0, start + length, rows))
        resized.paste(part, (0, first))
    return resized


def batch_indices(count: int, batch: int, seed: int, step: int) -> np.ndarray:
    """Rows of batch `step`, [batch]: every row once per pass, in an order of its own for each pass."""
    passes, places = np.divmod(np.arange(step * batch, (step + 1) * batch), count)
    rows = np.empty(batch, dtype=np.int64)
    for number in np.unique(passes):
        own = passes == number
        rows[own] = _order(count, seed, number)[places[own]]
    return rows


@lru_cache(maxsize=32)
def _order(count: int, seed: int, number: int) -> np.ndarray:
    """The order of one pass, [count], not to be written to; kept, or each step would shuffle all images anew."""
    order = np.random.default_rng([seed, number]).permutation(count)
    order.flags.writeable = False
    return order


def labeled_batch(
    data: LabeledSet,
    indices: np.ndarray,
    augmentation: Augmentation,
    generator: torch.Generator,
    device: torch.device,
) -> LabeledBatch:
    """Views of labeled crops, each with its landmarks."""
    view = random_view(len(indices), data.size, augmentation, generator)
    landmarks = data.landmarks_crop[indices]
    if augmentation.half_body:
        half = half_body(landmarks, data.size, data.scheme.upper, augmentation.half_body, generator)
        view = View(geometry.compose(view.matrix, half), view.mirrored)
    view = view.to(device)
    images = _picture(data, indices, view, augmentation, generator, device)
    landmarks = view_landmarks(landmarks.to(device), view, data.scheme.flip_permutation)
    return LabeledBatch(images, landmarks, torch.as_tensor(indices))


def unlabeled_batch(
    data: UnlabeledSet,
    indices: np.ndarray,
    weak: Augmentation,
    strong: Augmentation,
    generator: torch.Generator,
    device: torch.device,
) -> UnlabeledBatch:
    """A weak and a strong view of each crop, and the geometry between them."""
    views = [random_view(len(indices), data.size, a, generator).to(device) for a in (weak, strong)]
    images = [_picture(data, indices, v, a, generator, device) for v, a in zip(views, (weak, strong), strict=True)]
    return UnlabeledBatch(*images, *views, torch.as_tensor(indices))


def one_view(
    data: UnlabeledSet,
    indices: np.ndarray,
    augmentation: Augmentation,
    generator: torch.Generator,
    device: torch.device,
) -> tuple[torch.Tensor, View]:
    """A view of each crop: the images [B, 3, size, size] from 0 to 1, and how they were taken."""
    view = random_view(len(indices), data.size, augmentation, generator).to(device)
    return _picture(data, indices, view, augmentation, generator, device), view


def plain_images(data: UnlabeledSet, indices: np.ndarray, device: torch.device) -> torch.Tensor:
    """The plain crops as the network sees them in evaluation, [B, 3, size, size] from 0 to 1."""
    margin = (data.crops.shape[1] - data.size) // 2
    inner = slice(margin, margin + data.size)
    return data.take(indices)[:, inner, inner].to(device).permute(0, 3, 1, 2).float().div_(255)


def _picture(data, indices, view, augmentation, generator, device):
    images = take_view(data.take(indices).to(device), view, data.size)
    images = change_colors(images, augmentation.color, generator)
    return paint_rectangles(images, augmentation.cutout, generator)
