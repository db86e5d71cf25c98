"""The command line: `python -m cskt COMMAND`; each command is a function that takes the parsed arguments."""

import argparse
import math
import sys

from cskt.errors import DataError


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 2 when a file given to it is at fault."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except DataError as error:
        print(f"cskt {args.command}: error: {error}", file=sys.stderr)
        return 2
    return 0


# Commands import what they need themselves, so that `--help` does not wait for it.


def mining(args: argparse.Namespace) -> None:
    """Print how many images are hard negatives, positives and semi-hard."""
    from cskt.data.reading import read_list
    from cskt.data.table import some
    from cskt.mining import categorize, count_categories, read_disagreements

    images = None
    if args.list is not None:
        images, repeats = read_list(args.list)
        if repeats:
            _note(f"{args.list}: repeated names are counted once: {some([name for name, _ in repeats])}")
    table = read_disagreements(args.human, args.flip, images)
    categories = categorize(table["human_disagreement"], table["flip_disagreement"], args.t_pos, args.t_neg)
    counts = count_categories(categories)
    print(f"hard negatives {counts['hard_negative']:>8,}")
    print(f"positives      {counts['positive']:>8,}")
    print(f"semi-hard      {counts['semi_hard']:>8,}")
    print(f"images         {len(table):>8,}")


def mean_shape(args: argparse.Namespace) -> None:
    """Print the error of the mean and of the median shape in the box."""
    import numpy as np

    from cskt.data.annotations import read_landmark_csv
    from cskt.data.reading import read_list
    from cskt.metrics import nme
    from cskt.shapes import fit_shape, place_shape

    fit = read_landmark_csv(args.landmarks, list_file=args.fit)
    test = read_landmark_csv(args.landmarks, list_file=args.test)
    for path, faces in ((args.fit, fit), (args.test, test)):
        if len(faces.problems):
            _note(f"{path}: {faces.summary()}")
    both = len(set(fit.table["image"]) & set(test.table["image"]))
    if both:
        _note(f"{both:,} of the {len(test):,} test images are also fitted on")

    never = np.isnan(fit.landmarks).all(axis=(0, 2)) & ~np.isnan(test.landmarks).all(axis=(0, 2))
    if never.any():
        names = ", ".join(np.array(fit.scheme.landmarks)[never])
        raise DataError(f"{args.fit}: no image of this list has the landmarks {names}, which the test images have")
    for verb, path, faces in (("fitted", args.fit, fit), ("tested", args.test, test)):
        print(f"{verb} on {len(faces):,} of {len(read_list(path).line_of):,} listed images")
    for statistic in ("mean", "median"):
        errors = nme(place_shape(fit_shape(fit.landmarks, fit.boxes, statistic), test.boxes), test.landmarks, test.norm)
        if np.isnan(errors).all():
            raise DataError(f"{args.test}: no image of this list has a landmark to compare with")
        print(f"{statistic} shape in the box: NME {100 * np.nanmean(errors):.2f} %")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cskt", description="Cross-species face alignment.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = _add(commands, mining, "python -m cskt mining --human human.csv --flip flip.csv --t-pos 0.05 --t-neg 0.2")
    command.add_argument("--human", required=True, metavar="CSV", help="human disagreement: columns img and nme")
    command.add_argument("--flip", required=True, metavar="CSV", help="flip disagreement: columns img and nme")
    command.add_argument("--t-pos", required=True, type=_fraction, metavar="X", help="positive below this")
    command.add_argument("--t-neg", required=True, type=_fraction, metavar="Y", help="hard negative from this on")
    command.add_argument("--list", metavar="TXT", help="count these images only, one name a line")

    example = "python -m cskt mean-shape --landmarks landmarks.csv --fit train.txt --test test.txt"
    command = _add(commands, mean_shape, example)
    command.add_argument(
        "--landmarks", required=True, metavar="CSV", help="columns image, x, y, w, h, p0_x, p0_y, ... in image pixels"
    )
    command.add_argument("--fit", required=True, metavar="TXT", help="images to fit on, one name a line")
    command.add_argument("--test", required=True, metavar="TXT", help="images to test on, one name a line")
    return parser


def _add(commands: argparse._SubParsersAction, run, example: str) -> argparse.ArgumentParser:
    """Add the command that a function is: its name, its docstring, and an example to copy."""
    command = commands.add_parser(
        run.__name__.replace("_", "-"), help=run.__doc__, description=run.__doc__, epilog=f"example: {example}"
    )
    command.set_defaults(run=run)
    return command


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"expected a fraction of 0 or more, found {text!r}")
    return value


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
