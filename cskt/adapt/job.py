"""One detector of an adaptation: few-shot training, mining, the method, predictions; each stage leaves its file."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from yacs.config import CfgNode

from cskt import config, files, training
from cskt.data.datasets import UnlabeledSet
from cskt.data.reading import read_csv, rows_by_name
from cskt.errors import DataError, some
from cskt.mining import categorize, disagreements
from cskt.models import LandmarkNet, checkpoints
from cskt.predict import predict
from cskt.runs import read_record
from cskt.settings import Setting

NO_MODEL = "none"  # HUMAN.CHECKPOINT: start from random weights
DECISIONS = {"accept": "positive", "reject": "semi_hard", "drop": "hard_negative"}


class Counted:
    """A method whose steps are counted, for a progress bar elsewhere.

    Args:
        method: to train.
        done: shared counter, set to `before` and the steps taken.
        before: steps of earlier stages.
    """

    def __init__(self, method: training.Method, done: Any, before: int):
        self.method, self.done, self.before = method, done, before

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, Any]:
        losses = self.method.step(step, lr, generator)
        self.done.value = self.before + step + 1
        return losses

    def state_dict(self) -> dict[str, Any]:
        return self.method.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.method.load_state_dict(state)


class _Counter:
    value = 0


def steps_of(cfg: CfgNode, until: str = "method") -> int:
    """Training steps of one job."""
    few = cfg.FEW_SHOT.STEPS
    return few if cfg.OWN.FEW_SHOT_ONLY or until == "mining" else few + cfg.METHOD.STEPS


def run_job(out: str | Path, job: str, until: str = "method", done: Any = None) -> None:
    """Do what is left of one job: few-shot training, mining, the method, predictions.

    Args:
        out: folder of the adaptation.
        job: "final", "fold1", ...
        until: "method", or "mining" to stop before the method.
        done: shared counter of the steps taken.
    """
    out, done = Path(out), done or _Counter()
    cfg = config.load(out / "config.yaml", {"DATA.LABELED": f"{job}.txt"})
    setting, folder = Setting(cfg), out / "jobs" / job
    labeled = setting.labeled_set("labeled")
    unlabeled = setting.unlabeled_set() if (out / "data" / "unlabeled.json").exists() else None
    human = load_human(cfg)

    few_shot = folder / "few_shot.pt"
    if not few_shot.exists():
        method, loop = setting.supervised("FEW_SHOT", start_net(setting, human), labeled)
        _train(method, loop, folder / "few_shot", few_shot, f"{job}: few-shot", done, 0)
    done.value = cfg.FEW_SHOT.STEPS
    start = checkpoints.load(few_shot).to(setting.device)

    if unlabeled is not None:
        if not (folder / "mining.csv").exists():
            human = human if human is None else human.to(setting.device)
            files.write_csv(folder / "mining.csv", mine(human, start, unlabeled, cfg, **setting.how))
        if job == "final" and not (out / "pseudo_labels.csv").exists():
            _propose(out, start, unlabeled, setting)
    if until == "mining":
        return
    nets = {"few_shot": start}
    if not cfg.OWN.FEW_SHOT_ONLY:
        nets["method"] = _method(setting, start, labeled, unlabeled, out, folder, done)
    _hold_out(setting, out, job, nets)
    if unlabeled is not None and not (folder / "unlabeled.csv").exists():
        table = predict(list(nets.values())[-1], unlabeled, **setting.how)
        files.write_csv(folder / "unlabeled.csv", table)
    files.write_json(folder / "done.json", {"decisions": decisions(out / "pseudo_labels.csv")})


def load_human(cfg: CfgNode) -> LandmarkNet | None:
    """The model to start from, or None; its landmark scheme, which may be a person's own, is known from then on."""
    path = cfg.HUMAN.CHECKPOINT
    if path == NO_MODEL:
        return None
    return checkpoints.load(config.resolve(path), Setting(cfg).human_scheme, cfg.INPUT.SIZE)


def start_net(setting: Setting, human: LandmarkNet | None) -> LandmarkNet:
    """What few-shot training starts from: the human model, or without one MODEL.WEIGHTS."""
    return setting.new_net(setting.scheme, setting.cfg.MODEL.WEIGHTS) if human is None else setting.animal_net(human)


def is_done(out: Path, job: str, until: str = "method") -> bool:
    """Whether nothing is left of a job, with what a person has decided so far."""
    folder = out / "jobs" / job
    if until == "mining":
        return (folder / "mining.csv").exists()
    # a damaged stamp is none: what there is to do takes no time where its results are there
    stamp = read_record(folder / "done.json") or {}
    return stamp.get("decisions") == decisions(out / "pseudo_labels.csv")


def _method(setting: Setting, start: LandmarkNet, labeled, unlabeled, out: Path, folder: Path, done: Any):
    """Train the method from the few-shot network, with what a person decided about the mined pictures."""
    cfg = setting.cfg
    wanted = decisions(out / "pseudo_labels.csv")
    result, stamp = folder / "method.pt", folder / "method" / "decisions.json"
    if stamp.exists() and read_record(stamp) != wanted:
        # a person has changed what is accepted: this stage is to be done again
        for name in ("done.json", "method.pt", "unlabeled.csv", "held_out_method.csv"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "method")
    files.write_json(stamp, wanted)
    if not result.exists():
        mined = pd.read_csv(folder / "mining.csv").set_index("image")["category"].loc[unlabeled.table["image"]]
        pairs = zip(mined.index, mined, strict=True)
        categories = [DECISIONS[wanted[name]] if name in wanted else category for name, category in pairs]
        method, loop = setting.method(start, labeled, unlabeled, np.array(categories, dtype=object))
        if set(categories) == {"hard_negative"}:
            raise DataError(
                f"{folder / 'mining.csv'}: all {len(categories)} unlabeled pictures are hard negatives: on each, what "
                "the labels taught changes in the mirror by MINING.T_NEG or more; label more, or --few-shot-only"
            )
        title = f"{folder.name}: {cfg.METHOD.NAME}"
        _train(method, loop, folder / "method", result, title, done, cfg.FEW_SHOT.STEPS)
    done.value = cfg.FEW_SHOT.STEPS + cfg.METHOD.STEPS
    return checkpoints.load(result).to(setting.device)


def _train(method, loop: dict, folder: Path, result: Path, title: str, done: Any, before: int) -> None:
    training.train(Counted(method, done, before), folder=folder, title=title, **loop)
    checkpoints.save(result, method.result, {"run": title})
    # only what is not done has something to go on from
    (folder / "resume.pt").unlink(missing_ok=True)


def _hold_out(setting: Setting, out: Path, job: str, nets: dict[str, LandmarkNet]) -> None:
    """Predict the labeled faces that this job did not learn."""
    learned = set((out / "data" / f"{job}.txt").read_text().splitlines())
    faces = setting.unlabeled_set("test")
    rows = np.flatnonzero(~faces.table["image"].isin(learned))
    for name, net in nets.items():
        path = out / "jobs" / job / f"held_out_{name}.csv"
        if len(rows) and not path.exists():
            files.write_csv(path, predict(net, faces.subset(rows), **setting.how))


def mine(human: LandmarkNet | None, animal: LandmarkNet, unlabeled: UnlabeledSet, cfg: CfgNode, **how) -> pd.DataFrame:
    """Disagreements and category of each unlabeled picture; no label is looked at.

    Positives are the share OWN.POSITIVES of least human disagreement (0: those below MINING.T_POS) that are no hard
    negatives. Without a human model that shares a landmark, the flip disagreement takes its place.
    """
    table = disagreements(human, animal, unlabeled, **how)
    measure = table["human_disagreement"]
    measure = table["flip_disagreement"] if measure.isna().any() else measure
    share = cfg.OWN.POSITIVES
    limit = float(np.quantile(measure, share)) if share else cfg.MINING.T_POS
    table["category"] = categorize(measure, table["flip_disagreement"], limit, cfg.MINING.T_NEG)
    return table


def _propose(out: Path, net: LandmarkNet, unlabeled: UnlabeledSet, setting: Setting) -> None:
    """Write the table in which a person may accept or reject pseudo-labels: the positives first."""
    found = predict(net, unlabeled, **setting.how)
    found = found.drop(columns=[name for name in found if name.endswith("_confidence")])
    table = pd.read_csv(out / "jobs" / "final" / "mining.csv")
    order = {"positive": 0, "semi_hard": 1, "hard_negative": 2}
    table.insert(1, "decision", "")
    table = table.merge(found.drop(columns=["species", "family"]), on="image")
    table = table.sort_values("category", key=lambda names: names.map(order), kind="stable")
    # the sheets name pictures by it, and it stays with them however a person sorts the table
    table.insert(0, "row", np.arange(1, len(table) + 1))
    files.write_csv(out / "pseudo_labels.csv", table)


def decisions(path: str | Path) -> dict[str, str]:
    """What a person decided about pictures: "accept", "reject" (learn no label) or "drop" (do not look at it at all).

    Raises:
        DataError: another word, no such column, a picture that stands there twice, or no CSV file in UTF-8.
    """
    if not Path(path).exists():
        return {}
    table = read_csv(path, ("image", "decision"))
    wanted = {}
    for name, row in rows_by_name(table, "image").items():
        word = table.columns["decision"][row].strip().lower()
        if word and word not in DECISIONS:
            place = f"{path}, line {table.lines[row]}"
            raise DataError(f"{place}: expected decision accept, reject, drop or nothing, found {word!r}")
        if word:
            wanted[name] = word
    return dict(sorted(wanted.items()))


def decide(path: str | Path, images: Iterable[str], word: str) -> None:
    """Write a person's decision about some pictures into pseudo_labels.csv; nothing else in it changes.

    Args:
        path: the table.
        images: names in its column image.
        word: "accept", "reject", "drop", or "" for what mining says.

    Raises:
        DataError: another word, a picture that is not in the table, or a table that is not one.
    """
    wanted = set(images)
    decisions(path)
    if word and word not in DECISIONS:
        raise DataError(f"expected decision accept, reject, drop or nothing, found {word!r}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such table of pseudo-labels") from None
    if unknown := sorted(wanted - set(table["image"])):
        raise DataError(f"{path}: not in it: {some(unknown)}")
    table.loc[table["image"].isin(wanted), "decision"] = word
    files.write_csv(path, table)
