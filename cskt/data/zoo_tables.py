"""The record types of the zoo's species tables: blobs, patches, eyes, nose, mouth, species.

Head frame as in `zoo_render`: x to the image's right in a frontal face, y up, z out of the face. Everything is given
for the middle and the right side (x >= 0); `pair` mirrors it. Angles are degrees, lengths head units, colors RRGGBB.
"""

from dataclasses import dataclass

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Blob:
    """An ellipsoid of the head. `jaw` blobs swing with the opening mouth."""

    at: Triple
    size: Triple
    color: str = "coat"
    turn: Triple = (0, 0, 0)
    pair: bool = False
    jaw: bool = False


@dataclass(frozen=True)
class Patch:
    """A painted region: what lies inside an ellipsoid around `at` takes the color; `soft` is the width of its edge."""

    at: Triple
    size: Triple
    color: str
    soft: float = 0.15
    pair: bool = False


@dataclass(frozen=True)
class Eyes:
    """`at`: a point near the right eye's center; `azimuth`: where it looks, 0 ahead and 90 sideways.

    Iris and pupil are shares of the eye's half width; openings are shares of it, too.
    """

    at: Triple
    azimuth: float
    half_width: float
    upper: float = 0.6
    lower: float = 0.45
    tilt: float = 0.0
    elevation: float = 0.0
    iris: float = 0.55
    pupil: float = 0.5
    pupil_shape: str = "round"
    rim: float = 0.16


@dataclass(frozen=True)
class Nose:
    """`at`: a point near the tip, seen from `elevation` above the horizon; the pad narrows downwards by `taper`."""

    at: Triple
    elevation: float = 0.0
    pad: tuple[float, float] = (0.0, 0.0)
    taper: float = 0.0
    nostril: Triple = (0, 0, 0)
    nostril_size: Triple = (0.05, 0.035, 0.1)


@dataclass(frozen=True)
class Mouth:
    """The mouth lies in a plane through `hinge` (y, z) and `front` (y, z).

    Its corners are where a ray from `angle` beside that plane's forward axis, aimed at the share `depth` of the way
    from hinge to front, meets the surface.
    """

    hinge: tuple[float, float]
    front: tuple[float, float]
    depth: float
    angle: float
    upper_lip: float = 0.02
    lower_lip: float = 0.03
    smile: float = 0.0
    opens: float = 18.0
    line: float = 0.018


@dataclass(frozen=True)
class Species:
    """One kind of face. `fur` is the length of its strands, 0 for bare skin; `pattern` is painted over the coat."""

    name: str
    family: str
    about: str
    blobs: tuple[Blob, ...]
    eyes: Eyes
    nose: Nose
    mouth: Mouth
    colors: dict[str, tuple[str, ...]]
    variants: tuple[tuple[Blob, ...], ...] = ((),)  # each individual has one of these besides: hair, horns
    patches: tuple[Patch, ...] = ()
    pattern: str = ""
    fur: float = 0.06
    blend: float = 0.06
    gloss: float = 0.05
    whiskers: int = 0
    torso: Triple = (1.5, 2.6, 1.1)
