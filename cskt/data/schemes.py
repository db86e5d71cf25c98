"""Landmark schemes of a person's own: a short YAML file, and what the landmarks' names tell.

    # dog7.yaml
    name: dog7                      # optional; else the file's name
    landmarks: [left_eye, right_eye, nose, left_ear, right_ear, chin, forehead]
    flip_pairs:                     # optional; else proposed from the names (left/right, _l/_r, L/R, ...)
      - [left_eye, right_eye]
      - [left_ear, right_ear]
    same_as:                        # optional: which places of a face these are, sides as the viewer sees them
      image_left_eye: right_eye     # the animal's own right eye lies on the image's left
      image_right_eye: left_eye
      nose: nose

`PLACES` lists the places.
"""

import difflib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cskt.config import dump_yaml, parse_yaml
from cskt.data.reading import check_printable, read_text
from cskt.errors import ConfigError, DataError
from cskt.files import write_text
from cskt.landmarks import SCHEMES, Scheme, register

# the places of a face that some scheme of `cskt.landmarks` gives, so that a model of it can be started from
PLACES = tuple(dict.fromkeys(place for scheme in SCHEMES.values() for place in scheme.parts))
_KEYS = ("name", "landmarks", "flip_pairs", "same_as")

_OTHER = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}
_OTHER |= {right: left for left, right in _OTHER.items()}
# how names say a side, from the plainest to the one that only its partner proves
_SIDES = (
    r"left|right|Left|Right|LEFT|RIGHT",  # left_eye, EyeLeft, mouth_left
    r"(?<![A-Za-z])[lrLR](?![A-Za-z])",  # eye_l, L_eye, ear.R, l1
    r"(?<=[a-z])[LR](?![a-z])|(?<![A-Za-z])[lrLR](?=[A-Z])",  # eyeL, lEar, LEar
    r"(?<![A-Za-z])[LR](?=[a-z])",  # Leye, where there is a Reye
)


def propose_flip_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of landmarks that change places in a mirror, as far as their names tell.

    Args:
        names: of all landmarks; each pair has a name for the left and the same name for the right.

    Example:
        >>> propose_flip_pairs(["eye_l", "nose", "eye_r", "earL", "earR", "Left Paw", "Right Paw", "tail"])
        ((0, 2), (3, 4), (5, 6))
    """
    place = {name: index for index, name in enumerate(names)}
    pairs: dict[int, int] = {}
    for pattern in _SIDES:
        for name, index in place.items():
            partner = place.get(re.sub(pattern, lambda side: _OTHER[side[0]], name), index)
            if partner != index and index not in pairs and partner not in pairs:
                pairs |= {index: partner, partner: index}
    return tuple(sorted((a, b) for a, b in pairs.items() if a < b))


def side_of(name: str) -> str:
    """The side that a landmark's name says, "left", "right", or "" for neither or both.

    Example:
        >>> [side_of(name) for name in ("eye_L", "RightEar", "nose", "left_brow_right")]
        ['left', 'right', '', '']
    """
    for pattern in _SIDES[:3]:
        sides = {found[0].lower() for found in re.findall(pattern, name)}
        if sides:
            return {"l": "left", "r": "right"}[sides.pop()] if len(sides) == 1 else ""
    return ""


def propose_parts(
    names: Sequence[str], landmarks: np.ndarray, flip_pairs: Sequence[tuple[int, int]]
) -> dict[str, tuple[int, ...]]:
    """Which landmarks are places of a face that other schemes have too, as far as names and labels tell.

    Names say left and right in two ways, the viewer's and the animal's own; the labels decide: whichever side of most
    pictures the left ones lie on.

    Args:
        names: of all landmarks.
        landmarks: labels in image pixels, [N, L, 2]; NaN where missing.
        flip_pairs: see `propose_flip_pairs`.

    Returns:
        Place (one of `PLACES`) -> its landmark, as in `Scheme.parts`. No side is named if the labels do not tell.
    """
    image_side = _image_sides(names, landmarks, flip_pairs)
    parts: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(names):
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
        words -= {"left", "right", "l", "r", "tip", "center", "centre", "middle", "corner"}
        place = {
            frozenset({"nose"}): "nose",
            frozenset({"snout"}): "nose",
            frozenset({"upper", "lip"}): "upper_lip",
            frozenset({"lower", "lip"}): "lower_lip",
            frozenset({"eye"}): "image_{}_eye",
            frozenset({"eye", "outer"}): "image_{}_eye_outer",
            frozenset({"eye", "inner"}): "image_{}_eye_inner",
            frozenset({"ear"}): "image_{}_ear",
            frozenset({"mouth"}): "mouth_image_{}",
        }.get(frozenset(words), "")
        side = image_side.get(side_of(name), "")
        if "{}" in place:
            place = place.format(side) if side else ""
        elif side_of(name):
            place = ""  # left_nose is not the nose
        if place and place not in parts:
            parts[place] = (index,)
    return parts


def _image_sides(names: Sequence[str], landmarks: np.ndarray, flip_pairs) -> dict[str, str]:
    """Named side -> side of the image, if three quarters of the labeled pairs agree on it."""
    offsets = []
    for a, b in flip_pairs:
        if {side_of(names[a]), side_of(names[b])} == {"left", "right"}:
            left, right = (a, b) if side_of(names[a]) == "left" else (b, a)
            offsets.append(landmarks[:, left, 0] - landmarks[:, right, 0])
    signs = np.sign(np.concatenate(offsets)) if offsets else np.array([])
    signs = signs[np.isfinite(signs) & (signs != 0)]
    share = np.mean(signs < 0) if len(signs) else 0.5
    if share >= 0.75:
        return {"left": "left", "right": "right"}
    return {"left": "right", "right": "left"} if share <= 0.25 else {}


def scheme_of(names: Sequence[str], landmarks: np.ndarray) -> Scheme:
    """The scheme of labels without a scheme file: a known one of these names, else one made from names and labels.

    Args:
        names: of the landmarks in order.
        landmarks: labels in image pixels, [N, L, 2]; they tell whose left is meant.

    Raises:
        DataError: a name occurs twice.
    """
    if len(set(names)) < len(names):
        raise DataError(f"a landmark name occurs twice in {', '.join(names)}")
    pairs = propose_flip_pairs(names)
    parts = propose_parts(names, landmarks, pairs)
    for known in SCHEMES.values():
        agree = all(known.parts.get(place, indices) == indices for place, indices in parts.items())
        if known.landmarks == tuple(names) and agree:
            return known
    content = repr((tuple(names), pairs, sorted(parts.items())))
    name = f"own{len(names)}_{hashlib.sha256(content.encode()).hexdigest()[:6]}"
    return register(Scheme(name, tuple(names), pairs, parts))


def named_scheme(name: str, key: str, folder: str | Path = "") -> Scheme:
    """A scheme of a name, or of a YAML file.

    Args:
        name: one of `cskt.landmarks.SCHEMES`, or a file that ends in .yaml or .yml.
        key: what asked for it, for the message.
        folder: where the file's path begins.

    Raises:
        ConfigError: there is no such scheme.
        DataError: as `read_scheme`.
    """
    if name.endswith((".yaml", ".yml")):
        return read_scheme(Path(folder) / name)
    if name not in SCHEMES:
        raise ConfigError(f"{key}: no landmark scheme {name!r}; there are {', '.join(SCHEMES)}, or name a YAML file")
    return SCHEMES[name]


def read_scheme(path: str | Path) -> Scheme:
    """Read a scheme file and make its scheme known; this module's head shows one.

    Raises:
        DataError: no such file, not YAML, or an entry that does not fit; with the file, the entry and what may stand.
    """
    path = Path(path)
    content = parse_yaml(read_text(path), path)
    if not isinstance(content, dict) or not content.get("landmarks"):
        raise DataError(f"{path}: expected 'landmarks: [name, name, ...]'")
    for key in content:
        if key not in _KEYS:
            raise DataError(f"{path}: unknown entry {key!r}; there are {', '.join(_KEYS)}")
    names = _names(path, "landmarks", content["landmarks"])
    if len(set(names)) < len(names):
        raise DataError(f"{path}: a name occurs twice in landmarks: {', '.join(names)}")
    for key, kind, form in (("flip_pairs", list, "a list of pairs"), ("same_as", dict, "lines `place: name`")):
        if content.get(key) and not isinstance(content[key], kind) and (key, content[key]) != ("flip_pairs", "auto"):
            raise DataError(f"{path}: expected {key} to be {form}, found {content[key]!r}")
    if content.get("flip_pairs", "auto") == "auto":
        pairs = propose_flip_pairs(names)
    else:
        pairs = tuple(_pair(path, pair, names) for pair in content["flip_pairs"] or [])
    parts = {}
    for place, own in (content.get("same_as") or {}).items():
        if place not in PLACES:
            near = difflib.get_close_matches(str(place), PLACES, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(PLACES)}"
            raise DataError(f"{path}: same_as: unknown place {place!r}; {hint}")
        own = own if isinstance(own, list) else [own]
        parts[place] = tuple(_index(path, f"same_as: {place}", name, names) for name in own)
    check_printable(str(content.get("name")), str(path), "a printable name")
    try:
        return register(Scheme(str(content.get("name") or path.stem), names, pairs, parts))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def write_scheme(path: str | Path, scheme: Scheme) -> None:
    """Write a scheme as a file that `read_scheme` reads back, to be edited by hand."""
    names = scheme.landmarks
    same = {place: [names[i] for i in indices] for place, indices in scheme.parts.items()}
    content = {
        "name": scheme.name,
        "landmarks": list(names),
        "flip_pairs": [[names[a], names[b]] for a, b in scheme.flip_pairs],
        "same_as": {place: own[0] if len(own) == 1 else own for place, own in same.items()},
    }
    write_text(path, dump_yaml(content, default_flow_style=None, width=110))


def _names(path: Path, key: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(
        isinstance(value, str) and value and value.isprintable() for value in values
    ):
        raise DataError(f"{path}: expected {key} to be a list of names, found {values!r}")
    return tuple(values)


def _index(path: Path, where: str, name: Any, names: tuple[str, ...]) -> int:
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise DataError(f"{path}: {where}: {name!r} is none of the landmarks; {hint}")
    return names.index(name)


def _pair(path: Path, pair: Any, names: tuple[str, ...]) -> tuple[int, int]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise DataError(f"{path}: flip_pairs: expected pairs of two names, found {pair!r}")
    a, b = (_index(path, "flip_pairs", name, names) for name in pair)
    return a, b
