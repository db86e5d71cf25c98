"""What the single-image demos show, computed: samples, checkpoints, one face seen by one network, verdict, files.

No widget here; `demo_app` is the interface. The landmarks are to the last digit those of `cskt predict` on the same
picture and box.
"""

import io
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from yacs.config import CfgNode

from cskt import files, geometry, mining
from cskt.comparison import NAMES
from cskt.data.annotations import Annotations, read_coco
from cskt.data.datasets import UnlabeledSet, plain_images
from cskt.data.folder import species_by_name
from cskt.data.pictures import read_image
from cskt.data.sample import write_sample
from cskt.data.uploads import check_box
from cskt.errors import ConfigError, DataError
from cskt.grids import ZOO_MINUTES
from cskt.heatmaps import CODECS
from cskt.landmarks import SCHEMES, combine, shared_landmarks
from cskt.models import LandmarkNet, checkpoints, pick_precision
from cskt.predict import as_table, find_heatmaps, find_landmarks, score
from cskt.proposals import crops_of
from cskt.settings import Setting
from cskt.species import family_of

DRAWN = 24  # samples that are drawn where no data set is at hand
OWN = "own"  # the setting of adaptations, params/own.yaml
LARGEST = 1600  # longer side of the picture that goes to the browser, pixels
QUICKEST = ".venv/bin/snakemake --cores 1 outputs/zoo/few_shot/seed0/summary.json"
_EDGE = np.array([0.5, 0.5, 0.0, 0.0])  # from pixel centers to pixel edges, of a box
HEAT = (230, 90, 0)  # of the heatmap over the picture
VERDICTS = {
    "positive": ("positive", "gets a pseudo-label: human and animal model agree"),
    "semi_hard": ("semi-hard", "is learned from without a pseudo-label"),
    "hard_negative": ("hard negative", "is left out: the mirror image gives other landmarks"),
    "": ("not a hard negative", "positive or semi-hard: only a human model could tell"),
}


# --- what there is to choose from ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """A trained network to choose.

    Attributes:
        label: for people.
        path: of its file.
        setting: the setting it was trained in; "" for a file of one's own.
        cfg: the setting's config.
    """

    label: str
    path: Path
    setting: str
    cfg: CfgNode


def find_checkpoints(
    outputs: Path, cfgs: Iterable[CfgNode], own: Iterable[str | Path] = ()
) -> tuple[list[Checkpoint], list[str]]:
    """All networks that finished runs and adaptations have left, of a setting the paper's methods first.

    Args:
        outputs: the folder that holds one folder per setting; adaptations lie in that of the setting "own".
        cfgs: the settings, in the order wanted.
        own: further checkpoint files, or folders that hold a checkpoint.pt; they come first.

    Returns:
        The networks, none of them opened yet; and for each file that cannot be offered a line that says why.
    """
    cfgs = list(cfgs)
    found, left_out = [], []
    for path in map(Path, own):
        path = path / "checkpoint.pt" if path.is_dir() else path
        if path.is_file():
            found.append(Checkpoint(f"{path.parent.name}/{path.name}", path, "", cfgs[0]))
        else:
            left_out.append(f"{path}: no such checkpoint")
    first = ("meta_cskt_improved", "meta_cskt_corrected", "meta_cskt_published", "few_shot", "supervised")
    order = {run: n for n, run in enumerate(dict.fromkeys([*first, *NAMES]))}
    settings = {cfg.SETTING: cfg for cfg in cfgs}
    for setting in dict.fromkeys([*settings, OWN]):
        cfg, done = settings.get(setting, cfgs[0]), []
        for path in [*(outputs / setting).glob("*/checkpoint.pt"), *(outputs / setting).glob("*/seed*/checkpoint.pt")]:
            summary = path.parent / "summary.json"
            if summary.is_file() and path not in [one.path for one in found]:
                try:
                    run, seed, name = _told_of(summary)
                except DataError as error:
                    left_out.append(str(error))
                    continue
                its = setting if run and setting in settings else ""
                done.append((order.get(run, len(order)), run, seed, Checkpoint(f"{setting}: {name}", path, its, cfg)))
        found += [checkpoint for *_, checkpoint in sorted(done, key=lambda one: one[:3])]
    return found, left_out


def _told_of(summary: Path) -> tuple[str, int, str]:
    """The run, its seed and what to call it, of a run's summary.json; of an adaptation, which is no run, ""."""
    try:
        content = json.loads(summary.read_text(encoding="utf-8"))
        if "run" not in content and "stage" in content:
            return "", 0, f"{summary.parent.name}, from {int(content['labels'])} labels"
        run, seed = str(content["run"]), int(content["seed"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{summary}: damaged ({type(error).__name__}: {error})") from error
    return run, seed, f"{NAMES.get(run, run)}{f', seed {seed}' if summary.parent.name != run else ''}"


def how_to_get_one(cfg: CfgNode) -> str:
    """What to do where there is no checkpoint, as HTML for people."""
    own = "" if cfg.SETTING == "zoo" else (
        f"<li><code>make reproduce SETTING={cfg.SETTING}</code> trains this setting's own networks, from data in "
        f"<code>{cfg.DATA.ROOT}</code>; docs/reproducing.md says how long it takes.</li>"
    )  # fmt: skip
    return (
        "<b>No trained network is here yet.</b> In a terminal, in the project's folder:<ul>"
        f"<li><code>{QUICKEST}</code> makes a first one, of drawn animals, in about 3 minutes on one core;</li>"
        "<li><code>make reproduce</code> makes all of the zoo, Meta-CSKT among them, in about "
        f"{ZOO_MINUTES} minutes on two cores.</li>"
        f"{own}</ul>Then press <i>Look again</i>. Until then you can look at pictures and draw boxes."
    )


def find_samples(cfg: CfgNode) -> Annotations:
    """The test images of a setting, with boxes and landmarks.

    Raises:
        DataError: its data is not here.
    """
    faces = Setting(cfg).annotations("test")
    there = [Path(path).is_file() for path in faces.table["path"]]
    return faces if all(there) else faces.select(faces.table["image"][there])


def drawn_samples(folder: Path) -> Annotations:
    """A few animals of the zoo's kind, drawn into a folder unless they are there; takes some seconds."""
    if not (folder / "labels.json").is_file():
        write_sample(folder, labeled=DRAWN, unlabeled=0, test=0)
    return read_coco(folder / "labels.json", folder / "pictures", scheme=SCHEMES["animalweb9"])


def open_human(checkpoint: Checkpoint) -> LandmarkNet | None:
    """The human model that mining holds this network against; None: there is none at hand."""
    folder = checkpoint.path.parent
    folder = folder.parent if folder.name.startswith("seed") else folder
    trained = folder.parent / "human_model" / "checkpoint.pt"
    if files.same_file(trained, checkpoint.path):
        return None  # it would agree with itself
    try:
        return Setting(checkpoint.cfg).human_net(trained) if checkpoint.setting else None
    except (DataError, ConfigError):
        return None


# --- one face, one network -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What one network says about one face.

    Attributes:
        table: its row, as `predict.predict` gives it.
        box: x, y, w, h in image pixels, [4].
        scheme: name of the landmark scheme.
        heatmaps: [L, cells, cells].
        mirrored: landmarks of the mirror image under their own names, image pixels, [L, 2].
        human: the shared places by the human model, image pixels, [S, 2]; S is 0 without one.
        human_names: of these places.
        flip_disagreement, human_disagreement: fractions of sqrt(w * h); the latter NaN without a human model.
        seconds: what all this took.
    """

    table: pd.DataFrame
    box: np.ndarray
    scheme: str
    heatmaps: np.ndarray
    mirrored: np.ndarray
    human: np.ndarray
    human_names: tuple[str, ...]
    flip_disagreement: float
    human_disagreement: float
    seconds: float

    @cached_property
    def names(self) -> tuple[str, ...]:
        return SCHEMES[self.scheme].landmarks

    @cached_property
    def landmarks(self) -> np.ndarray:
        """In image pixels, [L, 2]."""
        columns = [f"{name}_{axis}" for name in self.names for axis in "xy"]
        return self.table[columns].to_numpy(float).reshape(-1, 2)

    @cached_property
    def confidence(self) -> np.ndarray:
        """[L]"""
        return self.table[[f"{name}_confidence" for name in self.names]].to_numpy(float)[0]

    @property
    def square(self) -> np.ndarray:
        """What the network saw, and where its heatmaps lie: x, y, w, h in image pixels, [4]."""
        x, y, w, h = self.box
        side = max(w, h)
        return np.array([x + (w - side) / 2, y + (h - side) / 2, side, side])


def look(net: LandmarkNet, picture: Image.Image, box: np.ndarray, name: str, human: LandmarkNet | None = None) -> Look:
    """Find the landmarks in a face box, and by how much they disagree with the mirror image's and the human model's.

    Args:
        net: in evaluation mode, on its device.
        picture: RGB, upright.
        box: x, y, w, h in image pixels, [4].
        name: of the picture's file.
        human: the human model, on the same device.

    Raises:
        DataError: the box is tiny or outside the picture.
    """
    began = time.perf_counter()
    box = check_box(box, picture.size)
    device = next(net.parameters()).device
    precision = pick_precision("auto", device)
    codec = CODECS["subpixel"]
    face = crops_of(picture, box[None], net, name)
    species = species_by_name(name)
    face.table["species"], face.table["family"] = species, family_of(species)
    images = plain_images(face, np.arange(1), device)
    heatmaps = find_heatmaps(net, images, face.scheme.flip_permutation, precision=precision)
    landmarks_heatmap, confidence = codec.decode(heatmaps)
    landmarks_crop = geometry.apply(geometry.resize_matrix(net.cells, face.size), landmarks_heatmap.cpu())
    of_mirror, _ = find_landmarks(net, face, codec=codec, precision=precision, mirrored=True)
    shared, of_human, disagreement = (), np.empty((0, 2)), np.nan
    if human is not None:
        shared, of_human, disagreement = _seen_by(human, picture, face, box, landmarks_crop,
                                                    codec=codec, precision=precision)  # fmt: skip
    return Look(
        table=as_table(face, landmarks_crop, confidence.cpu(), codec),
        box=box,
        scheme=net.spec["scheme"],
        heatmaps=heatmaps[0].cpu().numpy(),
        mirrored=_in_image(face, of_mirror[0].double()),
        human=of_human,
        human_names=shared,
        flip_disagreement=float(mining.flip_disagreement(of_mirror, landmarks_crop, face)[0]),
        human_disagreement=disagreement,
        seconds=time.perf_counter() - began,
    )


def _seen_by(human: LandmarkNet, picture: Image.Image, face: UnlabeledSet, box, landmarks_crop, **how):
    """Names of the shared places, where the human model sees them in image pixels [S, 2], and the disagreement."""
    scheme = SCHEMES[human.spec["scheme"]]
    own = face if human.size == face.size else crops_of(picture, box[None], human)
    of_human, _ = find_landmarks(human, replace(own, scheme=scheme), **how)
    if own is not face:
        of_human = geometry.apply(geometry.resize_matrix(own.size, face.size), of_human)
    shared = shared_landmarks(scheme, face.scheme)
    places = combine(shared.from_a, of_human.numpy())[0]
    disagreement = float(mining.human_disagreement(of_human, scheme, landmarks_crop, face)[0])
    return shared.names, _in_image(face, torch.from_numpy(places).double()), disagreement


def _in_image(face: UnlabeledSet, landmarks_crop: torch.Tensor) -> np.ndarray:
    return geometry.apply(geometry.invert(face.to_crop[0]), landmarks_crop).numpy()


def verdict(seen: Look, t_pos: float, t_neg: float) -> str:
    """The category of the mining rule, one of `VERDICTS`; "" where only a human model could decide."""
    if np.isnan(seen.human_disagreement):
        return "hard_negative" if seen.flip_disagreement >= t_neg else ""
    both = [seen.human_disagreement], [seen.flip_disagreement]
    return str(mining.categorize(*map(np.array, both), t_pos, t_neg)[0])


def errors(seen: Look, truth: Annotations | None) -> tuple[np.ndarray, float]:
    """The error of each landmark [L] and their mean, fractions of sqrt(w * h) of the annotated box; NaN where unknown.

    Args:
        seen: of the annotated picture, on whatever box.
        truth: of this one picture, in whatever scheme; None: nothing is known.
    """
    if truth is None:
        return np.full(len(seen.names), np.nan), np.nan
    row = score(seen.table.assign(image=truth.table["image"].iloc[0]), _in_scheme(truth, seen.scheme)).iloc[0]
    return row[[f"{name}_error" for name in seen.names]].to_numpy(float), float(row["nme"])


def true_landmarks(seen: Look, truth: Annotations | None) -> np.ndarray:
    """The annotated landmarks in the network's scheme, image pixels, [L, 2]; NaN where unknown."""
    if truth is None:
        return np.full((len(seen.names), 2), np.nan)
    return _in_scheme(truth, seen.scheme).landmarks[0]


def _in_scheme(truth: Annotations, scheme: str) -> Annotations:
    return truth if truth.scheme.name == scheme else truth.convert(SCHEMES[scheme])


# --- pictures for the browser --------------------------------------------------------------------------------------


def region_of(picture: Image.Image, box: np.ndarray | None, close: bool) -> tuple[int, int, int, int]:
    """The part to show: all of the picture, or the surroundings of the box; x, y, w, h in pixel edges."""
    if not close or box is None or len(box) == 0:
        return 0, 0, picture.width, picture.height
    x, y, w, h = np.asarray(box) + _EDGE
    margin = 0.25 * max(w, h)
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    right, bottom = min(picture.width, int(x + w + margin) + 1), min(picture.height, int(y + h + margin) + 1)
    return left, top, max(right - left, 1), max(bottom - top, 1)


def preview(picture: Image.Image, region: tuple[int, int, int, int]) -> bytes:
    """A part of a picture as JPEG, at most LARGEST pixels long."""
    x, y, w, h = region
    part = picture.crop((x, y, x + w, y + h))
    part.thumbnail((LARGEST, LARGEST), reducing_gap=2.0)
    with io.BytesIO() as file:
        part.save(file, format="JPEG", quality=88)
        return file.getvalue()


def heat_picture(heatmap: np.ndarray) -> Image.Image:
    """A heatmap [H, W] as a colored veil, the thicker the higher, its peak the thickest whatever its height."""
    peak = max(float(heatmap.max()), 1e-9)
    alpha = np.clip(heatmap / peak, 0, 1) ** 0.6 * 210
    colored = np.broadcast_to(np.array(HEAT, dtype=np.uint8), (*heatmap.shape, 3))
    return Image.fromarray(np.concatenate([colored, alpha[..., None].astype(np.uint8)], axis=2))


def png(picture: Image.Image) -> bytes:
    """A picture as PNG."""
    with io.BytesIO() as file:
        picture.save(file, format="PNG", compress_level=1)
        return file.getvalue()


# --- files to take away --------------------------------------------------------------------------------------------


def csv_text(seen: Look) -> str:
    """The file that `cskt predict --out FILE.csv` writes for this picture and box."""
    return seen.table.to_csv(index=False)


def record(seen: Look, checkpoint: Checkpoint, size: tuple[int, int], t_pos: float, t_neg: float,
           truth: Annotations | None = None) -> dict[str, Any]:  # fmt: skip
    """All numbers of a look, and what they rest on, fit for JSON; NaN where something is not known."""
    each, nme = errors(seen, truth)
    columns = (seen.names, seen.landmarks.tolist(), seen.confidence.tolist(), each.tolist())
    landmarks = [
        {"name": name, "x": x, "y": y, "confidence": sure, "error": error}
        for name, (x, y), sure, error in zip(*columns, strict=True)
    ]
    return {
        "picture": seen.table["image"].iloc[0],
        "width": size[0],
        "height": size[1],
        "box": seen.box.tolist(),
        "checkpoint": checkpoint.label,
        "checkpoint_sha256": files.fingerprint(checkpoint.path),
        "scheme": seen.scheme,
        "landmarks": landmarks,
        "nme": nme,
        "flip_disagreement": seen.flip_disagreement,
        "human_disagreement": seen.human_disagreement,
        "t_pos": t_pos,
        "t_neg": t_neg,
        "verdict": verdict(seen, t_pos, t_neg) or None,
    }


def open_sample(faces: Annotations, name: str) -> tuple[Image.Image, Annotations]:
    """A sample's picture, and its annotation alone."""
    truth = faces.select([name])
    return read_image(truth.table["path"].iloc[0]), truth


def load(checkpoint: Checkpoint, device: torch.device) -> LandmarkNet:
    """The network of a checkpoint on a device, in evaluation mode.

    Raises:
        DataError: it cannot be read, or its landmarks are of no known scheme.
    """
    net = checkpoints.load(checkpoint.path)
    if net.spec["scheme"] not in SCHEMES:
        raise DataError(f"{checkpoint.path}: nothing tells its landmark scheme {net.spec['scheme']!r}")
    return net.to(device).eval()


def landmark_names(net: LandmarkNet) -> tuple[str, ...]:
    """The names of a network's landmarks, in order."""
    return SCHEMES[net.spec["scheme"]].landmarks
