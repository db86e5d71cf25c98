"""From a config to the things it names: annotations, data sets, networks, methods. Nothing here computes a result."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from yacs.config import CfgNode

from cskt import config, distributed
from cskt.data.annotations import Annotations, read_animalweb, read_coco
from cskt.data.ap10k import read_ap10k
from cskt.data.augment import Augmentation
from cskt.data.bodies import write_bodies
from cskt.data.datasets import LabeledSet, UnlabeledSet, labeled_set, unlabeled_set
from cskt.data.horse import read_horse
from cskt.data.reading import read_list
from cskt.data.schemes import named_scheme
from cskt.data.table import concatenate
from cskt.data.zoo import write_zoo
from cskt.errors import ConfigError, DataError
from cskt.heatmaps import CODECS, Codec
from cskt.landmarks import Scheme, SharedLandmarks, shared_landmarks
from cskt.methods import fixmatch, mean_teacher, meta_cskt, pseudo_label, scarcenet, uda
from cskt.methods.distillation import Distillation
from cskt.methods.fixmatch import FixMatch
from cskt.methods.mean_teacher import MeanTeacher
from cskt.methods.meta_cskt import MetaCSKT
from cskt.methods.pseudo_label import PseudoLabel
from cskt.methods.scarcenet import ScarceNet
from cskt.methods.selection import BestOnLabels
from cskt.methods.semi_supervised import Terms
from cskt.methods.supervised import Supervised, Surroundings
from cskt.methods.uda import UDA
from cskt.models import LandmarkNet, checkpoints, pick_device, pick_precision
from cskt.predict import predict, score
from cskt.training import Method, learning_rate, stepped_rate

# METHOD.NAME -> the method and its options
METHODS = {
    "meta_cskt": (MetaCSKT, meta_cskt.Options),
    "pseudo_label": (PseudoLabel, pseudo_label.Options),
    "uda": (UDA, uda.Options),
    "fixmatch": (FixMatch, fixmatch.Options),
    "scarcenet": (ScarceNet, scarcenet.Options),
    "mean_teacher": (MeanTeacher, mean_teacher.Options),
}
# those that look at a batch as a whole, and so cannot share it out among several processes
ALONE = ("scarcenet",)


class Setting:
    """One data set and label budget, as a params file describes it.

    Args:
        cfg: from `config.load`.

    Example:
        >>> setting = Setting(config.load("params/zoo.yaml"))  # doctest: +SKIP
        >>> test = setting.labeled_set("test")  # doctest: +SKIP
    """

    def __init__(self, cfg: CfgNode):
        self.cfg = cfg
        torch.set_num_threads(cfg.THREADS)
        torch.use_deterministic_algorithms(cfg.DETERMINISTIC)
        if cfg.DETERMINISTIC:
            # cuBLAS asks for it before its first call
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        distributed.start(self.device)

    # --- faces -----------------------------------------------------------------------------------------------------

    @property
    def scheme(self) -> Scheme:
        """The animals' landmark scheme."""
        return named_scheme(self.cfg.DATA.SCHEME, "DATA.SCHEME", config.resolve(self.cfg.DATA.ROOT))

    @property
    def human_scheme(self) -> Scheme:
        """What the human model predicts."""
        return named_scheme(self.cfg.HUMAN.SCHEME, "HUMAN.SCHEME", config.PROJECT)

    @property
    def shared(self) -> SharedLandmarks:
        """The places that human and animal landmarks share."""
        return shared_landmarks(self.human_scheme, self.scheme)

    def prepare(self) -> None:
        """Draw the zoo, or that of whole animals, if this setting lives on it and it is not there yet."""
        if self.cfg.DATA.BODY_IMAGES:
            write_bodies(config.resolve(self.cfg.DATA.ROOT), images=self.cfg.DATA.BODY_IMAGES)
        if self.cfg.DATA.ZOO_IMAGES:
            write_zoo(config.resolve(self.cfg.DATA.ROOT), images=self.cfg.DATA.ZOO_IMAGES)

    def annotations(self, role: str) -> Annotations:
        """Faces of a role.

        Args:
            role: "train" (all labels, without validation and test images), "train_known" (of these, the species that
                the few have), "labeled" (the few), "unlabeled" (without landmarks; without validation and test images
                unless DATA.TRANSDUCTIVE), "val", "test", "human_train" or "human_test". Of the animals those of
                DATA.SPECIES, or of DATA.UNLABELED_SPECIES.

        Returns:
            The faces; `problems` says what was left out, and why.
        """
        d = self.cfg.DATA
        if role == "labeled":
            file = self._labeled_list
            faces = self._listed(file) if d.FORMAT in ("coco", "ap10k") else self._animals([str(file)], role)
        elif role in ("val", "test"):
            faces = self._animals(d[role.upper()], role)
        elif role == "train":
            faces = self._animals(d.TRAIN, role).without(self._held_out, "validation or test image")
        elif role == "train_known":
            known = sorted(set(self.annotations("labeled").table["species"]))
            return _of_species(self.annotations("train"), known, "DATA.LABELED")
        elif role == "unlabeled":
            faces = self._unlabeled()
            return _of_species(faces, d.UNLABELED_SPECIES, "DATA.UNLABELED_SPECIES")
        elif role in ("human_train", "human_test"):
            return self._human(role.removeprefix("human_"))
        else:
            raise ValueError(f"role {role!r} is not train, labeled, unlabeled, val, test, human_train or human_test")
        return _of_species(faces, d.SPECIES, "DATA.SPECIES")

    @cached_property
    def _held_out(self) -> list[str]:
        """Names of all validation and test images."""
        d = self.cfg.DATA
        return [name for files in (d.VAL, d.TEST) for name in self._animals(files, "", labels=False).table["image"]]

    def _animals(self, files: list[str], split: str, labels: bool = True) -> Annotations:
        d = self.cfg.DATA
        root = self._existing(d.ROOT, "DATA.ROOT")
        how = {"scheme": self.scheme, "split": split, "labels": labels}
        if d.FORMAT == "coco":
            parts = [read_coco(root / f, root / d.IMAGES, **how) for f in files]
        elif d.FORMAT == "ap10k":
            parts = [read_ap10k(root, split, file=f, labels=labels, images=d.IMAGES, scheme=self.scheme) for f in files]
        elif d.FORMAT == "horse":
            parts = [read_horse(root, f, boxes=d.BOXES, **how) for f in files]
        else:
            parts = [read_animalweb(root, f, images=d.IMAGES, boxes=d.BOXES, **how) for f in files]
        return concatenate(parts)

    def _unlabeled(self) -> Annotations:
        d = self.cfg.DATA
        if d.UNLABELED_ROOT:
            root = self._existing(d.UNLABELED_ROOT, "DATA.UNLABELED_ROOT")
            how = {"scheme": self.scheme, "split": "unlabeled", "labels": False}
            faces = concatenate([read_animalweb(root, f, **how) for f in d.UNLABELED])
        else:
            faces = self._animals(d.UNLABELED, "unlabeled", labels=False)
        return faces if d.TRANSDUCTIVE else faces.without(self._held_out, "validation or test image")

    @property
    def _labeled_list(self) -> Path:
        """DATA.LABELED: a file of the data set, or else one of the project, such as a run's."""
        file = config.resolve(self.cfg.DATA.ROOT) / self.cfg.DATA.LABELED
        drawn = config.resolve(self.cfg.DATA.LABELED)
        return drawn if drawn.is_file() and not file.is_file() else file

    def _listed(self, file: Path) -> Annotations:
        """The images of a list file, all of which DATA.TRAIN must hold."""
        listed = read_list(file)
        faces = self._animals(self.cfg.DATA.TRAIN, "labeled").select(listed.line_of)
        repeated = faces.table["image"].isin([name for name, _ in listed.repeats])
        return faces.reporting(faces.table[repeated], "listed more than once, used once")

    def _human(self, split: str) -> Annotations:
        h = self.cfg.HUMAN
        roots = h.ROOTS if split == "train" else h.ROOTS[:1]
        pts = named_scheme(h.PTS, "HUMAN.PTS", config.PROJECT)
        parts = [
            read_animalweb(
                self._existing(root, "HUMAN.ROOTS"), h.TRAIN if split == "train" else h.TEST,
                images=h.IMAGES, boxes=h.BOXES, scheme=pts, split=split, species="human",
            )
            for root in roots
        ]  # fmt: skip
        return concatenate(parts).convert(self.human_scheme)

    def _existing(self, root: str, key: str) -> Path:
        d, folder = self.cfg.DATA, config.resolve(root)
        if not folder.is_dir():
            drawn = (d.ZOO_IMAGES or d.BODY_IMAGES) and folder == config.resolve(d.ROOT)
            made = f"it is drawn by `make reproduce SETTING={self.cfg.SETTING}`"
            raise DataError(
                f"{key}: there is no folder {folder}; {made if drawn else f'set {key} to where the data set is'}"
            )
        return folder

    def labeled_set(self, role: str) -> LabeledSet:
        """Crops with landmarks of a role; see `annotations`."""
        return labeled_set(self.annotations(role), *self._input)

    def unlabeled_set(self, role: str = "unlabeled", jitter: float = 0.0) -> UnlabeledSet:
        """Crops without landmarks of a role, with `jitter` of other boxes (`Annotations.with_jittered_boxes`)."""
        faces = self.annotations(role)
        return unlabeled_set(faces.with_jittered_boxes(jitter) if jitter else faces, *self._input)

    @property
    def _input(self) -> tuple[int, float, Path, float]:
        i = self.cfg.INPUT
        return i.SIZE, i.CONTEXT, config.resolve(self.cfg.CACHE), i.PADDING

    def fingerprint(self, *roles: str) -> str:
        """A short hash of the annotation tables of some roles: names, boxes and landmarks."""
        digest = hashlib.sha256()
        for role in roles:
            table = self.annotations(role).table.drop(columns="path")
            digest.update(table.to_csv(index=False).encode())
        return digest.hexdigest()[:16]

    # --- networks and methods --------------------------------------------------------------------------------------

    @property
    def codec(self) -> Codec:
        """How heatmaps are made of landmarks and read."""
        return CODECS[self.cfg.CODEC]

    @property
    def device(self) -> torch.device:
        """Where networks are put: what DEVICE says, by default the GPU where there is one."""
        return pick_device(self.cfg.DEVICE)

    @property
    def around(self) -> Surroundings:
        """Codec, device, precision and seed, as methods take them."""
        precision = pick_precision(self.cfg.PRECISION, self.device)
        return Surroundings(self.codec, self.device, precision, self.cfg.SEED)

    @property
    def how(self) -> dict:
        """Arguments of `predict.predict` and `find_landmarks` in this setting."""
        return {"codec": self.codec, "precision": self.around.precision}

    def new_net(self, scheme: Scheme, weights: str = "") -> LandmarkNet:
        """A network with random weights (from SEED), or with others in its backbone.

        Only given weights are worth keeping: MODEL.FROZEN holds for these, random ones are all learned.
        """
        return self._net(scheme, weights, self.cfg.MODEL.FROZEN if weights else 0)

    def _net(self, scheme: Scheme, weights: str, frozen: int) -> LandmarkNet:
        torch.manual_seed(self.cfg.SEED)
        m, crop = self.cfg.MODEL, self.cfg.INPUT
        about = m.NAME, scheme.name, len(scheme.landmarks), crop.SIZE, m.OUTPUT
        return LandmarkNet(*about, weights, frozen, crop.PADDING)

    def human_net(self, trained: str | Path) -> LandmarkNet:
        """The human model: HUMAN.CHECKPOINT where it is given, else the one that was trained here.

        Raises:
            DataError: there is no such file (unless HUMAN.MISSING is "ignore", the released behavior: random weights),
                or it finds other landmarks than HUMAN.SCHEME.
        """
        given = self.cfg.HUMAN.CHECKPOINT
        path = config.resolve(given) if given else Path(trained)
        if not path.is_file() and self.cfg.HUMAN.MISSING == "ignore":
            return self.new_net(self.human_scheme)
        net = checkpoints.load(path, self.human_scheme, self.cfg.INPUT.SIZE)
        if net.spec["scheme"] != self.human_scheme.name:
            raise DataError(
                f"{path}: finds the landmarks of {net.spec['scheme']}, and HUMAN.SCHEME is {self.human_scheme.name}"
            )
        return net

    def animal_net(self, human: LandmarkNet) -> LandmarkNet:
        """A network for the animals' landmarks that starts from the human model, and keeps the stages that it kept."""
        net = self._net(self.scheme, "", human.spec.get("frozen", 0))
        checkpoints.transfer(human, net, self.shared)
        return net

    def views(self, augment: bool = True) -> dict[str, Augmentation]:
        """Augmentations of "human", "labeled", "weak" and "strong" views; plain crops if not `augment`."""
        names = ("human", "labeled", "weak", "strong")
        if not augment:
            return dict.fromkeys(names, Augmentation())
        return {n: Augmentation(**{k.lower(): v for k, v in self.cfg.VIEWS[n.upper()].items()}) for n in names}

    def supervised(self, section: str, net: LandmarkNet, data: LabeledSet, steps: int = 0) -> tuple[Supervised, dict]:
        """Supervised training as a section of the config says, and the arguments for `training.train`.

        `steps`: how many, in place of the section's.
        """
        s = self.cfg[section]
        view = self.views()["human" if section == "HUMAN_MODEL" else "labeled"]
        method = Supervised(net, data, self.around, batch=s.BATCH, augmentation=view,
                            weight_decay=s.WEIGHT_DECAY, ema=s.EMA)  # fmt: skip
        loop = self._loop(steps or s.STEPS, s.LR, s.WARMUP)
        if s.SCHEDULE == "steps":
            loop["rate"] = partial(stepped_rate, steps=loop["steps"], peak=s.LR, warmup=s.WARMUP)
        return method, loop

    def method(
        self, few_shot: LandmarkNet, labeled: LabeledSet, unlabeled: UnlabeledSet, categories: np.ndarray
    ) -> tuple[Method, dict]:
        """The method METHOD.NAME as METHOD says, and the arguments for `training.train`.

        Args:
            few_shot: where all networks start.
            labeled, unlabeled: the data.
            categories: of each unlabeled image, by `mining.categorize`, [N].
        """
        m = self.cfg.METHOD
        if m.NAME in ALONE and distributed.size() > 1:
            raise ConfigError(f"METHOD.NAME {m.NAME} ranks the labels of a whole batch: train it in one process")
        kind, options = METHODS[m.NAME]
        own = {**m, **m.get(m.NAME.upper(), {})}
        options = _filled(options, own)
        if m.NAME == "meta_cskt":
            kept, positive = self._mined(categories)
            method = MetaCSKT(few_shot, labeled, unlabeled.subset(kept), positive, self.around, options,
                              self.views(m.AUGMENT))  # fmt: skip
        else:
            # mining belongs to Meta-CSKT: the others take all unlabeled images
            views = self.views(m.AUGMENT)
            if own.get("STRONG") == "colors":
                strong = self.views()["strong"]
                views["strong"] = Augmentation(color=strong.color, cutout=strong.cutout)
            method = kind(few_shot, labeled, unlabeled, self.around, options, views)
        loop = self._loop(m.STEPS, m.LR, m.WARMUP, m.DEAD_STEPS)
        if more := round(m.DISTILL * m.STEPS):
            views, terms = self.views(m.AUGMENT), _filled(Terms, own)
            method = Distillation(method, m.STEPS, few_shot, labeled, unlabeled, self.around, terms, views)
            loop = _one_after_the_other(loop, self._loop(more, m.LR, m.WARMUP))
        if m.SELECT != "last":
            method = BestOnLabels(method, m.SELECT_STEPS, self._error_on(m.SELECT))
        return method, loop

    def _mined(self, categories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the unlabeled images that Meta-CSKT takes, and which of those are positives."""
        m = self.cfg.METHOD
        kept = np.arange(len(categories))
        if m.EXCLUDE_NEGATIVES:
            kept = np.flatnonzero(categories != "hard_negative")
        return kept, (categories[kept] == "positive") & m.INCLUDE_POSITIVES

    def _error_on(self, role: str) -> Callable[[LandmarkNet], float]:
        """NME of a network on the labels of a role."""
        faces, truth = self.unlabeled_set(role), self.annotations(role)
        return lambda net: float(score(predict(net, faces, **self.how), truth)["nme"].mean())

    def _loop(self, steps: int, peak: float, warmup: int, dead: int = 0) -> dict:
        def rate(step: int) -> float:
            return learning_rate(step, steps, peak, warmup, dead)

        return {"steps": steps, "rate": rate, "seed": self.cfg.SEED}


def _filled(options: type, section: dict) -> Any:
    """An options class with the values that a section of the config has under the same names."""
    return options(**{field.name: section[field.name.upper()] for field in fields(options)})


def _one_after_the_other(first: dict, second: dict) -> dict:
    """The arguments for `training.train` of two stages in one run, each with its own schedule."""
    start = first["steps"]

    def rate(step: int) -> float:
        return first["rate"](step) if step < start else second["rate"](step - start)

    return {**first, "steps": start + second["steps"], "rate": rate}


def _of_species(faces: Annotations, species: list[str], key: str) -> Annotations:
    """The faces of some species; of all if none is named."""
    if not species:
        return faces
    if absent := sorted(set(species) - set(faces.table["species"])):
        raise DataError(
            f"{key}: no face of {', '.join(absent)}; there are {', '.join(sorted(set(faces.table['species'])))}"
        )
    others = faces.table["image"][~faces.table["species"].isin(species)]
    return faces.without(others, f"of a species that {key} does not name")
