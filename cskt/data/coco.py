"""Readers of COCO keypoints: the files of a setting (`read_coco`), and what annotation tools export (`coco_faces`)."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
import pandas as pd

from cskt.data.labelfile import Face, LabelFile
from cskt.data.pictures import picture_size
from cskt.data.reading import check_image_name, check_printable, is_file, read_list, read_text
from cskt.data.schemes import propose_flip_pairs
from cskt.data.table import FARTHEST, Annotations, ProblemLog, annotations, box_problem
from cskt.errors import DataError, some
from cskt.landmarks import SCHEMES, Scheme
from cskt.progress import say
from cskt.species import family_of


def read_coco(
    annotations_json: str | Path,
    images_dir: str | Path,
    *,
    scheme: Scheme | None = None,
    list_file: str | Path | None = None,
    split: str = "",
    labels: bool = True,
    strict: bool = False,
) -> Annotations:
    """Read COCO keypoints; the category is the species, and its supercategory the family if it ends in "idae".

    A row is named by its image's file name, or "file name#annotation id" where the image has several annotations.
    What has no box or no keypoints, is marked as a crowd, repeats an annotation of its image, or lies in a picture of
    another width or height than the file says (smaller, or turned), is excluded and reported.

    Args:
        annotations_json: file with images, annotations and categories.
        images_dir: folder of the images.
        scheme: the landmarks; if None, `categories[].keypoints`. Keypoints of the same names in another order are
            put into the scheme's order. Categories of which nothing is annotated may have others.
        list_file: file names (or row names) to keep, one a line; if None, all.
        split: what to write into the column of that name.
        labels: if False, keypoints are not looked at and the table has no landmark columns.
        strict: raise where an image would be excluded.

    Raises:
        DataError: broken JSON, a missing or wrong field, an unknown id: with the place and what was expected.
    """
    file, folder = Path(annotations_json), Path(images_dir)
    content = _load(file)
    categories = _by_id(file, content, "categories")
    images = _by_id(file, content, "images")
    _by_id(file, content, "annotations")
    annotated = {entry_id(entry.get("category_id")) for entry in content["annotations"]}
    annotated = {key: category for key, category in categories.items() if key in annotated}
    scheme = scheme or _scheme(file, list(annotated.values() or categories.values()), labels)
    orders = {key: _order(file, category, scheme) for key, category in annotated.items()} if labels else {}
    if labels and (unnamed := [str(key) for key, category in annotated.items() if not _names(file, category)]):
        order = f"they are taken in the order {', '.join(scheme.landmarks)}"
        say(f"{file}: without the keypoints' names (of categories {some(unnamed)}), {order}")
    for index, image in enumerate(content["images"]):
        check_image_name(_field(image, "file_name", str, f"{file}: images[{index}]"), f"{file}: images[{index}]")
    _refuse_repeated_files(file, content["images"])

    problems = ProblemLog(strict)
    listed = read_list(list_file) if list_file is not None else None
    wanted = listed.line_of if listed else {image["file_name"] for image in content["images"]}
    for name, line in listed.repeats if listed else []:
        problems.exclude(name, list_file, "listed more than once, used once", line)

    faces = Counter(entry_id(entry.get("image_id")) for entry in content["annotations"])
    seen, first, rows, landmarks, sizes = set(), {}, [], [], []
    for index, entry in enumerate(content["annotations"]):
        where = f"{file}: annotations[{index}]"
        image = _lookup(images, entry, "image_id", where)
        category = _lookup(categories, entry, "category_id", where)
        file_name = image["file_name"]
        name = file_name if faces[entry_id(image["id"])] == 1 else f"{file_name}#{entry_id(entry['id'])}"
        if file_name not in wanted and name not in wanted:
            continue
        seen |= {file_name, name}
        needed = ("bbox", "keypoints") if labels else ("bbox",)
        if entry.get("iscrowd"):
            problems.exclude(name, where, "crowd annotation")
            continue
        if absent := [key for key in needed if entry.get(key) in (None, [])]:
            problems.exclude(name, where, f"it has no {absent[0]!r}")
            continue
        box = _vector(entry, "bbox", 4, where)
        points = _keypoints(entry, orders[entry_id(category["id"])], where) if labels else None
        same = (entry_id(image["id"]), box.tobytes(), b"" if points is None else points.tobytes())
        if (other := first.setdefault(same, index)) != index:
            problems.exclude(name, where, f"box and landmarks are those of annotations[{other}], used once")
            continue
        told = _size(image, f"{file}: image {image['id']!r}")
        path = folder / file_name
        real = picture_size(path) if is_file(path) else None
        size = told or real
        if problem := box_problem(tuple(box), size):
            problems.exclude(name, where, problem)
        elif not is_file(path):
            problems.exclude(name, path, "image file is missing")
        elif told and real and real != tuple(told):
            problems.exclude(name, path, f"the picture is {real[0]} x {real[1]}, by {file.name} {told[0]} x {told[1]}")
        else:
            species = _field(category, "name", str, f"{file}: category {category['id']!r}")
            rows.append((name, str(path), species, _family(category), split, *box))
            landmarks.append(points)
            sizes.append(size or (np.nan, np.nan))

    for name in wanted:
        if name not in seen:
            place = list_file if listed else file
            problems.exclude(name, place, f"no annotation in {file.name}", listed.line_of[name] if listed else None)

    table = pd.DataFrame(rows, columns=["image", "path", "species", "family", "split", "x", "y", "w", "h"])
    points = np.array(landmarks).reshape(len(rows), len(scheme.landmarks), 2) if labels else None
    return annotations(table, scheme, problems, file, points, np.array(sizes).reshape(-1, 2))


def coco_faces(path: str | Path, names: tuple[str, ...] = ()) -> LabelFile:
    """Read COCO keypoints as CVAT, Label Studio and others export them.

    Categories without keypoints may be among them (CVAT's sub-labels, Label Studio's rectangles). An annotation with a
    box and no keypoints is taken as the face box of its picture, and its category as the species, where the picture has
    one such box and one face. A box of size 0 is none.

    Args:
        path: file with images, annotations and categories.
        names: the landmarks, for a file whose categories do not name them.

    Raises:
        DataError: broken JSON, a missing or wrong field, an unknown id: with the place and what was expected.
    """
    file = Path(path)
    content = _load(file)
    categories = _by_id(file, content, "categories")
    images = _by_id(file, content, "images")
    _by_id(file, content, "annotations")
    lists = dict.fromkeys(filter(None, (_names(file, category) for category in categories.values())))
    if len({tuple(sorted(one)) for one in lists}) > 1:
        raise DataError(f"{file}: the categories have different keypoints: {'; '.join(map(', '.join, lists))}")
    landmarks = next(iter(lists), tuple(names))
    if not landmarks:
        raise DataError(f"{file}: no category names its keypoints: give their names in a scheme file")

    faces, boxes = [], {}
    for index, entry in enumerate(content["annotations"]):
        where = f"{file}: annotations[{index}]"
        image = _lookup(images, entry, "image_id", where)
        category = _lookup(categories, entry, "category_id", where)
        box = _vector(entry, "bbox", 4, where) if entry.get("bbox") else np.zeros(4)
        box = tuple(box.tolist()) if (box[2:] > 0).all() else None
        name = _field(image, "file_name", str, f"{file}: image {image['id']!r}")
        species = str(category.get("name", ""))
        species = "" if species in landmarks or species.lower() in _NO_SPECIES else species
        if not entry.get("keypoints"):
            if box:
                boxes.setdefault(name, []).append((box, species))
            continue
        own = _names(file, category) or landmarks
        points = _keypoints(entry, [own.index(landmark) for landmark in landmarks], where)
        size = (image.get("width"), image.get("height"))
        size = size if all(type(side) in (int, float) and 0 < side <= FARTHEST for side in size) else None
        faces.append(Face(name, points, where, None, str(entry["id"]), box, species, size=size))
    if not faces:
        raise DataError(f"{file}: no annotation has keypoints: in CVAT label with skeletons and export COCO Keypoints")
    count = Counter(face.image for face in faces)
    used = 0
    for index, face in enumerate(faces):
        if len(boxes.get(face.image, [])) == 1 and count[face.image] == 1:
            box, species = boxes[face.image][0]
            faces[index] = replace(face, box=box, species=face.species or species)
            used += 1
    notes = [f"{used} face boxes are the rectangles drawn beside the keypoints"] if used else []
    return LabelFile("COCO keypoints", file, landmarks, faces, notes)


# names of categories that say no species: of tools, where the person gave none, and the most usual ones
_NO_SPECIES = ("", "default", "object", "skeleton", "keypoints", "face", "head", "animal")


def _load(file: Path) -> dict[str, Any]:
    text = read_text(file)
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise DataError(f"{file}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # nested too deeply, a number of thousands of digits
        raise DataError(f"{file}: not a COCO file: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected an object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f"{file}: expected {key!r} to be a list of objects, not empty")
    return content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of a name that stands twice Python would silently take the last value."""
    entry = dict(pairs)
    if len(entry) < len(pairs):
        raise ValueError(f"{Counter(name for name, _ in pairs).most_common(1)[0][0]!r} stands twice in one object")
    return entry


def entry_id(value: Any) -> Any:
    """An id of a COCO file as it is compared: a whole number or text; None for anything else."""
    # pandas writes 7.0 where one number of a column is missing
    if isinstance(value, float) and value.is_integer():
        return int(value)
    # a list or an object would not do as a key of a dictionary; None is never a valid id
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _by_id(file: Path, content: dict[str, Any], key: str) -> dict[int | str, dict]:
    found: dict[int | str, dict] = {}
    for index, entry in enumerate(content[key]):
        number = entry_id(entry.get("id"))
        if number is None or number in found:
            problem = "occurs twice" if number in found else "is missing or is neither a whole number nor text"
            raise DataError(f"{file}: {key}[{index}]: 'id' {problem}: {entry.get('id')!r}")
        found[number] = entry
    return found


def _lookup(entries: dict, annotation: dict, key: str, where: str) -> dict:
    entry = entries.get(entry_id(annotation.get(key)))
    if entry is None:
        raise DataError(f"{where}: unknown {key} {annotation.get(key)!r}")
    return entry


def _field(entry: dict, key: str, kind: type | UnionType, where: str) -> Any:
    if not isinstance(entry.get(key), kind):
        name = kind.__name__ if isinstance(kind, type) else "number"
        raise DataError(f"{where}: expected {key!r} as {name}, found {entry.get(key)!r}")
    return entry[key]


def _vector(entry: dict, key: str, length: int, where: str) -> np.ndarray:
    values = entry.get(key)
    try:
        if isinstance(values, list) and len(values) == length and not any(isinstance(v, str | bool) for v in values):
            return np.array(values, dtype=np.float64).reshape(length)
    except (TypeError, ValueError, OverflowError):
        pass
    found = f"a list of {len(values)}" if isinstance(values, list) else repr(values)
    raise DataError(f"{where}: expected {key!r} to be {length} numbers, found {found}")


def _keypoints(entry: dict, order: list[int], where: str) -> np.ndarray:
    values = _vector(entry, "keypoints", 3 * len(order), where).reshape(-1, 3)[order]
    points, visibility = values[:, :2], values[:, 2]
    if not np.isin(visibility, (0, 1, 2)).all():
        raise DataError(f"{where}: expected visibility 0, 1 or 2 in 'keypoints', found {visibility.tolist()}")
    if not np.isfinite(points[visibility > 0]).all():
        raise DataError(f"{where}: a visible keypoint is not a finite number")
    return np.where(visibility[:, None] > 0, points, np.nan)


def _size(image: dict, where: str) -> tuple[float, float] | None:
    if image.get("width") is None and image.get("height") is None:
        return None
    width, height = (_field(image, key, int | float, where) for key in ("width", "height"))
    if not (0 < width <= FARTHEST and 0 < height <= FARTHEST):
        raise DataError(f"{where}: expected a positive width and height, found {width!r} x {height!r}")
    return width, height


def _family(category: dict) -> str:
    # the table first: AP-10K puts howlers, night monkeys, spider monkeys and uakaris into Cercopithecidae
    family, own = family_of(category["name"]), str(category.get("supercategory", ""))
    return own if family == "unknown" and own.endswith("idae") else family


def _names(file: Path, category: dict) -> tuple[str, ...]:
    names = category.get("keypoints", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: category {category['id']!r}: expected 'keypoints' to be a list of names")
    for name in (*names, str(category.get("name", "")), str(category.get("supercategory", ""))):
        check_printable(name, f"{file}: category {category['id']!r}", "printable names")
    return tuple(names)


def _scheme(file: Path, categories: list[dict], labels: bool) -> Scheme:
    choices = {_names(file, category) for category in categories}
    if len(choices) > 1:
        raise DataError(f"{file}: the categories have different keypoints: read it with a scheme")
    (names,) = choices
    if labels and not names:
        raise DataError(f"{file}: the categories name no keypoints: read it with a scheme")
    known = [scheme for scheme in SCHEMES.values() if scheme.landmarks == names]
    if known:
        return known[0]
    try:
        return Scheme(f"coco{len(names)}", names, propose_flip_pairs(names))
    except ValueError as error:
        raise DataError(f"{file}: {error}") from None


def _order(file: Path, category: dict, scheme: Scheme) -> list[int]:
    """Return which of the category's keypoints each landmark of the scheme is."""
    names = _names(file, category) or scheme.landmarks
    if told := scheme.unlike(names):
        raise DataError(
            f"{file}: category {category['id']!r}: its list of keypoints {told}; expected those of the scheme "
            f"{scheme.name} and no others (where a face has none, 0, 0, 0)"
        )
    return [names.index(landmark) for landmark in scheme.landmarks]


def _refuse_repeated_files(file: Path, images: list[dict]) -> None:
    name, count = Counter(image["file_name"] for image in images).most_common(1)[0]
    if count > 1:
        raise DataError(f"{file}: {count} entries of 'images' have the file_name {name!r}")
