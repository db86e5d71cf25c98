"""The same made-up labels, written in each of the formats that people have."""

import json

import numpy as np
import pandas as pd
from PIL import Image

NAMES = ("left_eye", "right_eye", "nose", "chin")
SIZE = (90, 70)


def landmarks(count=4, seed=0):
    """Labels with many digits, [count, 4, 2], in image pixels; a missing landmark in the second face."""
    rng = np.random.default_rng(seed)
    points = np.array([[55.0, 20.0], [30.0, 20.0], [43.0, 38.0], [43.0, 50.0]]) + rng.normal(0, 2.0, (count, 4, 2))
    if count > 1:
        points[1, 3] = np.nan
    return points


def pictures(folder, count=4, deep=""):
    """Write pictures cat_0.png, ... of 90 x 70 pixels, each of its own color; returns their names."""
    names = [f"{deep}cat_{k}.png" for k in range(count)]
    for k, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, (k, 90, len(deep))).save(folder / name)
    return names


def _cells(points):
    return ["" if np.isnan(value) else repr(float(value)) for value in points.ravel()]


def deeplabcut_csv(names, points, columns=1, individuals=None, likelihood=False, parts=NAMES):
    """Text of DeepLabCut's CSV; with `individuals`, points are [N, individuals, L, 2]."""
    axes = ["x", "y", "likelihood"] if likelihood else ["x", "y"]
    who = individuals or [None]
    header = {"scorer": ["Ann"] * (len(who) * len(parts) * len(axes))}
    if individuals:
        header["individuals"] = [one for one in who for _ in range(len(parts) * len(axes))]
    header["bodyparts"] = [name for _ in who for name in parts for _ in axes]
    header["coords"] = axes * (len(parts) * len(who))
    lines = [",".join([key, *[""] * (columns - 1), *cells]) for key, cells in header.items()]
    for name, own in zip(names, points, strict=True):
        if likelihood:
            own = np.concatenate([own, np.ones((*own.shape[:-1], 1))], axis=-1)
        path = name.split("/") if columns > 1 else [name]
        lines.append(",".join([*path, *_cells(own)]))
    return "\n".join(lines) + "\n"


def deeplabcut_h5(path, names, points, format="fixed", key="df_with_missing", parts=NAMES):
    """Write DeepLabCut's H5 file."""
    columns = pd.MultiIndex.from_product([["Ann"], parts, ["x", "y"]], names=["scorer", "bodyparts", "coords"])
    index = pd.MultiIndex.from_tuples([tuple(name.split("/")) for name in names]) if "/" in names[0] else names
    pd.DataFrame(points.reshape(len(names), -1), index=index, columns=columns).to_hdf(path, key=key, format=format)


def sleap_csv(frames, points, parts=NAMES):
    """Text of SLEAP's analysis CSV, with an empty frame at the end."""
    columns = [f"{name}.{axis}" for name in parts for axis in ("x", "y", "score")]
    lines = [",".join(["track", "frame_idx", "instance.score", *columns])]
    for frame, own in zip(frames, points, strict=True):
        cells = [cell for k in range(len(parts)) for cell in (*_cells(own[k]), "")]
        lines.append(",".join(["", str(frame), "", *cells]))
    lines.append(",".join(["", "99", "", *[""] * len(columns)]))
    return "\n".join(lines) + "\n"


def coco(names, points, tool="cvat", prefix="", parts=NAMES):
    """Content of a COCO file as CVAT or Label Studio exports it: its boxes are the landmarks' extent."""
    skeleton = {"name": "face" if tool == "cvat" else "default", "supercategory": "", "keypoints": list(parts)}
    others = [{"name": name, "supercategory": "face", "keypoints": [], "skeleton": []} for name in parts]
    categories = [skeleton, *others] if tool == "cvat" else [{"name": "Airplane"}, skeleton]
    categories = [{"id": k, **category} for k, category in enumerate(categories, start=1)]
    category, (width, height) = 1 if tool == "cvat" else 2, SIZE
    images, entries = [], []
    for k, (name, face) in enumerate(zip(names, points, strict=True), start=1):
        low, high = np.nanmin(face, axis=0), np.nanmax(face, axis=0)
        keypoints = [value for x, y in face.tolist() for value in ([0, 0, 0] if np.isnan(x) else [x, y, 2])]
        images.append({"id": k + 6, "file_name": prefix + name, "width": width, "height": height})
        entries.append({"id": k, "image_id": k + 6, "category_id": category, "keypoints": keypoints, "iscrowd": 0,
                        "bbox": [*low.tolist(), *(high - low).tolist()], "num_keypoints": len(face)})  # fmt: skip
    return {"images": images, "annotations": entries, "categories": categories, "info": {}, "licenses": []}


def pts(folder, names, points):
    """Write a .pts file for each picture, with "nan nan" for a missing landmark."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, own in zip(names, points, strict=True):
        rows = "\n".join(f"{x!r} {y!r}" for x, y in own.tolist())
        text = f"version: 1\nn_points: {len(own)}\n{{\n{rows}\n}}\n"
        (folder / name).with_suffix(".pts").write_text(text)


def write_all(home, names, points, h5=True, parts=NAMES):
    """Write every format into a folder; returns format -> (path, arguments of read_labels)."""
    videos = [f"labeled-data/v/{name}" for name in names]
    tools = {"CVAT": coco(names, points, parts=parts),
             "Label Studio": coco(names, points, "label studio", "images/3f0a9c1d-", parts)}  # fmt: skip
    files = {
        "DeepLabCut CSV": ("one.csv", deeplabcut_csv(names, points, parts=parts)),
        "Lightning Pose CSV": ("CollectedData.csv", deeplabcut_csv(videos, points, parts=parts)),
        "DeepLabCut 2.2 CSV": ("three.csv", deeplabcut_csv(videos, points, columns=3, parts=parts)),
        "SLEAP": ("analysis.csv", sleap_csv(range(len(names)), points, parts)),
        "CVAT": ("person_keypoints_default.json", json.dumps(tools["CVAT"])),
        "Label Studio": ("result.json", json.dumps(tools["Label Studio"])),
    }
    for name, text in files.values():
        (home / name).write_text(text)
    found = {name: (home / file, {}) for name, (file, _) in files.items()}
    pts(home / "pts", names, points)
    found[".pts"] = (home / "pts", {})
    if h5:
        deeplabcut_h5(home / "fixed.h5", videos, points, parts=parts)
        deeplabcut_h5(home / "table.h5", names, points, "table", "keypoints", parts)
        found |= {"DeepLabCut H5": (home / "fixed.h5", {}), "DeepLabCut H5 table": (home / "table.h5", {})}
    return found
