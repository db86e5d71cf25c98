"""Labels in SLEAP's analysis CSV: one row per instance and video frame.

    track,frame_idx,instance.score,left_eye.x,left_eye.y,left_eye.score,nose.x,...
    ,0,,10.5,20.0,,30.1,...

It names frames, not pictures. So pictures are found by the number at the end of their names (frame 7: cat_0007.png), or
by a list of picture names, one a line, frame 0 first. Not read: .slp projects and analysis .h5 (export the CSV), and
videos (save their frames as pictures).
"""

from pathlib import Path

import numpy as np

from cskt.data.labelfile import Face, LabelFile, point
from cskt.data.reading import read_csv, to_count
from cskt.errors import DataError


def is_sleap(first_line: str) -> bool:
    """Whether a CSV file that begins so is SLEAP's analysis CSV."""
    return "frame_idx" in [name.strip().strip('"') for name in first_line.split(",")]


def read_sleap_csv(path: str | Path) -> LabelFile:
    """Read SLEAP's analysis CSV; rows without any landmark, of empty frames, are passed over.

    Raises:
        DataError: a file that is not of the layout in this module's head; with file, line and expectation.
    """
    table = read_csv(path, ("frame_idx",))
    columns = table.columns
    names = tuple(name[:-2] for name in columns if name.endswith(".x") and f"{name[:-2]}.y" in columns)
    if not names:
        raise DataError(
            f"{path}, line 1: expected columns NAME.x and NAME.y of the landmarks; found {', '.join(columns)}"
        )
    alone = [name for name in columns if name.endswith((".x", ".y")) and name[:-2] not in names]
    if alone:
        raise DataError(f"{path}, line 1: {alone[0]!r} stands without its other coordinate")
    tracks = columns.get("track", [""] * len(table.lines))
    faces = []
    for row, line in enumerate(table.lines):
        place = f"{path}, line {line}"
        frame = columns["frame_idx"][row].strip()
        try:
            number = to_count(frame)
        except ValueError:
            raise DataError(f"{place}: expected a frame number from 0 on as frame_idx, found {frame[:50]!r}") from None
        points = [point(columns[f"{name}.x"][row], columns[f"{name}.y"][row], place, name) for name in names]
        if not np.isnan(points).all():
            # rows of a frame without tracks are told apart by their line
            who = tracks[row].strip() or f"row {line}"
            faces.append(Face("", np.array(points), place, line, who, frame=number))
    if not faces:
        raise DataError(f"{path}: no row has a landmark")
    return LabelFile("SLEAP analysis CSV", Path(path), names, faces)
