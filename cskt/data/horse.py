"""The horse faces of Rashid et al. (CVPR 2017): the folder `release_data`, and the lists and boxes nobody released.

    release_data/horse/im/SOURCE/NAME.jpg     pictures of 224 x 224 pixels, cut to the face
    release_data/horse/npy/SOURCE/NAME.npy    [5, 3]: x, y in pixels of that picture, and above 0 where visible

Names in lists are paths from `release_data` on, as in the published code: `horse/im/flickr-horses/203.jpg`.
"""

from pathlib import Path

import numpy as np

from cskt.data.annotations import Annotations, read_animalweb
from cskt.data.pictures import measure
from cskt.errors import DataError
from cskt.files import write_text
from cskt.landmarks import SCHEMES, Scheme

TEST, VAL = 186, 100  # images; the first is a twentieth of the 3,717 faces


def read_horse(
    root: str | Path,
    list_file: str | Path,
    *,
    boxes: str | Path = "horse_bbox.csv",
    scheme: Scheme = SCHEMES["horse5"],
    split: str = "",
    labels: bool = True,
    strict: bool = False,
) -> Annotations:
    """Read listed faces of `release_data`; what is wrong with one is reported as by `read_animalweb`.

    Args:
        root: the folder `release_data`, which the other paths are relative to.
        list_file: the images to read, one name a line.
        boxes: CSV file with columns img, x, y, w, h in image pixels; `write_lists` makes it.
        scheme: the landmarks of the .npy files.
        split: what to write into the column of that name.
        labels: if False, no landmark file is opened and the table has no landmark columns.
        strict: raise where an image would be excluded.
    """
    return read_animalweb(
        root, list_file, images=".", boxes=boxes, scheme=scheme, split=split, labels=labels, species="horse",
        strict=strict, landmark_file=landmark_file, read_landmarks=read_npy,
    )  # fmt: skip


def landmark_file(image: Path) -> Path:
    """The .npy file of an image.

    Example:
        >>> landmark_file(Path("release_data/horse/im/flickr-horses/203.jpg")).as_posix()
        'release_data/horse/npy/flickr-horses/203.npy'
    """
    source = image.parent
    return source.parent.parent / "npy" / source.name / f"{image.stem}.npy"


def read_npy(path: str | Path, count: int) -> np.ndarray:
    """Read one landmark file.

    Args:
        path: an array [count, 3] of x, y and visibility.
        count: the number of landmarks expected.

    Returns:
        Landmarks in image pixels, [count, 2]; NaN where the visibility is not above 0.

    Raises:
        DataError: not such an array, or a visible landmark that is not a finite number.
    """
    # the header first: what it claims is checked before so much is read
    try:
        with Path(path).open("rb") as file:
            version = np.lib.format.read_magic(file)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reader(file)
            if dtype.hasobject:
                raise ValueError("it holds Python objects")
            if shape != (count, 3) or dtype.kind not in "fiu":
                raise DataError(f"{path}: expected numbers [{count}, 3], found {dtype} {list(shape)}")
            file.seek(0)
            values = np.lib.format.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # numpy raises many types for damaged headers
        raise DataError(f"{path}: not a readable .npy file: {' '.join(str(error).split())}") from None
    points, visible = values[:, :2].astype(float), values[:, 2] > 0
    if not np.isfinite(points[visible]).all():
        raise DataError(f"{path}: a visible landmark is not a finite number")
    return np.where(visible[:, None], points, np.nan)


def write_lists(root: str | Path, *, test: int = TEST, val: int = VAL, few: int = 40, seed: int = 0) -> dict[str, int]:
    """Write what the release lacks: root/splits/{train,val,test,labeled_<few>}.txt and root/horse_bbox.csv.

    Every picture with a landmark file is in exactly one of train, val and test, drawn at random; the few labeled ones
    are part of train. A box is the whole picture, which is cut to the face already, by people and not by its landmarks.

    Args:
        root: the folder `release_data`.
        test, val, few: images of these lists.
        seed: of the draw.

    Returns:
        Name of the list -> images on it.

    Raises:
        DataError: no such folder, too few pictures, a picture that cannot be read, or other lists stand there already.
    """
    root = Path(root)
    pictures = sorted((root / "horse" / "im").glob("*/*.jpg"))
    pictures = [path for path in pictures if landmark_file(path).is_file()]
    if len(pictures) < test + val + few:
        raise DataError(
            f"{root}: {len(pictures):,} pictures horse/im/*/*.jpg with a landmark file horse/npy/*/*.npy, "
            f"the lists need at least {test + val + few:,}; is this the unpacked release_data?"
        )
    names = [path.relative_to(root).as_posix() for path in pictures]
    drawn = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    lists = {
        "test": drawn[:test],
        "val": drawn[test : test + val],
        "train": drawn[test + val :],
        f"labeled_{few}": drawn[test + val : test + val + few],
    }
    rows = [f"{name},0,0,{w},{h}" for name, (w, h) in zip(names, map(_size, pictures), strict=True)]
    texts = {root / "splits" / f"{name}.txt": "\n".join(own) + "\n" for name, own in lists.items()}
    texts[root / "horse_bbox.csv"] = "\n".join(["img,x,y,w,h", *rows]) + "\n"
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise DataError(f"{path} stands there already, and holds something else: move it away first")
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        write_text(path, text)
    return {name: len(own) for name, own in lists.items()}


def _size(path: Path) -> tuple[int, int]:
    size, why = measure(path)
    if size is None:
        raise DataError(f"{path}: not a readable picture: {why}")
    return size
