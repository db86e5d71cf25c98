"""The stages without a network: heatmaps, errors, items. Each gives rows of `timing.stage`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cskt import geometry, heatmaps, metrics
from cskt.data.augment import Augmentation
from cskt.data.datasets import labeled_batch, labeled_set, plain_images, read_crop
from cskt.models import MEAN, STD
from cskt.speed import peers
from cskt.speed.material import SCHEME, largest, long_table, noisy_heatmaps, photographs, plain
from cskt.speed.timing import Contender, Machine, stage

CPU = torch.device("cpu")
STRONG = Augmentation(rotation=60, scale=0.3, shift=0.08, flip=0.5, color=0.5)


def codec(machine: Machine, batch: int = 64, cells: int = 64, seconds: float = 2.0) -> list[dict[str, Any]]:
    """Decoding and encoding heatmaps."""
    loops = plain("loops")
    maps, places = noisy_heatmaps(batch, cells)
    reading = (maps.nbytes / machine.read, f"{maps.nbytes / 1e6:.1f} MB read")
    writing = (maps.nbytes / machine.write, f"{maps.nbytes / 1e6:.1f} MB written")

    boxes = np.array([[40.0, 30.0, 200.0, 180.0]]).repeat(batch, axis=0)
    to_cells = geometry.crop_matrix(torch.tensor(boxes), cells)

    def in_image():
        places = heatmaps.decode_published(maps)[0].double()
        return heatmaps.round_published(geometry.apply(geometry.invert(to_cells), places)).numpy()

    def cells_of(found):
        return found[0] if isinstance(found, tuple) else found

    def differ(expected, found):
        return largest(cells_of(expected), cells_of(found))

    rows = stage(
        "decode heatmaps, quarter offset", "image", batch,
        [Contender("plain loops", "plain", lambda: loops.find_cells(maps)),
         Contender("cskt", "ours", lambda: heatmaps.decode_published(maps)), *peers.decoders(maps, subpixel=False)],
        seconds=seconds, difference=differ, floor=reading,
    )  # fmt: skip
    rows += stage(
        "decode heatmaps, to whole image pixels", "image", batch,
        [Contender("plain loops", "plain", lambda: loops.find_landmarks(maps, boxes)),
         Contender("cskt", "ours", in_image)],
        seconds=seconds, difference=largest, floor=reading,
    )  # fmt: skip
    rows += stage(
        "decode heatmaps, sub-pixel", "image", batch,
        [Contender("plain loops", "plain", lambda: loops.find_subpixel(maps)),
         Contender("cskt", "ours", lambda: heatmaps.decode(maps)), *peers.decoders(maps, subpixel=True)],
        seconds=seconds, difference=differ, floor=reading,
    )  # fmt: skip
    # a box of the map's own size: image pixels are cells, with their borders at the integers
    box, points = (0, 0, cells, cells), places.double() + 0.5
    to_map = geometry.crop_matrix(torch.tensor([box] * batch).double(), cells)
    rows += stage(
        "target heatmaps, published", "image", batch,
        [Contender("plain loops", "plain", lambda: np.stack([loops.draw(one, box, cells) for one in points.numpy()])),
         Contender("cskt", "ours", lambda: heatmaps.encode_published(geometry.apply(to_map, points).float(), cells))],
        seconds=seconds, difference=largest, floor=writing,
    )  # fmt: skip
    rows += stage(
        "target heatmaps, exact", "image", batch,
        [Contender("plain loops", "plain", lambda: np.stack([loops.draw_exact(one, cells) for one in places.numpy()])),
         Contender("cskt", "ours", lambda: heatmaps.encode(places, cells)), *peers.encoders(places, cells)],
        seconds=seconds, difference=largest, floor=writing,
    )  # fmt: skip
    return rows


def errors(batch: int = 64, seconds: float = 1.0) -> list[dict[str, Any]]:
    """NME and the two disagreements."""
    loops = plain("loops")
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 256, (batch, len(SCHEME.landmarks), 2))
    found, norm = true + rng.normal(0, 4, true.shape), np.full(batch, 200.0)
    permutation = list(SCHEME.flip_permutation)
    mirrored = (true * [-1, 1] + [255, 0])[:, permutation]

    def flip():
        back = mirrored[:, permutation] * [-1, 1] + [255, 0]
        return metrics.nme(back, found, norm)

    def human():
        return metrics.nme(true[:, : loops.SHARED], found[:, : loops.SHARED], norm)

    pairs = {
        "NME": (lambda: loops.nme(found, true, norm), lambda: metrics.nme(found, true, norm)),
        "human disagreement": (lambda: loops.human_disagreement(true, found, norm), human),
        "flip disagreement": (lambda: loops.flip_disagreement(mirrored, found, norm, 256), flip),
    }
    rows = []
    for name, (slow, quick) in pairs.items():
        contenders = [Contender("plain loops", "plain", slow), Contender("cskt", "ours", quick)]
        rows += stage(name, "image", batch, contenders, seconds=seconds, difference=largest)
    return rows


def items(folder: Path, size: int = 256, count: int = 20, rows: int = 22_000, seconds: float = 4.0) -> list[dict]:
    """One item, crop and target, from the photograph and from the cache; and a random view of it."""
    loops = plain("loops")
    faces = photographs(folder, count)
    names, boxes, pictures = list(faces.table["image"]), faces.boxes, folder / "images"
    files = [pictures / name for name in names]
    table = long_table(faces, rows)
    data = labeled_set(faces, size, 1.0, folder / "cache")
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    to_cells = geometry.compose(geometry.resize_matrix(size, loops.CELLS).double(), data.to_crop)
    targets_of = geometry.apply(to_cells, torch.tensor(faces.landmarks)).float()

    def slow():
        return [loops.item(table, name, pictures, size) for name in names]

    def finish(images):
        """What a network and its loss take, of crops with values from 0 to 1 that nobody else needs."""
        return images.sub_(mean).div_(std), heatmaps.encode_published(targets_of, loops.CELLS)

    def from_photographs(reduced):
        crops = np.stack([read_crop(file, box, size, size, reduced=reduced)
                          for file, box in zip(files, boxes, strict=True)])  # fmt: skip
        return finish(torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255))

    def from_cache():
        return finish(plain_images(data, np.arange(count), CPU))

    def differ(expected, found):
        """Of the targets: the plain crop differs, since it is cut at whole pixels."""
        return largest(np.stack([maps for _, maps in expected]), found[1])

    table_of = [
        Contender("plain loops", "plain", slow),
        Contender("cskt, whole decode", "ours", lambda: from_photographs(False)),
        Contender("cskt, reduced decode", "ours", lambda: from_photographs(True)),
    ]
    others = [
        Contender(peer.name, "peer", lambda crop=peer.run: finish(torch.stack(crop()).float().div_(255)))
        for peer in peers.croppers(files, boxes, size)
    ]
    found = stage("item from the photograph", "image", count, [*table_of, *others],
                  seconds=seconds, difference=differ)  # fmt: skip
    cached = [table_of[0], Contender("cskt", "ours", from_cache)]
    found += stage("item from the crop cache", "image", count, cached, seconds=seconds, difference=differ)
    generator = torch.Generator().manual_seed(0)
    views = [Contender("cskt", "ours", lambda: labeled_batch(data, np.arange(count), STRONG, generator, CPU))]
    found += stage("random view of a cached crop", "image", count,
                   [*views, *peers.augmenters(data.take(np.arange(count)))], seconds=seconds)  # fmt: skip
    return found
