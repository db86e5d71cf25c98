"""A small set of drawn animal faces as a person would have it: pictures, labels of a few in two formats, a test set."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from cskt.data.exports import coco_content, deeplabcut_csv
from cskt.data.pts import read_pts
from cskt.data.table import Annotations, landmark_columns
from cskt.data.zoo import SPECIES, draw_images, image_names
from cskt.errors import DataError
from cskt.files import make_folder, write_csv, write_text
from cskt.landmarks import SCHEMES
from cskt.species import family_of, species_of

FILES = {"OWN.LABELS": "labels.csv", "OWN.IMAGES": "pictures", "OWN.BOXES": "boxes.csv"}  # config key -> what it names
SEED = 1  # other individuals than those of the embedded zoo


def write_sample(folder: str | Path, *, labeled: int = 40, unlabeled: int = 200, test: int = 60) -> list[str]:
    """Draw pictures of animals of the zoo, and write labels of the first few as people have them.

    FOLDER/pictures/ with all pictures; labels.csv (DeepLabCut) and labels.json (COCO, with boxes) of `labeled` of them;
    boxes.csv of all; test.json (COCO) with the true landmarks of `test` further pictures in FOLDER/test/.

    It is drawn beside that place and moved there as a whole.

    Args:
        folder: to make; must not exist, or be empty.
        labeled: pictures with labels.
        unlabeled: pictures without.
        test: pictures apart, with labels.

    Returns:
        What was written, a line each.

    Raises:
        DataError: the folder holds something already, or there would be no label.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: holds something already, give a new folder")
    if folder.resolve() == Path.cwd():
        raise DataError(f"{folder}: is the folder that you are in, give a new one")
    if labeled < 1:
        raise DataError(f"expected at least one label, found {labeled}")
    make_folder(folder)
    # what is stopped half-way would never be finished: it could not be told from a folder of the person's own
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        _draw(Path(temporary, "sample"), labeled, unlabeled, test)
        Path(temporary, "sample").replace(folder)
    return [
        f"{folder}/pictures: {labeled + unlabeled} pictures of {len(SPECIES) - 1} species",
        f"{folder}/labels.csv (DeepLabCut) and labels.json (COCO): {labeled} of them labeled",
        f"{folder}/boxes.csv: a face box for every picture",
        f"{folder}/test and test.json: {test} further pictures with their true landmarks",
    ]


def _draw(folder: Path, labeled: int, unlabeled: int, test: int) -> None:
    total = labeled + unlabeled + test
    # the people of the zoo are the first in the list of names, and not for here
    names = [name for name in image_names(round(1.5 * total) + len(SPECIES)) if not name.startswith("human_")][:total]
    pictures, apart = folder / "pictures", folder / "test"
    for place in (pictures, apart):
        place.mkdir(parents=True, exist_ok=True)
    boxes = draw_images(pictures, names, SEED)
    rows, points = [], []
    for index, (name, box) in enumerate(zip(names, boxes, strict=True)):
        path = pictures / name
        points.append(read_pts(path.with_suffix(".pts"), 9))
        path.with_suffix(".pts").unlink()
        if index >= labeled + unlabeled:
            path = path.rename(apart / name)
        rows.append((name, str(path), species_of(name), family_of(species_of(name)), "", *box))
    columns = ["image", "path", "species", "family", "split", "x", "y", "w", "h"]
    table = pd.DataFrame(rows, columns=columns)
    scheme = SCHEMES["animalweb9"]
    table[landmark_columns(scheme)] = np.reshape(points, (total, -1))
    faces = Annotations(table, scheme, pd.DataFrame(columns=["image", "file", "line", "problem", "action"]))
    few, held_out = faces.select(names[:labeled]), faces.select(names[labeled + unlabeled :])
    write_text(folder / "labels.csv", deeplabcut_csv(few))
    write_text(folder / "labels.json", json.dumps(coco_content(few)))
    write_csv(folder / "boxes.csv", table.rename(columns={"image": "img"})[["img", "x", "y", "w", "h"]])
    if test:
        write_text(folder / "test.json", json.dumps(coco_content(held_out)))
