"""Reading labels and pictures, and laying down what the jobs of an adaptation need."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from yacs.config import CfgNode

from cskt import config, files
from cskt.adapt.job import NO_MODEL, load_human
from cskt.data.exports import coco_content, picture_of
from cskt.data.folder import read_folder
from cskt.data.labels import Labels, read_labels
from cskt.data.pictures import picture_size
from cskt.data.sample import FILES, write_sample
from cskt.data.schemes import read_scheme, write_scheme
from cskt.data.table import Annotations
from cskt.errors import ConfigError, DataError, some
from cskt.landmarks import shared_landmarks
from cskt.locks import held
from cskt.models import LandmarkNet
from cskt.runs import config_changes, read_record
from cskt.settings import Setting

HOW_TO_GET_A_HUMAN_MODEL = (
    "python -m cskt run notebooks/01_data.ipynb --config params/zoo.yaml --out outputs/zoo/data && "
    "python -m cskt run notebooks/02_human_model.ipynb --config params/zoo.yaml --out outputs/zoo/human_model"
)


@dataclass(frozen=True)
class Adaptation:
    """What is to be done.

    Attributes:
        out: its folder.
        cfg: the whole config.
        labels: as they were read.
        unlabeled: the other pictures.
        held_out: job -> the labeled faces that it does not learn; none for "final".
        notes: what a person should know before trusting the result.
    """

    out: Path
    cfg: CfgNode
    labels: Labels
    unlabeled: Annotations | None
    held_out: dict[str, list[str]]
    notes: list[str]


def prepare(params: str | Path, overrides: Mapping[str, Any], out: str | Path) -> Adaptation:
    """Read labels and pictures, and lay down in OUT what the jobs need.

    Args:
        params: params file; its section OWN, or overrides of it, say which labels and pictures.
        overrides: dotted config keys.
        out: folder; new, empty, or of an earlier call with the same inputs, which is gone on with. One of other inputs
            is taken over if nothing was trained in it.

    Raises:
        DataError: something cannot be read, no human model is given, or OUT belongs to other inputs.
        ConfigError: one part is no cross-validation, or an override contradicts what follows from the inputs.
    """
    out = Path(out).resolve()
    cfg = config.load(params, overrides)
    own = cfg.OWN
    if not own.LABELS:
        raise DataError("give the labels: --labeled PATH (OWN.LABELS), and the folder of pictures: --images DIR")
    if own.FOLDS == 1:
        raise ConfigError("--folds 1 (OWN.FOLDS): a cross-validation has two parts or more; 0: none")
    human = _human(cfg)
    scheme = read_scheme(own.SCHEME) if own.SCHEME else None
    labels = read_labels(own.LABELS, own.IMAGES or None, boxes=own.BOXES or None, box=own.BOX, scheme=scheme,
                         species=own.SPECIES, keep=own.LIST or None, frames=own.FRAMES or None)  # fmt: skip
    if labels.pictures.folder.resolve().is_relative_to(out):
        raise DataError(
            f"{out}: the pictures are in there ({labels.pictures.folder}): give another --out, below it say"
        )
    unlabeled = _unlabeled(labels, cfg, out)
    labels, unlabeled, folder = _one_folder(labels, unlabeled)
    derived = _derived(out, cfg, human, folder)
    for key in sorted((overrides.keys() & derived.keys()) - {"HUMAN.CHECKPOINT", "CACHE"}):
        if overrides[key] != derived[key]:
            whose = "labels and pictures" if key.startswith("DATA.") else f"human model {cfg.HUMAN.CHECKPOINT}"
            raise ConfigError(f"{key} {overrides[key]}: is that of the {whose} here, {derived[key]}: leave it out")
    overrides = {**overrides, **derived}
    cfg = config.load(params, overrides)
    held_out = {"final": [], **_folds(labels.faces, own.FOLDS, cfg.SEED)}

    with held(out):
        held_out = _lay_down(out, cfg, labels, unlabeled, held_out)
    return Adaptation(out, cfg, labels, unlabeled, held_out, _notes(labels, unlabeled, human, cfg))


def _lay_down(
    out: Path, cfg: CfgNode, labels: Labels, unlabeled: Annotations | None, held_out: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Write what the jobs need into OUT; returns what each of them leaves out, by the names of the COCO file."""
    inputs = _inputs(cfg, labels.faces, unlabeled)
    former = out / "inputs.json"
    there = read_record(former)
    if former.exists() and (there is None or not isinstance(there.get("config"), dict)):
        raise DataError(f"{former}: damaged: delete {out}, or give another --out")
    if there is not None and (changed := _changed(there, inputs)):
        if any((out / "jobs").rglob("*.pt")):
            raise DataError(f"{out} belongs to an adaptation with other {', '.join(changed)}: give another --out")
        # nothing was trained with those, only timed or stopped before
        shutil.rmtree(out / "jobs", ignore_errors=True)
    data = out / "data"
    write_scheme(data / "scheme.yaml", labels.faces.scheme)
    files.write_json(data / "labeled.json", coco_content(labels.faces))
    if unlabeled is not None:
        files.write_json(data / "unlabeled.json", coco_content(unlabeled))
    names = Setting(cfg).annotations("test").table["image"].tolist()
    # faces that share a picture are named by their numbers in the COCO file
    of_face = dict(zip(labels.faces.table["image"], names, strict=True))
    held_out = {job: [of_face[name] for name in faces] for job, faces in held_out.items()}
    for job, left_out in held_out.items():
        files.write_text(data / f"{job}.txt", "".join(f"{name}\n" for name in names if name not in set(left_out)))
    config.dump(cfg, out / "config.yaml")
    files.write_json(former, inputs)
    return held_out


def example(cfg: CfgNode, folder: str | Path) -> dict[str, Any]:
    """Overrides that stand in for what a config leaves open, to have something to show.

    Args:
        cfg: its labels and pictures are used if it names them; else a sample is drawn (`data.sample`). Its human model
            is used if it names one; else one that was made here, if there is one.
        folder: of the sample; one that is there is used again.
    """
    overrides: dict[str, Any] = {}
    if not cfg.OWN.LABELS:
        folder = Path(folder)
        if not (folder / "labels.csv").exists():
            write_sample(folder)
        overrides |= {key: str(folder / name) for key, name in FILES.items()}
    if not cfg.HUMAN.CHECKPOINT and (there := _human_models()):
        overrides["HUMAN.CHECKPOINT"] = str(there[0])
    return overrides


def _human_models() -> list[Path]:
    return sorted(config.PROJECT.glob("outputs/*/human_model/checkpoint.pt"))


def _human(cfg: CfgNode) -> LandmarkNet | None:
    given = cfg.HUMAN.CHECKPOINT
    if not given:
        there = ", ".join(os.path.relpath(path) for path in _human_models())
        ready = f" (there is {there})" if there else ""
        raise DataError(
            f"a face model to start from is needed: --human CHECKPOINT{ready}. This makes one of drawn faces in a few "
            f"minutes: {HOW_TO_GET_A_HUMAN_MODEL}. Without any: --human {NO_MODEL}"
        )
    return load_human(cfg)


def _unlabeled(labels: Labels, cfg: CfgNode, out: Path) -> Annotations | None:
    """All pictures without a label, None if there are none and none are needed; see `read_folder` for their boxes.

    What an earlier call has drawn into OUT, which may lie among the pictures, is none of them.
    """
    own, faces = cfg.OWN, labels.faces
    folder = own.IMAGES or labels.pictures.folder
    pictures = read_folder(folder, faces.scheme, boxes=own.BOXES or None, deep=True, species=own.SPECIES)
    ours = [Path(path).resolve().is_relative_to(out) for path in pictures.table["path"]]
    pictures = replace(pictures, table=pictures.table[~np.array(ours, dtype=bool)].reset_index(drop=True))
    labeled = set(faces.table["path"])
    # a picture whose labels could not be used is no unlabeled one
    named = {name for name, path in labels.pictures.paths.items() if str(path) in labeled}
    named |= set(faces.problems["image"])
    rest = pictures.table[~pictures.table["image"].isin(named)]
    if rest.empty and own.FEW_SHOT_ONLY:
        return None
    if rest.empty:
        raise DataError(f"{folder}: no picture without a label to learn from; --few-shot-only needs none")
    return pictures.select(rest["image"])


def _one_folder(labels: Labels, unlabeled: Annotations | None) -> tuple[Labels, Annotations | None, Path]:
    """Name all pictures below one folder: that of the pictures, or one above, where some labeled ones lie elsewhere."""
    folder = Path(os.path.abspath(labels.pictures.folder))
    paths = [os.path.abspath(path) for path in labels.faces.table["path"]]
    if all(Path(path).is_relative_to(folder) for path in paths):
        return labels, unlabeled, folder
    folder = Path(os.path.commonpath([folder, *(os.path.dirname(path) for path in paths)]))

    def named(faces: Annotations) -> Annotations:
        rows = zip(faces.table["image"], faces.table["path"], strict=True)
        # of several faces in a picture the "#2" stays
        names = [Path(os.path.abspath(path)).relative_to(folder).as_posix() + name.removeprefix(picture_of(name, path))
                 for name, path in rows]  # fmt: skip
        return replace(faces, table=faces.table.assign(image=names))

    return replace(labels, faces=named(labels.faces)), named(unlabeled) if unlabeled else None, folder


def _derived(out: Path, cfg: CfgNode, human: LandmarkNet | None, folder: Path) -> dict[str, Any]:
    """What follows from the inputs: where the data lies, and the human model's network."""
    derived: dict[str, Any] = {
        "DATA.FORMAT": "coco",
        "DATA.ROOT": str(out / "data"),
        "DATA.IMAGES": str(folder),
        "DATA.SCHEME": "scheme.yaml",
        "DATA.TRAIN": ["labeled.json"],
        "DATA.LABELED": "final.txt",
        "DATA.UNLABELED": ["unlabeled.json"],
        # all labels; a fold's error is taken over those it has not learned
        "DATA.VAL": ["labeled.json"],
        "DATA.TEST": ["labeled.json"],
        "DATA.TRANSDUCTIVE": True,  # no labeled picture is among the unlabeled ones anyway
        "CACHE": str(out / "cache"),
    }
    if human is not None:
        spec = human.spec
        derived |= {"HUMAN.CHECKPOINT": str(config.resolve(cfg.HUMAN.CHECKPOINT)), "HUMAN.SCHEME": spec["scheme"],
                    "MODEL.NAME": spec["name"], "MODEL.FROZEN": spec.get("frozen", 0),
                    "MODEL.OUTPUT": spec["output"], "INPUT.SIZE": spec["size"]}  # fmt: skip
    return derived


def _folds(faces: Annotations, count: int, seed: int) -> dict[str, list[str]]:
    """Part the faces, each species evenly; faces of one folder (one video), or at least of one picture, stay together.

    Returns:
        "fold1" -> names of its faces, and so on; nothing for fewer than two folds or four faces.
    """
    table = faces.table
    folders = table["image"].str.rpartition("/")[0]
    group = folders if folders.nunique() >= max(count, 2) else table["path"]
    count = min(count, group.nunique())
    if count < 2 or len(table) < 4:
        return {}
    order = np.random.default_rng([seed, 7]).permutation(sorted(set(group)))
    species = table.groupby(group)["species"].first()
    # one species after the other, each group to the part that has the fewest faces so far
    parts: list[list[str]] = [[] for _ in range(count)]
    for key in sorted(order, key=lambda key: species[key]):
        min(parts, key=len).extend(table.loc[group == key, "image"])
    return {f"fold{k}": sorted(part) for k, part in enumerate(parts, start=1)}


def _inputs(cfg: CfgNode, labeled: Annotations, unlabeled: Annotations | None) -> dict[str, Any]:
    """What the result depends on, to tell whether an earlier call can be gone on with."""

    def digest(table: pd.DataFrame) -> str:
        return hashlib.sha256(table.drop(columns="path").to_csv(index=False).encode()).hexdigest()[:16]

    text = json.loads(json.dumps(cfg))
    human = text["HUMAN"].pop("CHECKPOINT")
    for key in ("THREADS", "CACHE", "OWN", "DATA"):
        text.pop(key)
    positives = {key: cfg.OWN[key] for key in ("FOLDS", "POSITIVES", "FEW_SHOT_ONLY")}
    return {
        "labels": digest(labeled.table),
        "landmark scheme": labeled.scheme.as_plain(),
        "unlabeled pictures": None if unlabeled is None else digest(unlabeled.table),
        "human model": human if human == NO_MODEL else files.fingerprint(human),
        "config": text | {"OWN": positives},
    }


def _changed(former: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is another than it was, for people; of the config each key, with its former value and the one now."""
    now = json.loads(json.dumps(now))
    names = [name for name in now if name != "config" and former.get(name) != now[name]]
    return names + config_changes(former["config"], now["config"])


def _notes(labels: Labels, unlabeled: Annotations | None, human: LandmarkNet | None, cfg: CfgNode) -> list[str]:
    faces, notes = labels.faces, list(labels.notes)
    left_out = faces.problems["action"] == "excluded"
    if left_out.any():
        notes.append(f"{left_out.sum()} labels left out: {_told(faces.problems[left_out])}")
    if unlabeled is not None and len(unlabeled.problems):
        notes.append(f"{len(unlabeled.problems)} pictures left out: {_told(unlabeled.problems)}")
    if unlabeled is not None and not cfg.OWN.BOXES:
        width = np.sqrt(faces.boxes[:, 2] * faces.boxes[:, 3] / _areas(faces))
        notes.append("unlabeled pictures have no face boxes: each whole picture is taken as one")
        if np.median(width) < 0.7:
            notes.append(
                f"labeled faces fill {np.median(width):.0%} of their pictures' width, so faces in whole pictures look "
                f"{1 / np.median(width):.1f} times smaller than those learned: give --boxes CSV, or --box picture"
            )
    if human is not None:
        shared = shared_landmarks(Setting(cfg).human_scheme, faces.scheme).names
        notes.append(
            f"shared with the human model: {', '.join(shared) or 'nothing, so mining goes by mirror images alone'}"
        )
    else:
        start = cfg.MODEL.WEIGHTS or "random"
        notes.append(f"no human model: training starts from {start} weights, and mining goes by mirror images alone")
    return notes


def _told(problems: pd.DataFrame) -> str:
    return some([f"{row.image}: {row.problem}" for row in problems.itertuples()])


def _areas(faces: Annotations) -> np.ndarray:
    """Width times height of each face's picture, square pixels, [N]."""
    return np.array([np.prod(picture_size(path)) for path in faces.table["path"]], dtype=float)
