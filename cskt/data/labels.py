"""Labels as people have them: any of the known formats, recognized by its content, into the one annotation table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cskt.data.boxes import box_of, is_extent
from cskt.data.coco import coco_faces
from cskt.data.deeplabcut import is_deeplabcut, read_deeplabcut_csv, read_deeplabcut_h5
from cskt.data.folder import Pictures, read_boxes, species_by_name
from cskt.data.labelfile import Face, LabelFile, number, point
from cskt.data.pictures import is_turned, measure
from cskt.data.places import Places
from cskt.data.pts import pts_faces
from cskt.data.reading import read_csv, read_list, read_text, refuse_separators
from cskt.data.schemes import scheme_of
from cskt.data.sleap import is_sleap, read_sleap_csv
from cskt.data.table import Annotations, ProblemLog, annotations, box_problem
from cskt.errors import DataError, some
from cskt.landmarks import Scheme
from cskt.species import family_of

FORMATS = (
    "DeepLabCut CSV or H5 (one file, or a project folder), Lightning Pose CSV, SLEAP's analysis CSV, COCO keypoints "
    "JSON (CVAT, Label Studio; or the exported folder), a folder of .pts files, or a CSV that cskt wrote"
)
BOXES = ("auto", "landmarks", "picture")
_COLUMNS = ["image", "path", "species", "family", "split", "x", "y", "w", "h"]


@dataclass(frozen=True)
class Labels:
    """Labels of a person's own.

    Attributes:
        faces: the annotation table, in the order of the pictures' names.
        format: what the file was recognized as.
        notes: what was decided in reading it.
        pictures: the folder of the pictures.
        proposed: whether the scheme was made from names and labels, not known or read from a file.
    """

    faces: Annotations
    format: str
    notes: list[str]
    pictures: Pictures
    proposed: bool

    def describe(self, notes: Sequence[str] = ()) -> list[str]:
        """What the labels hold, a line each, and notes after that."""
        faces, scheme = self.faces, self.faces.scheme
        there = np.isfinite(faces.landmarks).all(axis=-1)
        counts = faces.table["species"].value_counts(sort=False)
        names = scheme.landmarks
        pairs = ", ".join(f"{names[a]} / {names[b]}" for a, b in scheme.flip_pairs)
        places = ", ".join(f"{place} is {' + '.join(names[i] for i in own)}" for place, own in scheme.parts.items())
        how = " (proposed from the names)" if self.proposed else ""
        told = {
            "format": self.format,
            "faces": f"{len(faces)} in {faces.table['path'].nunique()} pictures; {len(self.pictures.paths)} pictures "
            f"in {self.pictures.folder}",
            "species": ", ".join(f"{name} {count}" for name, count in counts.items()),
            "landmarks": ", ".join(f"{name} {count}" for name, count in zip(names, there.sum(axis=0), strict=True)),
            "missing": f"{(~there).sum()} of {there.size} landmarks",
            "flip pairs": f"{pairs}{how}" if pairs else "none: a mirror image keeps every name",
            "places": f"{places}{how}" if places else "none known: nothing is shared with a face model",
        }
        return [f"{name:<13}{text}" for name, text in [*told.items(), *(("note", note) for note in notes)]]


def read_labels(
    path: str | Path,
    images: str | Path | None = None,
    *,
    boxes: str | Path | None = None,
    box: str = "auto",
    scheme: Scheme | None = None,
    species: str = "",
    keep: str | Path | None = None,
    frames: str | Path | None = None,
) -> Labels:
    """Read labels of any known format.

    A face whose picture is missing, ambiguous or unreadable, that has no landmark, or no usable box, is excluded and
    reported in the table's `problems`.

    Args:
        path: file or folder of labels; `FORMATS` says which.
        images: folder of the pictures, looked through with all below it; None: beside the labels. A picture that is not
            there is looked for beside the labels, too (`places.Places`).
        boxes: CSV file of face boxes (img, x, y, w, h), stronger than those of the label file.
        box: for a face that has none there: "auto" (the label file's box; if it has none, or no more than the
            landmarks' own extent, AnimalWeb's rule: `boxes.box_of`), "landmarks" (that rule for all), or "picture" (the
            whole picture for all: pictures that are cropped to the face already).
        scheme: the landmarks; None: from the names and labels (`schemes.scheme_of`).
        species: of all pictures; if "", the file's, else from the pictures' names (horse_12.jpg), else "animal".
        keep: list of the pictures to keep, one name a line.
        frames: for SLEAP: list of picture names, frame 0 first.

    Raises:
        DataError: a file that cannot be read, with file, line and what was expected; or no face left.
    """
    if box not in BOXES:
        raise DataError(f"box {box!r} is not one of {', '.join(BOXES)}")
    source = read_file(path, scheme)
    places = Places(source, images)
    pictures = places.first
    names, order = _order(source, scheme)
    frame_names = _frames(frames) if frames is not None else None
    kept = {places.must_find(name, keep) for name in read_list(keep).line_of} if keep is not None else None
    box_table = read_boxes(boxes, places) if boxes is not None else {}

    problems, found, file_of = ProblemLog(strict=False), [], {}
    for face in source.faces:
        name, picture, why = places.find_face(face, frame_names)
        told = face.image or f"frame {face.frame}"
        if name is None:
            problems.exclude(told, source.path, why, face.line)
        elif kept is None or name in kept:
            found.append((name, face))
            file_of[name] = picture
    if not found:
        why = problems.table()["problem"].iloc[0] if kept is None else f"none of them is in {keep}"
        raise DataError(f"{source.path}: none of its {len(source.faces)} pictures can be used: {why}; see --images")

    rows, points, sizes, how, other = [], [], [], Counter(), []
    several = Counter(name for name, _ in dict.fromkeys((name, face.individual) for name, face in found))
    seen: dict[tuple[str, str], Face] = {}
    numbers: Counter = Counter()
    for name, face in sorted(found, key=lambda pair: pair[0]):
        if (name, face.individual) in seen:
            problems.exclude(name, source.path, "labeled twice, the first is used", face.line)
            continue
        seen[name, face.individual] = face
        numbers[name] += 1
        size, why = measure(file_of[name])
        landmarks = face.landmarks[order]
        if size is None:
            problems.exclude(name, file_of[name], f"cannot be read as a picture: {why}")
            continue
        if np.isnan(landmarks).all():
            problems.exclude(name, source.path, "no landmark is labeled", face.line)
            continue
        own, kind = _box(face, box_table.get(name), landmarks, size, box)
        problem = "one landmark alone gives no face box: give --boxes" if own is None else box_problem(own, size)
        if problem:
            problems.exclude(name, source.path, problem, face.line)
            continue
        how[kind] += 1
        row = name if several[name] == 1 else f"{name}#{numbers[name]}"
        which = species or face.species or species_by_name(name)
        rows.append((row, str(file_of[name]), which, family_of(which), "", *own))
        points.append(landmarks)
        sizes.append(size)
        if face.size and tuple(face.size) != tuple(size):
            other.append("{}: {:g} x {:g} there, {:g} x {:g} here".format(name, *face.size, *size))

    stacked = np.array(points, dtype=float).reshape(len(rows), len(names), 2)
    proposed = scheme is None
    try:
        scheme = scheme or scheme_of(names, stacked)
    except DataError as error:
        raise DataError(f"{source.path}: {error}") from None
    proposed &= scheme.name.startswith("own")
    table = pd.DataFrame(rows, columns=_COLUMNS)
    faces = annotations(table, scheme, problems, source.path, stacked, np.array(sizes, dtype=float).reshape(-1, 2))
    notes = [*source.notes, *(f"boxes: {count} {kind}" for kind, count in how.items())]
    home = pictures.folder.absolute()
    if elsewhere := [path for path in faces.table["path"] if not Path(path).absolute().is_relative_to(home)]:
        notes.append(f"{len(elsewhere)} labeled faces lie beside the labels, not in {pictures.folder}: {elsewhere[0]}")
    if other:
        notes.append(f"labeled in pictures of another size, so perhaps off: {len(other)} faces ({some(other)})")
    if turned := [Path(path).name for path in faces.table["path"].unique() if is_turned(path)]:
        notes.append(f"turned by EXIF: {len(turned)} pictures ({some(turned)}); labels count in them as they are shown")
    return Labels(faces, source.format, notes, pictures, proposed)


def read_file(path: str | Path, scheme: Scheme | None = None) -> LabelFile:
    """Read a label file or folder of any known format, without looking for its pictures.

    Raises:
        DataError: no such file, none of the known formats, or not of its format's layout.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, scheme)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder of labels")
    with path.open("rb") as file:
        start = file.read(8)
    if start == b"\x89HDF\r\n\x1a\n":
        return read_deeplabcut_h5(path)
    if start[:4] == b"PK\x03\x04":
        raise DataError(f"{path}: a zip archive: unpack it and give the file or folder inside")
    text = read_text(path)
    first = text.lstrip().split("\n", 1)[0].strip()
    if first.startswith("["):
        raise DataError(f"{path}: a JSON list, as Label Studio's own export: export the labels as COCO instead")
    if first.startswith("<"):
        raise DataError(f"{path}: XML, as CVAT's own export: export the labels as COCO Keypoints instead")
    if first.startswith("{"):
        return coco_faces(path, scheme.landmarks if scheme else ())
    if first.startswith("version:"):
        raise DataError(f"{path}: one .pts file: give the folder of all of them")
    if is_deeplabcut(first):
        return read_deeplabcut_csv(path)
    if is_sleap(first):
        return read_sleap_csv(path)
    if "," in first and {"image", "img"} & {name.strip() for name in first.split(",")}:
        return _read_own_csv(path)
    refuse_separators(path, first)
    raise DataError(f"{path}, line 1: not a known label format; found {first[:60]!r}, expected {FORMATS}")


def _frames(path: str | Path) -> list[str]:
    """The picture of each frame: line k + 1 names that of frame k, so that none may be blank or repeat another."""
    listed = read_list(path)
    lines = {**{line: name for name, line in listed.line_of.items()}, **{line: "" for _, line in listed.repeats}}
    for line in range(1, max(lines) + 1):
        if not lines.get(line):
            raise DataError(f"{path}, line {line}: expected a picture of its own for frame {line - 1}")
    return list(listed.line_of)


def _read_folder(folder: Path, scheme: Scheme | None) -> LabelFile:
    if any(folder.glob("*.pts")):
        return pts_faces(folder, scheme)
    for pattern in ("CollectedData*.csv", "*/CollectedData*.csv", "labeled-data/*/CollectedData*.csv"):
        if files := sorted(folder.glob(pattern)):
            parts = [read_deeplabcut_csv(file) for file in files]
            for part in parts[1:]:
                if part.landmarks != parts[0].landmarks:
                    raise DataError(f"{part.path}: has not the same body parts as {parts[0].path}")
            faces = [face for part in parts for face in part.faces]
            notes = list(dict.fromkeys(note for part in parts for note in part.notes))
            return LabelFile(f"DeepLabCut project, {len(files)} CSV files", folder, parts[0].landmarks, faces, notes)
    for pattern in ("annotations/person_keypoints*.json", "annotations/*.json", "*.json"):
        if files := sorted(folder.glob(pattern)):
            if len(files) > 1:
                names = some([file.relative_to(folder).as_posix() for file in files])
                raise DataError(f"{folder}: several JSON files, give one of them: {names}")
            return read_file(files[0], scheme)
    raise DataError(
        f"{folder}: no labels in this folder: expected .pts files, DeepLabCut's CollectedData_NAME.csv or a COCO JSON "
        "(annotations/person_keypoints_default.json of CVAT)"
    )


def _read_own_csv(path: Path) -> LabelFile:
    """Read a table with image, optionally x, y, w, h and species, and NAME_x, NAME_y of each landmark."""
    table = read_csv(path, ("image|img",))
    columns = table.columns
    names = tuple(name[:-2] for name in columns if name.endswith("_x") and f"{name[:-2]}_y" in columns)
    if not names:
        raise DataError(
            f"{path}, line 1: expected columns NAME_x and NAME_y of the landmarks; found {', '.join(columns)}"
        )
    boxed = set("xywh") <= columns.keys()
    faces = []
    for row, line in enumerate(table.lines):
        place = f"{path}, line {line}"
        points = [point(columns[f"{name}_x"][row], columns[f"{name}_y"][row], place, name) for name in names]
        box = tuple(number(columns[side][row], place, side) for side in "xywh") if boxed else None
        box = None if box is not None and np.isnan(box).all() else box
        species = columns["species"][row].strip() if "species" in columns else ""
        faces.append(Face(columns["image"][row].strip(), np.array(points), place, line, box=box, species=species))
    return LabelFile("CSV of cskt", path, names, faces)


def _order(source: LabelFile, scheme: Scheme | None) -> tuple[tuple[str, ...], list[int]]:
    """The landmarks in the scheme's order, and which column of the file each one is."""
    if scheme is None:
        return source.landmarks, list(range(len(source.landmarks)))
    if told := scheme.unlike(source.landmarks):
        raise DataError(
            f"{source.path}: its list of landmarks {told}; expected those of the scheme {scheme.name} and no others"
        )
    return scheme.landmarks, [source.landmarks.index(name) for name in scheme.landmarks]


def _box(face: Face, given: tuple | None, landmarks: np.ndarray, size: tuple[int, int], box: str):
    """A face's box and how it was come by."""
    if given is not None:
        return given, "from the box table"
    if box == "picture":
        return (0.0, 0.0, float(size[0]), float(size[1])), "are the whole picture"
    if box == "auto" and face.box is not None and not is_extent(np.array(face.box), landmarks):
        return face.box, "from the label file"
    if np.isfinite(landmarks).all(axis=-1).sum() < 2:
        return None, ""
    return tuple(box_of(landmarks, *size).tolist()), "derived from the landmarks by AnimalWeb's rule"
