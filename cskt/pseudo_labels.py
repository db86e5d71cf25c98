"""Pseudo-labels of a pool by every selection criterion: predictions of views and models, rankings, what they hold."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from cskt import criteria, geometry, metrics
from cskt.data.augment import View, take_view
from cskt.data.datasets import LabeledSet, UnlabeledSet
from cskt.data.table import Annotations, with_landmarks
from cskt.heatmaps import Codec
from cskt.models import LandmarkNet, autocast
from cskt.predict import images_at_once


@torch.no_grad()
def predict_transformed(
    net: LandmarkNet, data: UnlabeledSet, zoom: float, turn: float, *, codec: Codec, precision: str = "float32"
) -> pd.DataFrame:
    """Predict on transformed crops, and move the landmarks back.

    Args:
        net: on the device to be used.
        data: N crops.
        zoom, turn: factor, and degrees, of the transform about the crop's center.
        codec, precision: as `predict.find_landmarks`.

    Returns:
        One row per image: image, species, family, then <landmark>_x and <landmark>_y in image pixels.
    """
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    found, step = [], images_at_once(data.size, device)
    for first in range(0, len(data), step):
        rows = np.arange(first, min(first + step, len(data)))
        matrix, mirrored = geometry.turned_views(len(rows), data.size, turn, mirrored=False, zoom=zoom)
        view = View(matrix, mirrored).to(device)
        with autocast(device, precision):
            heatmaps = net.heatmaps(take_view(data.take(rows).to(device), view, data.size))
        cells, _ = codec.decode(heatmaps.float())
        to_view = geometry.resize_matrix(heatmaps.shape[-1], data.size).to(cells)
        found.append(geometry.apply(geometry.invert(view.matrix), geometry.apply(to_view, cells)).cpu())
    net.train(was_training)
    landmarks = geometry.apply(geometry.invert(data.to_crop), torch.cat(found).double()).numpy()
    return as_table(data, landmarks)


def as_table(data: UnlabeledSet, landmarks: np.ndarray) -> pd.DataFrame:
    """A prediction table without confidences, of landmarks [N, L, 2] in image pixels."""
    identity = data.table[["image", "species", "family"]].reset_index(drop=True)
    return with_landmarks(identity, data.scheme, landmarks)


def score_all(
    data: UnlabeledSet,
    main: pd.DataFrame,
    views: list[pd.DataFrame],
    auxiliary: pd.DataFrame,
    reprojected: pd.DataFrame,
    mining: pd.DataFrame,
    t_neg: float,
) -> pd.DataFrame:
    """Score every image of the pool by each of the five criteria.

    Args:
        data: the pool, N images.
        main: predictions of the network whose pseudo-labels they are.
        views: its predictions on the transformed crops.
        auxiliary: another network's.
        reprojected: the 3-D shape's.
        mining: human_disagreement and flip_disagreement of each image.
        t_neg: as `criteria.mined`.

    Returns:
        Columns image, kp_conf, cf_mt, cf_cm, cf_cm2, mining; N rows.
    """
    names = data.scheme.landmarks
    sizes = data.table[["w", "h"]].to_numpy(float)
    return pd.DataFrame(
        {
            "image": main["image"],
            "kp_conf": criteria.kp_conf(main, names),
            "cf_mt": criteria.cf_mt(main, views, names, sizes),
            "cf_cm": criteria.cf_cm(main, auxiliary, names, sizes),
            "cf_cm2": criteria.cf_cm(main, reprojected, names, sizes),
            "mining": criteria.mined(mining, t_neg),
        }
    )


def precision(main: pd.DataFrame, truth: Annotations, chosen: Mapping[tuple[str, int], np.ndarray]) -> pd.DataFrame:
    """How good the chosen pseudo-labels are, by the truth that nobody who chooses knows.

    Args:
        main: the pseudo-labels, image pixels.
        truth: annotations of the same images.
        chosen: (criterion, budget) -> rows.

    Returns:
        One row per criterion and budget: criterion, budget, images, nme (mean over images) and pck10, the share of
        annotated landmarks within 0.1 of sqrt(w * h).
    """
    truth = truth.select(main["image"])
    names = truth.scheme.landmarks
    found, true = criteria.places(main, names), truth.landmarks
    errors = metrics.nme(found, true, truth.norm)
    return pd.DataFrame(
        [
            {"criterion": criterion, "budget": budget, "images": len(rows),
             "nme": float(np.nanmean(errors[rows])) if len(rows) else np.nan,
             "pck10": metrics.pck(found[rows], true[rows], truth.norm[rows], 0.1) if len(rows) else np.nan}
            for (criterion, budget), rows in chosen.items()
        ]
    )  # fmt: skip


def with_pseudo_labels(labeled: LabeledSet, pool: UnlabeledSet, main: pd.DataFrame, rows: np.ndarray) -> LabeledSet:
    """The labeled images, and the chosen ones of the pool with their pseudo-labels."""
    landmarks = torch.as_tensor(criteria.places(main, pool.scheme.landmarks)[rows])
    return labeled.joined(pool, rows, geometry.apply(pool.to_crop[rows], landmarks))
