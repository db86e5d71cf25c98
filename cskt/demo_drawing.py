"""What a demo's canvas shows as a picture to take away, at the full resolution of what was uploaded."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cskt.demo import HEAT

READABLE = 900  # longer side that a smaller picture is enlarged to, by a whole number, so that names can be read
_SCREEN = (900, 560)  # width and height of a canvas whose marks and letters have the sizes below, pixels
_RADIUS, _LETTERS, _LINE = 5, 12, 14  # of a mark, of names, from one name to the next below it
_WHITE, _DARK = "#ffffff", "#202020"


def drawing(
    picture: Image.Image,
    region: tuple[float, float, float, float],
    box: list[float],
    layers: list[dict],
    links: list[list[float]],
    heat: Image.Image | None = None,
    heat_region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
) -> Image.Image:
    """Draw what `web.FaceCanvas` shows: the same part of the picture, box, heatmap, landmarks, names and lines.

    Args:
        picture: RGB, upright.
        region: the part that is shown, x, y, w, h in pixel edges.
        box, layers, links, heat_region: as the canvas has them, in image pixels.
        heat: the veil of a heatmap, RGBA; None: none.

    Returns:
        RGB, a whole number of times as large as the region: once, if that is READABLE pixels long.
    """
    left, top, width, height = map(round, region)
    enlarged = -(-READABLE // max(width, height))
    size = width * enlarged, height * enlarged
    whole = (width, height) == picture.size
    shown = picture.copy() if whole else picture.crop((left, top, left + width, top + height))
    if enlarged > 1:
        shown = shown.resize(size, Image.Resampling.BICUBIC)
    unit = max(of / on for of, on in zip(size, _SCREEN, strict=True))

    def place(points) -> np.ndarray:
        # a point is half a pixel inside the edges that a drawing counts from
        return (np.asarray(points, dtype=float).reshape(-1, 2) + 0.5 - [left, top]) * enlarged

    if heat is not None:
        _veil(shown, heat, place(heat_region[:2])[0], np.array(heat_region[2:]) * enlarged)
    draw = ImageDraw.Draw(shown)
    middle = size[0] / 2
    if len(box):
        (x, y), (w, h) = place(box[:2])[0], np.array(box[2:]) * enlarged
        middle = x + w / 2
        for thick, ink in ((4 * unit, _DARK), (2 * unit, _WHITE)):
            around = (x - thick / 2, y - thick / 2, x + w + thick / 2, y + h + thick / 2)
            draw.rectangle(around, outline=ink, width=round(thick))
    for ends in links:
        for thick, ink in ((3 * unit, _DARK), (1.4 * unit, _WHITE)):
            draw.line([tuple(at) for at in place(ends)], fill=ink, width=max(1, round(thick)))
    for layer in layers:
        for x, y in place(layer["points"]):
            _mark(draw, layer["marker"], x, y, unit, layer["color"], layer["edge"])
    for layer in layers:
        _names(draw, layer["labels"], place(layer["points"]), middle, unit, size[0])
    return shown


def _veil(shown: Image.Image, heat: Image.Image, corner: np.ndarray, size: np.ndarray) -> None:
    """Lay a heatmap over the part of a picture that begins at a corner; only what is inside is enlarged."""
    low = np.clip(np.round(corner), 0, shown.size).astype(int)
    high = np.clip(np.round(corner + size), 0, shown.size).astype(int)
    if (high > low).all():
        source = np.concatenate([low - corner, high - corner]) / np.tile(size, 2) * np.tile(heat.size, 2)
        source = np.clip(source, 0, np.tile(heat.size, 2))
        mask = heat.getchannel("A").resize(tuple(high - low), Image.Resampling.BILINEAR, box=tuple(source))
        shown.paste(HEAT, tuple(low.tolist()), mask)


def _mark(draw: ImageDraw.ImageDraw, marker: str, x: float, y: float, unit: float, color: str, edge: str) -> None:
    outline = [tuple(at) for at in np.array([x, y]) + _RADIUS * unit * _shape(marker)]
    rings = ((4.0, "black"), (1.8, edge)) if color == "none" else ((1.0, edge),)
    if color != "none":
        draw.polygon(outline, fill=color)
    for thick, ink in rings:
        draw.line([*outline, *outline[:2]], fill=ink, width=max(1, round(thick * unit)), joint="curve")


@cache
def _shape(marker: str) -> np.ndarray:
    """The outline of a mark of radius 1 around (0, 0), [n, 2], as the canvas draws it."""
    if marker == "s":
        return np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    if marker == "^":
        return np.array([[0.0, -1.2], [1.1, 0.9], [-1.1, 0.9]])
    if marker == "X":
        a, b = 0.4, 1.2
        quarter = np.array([[0.0, -a], [b - a, -b], [b, a - b]])
        turns = [np.array([[np.cos(k), np.sin(k)], [-np.sin(k), np.cos(k)]]) for k in np.arange(4) * np.pi / 2]
        return np.concatenate([quarter @ turn for turn in turns])
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _names(draw: ImageDraw.ImageDraw, texts: list[str], points: np.ndarray, middle: float, unit: float, width: int):
    """Write names beside their points, away from the middle of the face but inside the picture, none over another."""
    font = _font(_LETTERS * unit)
    placed = [(y, x, text) for (x, y), text in zip(points, texts, strict=False)]
    for outward in (True, False):
        free = 0.0
        for y, x, text in sorted(one for one in placed if (one[1] < middle) == outward):
            long = font.getlength(text)
            aside = x - 9 * unit - long if outward else x + 9 * unit
            at = min(max(aside, 2 * unit), width - long - 2 * unit), max(y, free)
            free = at[1] + _LINE * unit
            draw.text(at, text, _WHITE, font, anchor="lm", stroke_width=1.5 * unit, stroke_fill="black")


@cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    # matplotlib's, which has letters of many languages: names of landmarks are a person's own
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
