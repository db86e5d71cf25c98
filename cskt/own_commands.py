"""The commands for a person's own animals: `data check`, `data sample`, `data collect`, `adapt`; docs/own_data.md."""

import argparse
import math
import re
import sys
from collections.abc import Callable

from cskt.errors import one_line

# Commands import what they need themselves, so that `--help` does not wait for it.


def data_check(args: argparse.Namespace) -> int:
    """Say what labels of any known format hold and what looks wrong in them; draw a contact sheet."""
    from pathlib import Path

    from cskt import files, sheets
    from cskt.data.label_check import suspicious
    from cskt.data.labels import read_labels
    from cskt.data.schemes import read_scheme, write_scheme
    from cskt.errors import WriteError

    out = Path(args.out or f"check_{Path(args.path).resolve().stem}")
    written = [out / name for name in ("contact_sheet.png", "labels.csv", "findings.csv", "problems.csv")]
    files.refuse_overwriting([*written, out / "scheme.yaml"], [args.path, args.boxes, args.list, args.frames])
    files.refuse_overwriting(written, [args.scheme])
    if (out / "labels.csv").exists() and not (out / "findings.csv").exists():
        raise WriteError(f"{out / 'labels.csv'}: is there, and not from a former check: name another folder by --out")
    scheme = read_scheme(args.scheme) if args.scheme else None
    labels = read_labels(
        args.path,
        args.images,
        boxes=args.boxes,
        box=args.box or "auto",
        scheme=scheme,
        species=args.species or "",
        keep=args.list,
        frames=args.frames,
    )
    findings = suspicious(labels.faces)
    print("\n".join(map(one_line, labels.describe(labels.notes))))
    for row in labels.faces.problems.itertuples():
        print(one_line(f"{'left out' if row.action == 'excluded' else 'look at':<12} {row.image}: {row.problem}"))
    for row in findings.itertuples():
        which = f"{row.landmark} " if row.landmark else ""
        print(one_line(f"look at      {row.image}: {which}{row.finding} ({row.detail})"))
    files.write_csv(out / "labels.csv", labels.faces.table)
    files.write_csv(out / "findings.csv", findings)
    files.write_csv(out / "problems.csv", labels.faces.problems)
    # the proposal of a former check, edited by hand and given with --scheme, stays as it is
    if scheme is None or not files.same_file(out / "scheme.yaml", args.scheme):
        write_scheme(out / "scheme.yaml", labels.faces.scheme)
    sheets.save(sheets.labels(labels.faces, findings), out / "contact_sheet.png")
    left_out = int((labels.faces.problems["action"] == "excluded").sum())
    print(f"written      {out}: contact_sheet.png, labels.csv, findings.csv, problems.csv, scheme.yaml")
    print(f"in all       {len(labels.faces)} faces can be used, {left_out} left out, {len(findings)} labels to look at")
    return 1 if left_out or len(findings) else 0


def data_sample(args: argparse.Namespace) -> None:
    """Draw a small set of animal faces as a person would have it, to try the steps with."""
    from cskt.data.sample import write_sample

    for line in write_sample(args.out, labeled=args.labeled, unlabeled=args.unlabeled):
        print(line)


def data_collect(args: argparse.Namespace) -> int:
    """Download the pictures that a photo collection lists, politely; find the animals' boxes with a detector."""
    from pathlib import Path

    from cskt import files
    from cskt.data import collect
    from cskt.errors import DataError

    out = Path(args.out)
    files.refuse_overwriting([out / "downloads.csv", out / "boxes.csv"], [args.metadata, args.weights])
    # what is wrong with these is told before the download
    table = collect.read_metadata(args.metadata, args.word)
    if table.empty:
        raise DataError(
            f"{args.metadata}: no photo" + f" with {' or '.join(args.word)} in its title or tags" * bool(args.word)
        )
    if bool(args.category) != bool(args.weights):
        raise DataError("boxes need both --category and --weights")
    detector = (collect.category(args.category), collect.faster_rcnn(args.weights)) if args.category else None
    report = collect.download(table, out, pause=args.pause)
    for status, count in report["status"].value_counts().items():
        print(f"{status:<15} {count:>6,}")
    print(f"written         {out / 'downloads.csv'}")
    if detector is not None:
        label, net = detector
        boxes = collect.find_boxes(net, out, label, args.score)
        files.write_csv(out / "boxes.csv", boxes)
        print(f"written         {out / 'boxes.csv'}: {len(boxes):,} pictures with a {args.category}")
    return 1 if (report["status"] != "done").any() else 0


def adapt(args: argparse.Namespace) -> int:
    """Train a detector from a few labels and a folder of pictures, with an honest error; resumable."""
    from pathlib import Path

    from cskt import adapt as own
    from cskt import config, files
    from cskt.errors import ConfigError

    results = ("checkpoint.pt", "scores.csv", "next_to_label.csv", "data/labeled.json", "data/scheme.yaml")
    read = [args.labeled, args.boxes, args.scheme, args.list, args.frames, args.human]
    files.refuse_overwriting([Path(args.out) / name for name in results], read)
    given, options = config.parse_overrides(args.set), _overrides(args)
    if twice := sorted(given.keys() & options.keys()):
        raise ConfigError(f"{', '.join(twice)}: given by --set and by the option that is for it: give it once")
    adaptation = own.prepare(args.config, given | options, args.out)
    print("\n".join(map(one_line, adaptation.labels.describe(adaptation.notes))))
    until = "mining" if args.until_mining else "method"
    workers = args.workers or own.workers_for(adaptation.cfg)
    if own.pending(adaptation, until):
        told = own.estimate(adaptation, workers, until)
        print(f"time         {own.told(told, adaptation, until)}")
    if args.estimate:
        return 0
    try:
        own.run(adaptation, workers, until)
    except KeyboardInterrupt:
        note("stopped; the same command goes on from here")
        return 130
    if args.until_mining:
        sheets = own.write_pseudo_label_sheets(adaptation)
        print(f"written      {adaptation.out}: pseudo_labels.csv, {', '.join(path.name for path in sheets)}")
        print("next         write accept, reject or drop into its column decision, then call without --until-mining")
        return 0
    own.write_results(adaptation)
    print()
    print((adaptation.out / "report.md").read_text())
    problems = len(adaptation.labels.faces.problems)
    problems += 0 if adaptation.unlabeled is None else len(adaptation.unlabeled.problems)
    return 1 if problems else 0


def _overrides(args: argparse.Namespace) -> dict:
    """The options that were given, as overrides of the params file; paths are those of the working directory."""
    from pathlib import Path

    def there(path: str) -> str:
        return str(Path(path).resolve())

    given = {"OWN.LABELS": args.labeled, "OWN.IMAGES": args.images, "OWN.BOXES": args.boxes, "OWN.SCHEME": args.scheme,
             "OWN.LIST": args.list, "OWN.FRAMES": args.frames}  # fmt: skip
    overrides = {key: there(path) for key, path in given.items() if path}
    if args.human:
        overrides["HUMAN.CHECKPOINT"] = args.human if args.human == "none" else there(args.human)
    plain = {"OWN.BOX": args.box, "OWN.SPECIES": args.species, "OWN.FOLDS": args.folds, "OWN.NEXT": args.next}
    overrides |= {key: value for key, value in plain.items() if value is not None}
    return overrides | ({"OWN.FEW_SHOT_ONLY": True} if args.few_shot_only else {})


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add these commands to the command line's parser."""
    data = commands.add_parser("data", description="Labels of your own.")
    kinds = data.add_subparsers(prog="python -m cskt data", dest="kind", required=True, metavar="COMMAND")

    example = "python -m cskt data check my_animals/labels.csv --images my_animals/pictures --out check"
    command = _add(kinds, "check", data_check, example)
    command.add_argument("path", help="DeepLabCut, Lightning Pose or SLEAP CSV, DeepLabCut H5, COCO JSON, .pts folder")
    _add_reading(command)
    command.add_argument("--out", metavar="DIR", help="where the contact sheet goes (default: check_NAME)")

    command = _add(kinds, "sample", data_sample, "python -m cskt data sample --out my_animals")
    command.add_argument("--out", required=True, metavar="DIR", help="folder to make")
    command.add_argument("--labeled", type=whole(1), default=40, metavar="N", help="labels (default: %(default)s)")
    command.add_argument("--unlabeled", type=whole(0), default=200, metavar="N", help="other pictures (%(default)s)")

    command = _add(
        kinds, "collect", data_collect, "python -m cskt data collect photos.json --out pictures --word horse"
    )
    command.add_argument(
        "metadata", help="JSON: a list of objects with url, and if known id, title, tags, license, sha256"
    )
    command.add_argument("--out", required=True, metavar="DIR", help="folder of the pictures; call again to go on")
    command.add_argument("--word", action="append", default=[], help="only photos with it in title or tags; repeatable")
    command.add_argument("--pause", type=number, default=1.0, metavar="S", help="between two requests to a server (1)")
    command.add_argument("--category", metavar="NAME", help="write boxes.csv: of this COCO category (horse, cat, ...)")
    command.add_argument(
        "--weights", metavar="PTH", help="of torchvision's Faster R-CNN; DEFAULT downloads them (167 MB)"
    )
    command.add_argument("--score", type=number, default=0.95, metavar="X", help="of a box, at least (%(default)s)")

    example = "python -m cskt adapt --labeled my_animals/labels.csv --images my_animals/pictures --out adapted"
    command = _add(commands, "adapt", adapt, example)
    command.add_argument("--labeled", metavar="PATH", help="labels, in any format that `data check` reads")
    _add_reading(command)
    command.add_argument("--out", required=True, metavar="DIR", help="folder of all results; call again to go on")
    command.add_argument("--human", metavar="PT", help="face model to start from and to mine with, or none")
    command.add_argument("--folds", type=whole(0), metavar="K", help="parts of the cross-validation (5; 0: none)")
    command.add_argument("--next", type=whole(0), metavar="N", help="pictures to propose for labeling (default: 20)")
    command.add_argument("--few-shot-only", action="store_true", help="learn from the labels alone: quick")
    command.add_argument("--until-mining", action="store_true", help="stop before the long part, to see pseudo-labels")
    command.add_argument("--estimate", action="store_true", help="say how long it takes, and stop")
    command.add_argument("--workers", type=whole(1), metavar="N", help="processes at a time (default: one per core)")
    command.add_argument("--config", default="params/own.yaml", metavar="YAML", help="params file (%(default)s)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the config")


def _add_reading(command: argparse.ArgumentParser) -> None:
    """The arguments that say how labels are read."""
    command.add_argument("--images", metavar="DIR", help="folder of pictures (default: the one beside the labels)")
    command.add_argument("--boxes", metavar="CSV", help="face boxes: columns img, x, y, w, h in image pixels")
    command.add_argument(
        "--box",
        choices=("auto", "landmarks", "picture"),
        help="face boxes of labels without one: from the label file or the landmarks (auto), from the landmarks, or "
        "the whole picture (for pictures cropped to the face)",
    )
    command.add_argument("--scheme", metavar="YAML", help="landmarks, flip pairs, correspondences (else proposed)")
    command.add_argument("--species", metavar="NAME", help="of all pictures (else by their names)")
    command.add_argument("--list", metavar="TXT", help="use the labels of these pictures only, one name a line")
    command.add_argument("--frames", metavar="TXT", help="SLEAP: picture names, that of frame 0 first")


def _add(commands: argparse._SubParsersAction, name: str, run, example: str) -> argparse.ArgumentParser:
    command = add_command(commands, name, run.__doc__.splitlines()[0], example)
    # errors are told under the whole name
    command.set_defaults(run=run, command=run.__name__.replace("_", " "))
    return command


def add_command(commands: argparse._SubParsersAction, name: str, about: str, example: str) -> argparse.ArgumentParser:
    """Add a command with what it does and an example, which `--help` shows as it can be copied."""
    epilog = "\n".join(["example:", *copyable(example, "  ")])
    command = commands.add_parser(
        name, description=about, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(example=example)
    return command


def copyable(example: str, indent: str, width: int = 110) -> list[str]:
    r"""Break a command into lines that a shell takes as one.

    Example:
        >>> copyable("python -m cskt table zoo --out t.csv", "  ", 30)
        ['  python -m cskt table zoo \\', '      --out t.csv']
    """
    # an option and its value stay together
    parts = re.split(r" (?=--)", example)
    lines = [indent + parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 3 > width:
            lines[-1] += " \\"
            lines.append(f"{indent}    {part}")
        else:
            lines[-1] += f" {part}"
    return lines


def whole(least: int) -> Callable[[str], int]:
    """What reads an argument that is a whole number, `least` or more."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, found {text!r}")
        return int(text)

    return read


def number(text: str) -> float:
    """Read an argument that is a number of 0 or more."""
    try:
        value = math.nan if "_" in text else float(text)  # Python alone takes "1_0" as ten
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more, found {text!r}")
    return value


def note(text: str) -> None:
    """Tell something beside the results."""
    print(f"note: {one_line(text)}", file=sys.stderr)
