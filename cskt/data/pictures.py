"""Picture files, whatever they are called and whatever is wrong with them: their size, and their pixels as RGB."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cskt.errors import DataError

# file endings of pictures; Pillow's own list has CollectedData.h5, drawings (.pdf) and films (.mpg) too
HEIC = (".heic", ".heif", ".hif")
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".avif", ".jp2", ".mpo",
           ".tga", ".ppm", ".pgm", ".pbm", ".pnm", *HEIC)  # fmt: skip
HEIC_NEEDS = "HEIC needs the package pillow-heif: pip install pillow-heif, or save it as JPEG"
MAX_PIXELS = 150_000_000  # larger than any camera's; a small file can claim, and unpack to, any size
MAX_SIDE = 1_000_000  # pixels; a crop takes memory by the square's side, too
_EXIF_ORIENTATION = 0x0112
# an EPS file, whatever it is called, would be handed to Ghostscript, which executes it
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "MPO", "AVIF", "HEIF", "TGA", "PCX")


def formats() -> tuple[str, ...]:
    """Pillow's names of the picture formats that are read, as far as this Pillow can."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def reads_heic() -> bool:
    """Whether HEIC files can be read here: where the package pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def read_image(path: str | Path) -> Image.Image:
    """Decode a picture wholly, as RGB and upright (EXIF); of several frames or pages the first.

    Gray values of 16 bits are scaled to 8, so that white stays white.

    Raises:
        DataError: it cannot be read, is larger than `MAX_PIXELS` or `MAX_SIDE`, or has pixels whose white is not known
            (32 bits); the message says why.
    """
    with _opened(path) as picture:
        return as_rgb(picture)


def read_reduced(path: str | Path, most: float) -> tuple[Image.Image, int, tuple[int, int]]:
    """As `read_image`, but a large JPEG file is decoded at a fraction of its size, which takes less time.

    Args:
        path: the file.
        most: how many times smaller the picture may be; below 2 it is decoded wholly.

    Returns:
        the picture; how many times smaller it is (1, 2, 4 or 8, its sides rounded up); width and height of the whole.
    """
    with _opened(path) as picture:
        width, height = picture.size
        if most >= 2 and picture.format == "JPEG":
            wanted = int(min(most, width, height))
            picture.draft("RGB", (width // wanted, height // wanted))
        sizes = {k: (-(-width // k), -(-height // k)) for k in (1, 2, 4, 8)}
        factor = next(k for k, size in sizes.items() if size == picture.size)
        turned = picture.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
        return as_rgb(picture), factor, (height, width) if turned else (width, height)


def picture_size(path: str | Path) -> tuple[int, int] | None:
    """Return width and height as the picture is shown (EXIF); None if its header cannot be read."""
    return measure(path)[0]


def measure(path: str | Path) -> tuple[tuple[int, int] | None, str]:
    """Return a picture's size as `picture_size`, and what is the matter where there is none."""
    try:
        with _opened(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except DataError as error:
        return None, str(error).removeprefix(f"{path}: not a readable image (").removesuffix(")")
    return ((height, width) if turned else (width, height)), ""


def is_turned(path: str | Path) -> bool:
    """Whether a picture is stored turned or mirrored, and shown upright (EXIF).

    Raises:
        DataError: it cannot be read.
    """
    with _opened(path) as picture:
        return picture.getexif().get(_EXIF_ORIENTATION, 1) != 1


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    needs = HEIC_NEEDS if Path(path).suffix.lower() in HEIC and not reads_heic() else ""
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd EXIF data and of sizes below our own bound
            warnings.simplefilter("ignore")
            if os.path.exists(path) and not os.path.isfile(path):
                # a pipe of a picture's name would be waited for without end
                raise ValueError("not a regular file")
            with Image.open(path, formats=formats()) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise ValueError(f"{picture.width} x {picture.height} pixels, at most {MAX_PIXELS:,} are allowed")
                if max(picture.size) > MAX_SIDE:
                    raise ValueError(
                        f"{picture.width} x {picture.height} pixels, at most {MAX_SIDE:,} a side are allowed"
                    )
                yield picture
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a readable image ({needs or 'no known format'})") from None
    # Pillow's decoders raise struct.error, zlib.error, EOFError, TypeError and more for damaged files
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not a readable image ({reason})") from error


def as_rgb(picture: Image.Image) -> Image.Image:
    """An opened picture as `read_image` decodes it; raises whatever Pillow's decoders raise for a damaged file."""
    picture.load()
    # Pillow copies the pixels where there is nothing to turn or to convert, too
    upright = picture if picture.getexif().get(_EXIF_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(picture)
    if not upright.mode.startswith(("I", "F")):
        return upright if upright.mode == "RGB" else upright.convert("RGB")
    # Pillow's own conversion of more than 8 bits makes everything above 255 white
    if upright.mode == "F" or (upright.mode == "I" and picture.format not in ("PNG", "PPM")):
        raise ValueError("its pixels have 32 bits, of which nothing says what is white: save it with 8 or 16")
    gray = np.asarray(upright).astype(np.int64)
    return Image.fromarray(((gray + 128) // 257).astype(np.uint8)).convert("RGB")
