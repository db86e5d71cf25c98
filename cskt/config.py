"""Configuration: every setting with its default and its meaning, and the strict loader of `params/*.yaml`.

A file in `params/` holds only what a setting changes. An unknown key, a wrong type or a value out of range stops with
the key, the value and the nearest valid name.
"""

import copy
import difflib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from cskt.errors import ConfigError
from cskt.files import write_text

PROJECT = Path(__file__).resolve().parents[1]

_STEPS = {
    "STEPS": 600,  # how many updates; the last weights are the result, no step is chosen by a score
    "BATCH": 32,  # images per step
    "LR": 1e-3,  # learning rate after the warm-up; it falls to 0 along a half cosine
    "WARMUP": 50,  # steps over which the learning rate rises linearly
    "WEIGHT_DECAY": 1e-4,  # decoupled (AdamW)
    "EMA": 0.99,  # decay of the averaged weights that are the result; 0: the last weights
    "SCHEDULE": "cosine",  # or steps: a tenth after 170/210 of the steps, a hundredth after 200/210 (mmpose)
}

DEFAULTS = {
    "SETTING": "zoo",  # name of the folder below outputs/
    "SEED": 0,  # everything random in a run follows from it
    "DEVICE": "auto",  # auto (CUDA where there is one), cpu, cuda, cuda:1, ...
    "PRECISION": "auto",  # float32, bfloat16 (autocast), auto: bfloat16 on CUDA and on CPUs that compute in it
    "DETERMINISTIC": False,  # True: the same bits in each run on a GPU too, or an error that names what cannot; slower
    "THREADS": 1,  # CPU threads of a run; one thread per job and one job per core is quickest
    "CACHE": "outputs/cache",  # folder of the cached crops
    "RELEASED": "../shared/data/animalweb",  # the tables that the paper's authors released (cskt.released), if at hand
    # --- the animals ----------------------------------------------------------------------------------------------
    "DATA": {
        # animalweb (.jpg + .pts, box table, list files), coco (keypoint JSON), ap10k (COCO's with its own families),
        # horse (release_data: cskt.data.horse)
        "FORMAT": "animalweb",
        "ROOT": "outputs/data/zoo",  # folder of the data set; all paths below are relative to it
        "IMAGES": "images",  # folder of the pictures
        "BOXES": "bbox.csv",  # box table (not for coco and ap10k)
        "SCHEME": "animalweb9",  # landmark scheme: a name of cskt.landmarks.SCHEMES, or a YAML file (docs/own_data.md)
        "ZOO_IMAGES": 0,  # above 0: the procedural zoo is drawn into ROOT, with that many pictures
        "BODY_IMAGES": 0,  # above 0: the zoo of whole animals is drawn into ROOT (cskt.data.bodies)
        "TRAIN": ["splits/train.txt"],  # the labels of all of these serve the fully supervised line alone
        "LABELED": "splits/labeled_40.txt",  # list of the few labeled images, all of TRAIN; may lie in outputs/ instead
        "UNLABELED": ["splits/unlabeled.txt"],  # read without their landmarks
        "UNLABELED_ROOT": "",  # another folder that these are in, of AnimalWeb's layout
        "VAL": ["splits/val.txt"],  # for choices that a person makes; no run looks at it
        "TEST": ["splits/test.txt"],  # for the final number only
        "SPECIES": [],  # labels and test images of these species alone; empty: of all
        "UNLABELED_SPECIES": [],  # unlabeled images of these species alone; empty: of all
        "TRANSDUCTIVE": False,  # True: test and validation images may be among the unlabeled ones, as published
    },
    # --- the people -----------------------------------------------------------------------------------------------
    "HUMAN": {
        "ROOTS": ["outputs/data/zoo"],  # folders in AnimalWeb's layout
        "IMAGES": "images",  # folder of the pictures, relative to each root
        "BOXES": "bbox.csv",  # box table, relative to each root
        "PTS": "animalweb9",  # scheme of their .pts files
        "SCHEME": "animalweb9",  # what the human model predicts
        "TRAIN": "splits/human_train.txt",  # list file, relative to each root
        "TEST": "splits/human_test.txt",  # list file, relative to the first root
        "CHECKPOINT": "",  # a ready human model instead of training one: ours, or the original project's .pth
        "MISSING": "error",  # what to do if CHECKPOINT is no file: error, or ignore (random weights: fault 35)
    },
    # --- animals of your own: `cskt adapt` and notebooks/demo_own_data; see docs/own_data.md ----------------------
    "OWN": {
        "LABELS": "",  # file or folder of labels, in any format that `cskt data check` reads
        "IMAGES": "",  # folder of the pictures, labeled ones and others; "": the one beside the labels
        "BOXES": "",  # CSV file of face boxes (img, x, y, w, h); else from the labels, and whole unlabeled pictures
        "BOX": "auto",  # boxes of labels that BOXES does not give: auto, landmarks, picture (cskt.data.labels)
        "SCHEME": "",  # YAML file of the landmark scheme; else proposed from names and labels
        "SPECIES": "",  # of all pictures; else by their names
        "LIST": "",  # list of the labels to use; else all
        "FRAMES": "",  # for SLEAP: list of picture names, frame 0 first
        "FOLDS": 5,  # parts of the labels for the cross-validated error; 0: none
        "POSITIVES": 0.3,  # share of the unlabeled pictures that mining takes as positives; 0: by MINING.T_POS
        "NEXT": 20,  # how many pictures to propose for labeling
        "FEW_SHOT_ONLY": False,  # True: learn from the labels alone
    },
    # --- the network ----------------------------------------------------------------------------------------------
    "INPUT": {
        "SIZE": 64,  # side of the crop that the network sees, pixels
        "PADDING": 1.0,  # side of the crop over the longer side of the box: 1 for faces, 1.25 for bodies (AP-10K)
        "CONTEXT": 1.5,  # cached crops are this much wider, so that turned views have no black corners
    },
    "MODEL": {
        "NAME": "unet_small",  # one of cskt.models.NETWORKS
        "OUTPUT": "softmax",  # softmax: one distribution over the cells per landmark; linear: heatmaps, as published
        # what the human model's backbone starts from: imagenet (efficientnet_lite0, from a package), the tag of timm
        # weights to download ("ms_aug_in1k"), or "" for random weights
        "WEIGHTS": "",
        "FROZEN": 0,  # how many stages of efficientnet_lite0 keep those weights (random ones are never kept)
    },
    # subpixel; published: truncated cells, 7 x 7 stamp, whole image pixels; benchmark: AP-10K's, sigma 2, quarter cells
    "CODEC": "subpixel",
    # how far a view may differ from the plain crop; see cskt.data.augment.Augmentation
    "VIEWS": {
        "HUMAN": {"ROTATION": 30.0, "SCALE": 0.25, "SHIFT": 0.05, "FLIP": 0.5, "COLOR": 0.4, "CUTOUT": 0},
        "LABELED": {
            **{"ROTATION": 30.0, "SCALE": 0.25, "SHIFT": 0.05, "FLIP": 0.5, "COLOR": 0.4, "CUTOUT": 0},
            "HALF_BODY": 0.0,  # of a body: probability of its front or back half alone
        },
        "WEAK": {"ROTATION": 10.0, "SCALE": 0.1, "SHIFT": 0.02, "FLIP": 0.0, "COLOR": 0.0, "CUTOUT": 0},
        "STRONG": {"ROTATION": 60.0, "SCALE": 0.3, "SHIFT": 0.08, "FLIP": 0.5, "COLOR": 0.5, "CUTOUT": 3},
    },
    # --- training -------------------------------------------------------------------------------------------------
    # the runs of the setting that mining and the methods start from; others for other labels (params/grids/labels.yaml)
    "FROM": {"FEW_SHOT": "few_shot", "MINING": "mining"},
    # what 04_few_shot learns: labeled (section FEW_SHOT), or (SUPERVISED) train: all labels, or train_known: of these
    # the species that the few have
    "TRAIN_ON": "labeled",
    "HUMAN_MODEL": dict(_STEPS),
    "FEW_SHOT": {
        **_STEPS,
        "START": "human",  # where the network starts: human (the human model), or weights (MODEL.WEIGHTS alone)
    },
    "SUPERVISED": {**_STEPS, "STEPS": 1200},  # as many as few-shot training and Meta-CSKT take together
    # --- knowledge sharing between species --------------------------------------------------------------------------
    "CONFUSION": {
        **_STEPS,
        "STEPS": 200,  # of each fine-tuning of the human model; there are DRAWS of them for each group, and for all
        "WARMUP": 20,
        "BY": "family",  # what a group is: family or species
        "DRAW_SIZE": 40,  # images that a model is fine-tuned on
        "DRAWS": 3,  # how many times they are drawn
        "MIN_IMAGES": 60,  # groups with fewer are left out: what is not drawn is what a group is tested on
    },
    # --- generalization across species and families: 11_ap10k ---------------------------------------------------------
    "GENERALIZATION": {
        **_STEPS,
        "STEPS": 200,  # of each model: one per group that is held out and number of shots, and one that saw all
        "BATCH": 16,
        "WARMUP": 20,
        "START": "human",  # where each model starts: human (the human model), or weights (MODEL.WEIGHTS alone)
        "SHOTS": ["0", "10"],  # how many labels of what is held out are in training
        "FEW": 40,  # for bodies: how many labels few-shot training and Meta-CSKT get, even over the species
        "SIGMAS": "ap10k",  # of OKS, for bodies: ap10k, or coco_order as in AP-10K's paper (cskt.oks.SIGMAS)
    },
    # --- pseudo-labels chosen by one of five criteria: 13_web_pseudo_labels -------------------------------------------
    "SELECTION": {
        **_STEPS,
        "STEPS": 200,  # of each training on labels and chosen pseudo-labels; they start from the few-shot network
        "LR": 5e-4,
        "BUDGETS": ["50", "200", "800"],  # how many pseudo-labels are chosen; all of them besides
        "RANK": 2,  # ways in which the 3-D shape varies
        "SHAPE_STEPS": 400,  # of the network that fits the 3-D shape to a picture
        "AUXILIARY_STEPS": 600,  # of the second network, which starts from MODEL.WEIGHTS, not from the human model
    },
    # --- landmarks discovered without labels: 12_unsupervised_landmarks -----------------------------------------------
    "UNSUPERVISED": {
        **_STEPS,
        "STEPS": 1500,  # of the people's detector, and of the animals'
        "BATCH": 16,
        "WEIGHT_DECAY": 5e-4,  # Adam's own, as released
        "PERCEPTUAL": 1.0,  # weight of the perceptual term beside the squared error
        "SIZE": 64,  # side of the crops in which they are discovered, pixels; 128 in the original, four times as long
        "POINTS": 10,  # how many are discovered
        "WIDTH": 32,  # channels of the generator at the picture's own size
        "BLOCKS": 6,  # its residual blocks
        "DERANGEMENT": "fresh",  # whose points a face borrows: fresh in each batch, or fixed, as released
        "VGG": "",  # file of torchvision's VGG-16 weights; without it the human model's features stand in
        "RIDGE": 1e-4,  # regularization of the regression from points to landmarks
        "BUDGETS": [
            "1",
            "5",
            "10",
            "20",
            "40",
            "80",
            "100",
            "500",
        ],  # how many labels the regression learns from; all besides
    },
    # --- mining ---------------------------------------------------------------------------------------------------
    "MINING": {
        "T_POS": 0.05,  # human disagreement below which an image is positive
        "T_NEG": 0.2,  # flip disagreement from which on it is a hard negative
    },
    # --- learning from unlabeled images; the comments of the options are in Options of the method's own module -----
    "METHOD": {
        "NAME": "meta_cskt",  # one of cskt.settings.METHODS
        # corrected: what the paper meant; published: the release, faults included; improved: ours (VARIANTS)
        "VARIANT": "corrected",
        "STEPS": 600,
        "LR": 1e-3,
        "WARMUP": 50,
        "DEAD_STEPS": 0,  # steps of learning rate 0 at the beginning (50 in the release)
        "EXCLUDE_NEGATIVES": True,  # leave hard negatives out of the unlabeled images
        "INCLUDE_POSITIVES": True,  # give positives pseudo-labels
        "SELECT": "last",  # which weights are the result: last, or the best on val or test labels (faults 11, 16)
        "SELECT_STEPS": 100,  # steps between two looks at those labels
        "AUGMENT": True,  # False: plain crops everywhere, as in the release
        "BATCH_LABELED": 16,
        "BATCH_UNLABELED": 32,
        "WEIGHT_DECAY": 1e-4,
        "EMA": 0.99,
        "DISTILL": 0.0,  # times STEPS that follow them: the result learns what six views of it agree on
        "UNSUPERVISED": 1.0,
        "FEEDBACK": "normalized",
        "FEEDBACK_WEIGHT": 1.0,
        "FEEDBACK_FORWARD": "eval",
        "FEEDBACK_ON": "labels",
        "HARD_TARGETS": "all",
        "TARGET": "soft",
        "MOUTH_TERM": "none",
        "LABEL_JITTER": 0.0,
        "TRUE_SHARE": 0.5,
        "POOL_LABELS": "average",
        "POOL_CAP": 0,
        "UPDATE_STEPS": 100,
        "TEACHER_EMA": 0.99,
        # --- the options of each other method; what all methods share stands above ------------------------------------
        "PSEUDO_LABEL": {"QUANTILE": 0.5, "CONFIDENCE": 0.0, "RAMP": 0.4, "WEIGHT": 1.0, "VIEW": "labeled"},
        "UDA": {
            "CONFIDENCE": 0.5,
            "TEMPERATURE": 0.4,
            "WEIGHT": 1.0,
            "TARGET": "sharpened",
            "LABELS": "true",
            "STRONG": "full",  # the strong views: full (VIEWS.STRONG), or only its colors and rectangles, as released
        },
        "FIXMATCH": {"CONFIDENCE": 0.6, "WEIGHT": 1.0, "STRONG": "full"},
        "SCARCENET": {
            "KEEP": 0.6,
            "LABEL_VIEWS": 5,
            "SMALL_LOSS": 0.8,
            "RAMPDOWN": 0.2,
            "AGREEMENT": 0.6,
            "LABEL_WEIGHT": 2.0,
            "CONSISTENCY": 2.0,
            "RAMP": 0.07,
        },
        "MEAN_TEACHER": {"WEIGHT": 1.0, "RAMP": 0.25, "CONFIDENCE": 0.0},
    },
}

# what METHOD.VARIANT changes before a file's and a person's own choices
VARIANTS: dict[str, dict[str, Any]] = {
    "corrected": {},
    "improved": {"EXCLUDE_NEGATIVES": False, "DISTILL": 2.0},
    "published": {
        "DEAD_STEPS": 50,
        "WARMUP": 0,
        "SELECT": "val",
        "AUGMENT": False,
        "WEIGHT_DECAY": 0.0,
        "EMA": 0.0,
        "FEEDBACK": "raw",
        "FEEDBACK_FORWARD": "train_shrunk",
        "FEEDBACK_ON": "batch",
        "HARD_TARGETS": "skip_first_column",
        "MOUTH_TERM": "batch_slice",
        "LABEL_JITTER": 0.01,
        "TRUE_SHARE": 0.0,
        "POOL_LABELS": "visited",
        "TEACHER_EMA": 0.0,
        # what the authors ran of other methods (spec 3.1)
        "UDA.CONFIDENCE": 0.0,
        "UDA.TARGET": "hard",
        "UDA.LABELS": "teacher",
        "UDA.STRONG": "colors",
        "FIXMATCH.CONFIDENCE": 0.0,
        "FIXMATCH.STRONG": "colors",
    },
}
# the methods of which there is such a variant; of the others there is only what the paper about them means
_OF_VARIANT = {"published": ("meta_cskt", "uda", "fixmatch"), "improved": ("meta_cskt",)}

# lists of whole numbers -> the least of them
_COUNTS = {"GENERALIZATION.SHOTS": 0, "SELECTION.BUDGETS": 1, "UNSUPERVISED.BUDGETS": 1}
_CHOICES = {
    "PRECISION": ("auto", "float32", "bfloat16"),
    "OWN.BOX": ("auto", "landmarks", "picture"),
    "DATA.FORMAT": ("animalweb", "coco", "ap10k", "horse"),
    "HUMAN.MISSING": ("error", "ignore"),
    "MODEL.OUTPUT": ("softmax", "linear"),
    "CODEC": ("subpixel", "published", "benchmark"),
    **{
        f"{section}.SCHEDULE": ("cosine", "steps")
        for section in (
            "HUMAN_MODEL",
            "FEW_SHOT",
            "SUPERVISED",
            "CONFUSION",
            "GENERALIZATION",
            "SELECTION",
            "UNSUPERVISED",
        )
    },
    "UNSUPERVISED.DERANGEMENT": ("fresh", "fixed"),
    "FEW_SHOT.START": ("human", "weights"),
    "GENERALIZATION.START": ("human", "weights"),
    "GENERALIZATION.SIGMAS": ("ap10k", "coco_order"),
    "TRAIN_ON": ("labeled", "train", "train_known"),
    "CONFUSION.BY": ("family", "species"),
    "METHOD.NAME": ("meta_cskt", "pseudo_label", "uda", "fixmatch", "scarcenet", "mean_teacher"),
    "METHOD.VARIANT": tuple(VARIANTS),
    "METHOD.SELECT": ("last", "val", "test"),
    "METHOD.FEEDBACK": ("none", "raw", "normalized", "detached", "noise"),
    "METHOD.FEEDBACK_FORWARD": ("eval", "train_shrunk"),
    "METHOD.FEEDBACK_ON": ("labels", "batch"),
    "METHOD.HARD_TARGETS": ("all", "skip_first_column"),
    "METHOD.TARGET": ("soft", "sharpened"),
    "METHOD.MOUTH_TERM": ("none", "landmarks", "batch_slice"),
    "METHOD.POOL_LABELS": ("average", "visited"),
    "METHOD.PSEUDO_LABEL.VIEW": ("labeled", "strong"),
    "METHOD.UDA.TARGET": ("sharpened", "hard"),
    "METHOD.UDA.LABELS": ("true", "teacher"),
    "METHOD.UDA.STRONG": ("full", "colors"),
    "METHOD.FIXMATCH.STRONG": ("full", "colors"),
}
# last part of a key -> smallest and largest value
_RANGES = {
    "STEPS": (1, 10**7),
    "FROZEN": (0, 7),
    "BATCH": (1, 10**5),
    "BATCH_LABELED": (1, 10**5),
    "BATCH_UNLABELED": (1, 10**5),
    "UPDATE_STEPS": (1, 10**7),
    "SELECT_STEPS": (1, 10**7),
    "LR": (0.0, 10.0),
    "WARMUP": (0, 10**7),
    "DEAD_STEPS": (0, 10**7),
    "WEIGHT_DECAY": (0.0, 1.0),
    "EMA": (0.0, 0.99999),
    "TEACHER_EMA": (0.0, 0.99999),
    "SEED": (0, 2**31),
    "THREADS": (1, 1024),
    "SIZE": (16, 2048),
    "CONTEXT": (1.0, 4.0),
    "SCALE": (0.0, 4.0),
    "SHIFT": (0.0, 1.0),
    "FLIP": (0.0, 1.0),
    "ROTATION": (0.0, 180.0),
    "COLOR": (0.0, 1.0),
    "CUTOUT": (0, 100),
    "T_POS": (0.0, 10.0),
    "T_NEG": (0.0, 10.0),
    "TRUE_SHARE": (0.0, 1.0),
    "UNSUPERVISED": (0.0, 10.0**6),
    "DISTILL": (0.0, 100.0),
    "PERCEPTUAL": (0.0, 10.0**6),
    "FEEDBACK_WEIGHT": (-(10.0**6), 10.0**6),
    "LABEL_JITTER": (0.0, 1.0),
    "POOL_CAP": (0, 10**7),
    "ZOO_IMAGES": (0, 10**6),
    "BODY_IMAGES": (0, 10**6),
    "PADDING": (0.1, 10.0),
    "FEW": (1, 10**6),
    "RANK": (1, 20),
    "POINTS": (1, 1000),
    "WIDTH": (1, 1024),
    "BLOCKS": (0, 100),
    "RIDGE": (0.0, 1.0),
    "SHAPE_STEPS": (1, 10**7),
    "AUXILIARY_STEPS": (1, 10**7),
    "HALF_BODY": (0.0, 1.0),
    "FOLDS": (0, 100),
    "POSITIVES": (0.0, 1.0),
    "NEXT": (0, 10**5),
    # a confidence can exceed the 1 of a perfect map where the map is narrower
    "CONFIDENCE": (0.0, 10.0),
    "QUANTILE": (0.0, 1.0),
    "RAMP": (0.0, 1.0),
    "RAMPDOWN": (0.0, 1.0),
    "WEIGHT": (0.0, 10.0**6),
    "LABEL_WEIGHT": (0.0, 10.0**6),
    "CONSISTENCY": (0.0, 10.0**6),
    "TEMPERATURE": (0.01, 100.0),
    "KEEP": (0.0, 1.0),
    "SMALL_LOSS": (0.0, 1.0),
    "AGREEMENT": (0.0, 10.0**4),
    "LABEL_VIEWS": (1, 100),
    "DRAW_SIZE": (1, 10**5),
    "DRAWS": (1, 1000),
    "MIN_IMAGES": (3, 10**6),
}


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of its version 1.2: `1e-4` is one; `010` is ten, `1:30` and a date are texts.

    No key may be there twice, nothing may stand for another part (a few lines of aliases can unfold to gigabytes) or be
    merged into one (`<<` is a key like any other), and no tag may say what a value is (`!!int 010` would be eight).
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", event.start_mark)
        if event.tag is not None:
            told = f"tags ({event.tag.replace('tag:yaml.org,2002:', '!!')}) are not read: give the value alone"
            raise yaml.composer.ComposerError(None, None, told, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes texts in quotes that `_Loader`, or YAML 1.1, would take for numbers: `1e5`, `08`.

    A list that stands at two places is written twice: `_Loader` reads no aliases.
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag.rpartition(":")[2] in ("bool", "null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9]\d*)$"), list("-+0123456789"))
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
        list("-+0123456789."),
    )


def load(path: str | Path, overrides: Mapping[str, Any] | None = None) -> CfgNode:
    """Read a params file over the defaults.

    Args:
        path: a `.yaml` file; relative to the working directory, else to the project. Its section VARIANTS holds what of
            METHOD is another for one variant: `VARIANTS: {published: {LR: 0.001}}`.
        overrides: dotted key -> value, stronger than the file: `{"METHOD.VARIANT": "published"}`.

    Returns:
        The whole tree, frozen.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a wrong type, or a value out of range; with the key, the
            value, where it stands and the nearest valid name.
    """
    file = find(path)
    text = read_yaml(file)
    of_variant = _of_variants(text.pop("VARIANTS", {}), f"{path}: ")
    changes, own = dict(_flatten(text, f"{path}: ", DEFAULTS)), {}
    for key, value in (overrides or {}).items():
        more = dict(_flatten(_nested(key, value), "overrides: ", DEFAULTS))
        if twice := sorted(own.keys() & more.keys()):
            raise ConfigError(f"overrides: {', '.join(twice)} is set twice")
        own |= more
    changes |= of_variant.get((changes | own).get("METHOD.VARIANT"), {}) | own
    tree = copy.deepcopy(DEFAULTS)
    variant, name = (changes.get(f"METHOD.{key}", tree["METHOD"][key]) for key in ("VARIANT", "NAME"))
    if name not in _OF_VARIANT.get(variant, (name,)):
        raise ConfigError(
            f"{path}: METHOD.NAME {name} has no variant {variant!r}; {', '.join(_OF_VARIANT[variant])} have"
        )
    preset = {f"METHOD.{key}": copy.deepcopy(value) for key, value in VARIANTS[variant].items()}
    for key, value in (preset | changes).items():
        node = tree
        *sections, name = key.split(".")
        for section in sections:
            node = node[section]
        node[name] = value
    config = CfgNode(tree)
    config.freeze()
    return config


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Read `KEY=VALUE` texts of a command line as overrides, the values typed as in a params file.

    Raises:
        ConfigError: a text without "=", a key that is there twice, or a value that is not YAML.
    """
    overrides = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise ConfigError(f"--set {pair}: expected KEY=VALUE")
        if key in overrides:
            raise ConfigError(f"--set {pair}: {key} is set twice")
        overrides[key] = parse_yaml(value, f"--set {pair}")
    return overrides


def dump(config: CfgNode, path: str | Path) -> None:
    """Write the whole tree as YAML that `load` reads back to the same values."""
    write_text(path, dump_yaml(_plain(config)))


def dump_yaml(content: Any, **options: Any) -> str:
    """The YAML text of plain values that `parse_yaml` reads back to the same; `options` are those of `yaml.dump`."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, **options)


def find(path: str | Path) -> Path:
    """A path as it is if it exists, else relative to the project (where notebooks and runs are at home).

    Raises:
        ConfigError: it is at neither place, or not a `.yaml` file.
    """
    for candidate in (Path(path), PROJECT / path):
        if candidate.is_file():
            if candidate.suffix not in (".yaml", ".yml"):
                raise ConfigError(f"{path}: a params file ends in .yaml")
            return candidate
    near = difflib.get_close_matches(Path(path).name, [p.name for p in (PROJECT / "params").glob("*.yaml")], n=1)
    raise ConfigError(f"{path}: no such params file{f'; did you mean params/{near[0]}?' if near else ''}")


def resolve(path: str | Path) -> Path:
    """A path of a config: absolute as it is, else relative to the project."""
    return Path(path) if Path(path).is_absolute() else PROJECT / path


def parse_yaml(text: str, where: str | Path) -> Any:
    """The value of a YAML text, which holds plain values only; `where` it stands begins the message of an error.

    Raises:
        ConfigError: it is not YAML, or has a key twice.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise ConfigError(f"{where}: not YAML: nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise ConfigError(f"{where}{line}: not YAML: {error.problem}") from None
    # a ValueError is of a number with thousands of digits, the others are of a value that its own tag forbids
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())[:300]}") from None


def read_yaml(file: Path) -> dict[str, Any]:
    """The content of a YAML file of `KEY: value` lines.

    Raises:
        ConfigError: it is not YAML, not of this form, or has a key twice.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text, from byte {error.start} on") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    content = parse_yaml(text, file)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected `KEY: value` lines, got {type(content).__name__}")
    return content


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(str(key).split(".")):
        value = {part: value}
    return value


def _of_variants(section: Any, where: str) -> dict[str, dict[str, Any]]:
    """What a file's section VARIANTS sets for one variant only: variant -> dotted key -> checked value."""
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where}VARIANTS is a section, it cannot be {_shown(section)}")
    if unknown := set(section) - set(VARIANTS):
        raise ConfigError(
            f"{where}VARIANTS: there is no variant {_shown(unknown.pop())}; known are {', '.join(VARIANTS)}"
        )
    return {
        variant: dict(_flatten({"METHOD": keys}, f"{where}VARIANTS.{variant}: ", DEFAULTS))
        for variant, keys in section.items()
    }


def _flatten(tree: Mapping[str, Any], where: str, defaults: Mapping[str, Any], prefix: str = ""):
    """Yield (dotted key, checked value) of everything a tree sets."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if name not in defaults:
            near = difflib.get_close_matches(str(name).upper(), list(defaults), n=1, cutoff=0.4)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; there are {', '.join(defaults)}"
            raise ConfigError(f"{where}unknown setting {key}{hint}")
        default = defaults[name]
        if isinstance(default, dict):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}{key} is a section, it cannot be {_shown(value)}")
            yield from _flatten(value, where, default, f"{key}.")
        else:
            yield key, _checked(key, value, default, where)


def _checked(key: str, value: Any, default: Any, where: str) -> Any:
    kind = type(default)
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise ConfigError(f"{where}{key} must be a finite number, got {_shown(value)}") from None
    if type(value) is not kind:
        raise ConfigError(f"{where}{key} must be {_NAMES[kind]}, got {_shown(value)} ({type(value).__name__})")
    if kind is list and not ((value or not default) and all(isinstance(item, str) for item in value)):
        least = " with at least one" if default else ""
        raise ConfigError(f"{where}{key} must be a list of texts{least}, got {_shown(value)}")
    if key in _COUNTS and not all(re.fullmatch("[0-9]{1,9}", item) and int(item) >= _COUNTS[key] for item in value):
        raise ConfigError(f"{where}{key} must be whole numbers of {_COUNTS[key]} or more, got {_shown(value)}")
    if key in _CHOICES and value not in _CHOICES[key]:
        near = difflib.get_close_matches(value, _CHOICES[key], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{where}{key} must be one of {', '.join(_CHOICES[key])}, got {_shown(value)}{hint}")
    low, high = _RANGES.get(key.rsplit(".", 1)[-1], (None, None))
    if low is not None and not low <= value <= high:
        raise ConfigError(f"{where}{key} must lie between {low} and {high}, got {_shown(value)}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{where}{key} must be a finite number, got {value!r}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:90]} ..."


_NAMES = {float: "a number", int: "a whole number", str: "a text", bool: "true or false", list: "a list"}


def _plain(node: Any) -> Any:
    return {key: _plain(value) for key, value in node.items()} if isinstance(node, dict) else node
