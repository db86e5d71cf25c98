"""AP-10K: reader of its layout, with what COCO's has not: families, kinds of background, areas, the unlabeled part."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cskt.data.coco import entry_id, read_coco
from cskt.data.folder import read_folder
from cskt.data.reading import read_text
from cskt.data.table import Annotations
from cskt.errors import DataError
from cskt.landmarks import SCHEMES, Scheme

SCHEME = SCHEMES["ap10k17"]
PARTS = ("train", "val", "test")
SPLITS = (1, 2, 3)
# `background` of an image, 1 to 8
BACKGROUNDS = (
    "grass or savanna",
    "forest or shrub",
    "mud or rock",
    "snowfield",
    "zoo or human habitation",
    "swamp or riverside",
    "desert or gobi",
    "mugshot",
)


def annotation_file(part: str, split: int = 1) -> str:
    """Name of an annotation file, below the data set's folder.

    Raises:
        DataError: no such part or split.
    """
    if part not in PARTS or split not in SPLITS:
        raise DataError(f"AP-10K has the parts {', '.join(PARTS)} of the splits 1, 2, 3; not {part!r} of {split!r}")
    return f"annotations/ap10k-{part}-split{split}.json"


def read_ap10k(
    root: str | Path, part: str = "train", split: int = 1, *, file: str | Path | None = None, labels: bool = True,
    images: str = "data", scheme: Scheme = SCHEME,
) -> Annotations:  # fmt: skip
    """Read one part of AP-10K.

    As `read_coco`, but the family is AP-10K's own (the category's supercategory, where it has one; its Cercopithecidae
    hold what our taxonomy puts into three families), and the table has the columns picture (the image file's name: an
    image may hold several animals), background (a name of `BACKGROUNDS`, "" where the file says none) and area (square
    pixels, as the file says, or of the box: what OKS is measured by).

    Args:
        root: folder with annotations/ and data/.
        part: "train", "val" or "test"; it is the split column of the table.
        split: which of the three random splits.
        file: another annotation file, relative to root, in place of that of part and split; then part is free.
        labels: if False, keypoints are not looked at.
        images: folder of the pictures, relative to root.
        scheme: the landmarks that the file has.

    Raises:
        DataError: as `read_coco`; no such part or split; a background beyond 8.
    """
    root = Path(root)
    path = root / (file or annotation_file(part, split))
    read = read_coco(path, root / images, scheme=scheme, split=part, labels=labels)
    details = instance_details(path)
    table = read.table.merge(details, on="image", how="left", validate="one_to_one", suffixes=("_ours", ""))
    table["family"] = table["family"].where(table["family"] != "", table["family_ours"])
    table = table.drop(columns="family_ours")[[*read.table.columns, "picture", "background", "area"]]
    return replace(read, table=table)


def instance_details(path: str | Path) -> pd.DataFrame:
    """What a COCO file says of each annotation beside box and keypoints.

    Returns:
        One row per annotation: image (the row name of `read_coco`), picture, family (the supercategory), background
        and area.
    """
    content = json.loads(read_text(Path(path)))
    images = {entry_id(image["id"]): image for image in content["images"]}
    families = {entry_id(one["id"]): one.get("supercategory") or "" for one in content["categories"]}
    count = Counter(entry_id(entry["image_id"]) for entry in content["annotations"])
    rows = []
    for index, entry in enumerate(content["annotations"]):
        number = entry_id(entry["image_id"])
        image = images[number]
        ground = image.get("background") or 0
        if ground not in range(len(BACKGROUNDS) + 1):
            most = len(BACKGROUNDS)
            raise DataError(f"{path}: image {image['id']!r}: expected background 1 to {most}, found {ground!r}")
        name = image["file_name"]
        row_name = name if count[number] == 1 else f"{name}#{entry_id(entry['id'])}"
        if (area := entry.get("area")) is None:
            box = entry.get("bbox") or [0, 0, 0, 0]  # one without a box is no row of the table
            area = box[2] * box[3]
        elif not isinstance(area, int | float):
            raise DataError(f"{path}: annotations[{index}]: expected 'area' as number, found {area!r}")
        family = str(families[entry_id(entry["category_id"])])
        rows.append((row_name, name, family, ("", *BACKGROUNDS)[int(ground)], float(area)))
    return pd.DataFrame(rows, columns=["image", "picture", "family", "background", "area"])


def read_unlabeled(folder: str | Path, boxes: str | Path | None = None) -> Annotations:
    """Read the part without keypoints: a folder of pictures, whole or with boxes (CSV: img, x, y, w, h).

    Raises:
        DataError: as `read_folder`.
    """
    return read_folder(folder, SCHEME, boxes=boxes, deep=True)
