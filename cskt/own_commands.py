"""The commands for a person's own animals: `data check`, `data sample`, `adapt`; see docs/own_data.md."""

import argparse
import sys

# Commands import what they need themselves, so that `--help` does not wait for it.


def data_check(args: argparse.Namespace) -> int:
    """Read labels of any known format, say what they hold and what looks wrong, and draw a contact sheet."""
    from pathlib import Path

    from cskt import files, sheets
    from cskt.data.label_check import suspicious
    from cskt.data.labels import read_labels
    from cskt.data.schemes import read_scheme, write_scheme

    scheme = read_scheme(args.scheme) if args.scheme else None
    labels = read_labels(args.path, args.images, boxes=args.boxes, box=args.box, scheme=scheme, species=args.species,
                         keep=args.list, frames=args.frames)  # fmt: skip
    findings = suspicious(labels.faces)
    for line in describe(labels, proposed=scheme is None):
        print(line)
    for name, problem in zip(*(labels.faces.problems[key] for key in ("image", "problem")), strict=True):
        print(f"left out     {name}: {problem}")
    for row in findings.itertuples():
        print(f"look at      {row.image}: {f'{row.landmark} ' if row.landmark else ''}{row.finding} ({row.detail})")
    out = Path(args.out or f"check_{Path(args.path).resolve().stem}")
    files.write_csv(out / "labels.csv", labels.faces.table)
    files.write_csv(out / "findings.csv", findings)
    files.write_csv(out / "problems.csv", labels.faces.problems)
    write_scheme(out / "scheme.yaml", labels.faces.scheme)
    sheets.save(sheets.labels(labels.faces, findings), out / "contact_sheet.png")
    left_out = int((labels.faces.problems["action"] == "excluded").sum())
    print(f"written      {out}: contact_sheet.png, labels.csv, findings.csv, problems.csv, scheme.yaml")
    print(f"in all       {len(labels.faces)} faces can be used, {left_out} left out, {len(findings)} labels to look at")
    return 1 if left_out or len(findings) else 0


def describe(labels, proposed: bool = True) -> list[str]:
    """What labels hold, a line each.

    Args:
        labels: by `read_labels`.
        proposed: whether flip pairs and correspondences were made from names and labels, not read from a file.
    """
    import numpy as np

    faces, scheme = labels.faces, labels.faces.scheme
    there = np.isfinite(faces.landmarks).all(axis=-1)
    own = " (proposed from the names)" if proposed and scheme.name.startswith("own") else ""
    counts = faces.table["species"].value_counts(sort=False)
    pairs = ", ".join(f"{scheme.landmarks[a]} / {scheme.landmarks[b]}" for a, b in scheme.flip_pairs)
    places = ", ".join(
        f"{place} is {' + '.join(scheme.landmarks[i] for i in which)}" for place, which in scheme.parts.items()
    )
    pictures = faces.table["path"].nunique()
    lines = [
        f"format       {labels.format}",
        f"faces        {len(faces)} in {pictures} pictures; {len(labels.pictures.paths)} in {labels.pictures.folder}",
        f"species      {', '.join(f'{name} {count}' for name, count in counts.items())}",
        f"landmarks    {', '.join(f'{n} {c}' for n, c in zip(scheme.landmarks, there.sum(axis=0), strict=True))}",
        f"missing      {(~there).sum()} of {there.size} landmarks",
        f"flip pairs   {pairs or 'none: a mirror image keeps every name'}{own if pairs else ''}",
        f"places       {places or 'none known: nothing is shared with a face model'}{own if places else ''}",
        *(f"note         {note}" for note in labels.notes),
    ]
    return lines


def data_sample(args: argparse.Namespace) -> None:
    """Draw a small set of animal faces as a person would have it, to try the steps with."""
    from cskt.data.sample import write_sample

    for line in write_sample(args.out, labeled=args.labeled, unlabeled=args.unlabeled):
        print(line)


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add these commands to the command line's parser."""
    data = commands.add_parser(
        "data", help="Labels of your own: check them (data check), or draw some to try (data sample)."
    )
    kinds = data.add_subparsers(dest="kind", required=True, metavar="COMMAND")

    example = "python -m cskt data check my_animals/labels.csv --images my_animals/pictures --out check"
    command = _add(kinds, "check", data_check, example)
    command.add_argument("path", help="DeepLabCut, Lightning Pose or SLEAP CSV, DeepLabCut H5, COCO JSON, .pts folder")
    _add_reading(command)
    command.add_argument("--out", metavar="DIR", help="where the contact sheet goes (default: check_NAME)")

    command = _add(kinds, "sample", data_sample, "python -m cskt data sample --out my_animals")
    command.add_argument("--out", required=True, metavar="DIR", help="folder to make")
    command.add_argument("--labeled", type=int, default=40, metavar="N", help="labels (default: %(default)s)")
    command.add_argument("--unlabeled", type=int, default=200, metavar="N", help="other pictures (%(default)s)")


def _add_reading(command: argparse.ArgumentParser) -> None:
    """The arguments that say how labels are read."""
    command.add_argument("--images", metavar="DIR", help="folder of the pictures (default: beside the labels)")
    command.add_argument("--boxes", metavar="CSV", help="face boxes: columns img, x, y, w, h in image pixels")
    command.add_argument(
        "--box",
        choices=("auto", "landmarks", "picture"),
        default="auto",
        help="face boxes of labels without one: from the label file or the landmarks (auto), from the landmarks, or "
        "the whole picture (for pictures cropped to the face)",
    )
    command.add_argument("--scheme", metavar="YAML", help="landmarks, flip pairs, correspondences (else proposed)")
    command.add_argument("--species", default="", metavar="NAME", help="of all pictures (else by their names)")
    command.add_argument("--list", metavar="TXT", help="use the labels of these pictures only, one name a line")
    command.add_argument("--frames", metavar="TXT", help="SLEAP: picture names, that of frame 0 first")


def _add(commands: argparse._SubParsersAction, name: str, run, example: str) -> argparse.ArgumentParser:
    about = run.__doc__.splitlines()[0]
    command = commands.add_parser(name, help=about, description=about, epilog=f"example: {example}")
    # errors are told under the whole name
    command.set_defaults(run=run, command=run.__name__.replace("_", " "))
    return command


def note(text: str) -> None:
    """Tell something beside the results."""
    print(f"note: {text}", file=sys.stderr)
