"""Pictures that a person hands over as bytes, and the face box drawn into one: checked, with messages for people."""

import io
import warnings

import numpy as np
from PIL import Image

from cskt.data.pictures import as_rgb, reads_heic
from cskt.data.table import box_problem
from cskt.errors import DataError

MOST_BYTES = 32 * 2**20  # of a file
MOST_PIXELS = 60_000_000  # of a picture: 180 MB when decoded
LEAST_SIDE = 16  # of a face box, pixels: fewer say too little about a face


def formats() -> str:
    """The formats that can be read here, for people."""
    return "JPEG, PNG or HEIC" if reads_heic() else "JPEG or PNG (HEIC with the package pillow-heif)"


def _formats(heic: bool) -> tuple[str, ...]:
    return ("JPEG", "PNG", "HEIF") if heic else ("JPEG", "PNG")


def read_upload(name: str, content: bytes) -> Image.Image:
    """Decode a picture wholly, as RGB and upright (EXIF), to the pixels that `pictures.read_image` gives of its file.

    Args:
        name: of the file, for messages only.
        content: of the file.

    Raises:
        DataError: too large, of another format, or damaged; the message says which and what to do.
    """
    if not content:
        raise DataError(f"{name} is empty: choose the file again")
    if len(content) > MOST_BYTES:
        raise DataError(f"{name} has {len(content) / 2**20:.0f} MB: save it smaller, {MOST_BYTES >> 20} MB at most")
    can_heic = reads_heic()
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=_formats(can_heic)) as picture:
            # of odd EXIF data, and of sizes below our own bound
            warnings.simplefilter("ignore")
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(
                    f"{name} has {picture.width * picture.height / 1e6:.0f} million pixels: "
                    f"save it smaller, {MOST_PIXELS / 1e6:.0f} million at most"
                )
            return as_rgb(picture)
    except DataError:
        raise
    except Image.UnidentifiedImageError:
        if content[4:8] == b"ftyp" and not can_heic:
            raise DataError(f"{name} looks like HEIC: save it as JPEG, or install pillow-heif") from None
        raise DataError(f"{name} is no picture of a format that can be read here: {formats()}") from None
    # Pillow's decoders raise struct.error, zlib.error, EOFError, TypeError and more for damaged files
    except Exception as error:
        raise DataError(f"{name} is damaged ({error}): save or copy it again") from error


def check_box(box: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """A face box that can be used, or a message that says why not.

    Args:
        box: x, y, w, h in image pixels; None or empty: there is none.
        size: width and height of the picture.

    Returns:
        The box, [4], float64.

    Raises:
        DataError: no box, a tiny one, or one outside the picture.
    """
    if box is None or len(box) == 0:
        raise DataError("No face box yet: drag one around the face with the mouse, or let one be proposed")
    box = np.asarray(box, dtype=float)
    if problem := box_problem(tuple(box.tolist()), size):
        raise DataError(f"{problem[0].upper()}{problem[1:]}: draw it anew")
    if min(box[2:]) < LEAST_SIDE:
        raise DataError(
            f"The box is tiny, {box[2]:.0f} x {box[3]:.0f} pixels: a face needs {LEAST_SIDE} on each side at least. "
            "Drag a larger one, or take a picture in which the face is larger"
        )
    return box
