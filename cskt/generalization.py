"""Generalization across species and families as split generators (AP-10K's third track; spec 6.6).

Intra-family: a species is held out whose family has others, which stay in training. Inter-family: a whole family is.
Zero-shot, or with a few labels of what is held out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cskt import metrics


@dataclass(frozen=True)
class HeldOut:
    """One split.

    Attributes:
        protocol: "intra" (a species is held out) or "inter" (a family).
        name: the species or the family.
        family: the family.
        shots: how many labels of what is held out are in training.
        train, test: names of images.
    """

    protocol: str
    name: str
    family: str
    shots: int
    train: tuple[str, ...]
    test: tuple[str, ...]


def intra_family(
    train: pd.DataFrame, test: pd.DataFrame, shots: Sequence[int] = (0,), seed: int = 0, family_alone: bool = False
) -> Iterator[HeldOut]:
    """Leave one species out within its family, for each species of a family that has another one.

    Args:
        train, test: image, species and family of the images of each part.
        shots: numbers of labels of the held-out species to learn from; drawn at random, the fewer among the more.
        seed: of the draws.
        family_alone: train on the species of that family only, not on all others.

    Yields:
        One split per species and number of shots. A species without a test image has none; a family that is not known
        ("unknown") is nobody's.
    """
    species = train[["species", "family"]].drop_duplicates().sort_values(["family", "species"])
    for family, members in species[species["family"] != "unknown"].groupby("family")["species"]:
        for name in members if len(members) > 1 else []:
            others = train[train["species"] != name]
            others = others[others["family"] == family] if family_alone else others
            own = [part.loc[part["species"] == name, "image"] for part in (train, test)]
            yield from _splits("intra", name, family, others["image"], *own, shots, seed)


def inter_family(
    train: pd.DataFrame, test: pd.DataFrame, shots: Sequence[int] = (0,), seed: int = 0
) -> Iterator[HeldOut]:
    """Leave one family out, for each family; arguments as `intra_family`."""
    for family in sorted(set(train["family"]) - {"unknown"}):
        others = train[train["family"] != family]
        own = [part.loc[part["family"] == family, "image"] for part in (train, test)]
        if len(others):
            yield from _splits("inter", family, family, others["image"], *own, shots, seed)


def _splits(protocol, name, family, others, own_train, own_test, shots, seed) -> Iterator[HeldOut]:
    if not len(own_test):
        return
    # the same order for every number of shots, so that the fewer are among the more
    drawn = np.random.default_rng([seed, *name.encode()]).permutation(sorted(own_train))
    for count in sorted(shots):
        if count <= len(drawn):
            yield HeldOut(protocol, name, family, count, (*others, *drawn[:count].tolist()), tuple(own_test))


def compare(scores: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Put the error on what was held out beside that of the model that saw all.

    Args:
        scores: image and nme of each split's test images, with protocol, name and shots, by one or more seeds (a row
            of each); the model that saw all has the protocol "all".
        seed: of the resamples.

    Returns:
        One row per split: protocol, name, shots, images; nme with the ends of its 95 % interval over images; seen, the
        nme of the model that saw all, of the same images; excess, nme minus seen, with the ends of its paired interval.
        All are of errors averaged over seeds. Intervals are NaN of a single image.
    """
    whole = scores[scores["protocol"] == "all"].groupby("image")["nme"].mean()
    rows = []
    for (protocol, name, shots), part in scores[scores["protocol"] != "all"].groupby(["protocol", "name", "shots"]):
        own = part.groupby("image", sort=False)["nme"].mean()
        errors, others = own.to_numpy(), whole.loc[own.index].to_numpy()
        several = np.isfinite(errors).sum() > 1
        low, high = metrics.bootstrap_interval(errors, seed) if several else (np.nan, np.nan)
        excess_low, excess_high = metrics.paired_interval(errors, others, seed) if several else (np.nan, np.nan)
        rows.append({
            "protocol": protocol, "name": name, "shots": shots, "images": len(own), "nme": float(np.nanmean(errors)),
            "nme_low": low, "nme_high": high, "seen": float(np.nanmean(others)),
            "excess": float(np.nanmean(errors - others)), "excess_low": excess_low, "excess_high": excess_high,
        })  # fmt: skip
    return pd.DataFrame(rows)


def summarize(results: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Average `compare`'s rows over what was held out, each counting once.

    Returns:
        One row per protocol and number of shots: groups, nme, seen, and excess with the ends of its 95 % bootstrap
        interval over the groups (NaN of a single one).
    """
    rows = []
    for (protocol, shots), own in results.groupby(["protocol", "shots"]):
        several = len(own) > 1
        low, high = metrics.bootstrap_interval(own["excess"].to_numpy(), seed) if several else (np.nan, np.nan)
        rows.append({"protocol": protocol, "shots": shots, "groups": len(own), "nme": own["nme"].mean(),
                     "seen": own["seen"].mean(), "excess": own["excess"].mean(), "excess_low": low,
                     "excess_high": high})  # fmt: skip
    return pd.DataFrame(rows)
