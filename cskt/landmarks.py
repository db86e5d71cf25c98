"""Landmark schemes: names, mirror pairs, and which landmarks of two schemes are the same place of a face."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cskt.errors import DataError


@dataclass(frozen=True)
class Scheme:
    """A named, ordered set of facial landmarks.

    Args:
        name: what the scheme is called in params files and checkpoints.
        landmarks: the landmarks' names in order; left and right as the data set itself uses the words.
        flip_pairs: pairs of indices that change places when the image is mirrored.
        parts: place of a face, its side given as the viewer sees it -> the landmarks whose mean it is.
        upper: of a body, the landmarks of its front half (Augmentation.half_body).

    Raises:
        ValueError: a repeated name, an index out of range, or a landmark in two flip pairs.
    """

    name: str
    landmarks: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...] = ()
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    upper: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.landmarks)
        if len(set(self.landmarks)) < count:
            raise ValueError(f"scheme {self.name}: a landmark name occurs twice in {self.landmarks}")
        paired = [index for pair in self.flip_pairs for index in pair]
        if len(set(paired)) < len(paired):
            raise ValueError(f"scheme {self.name}: a landmark is in two flip pairs of {self.flip_pairs}")
        used = paired + [index for indices in self.parts.values() for index in indices]
        if any(not 0 <= index < count for index in used):
            raise ValueError(f"scheme {self.name}: flip pairs and parts must use indices 0 to {count - 1}")

    @property
    def flip_permutation(self) -> tuple[int, ...]:
        """Index of the landmark that each one becomes when the image is mirrored."""
        permutation = list(range(len(self.landmarks)))
        for a, b in self.flip_pairs:
            permutation[a], permutation[b] = b, a
        return tuple(permutation)

    def unlike(self, names: Iterable[str]) -> str:
        """Say what a list of names lacks and has besides; "" where it is the scheme's, in any order.

        Example:
            >>> Scheme("two", ("nose", "chin")).unlike(["chin", "tail"])
            'lacks nose; has tail besides'
        """
        there, own = Counter(names), Counter(self.landmarks)
        lacking, others = ", ".join((own - there).elements()), ", ".join((there - own).elements())
        return "; ".join([f"lacks {lacking}"] * bool(lacking) + [f"has {others} besides"] * bool(others))

    def as_plain(self) -> dict[str, Any]:
        """The scheme as lists and texts, fit for a file; `Scheme.from_plain` reads it back."""
        parts = {place: list(indices) for place, indices in self.parts.items()}
        return {"name": self.name, "landmarks": list(self.landmarks),
                "flip_pairs": [list(pair) for pair in self.flip_pairs], "parts": parts}  # fmt: skip

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "Scheme":
        """The scheme that `as_plain` gave."""
        pairs = tuple((a, b) for a, b in content["flip_pairs"])
        parts = {place: tuple(indices) for place, indices in content["parts"].items()}
        return cls(content["name"], tuple(content["landmarks"]), pairs, parts)


class SharedLandmarks(NamedTuple):
    """The places that two schemes share, and how each scheme's landmarks give them.

    Attributes:
        names: the shared places, S of them.
        from_a: weights of the first scheme's landmarks, [S, La]; each row sums to 1.
        from_b: weights of the second scheme's landmarks, [S, Lb]; each row sums to 1.
    """

    names: tuple[str, ...]
    from_a: np.ndarray
    from_b: np.ndarray


_EYES = {eye: (f"{eye}_outer", f"{eye}_inner") for eye in ("image_left_eye", "image_right_eye")}


def shared_landmarks(a: Scheme, b: Scheme) -> SharedLandmarks:
    """Return the places of a face that both schemes give, in the order of the first scheme's parts.

    A whole eye is used only where the two schemes share no corner of it: it would count that eye twice.
    """
    names = [place for place in a.parts if place in b.parts]
    names = [place for place in names if not any(corner in names for corner in _EYES.get(place, ()))]
    return SharedLandmarks(tuple(names), _weights(a, names), _weights(b, names))


def _weights(scheme: Scheme, places: list[str]) -> np.ndarray:
    weights = np.zeros((len(places), len(scheme.landmarks)))
    for row, place in enumerate(places):
        indices = scheme.parts[place]
        weights[row, list(indices)] = 1 / len(indices)
    return weights


def combine(weights: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return weighted sums of landmarks, such as the shared places of `shared_landmarks`.

    Args:
        weights: one row for each wanted place, [S, L].
        landmarks: in any frame, [N, L, 2]; NaN where missing.

    Returns:
        [N, S, 2]; NaN where a landmark with a weight is missing. A missing landmark without weight does no harm,
        which a plain matrix product would not give (0 * NaN is NaN).
    """
    missing = np.isnan(landmarks).any(axis=-1)
    combined = weights @ np.where(missing[..., None], 0.0, landmarks)
    combined[missing @ (weights != 0).T] = np.nan
    return combined


# Left and right in AnimalWeb, AFLW and the horse set are the viewer's; in Animal-Pose and AP-10K the animal's own,
# so their left eye lies on the image's right.
_ANIMALWEB9 = Scheme(
    name="animalweb9",
    landmarks=(
        "left_eye_outer",
        "left_eye_inner",
        "right_eye_inner",
        "right_eye_outer",
        "nose",
        "mouth_left",
        "mouth_right",
        "upper_lip",
        "lower_lip",
    ),
    flip_pairs=((0, 3), (1, 2), (5, 6)),
    parts={
        "image_left_eye": (0, 1),
        "image_left_eye_outer": (0,),
        "image_left_eye_inner": (1,),
        "image_right_eye": (2, 3),
        "image_right_eye_inner": (2,),
        "image_right_eye_outer": (3,),
        "nose": (4,),
        "mouth_image_left": (5,),
        "mouth_image_right": (6,),
        "upper_lip": (7,),
        "lower_lip": (8,),
    },
)

_ANIMALPOSE5 = Scheme(
    name="animalpose5",
    landmarks=("left_eye", "right_eye", "nose", "left_ear", "right_ear"),
    flip_pairs=((0, 1), (3, 4)),
    parts={
        "image_left_eye": (1,),
        "image_right_eye": (0,),
        "nose": (2,),
        "image_left_ear": (4,),
        "image_right_ear": (3,),
    },
)

# Rashid et al., "Interspecies knowledge transfer for facial keypoint detection", CVPR 2017
_HORSE5 = Scheme(
    name="horse5",
    landmarks=("left_eye", "right_eye", "nose", "mouth_left", "mouth_right"),
    flip_pairs=((0, 1), (3, 4)),
    parts={
        "image_left_eye": (0,),
        "image_right_eye": (1,),
        "nose": (2,),
        "mouth_image_left": (3,),
        "mouth_image_right": (4,),
    },
)

# Sagonas et al., "300 faces in-the-wild challenge", 2016; the names' sides are the viewer's
_IBUG68 = Scheme(
    name="ibug68",
    landmarks=(
        *(f"jaw_{i}" for i in range(17)),
        *(f"left_brow_{i}" for i in range(5)),
        *(f"right_brow_{i}" for i in range(5)),
        *(f"nose_bridge_{i}" for i in range(4)),
        *(f"nose_base_{i}" for i in range(5)),
        *(f"left_eye_{i}" for i in range(6)),
        *(f"right_eye_{i}" for i in range(6)),
        *(f"outer_lip_{i}" for i in range(12)),
        *(f"inner_lip_{i}" for i in range(8)),
    ),
    flip_pairs=(
        *((i, 16 - i) for i in range(8)),
        *((i, 43 - i) for i in range(17, 22)),
        *((31, 35), (32, 34)),
        *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
        *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58)),
        *((60, 64), (61, 63), (65, 67)),
    ),
    parts={
        "image_left_eye": tuple(range(36, 42)),
        "image_left_eye_outer": (36,),
        "image_left_eye_inner": (39,),
        "image_right_eye": tuple(range(42, 48)),
        "image_right_eye_inner": (42,),
        "image_right_eye_outer": (45,),
        "nose": (33,),
        "mouth_image_left": (48,),
        "mouth_image_right": (54,),
        "upper_lip": (51,),
        "lower_lip": (57,),
    },
)

# the 19 points of AFLW that HRNet's face alignment models use
_AFLW19 = Scheme(
    name="aflw19",
    landmarks=(
        *(f"{part}_{place}" for part in ("left_brow", "right_brow") for place in ("left", "center", "right")),
        *(f"{part}_{place}" for part in ("left_eye", "right_eye") for place in ("left", "center", "right")),
        *(f"{part}_{place}" for part in ("nose", "mouth") for place in ("left", "center", "right")),
        "chin",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 14), (15, 17)),
    parts={
        "image_left_eye": (7,),
        "image_left_eye_outer": (6,),
        "image_left_eye_inner": (8,),
        "image_right_eye": (10,),
        "image_right_eye_inner": (9,),
        "image_right_eye_outer": (11,),
        "nose": (13,),
        "mouth_image_left": (15,),
        "mouth_image_right": (17,),
    },
)

_AP10K17 = Scheme(
    name="ap10k17",
    landmarks=(
        *("left_eye", "right_eye", "nose", "neck", "root_of_tail"),
        *(f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "front_paw")),
        *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "back_paw")),
    ),
    flip_pairs=((0, 1), (5, 8), (6, 9), (7, 10), (11, 14), (12, 15), (13, 16)),
    parts={"image_left_eye": (1,), "image_right_eye": (0,), "nose": (2,)},
    # mmpose's file has the right front paw in the other half (spec 6.2)
    upper=(0, 1, 2, 3, 5, 6, 7, 8, 9, 10),
)

SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme for scheme in (_ANIMALWEB9, _ANIMALPOSE5, _HORSE5, _IBUG68, _AFLW19, _AP10K17)
}
_OURS = frozenset(SCHEMES)


def register(scheme: Scheme) -> Scheme:
    """Make a scheme from a file known under its name, so that networks and tables of that scheme find it.

    Args:
        scheme: one that has come before may come again with other correspondences (`parts`), which then hold from now
            on; those of this module keep their own, and one without any takes them.

    Returns:
        The scheme of that name.

    Raises:
        DataError: another scheme has this name, or one of this module with other correspondences.
    """
    known = SCHEMES.get(scheme.name, scheme)
    if (known.landmarks, known.flip_permutation) != (scheme.landmarks, scheme.flip_permutation):
        raise DataError(
            f"landmark scheme {scheme.name!r} is already another one ({', '.join(known.landmarks)}): give it a new name"
        )
    if scheme.name in _OURS and scheme.parts and dict(scheme.parts) != dict(known.parts):
        raise DataError(f"landmark scheme {scheme.name!r} has its own correspondences: give yours a new name")
    if scheme.name not in _OURS:
        SCHEMES[scheme.name] = scheme
    return SCHEMES[scheme.name]
