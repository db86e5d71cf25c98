"""The embedded data set: animal faces drawn by our own renderer, written to disk in AnimalWeb's layout.

The species run from the human face to the beak (`zoo_species`); each picture is a new individual (`zoo_head`), painted
(`zoo_paint`), ray-traced (`zoo_render`) and photographed (`zoo_photo`), and its nine landmarks are exact.
"""

import io
import json
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cskt.data.boxes import box_of
from cskt.data.zoo_photo import render_face
from cskt.data.zoo_species import SPECIES
from cskt.data.zoo_tables import Species
from cskt.files import unwritable
from cskt.processes import cores, one_thread_each
from cskt.progress import bar

__all__ = [
    "SPECIES",
    "UNKNOWN_SPECIES",
    "VERSION",
    "Species",
    "box_of",
    "draw_image",
    "draw_images",
    "image_names",
    "render_face",
    "splits",
    "write_zoo",
]

VERSION = 1  # of the pictures: a folder written by another version is not taken for this one
UNKNOWN_SPECIES = ("capuchin", "brownbear", "harborseal", "penguin")  # near to far; never among the labeled images


def write_zoo(root: str | Path, *, images: int = 3000, seed: int = 0, workers: int | None = None) -> Path:
    """Write the zoo to a folder, unless it is already there.

    root/images/SPECIES_N.jpg and .pts, root/bbox.csv, root/splits/*.txt, and root/zoo.json, which says what the folder
    holds. The folder appears only when it is complete: an interrupted call leaves nothing behind.

    Args:
        root: folder to make; may exist if it is empty or holds this very zoo.
        images: how many pictures, about a quarter of them human.
        seed: of everything; image i depends on (seed, i) alone.
        workers: processes to draw with, by default one per core.

    Returns:
        root, as a path.

    Raises:
        FileExistsError: root holds something else, or a zoo with other parameters.
        ValueError: fewer images than the splits need.
    """
    root = Path(root)
    asked = {"images": images, "seed": seed, "version": VERSION}
    if _already_written(root, asked):
        return root
    names = image_names(images)
    lists = splits(images, seed)
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as scratch:
        folder = Path(scratch) / "zoo"
        (folder / "images").mkdir(parents=True)
        (folder / "splits").mkdir()
        boxes = draw_images(folder / "images", names, seed, workers)
        rows = [f"{name}," + ",".join(f"{value:.2f}" for value in box) for name, box in zip(names, boxes, strict=True)]
        (folder / "bbox.csv").write_text("\n".join(["img,x,y,w,h", *rows]) + "\n")
        for split, members in lists.items():
            (folder / "splits" / f"{split}.txt").write_text("\n".join(members) + "\n")
        (folder / "zoo.json").write_text(json.dumps(asked, indent=2) + "\n")
        if root.exists():
            root.rmdir()  # empty, as checked above
        os.replace(folder, root)
    return root


def _already_written(root: Path, asked: dict[str, int]) -> bool:
    if not root.exists():
        return False
    if not root.is_dir():
        raise FileExistsError(f"{root} is a file: give the zoo a folder of its own")
    if not any(root.iterdir()):
        return False
    marker = root / "zoo.json"
    if not marker.is_file():
        raise FileExistsError(f"{root} holds something that is not a zoo: give the zoo a folder of its own")
    try:
        found = json.loads(marker.read_text())
    except json.JSONDecodeError as error:
        raise FileExistsError(f"{marker} is damaged ({error}): delete {root} or choose another folder") from None
    if found != asked:
        raise FileExistsError(f"{root} holds the zoo {found}, not {asked}: delete it or choose another folder")
    return True


def image_names(images: int) -> list[str]:
    """Names of all images in drawing order: the people, then the animal species in turn."""
    people = round(images * 4 / 15)
    animals = [species.name for species in SPECIES if species.name != "human"]
    species = ["human"] * people + [animals[i % len(animals)] for i in range(images - people)]
    counts: dict[str, int] = {}
    names = []
    for name in species:
        counts[name] = counts.get(name, 0) + 1
        names.append(f"{name}_{counts[name]}.jpg")
    return names


def splits(images: int, seed: int) -> dict[str, list[str]]:
    """The lists of image names by split, each as even over the species as can be.

    human_train and human_test (one in eight) are the people; train, val and test the animals; unlabeled is train.
    labeled_40 is part of labeled_80, both are part of train and hold no image of `UNKNOWN_SPECIES`. In a zoo too small
    for that they hold at most a quarter and half of the known species' train images.

    Raises:
        ValueError: too few images for one of each species in train, val and test.
    """
    names = image_names(images)
    rng = np.random.default_rng([seed, 1])
    people = [name for name in names if name.startswith("human_")]
    people = [people[i] for i in rng.permutation(len(people))]
    animals = [species.name for species in SPECIES if species.name != "human"]
    queues = {one: [name for name in names if name.rsplit("_", 1)[0] == one] for one in animals}
    queues = {one: [queue[i] for i in rng.permutation(len(queue))] for one, queue in queues.items()}
    # one of each species in turn, so that every stretch of this list is even over the species
    dealt = [queue[i] for i in range(max(map(len, queues.values()))) for queue in queues.values() if i < len(queue)]
    val, test = round(images / 15), round(images * 2 / 15)
    if val < len(animals):
        raise ValueError(f"{images} images are too few for {len(animals)} species: the zoo needs {15 * len(animals)}")
    train = dealt[val + test :]
    known = [name for name in train if name.rsplit("_", 1)[0] not in UNKNOWN_SPECIES]
    few = min(40, len(known) // 4)
    return {
        "human_train": people[len(people) // 8 :],
        "human_test": people[: len(people) // 8],
        "train": train,
        "unlabeled": train,
        "val": dealt[:val],
        "test": dealt[val : val + test],
        "labeled_40": known[:few],
        "labeled_80": known[: 2 * few],
    }


def draw_image(index: int, name: str, seed: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Draw one image of the zoo.

    Returns:
        The JPEG file's bytes, the landmarks [9, 2] and the box [4] in image pixels.
    """
    rng = np.random.default_rng([seed, 0, index])
    image, landmarks = render_face(name.rsplit("_", 1)[0], rng)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(45, 96)))
    return buffer.getvalue(), landmarks, box_of(landmarks, image.shape[1], image.shape[0])


def _write_image(folder: Path, seed: int, numbered: tuple[int, str]) -> np.ndarray:
    index, name = numbered
    jpeg, landmarks, box = draw_image(index, name, seed)
    points = "\n".join(f"{x:.3f} {y:.3f}" for x, y in landmarks)
    text = f"version: 1\nn_points: {len(landmarks)}\n{{\n{points}\n}}\n"
    try:
        (folder / name).write_bytes(jpeg)
        (folder / name).with_suffix(".pts").write_text(text)
    except OSError as error:
        raise unwritable(folder / name, error) from error
    return box


def draw_images(folder: Path, names: list[str], seed: int, workers: int | None = None) -> list[np.ndarray]:
    """Draw images into a folder, each with its .pts file; returns their boxes [4] in image pixels."""
    workers = workers or cores()
    write = partial(_write_image, folder, seed)
    numbered = list(enumerate(names))
    if workers == 1:
        return [write(one) for one in bar(numbered, desc="drawing the zoo", unit="image")]
    # spawned, not forked: the caller may hold threads (torch) that a fork would leave dead; no `Pool`, which starts
    # processes without end where they cannot start (a script without a main guard)
    with one_thread_each(), ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        drawn = pool.map(write, numbered, chunksize=8)
        return list(bar(drawn, total=len(names), desc="drawing the zoo", unit="image"))
