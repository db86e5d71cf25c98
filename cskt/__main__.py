"""The command line: `python -m cskt COMMAND`; each command is a function that takes the parsed arguments."""

import argparse
import errno
import os
import sys
import tempfile
import textwrap
from contextlib import suppress

from cskt import own_commands
from cskt.errors import DataError, one_line, some


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 where part of the work failed, 2 for a faulty file."""
    args = _parser().parse_args(argv)
    if sys.stdout is None:
        # closed by the shell (`>&-`): the first file that is opened would take its place
        print(f"cskt {args.command}: error: its output cannot be written: it is closed", file=sys.stderr)
        return 1
    try:
        status = args.run(args) or 0
        sys.stdout.flush()
        return status
    except DataError as error:
        # names and values of files that strangers wrote may be in it
        print(f"cskt {args.command}: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC):
            # what is printed goes to a program that has ended (`| head`), or to a full disk
            print(f"cskt {args.command}: error: its output cannot be written: {error.strerror}", file=sys.stderr)
            with suppress(OSError):
                # or the interpreter would try once more as it ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        # a file that cannot be opened or written; anything else is a fault of ours
        if error.filename is None:
            raise
        print(f"cskt {args.command}: error: {one_line(str(error.filename))}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"cskt {args.command}: stopped", file=sys.stderr)
        return 130


# Commands import what they need themselves, so that `--help` does not wait for it.


def mining(args: argparse.Namespace) -> None:
    """Print how many images are hard negatives, positives and semi-hard."""
    from cskt import files
    from cskt.data.reading import read_list
    from cskt.errors import some
    from cskt.mining import categorize, count_categories, read_disagreements

    images = None
    if args.list is not None:
        images, repeats = read_list(args.list)
        if repeats:
            _note(f"{args.list}: repeated names are counted once: {some([name for name, _ in repeats])}")
    table = read_disagreements(args.human, args.flip, images)
    if files.same_file(args.human, args.flip):
        _note(f"--human and --flip are the same file, {args.human}")
    for path, name in ((args.human, "human"), (args.flip, "flip")):
        if above := int((table[f"{name}_disagreement"] > 1).sum()):
            _note(f"{path}: {above:,} of {len(table):,} values are above 1: fractions are expected, not percent")
    for name, value in (("--t-pos", args.t_pos), ("--t-neg", args.t_neg)):
        if value > 1:
            _note(f"{name} {value:g} is above 1: a fraction is expected, not percent")
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

    _refuse_unseen(fit, test, args.fit)
    for verb, path, faces in (("fitted", args.fit, fit), ("tested", args.test, test)):
        print(f"{verb} on {len(faces):,} of {len(read_list(path).line_of):,} listed images")
    for statistic in ("mean", "median"):
        errors = nme(place_shape(fit_shape(fit.landmarks, fit.boxes, statistic), test.boxes), test.landmarks, test.norm)
        if np.isnan(errors).all():
            raise DataError(f"{args.test}: no image of this list has a landmark to compare with")
        print(f"{statistic} shape in the box: NME {100 * np.nanmean(errors):.2f} %")


def _refuse_unseen(fit, test, where: str) -> None:
    """Raise where annotated faces to be scored have a landmark that none has to which a shape is fitted."""
    import numpy as np

    never = np.isnan(fit.landmarks).all(axis=(0, 2)) & ~np.isnan(test.landmarks).all(axis=(0, 2))
    if never.any():
        names = ", ".join(np.array(fit.scheme.landmarks)[never])
        raise DataError(f"{where}: no image of it has the landmarks {names}, which the test images have")


def evaluate(args: argparse.Namespace) -> int:
    """Score a checkpoint on annotated images and print the errors beside those of the mean shape."""
    from cskt import config, files
    from cskt.consensus import predict_consensus
    from cskt.data.annotations import read_coco
    from cskt.data.datasets import unlabeled_set, unreadable_images
    from cskt.metrics import nme
    from cskt.models import checkpoints
    from cskt.predict import predict, score, summarize
    from cskt.settings import Setting
    from cskt.shapes import fit_shape, place_shape

    files.refuse_overwriting([args.out], [args.config, args.checkpoint, args.annotations])
    files.check_output(args.out, (".csv",))
    cfg = config.load(args.config, config.parse_overrides(args.set))
    setting = Setting(cfg)
    net = checkpoints.load(args.checkpoint, setting.scheme).to(setting.device)
    if net.spec["scheme"] != setting.scheme.name:
        raise DataError(
            f"{args.checkpoint}: finds the landmarks of {net.spec['scheme']}, and {args.config} is of "
            f"{setting.scheme.name}: give the params file of the setting it was trained in"
        )
    truth = read_coco(args.annotations, args.images, scheme=setting.scheme)
    files.refuse_overwriting([args.out], truth.table["path"])
    if len(truth.problems):
        _note(f"{args.annotations}: {truth.summary()}")
    labeled = setting.annotations("labeled")
    _refuse_unseen(labeled, truth, f"the labeled list of {cfg.SETTING}")
    if learned := sorted(set(truth.table["image"]) & set(labeled.table["image"])):
        _note(f"{len(learned):,} of the {len(truth):,} images are labeled ones of {cfg.SETTING}: {some(learned)}")
    shape = fit_shape(labeled.landmarks, labeled.boxes)

    with tempfile.TemporaryDirectory() as cache:
        boxed = truth.with_jittered_boxes(args.box_jitter, cfg.SEED) if args.box_jitter else truth
        # the crops of the setting's own runs, pixel for pixel
        faces = unlabeled_set(boxed, net.size, cfg.INPUT.CONTEXT, cache, cfg.INPUT.PADDING)
        unreadable = unreadable_images(cache)
        look = predict_consensus if args.six_views else predict
        scores = score(look(net, faces, progress=True, **setting.how), truth)
    seen, boxes = truth.select(scores["image"]), boxed.select(scores["image"]).boxes
    scores["nme_mean_shape"] = nme(place_shape(shape, boxes), seen.landmarks, seen.norm)
    scored = int(scores["nme"].notna().sum())
    if scored < 2:
        raise DataError(
            f"{args.annotations}: {scored or 'none'} of its {len(truth):,} images can be read and has an annotated "
            "landmark; an error with its interval needs two"
        )
    files.write_csv(args.out, scores)

    found, line = summarize(scores), summarize(scores.assign(nme=scores["nme_mean_shape"]))
    excluded = int((truth.problems["action"] == "excluded").sum())
    print(f"images      {found['images']:,} of {len(truth) + excluded:,}")
    print(f"NME         {found['nme']:.2%}   95 % interval {found['nme_low']:.2%} to {found['nme_high']:.2%}")
    print(f"FR@0.08     {found['fr08']:.2%}")
    print(f"FR@0.10     {found['fr10']:.2%}")
    print(f"AUC@0.2     {found['auc20']:.4f}")
    print(f"mean shape  {line['nme']:.2%}   of the {len(labeled)} labeled images of {cfg.SETTING}, in the same boxes")
    print(f"written     {args.out}, {len(scores):,} rows")
    for name, problem in unreadable.items():
        _note(f"{name}: {problem}")
    return 1 if unreadable or excluded else 0


def predict(args: argparse.Namespace) -> int:
    """Find landmarks in a folder of pictures, or in one picture; write one row per picture, in image pixels."""
    from cskt import config, files
    from cskt.consensus import predict_consensus
    from cskt.data.datasets import unlabeled_set, unreadable_images
    from cskt.data.exports import write_predictions
    from cskt.data.folder import Pictures, boxes_of_no_picture, read_folder
    from cskt.data.schemes import named_scheme
    from cskt.drawing import draw_landmarks, drawings
    from cskt.export import open_net
    from cskt.landmarks import SCHEMES
    from cskt.models import LandmarkNet, pick_device, pick_precision
    from cskt.models.inference import folded
    from cskt.predict import predict as predict_table

    read = [args.checkpoint, f"{args.checkpoint}.json", args.boxes]
    files.refuse_overwriting([args.out, args.coco, args.deeplabcut], read)
    kinds = ((args.out, (".csv", ".json")), (args.coco, (".json",)), (args.deeplabcut, (".csv",)))
    outputs = [path for path, endings in kinds if path is not None and files.check_output(path, endings)]
    scheme = named_scheme(args.scheme, "--scheme") if args.scheme else None
    net = open_net(args.checkpoint, scheme).to(pick_device(args.device))
    if args.quick and isinstance(net, LandmarkNet):
        net = folded(net)
    faces = read_folder(args.images, SCHEMES[net.spec["scheme"]], boxes=args.boxes, deep=args.deep)
    if args.draw is not None:
        drawn = drawings(faces.table["image"], args.draw)
        files.check_output(drawn[0])
        outputs += drawn
    pictures = [*faces.table["path"], *faces.problems["file"]]
    files.refuse_overwriting(outputs, [*read, *pictures])
    if args.boxes is None:
        _note("no --boxes: each whole picture is taken as the face box, which suits pictures cropped to a face")
    elif strange := boxes_of_no_picture(args.boxes, Pictures(args.images, args.deep)):
        _note(f"{args.boxes}: {len(strange):,} boxes are of no picture: {some(strange)}")
    with tempfile.TemporaryDirectory() as cache:
        # as runs and `evaluate` crop; turned views see what is beside the plain crop
        context = 1.0 if args.quick else config.DEFAULTS["INPUT"]["CONTEXT"]
        crops = unlabeled_set(faces, net.size, context, cache, net.padding, reduced=args.quick)
        unreadable = unreadable_images(cache)
        look = predict_consensus if args.six_views else predict_table
        table = look(net, crops, precision=pick_precision("auto", pick_device(args.device)), progress=True)
    written = write_predictions(table, faces, args.out, coco=args.coco, deeplabcut=args.deeplabcut)
    if args.draw is not None:
        draw_landmarks(table, faces, args.draw)
    print(f"{len(table):,} pictures, {len(crops.scheme.landmarks)} landmarks each, written to {', '.join(written)}")
    left_out = dict(zip(faces.problems["image"], faces.problems["problem"], strict=True)) | unreadable
    for name, problem in left_out.items():
        _note(f"{name}: {problem}")
    return 1 if left_out else 0


def export(args: argparse.Namespace) -> None:
    """Write a network as ONNX or OpenVINO, for `predict` and for programs without torch."""
    from pathlib import Path

    from cskt import files
    from cskt.data.schemes import named_scheme
    from cskt.export import export as write
    from cskt.models import checkpoints

    # OpenVINO puts the weights into a file of their own
    files.refuse_overwriting([args.out, f"{args.out}.json", Path(args.out).with_suffix(".bin")], [args.checkpoint])
    scheme = named_scheme(args.scheme, "--scheme") if args.scheme else None
    write(checkpoints.load(args.checkpoint, scheme), args.out)
    print(f"written {args.out} and {args.out}.json: images from 0 to 1 in, heatmaps out")


def run(args: argparse.Namespace) -> int:
    """Execute a notebook as a run, into a folder of its own."""
    from cskt import config, gpus, notebooks, torchrun

    if torchrun.launched():
        gpus.take(torchrun.local_rank())
    elif args.own_gpu:
        gpus.take_one()
    try:
        with torchrun.own_folder(args.out) as folder:
            notebooks.execute(args.notebook, folder, args.config, config.parse_overrides(args.set))
    except notebooks.NotebookError as error:
        print(f"cskt run: error: {error}", file=sys.stderr)
        return 1
    return 0


def rerun(args: argparse.Namespace) -> int:
    """Do a finished run again from what it wrote down, in a new folder, and compare the results bit for bit."""
    from cskt.rerun import rerun as again

    return 1 if again(args.run_dir, args.out) else 0


def table(args: argparse.Namespace) -> None:
    """Print the results of a setting's finished runs, and write them where asked."""
    from cskt import files, runs

    if args.out is not None:
        files.check_output(args.out, (".csv",))
    found = runs.collect(args.setting)
    if args.out is not None:
        files.write_csv(args.out, found)
    print(found.to_string(index=False, float_format="{:.4f}".format))


def report(args: argparse.Namespace) -> None:
    """Copy a setting's results into docs/results/ and renew the tables of README.md and docs/."""
    from cskt import config
    from cskt.report import publish
    from cskt.speed import results

    if args.setting == "performance":
        written = results.publish(config.resolve("outputs/performance/benchmark"), config.PROJECT)
    else:
        written = publish(args.setting, config.resolve("outputs"), config.PROJECT)
    for path in written:
        print(f"written {path}")


def html(args: argparse.Namespace) -> None:
    """Write a setting's results, figures and executed notebooks as pages for the browser."""
    from cskt import config
    from cskt.pages import write_pages

    print(f"written {write_pages(config.resolve('outputs') / args.setting)}")


def tour(args: argparse.Namespace) -> None:
    """Draw the pictures of README's tour anew, from the zoo's finished runs."""
    from cskt import config
    from cskt.settings import Setting
    from cskt.tour import write_tour

    setting = Setting(config.load(args.config))
    for path in write_tour(setting, config.resolve("outputs") / setting.cfg.SETTING, args.out):
        print(f"written {path}, {path.stat().st_size / 1000:.0f} kB")


def horse_lists(args: argparse.Namespace) -> None:
    """Write the lists and boxes that the horse data set's release_data lacks, into that folder."""
    from cskt.data.horse import write_lists

    for name, count in write_lists(args.release, seed=args.seed).items():
        print(f"{name:<12} {count:>6,}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cskt",
        usage="python -m cskt COMMAND ...",
        description="Facial landmarks of animals from a few labels. More on each: python -m cskt COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        dest="command", prog="python -m cskt", required=True, metavar="COMMAND", help=argparse.SUPPRESS
    )

    own_commands.add_parsers(commands)

    command = _add(commands, mining, "python -m cskt mining --human human.csv --flip flip.csv --t-pos 0.05 --t-neg 0.2")
    command.add_argument("--human", required=True, metavar="CSV", help="human disagreement: columns img and nme")
    command.add_argument("--flip", required=True, metavar="CSV", help="flip disagreement: columns img and nme")
    command.add_argument("--t-pos", required=True, type=own_commands.number, metavar="X", help="positive below this")
    command.add_argument(
        "--t-neg", required=True, type=own_commands.number, metavar="Y", help="hard negative from this on"
    )
    command.add_argument("--list", metavar="TXT", help="count these images only, one name a line")

    example = "python -m cskt mean-shape --landmarks landmarks.csv --fit train.txt --test test.txt"
    command = _add(commands, mean_shape, example)
    command.add_argument(
        "--landmarks", required=True, metavar="CSV", help="columns image, x, y, w, h, p0_x, p0_y, ... in image pixels"
    )
    command.add_argument("--fit", required=True, metavar="TXT", help="images to fit on, one name a line")
    command.add_argument("--test", required=True, metavar="TXT", help="images to test on, one name a line")

    example = (
        "python -m cskt evaluate --config params/animalpose.yaml --checkpoint checkpoint.pt --annotations test.json "
        "--images images --out scores.csv"
    )
    command = _add(commands, evaluate, example)
    command.add_argument("--config", required=True, metavar="YAML", help="the setting, for the mean shape's labels")
    command.add_argument("--checkpoint", required=True, metavar="PT", help=f"a network that cskt saved, {ORIGINAL}")
    command.add_argument("--annotations", required=True, metavar="JSON", help="COCO keypoints")
    command.add_argument("--images", required=True, metavar="DIR", help="folder of the pictures")
    command.add_argument("--out", required=True, metavar="CSV", help="one row per image")
    command.add_argument("--six-views", **SIX_VIEWS)
    command.add_argument(
        "--box-jitter", type=own_commands.number, default=0.0, metavar="SHARE",
        help="boxes moved and scaled at random by up to this share of their sides, 0.1 say: what a detector's would be",
    )  # fmt: skip
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the config")

    example = "python -m cskt predict --checkpoint checkpoint.pt --images pictures --out predictions.csv --draw drawn"
    command = _add(commands, predict, example)
    command.add_argument("--checkpoint", required=True, metavar="PT", help="a network that cskt saved or exported")
    command.add_argument("--scheme", **SCHEME)
    command.add_argument("--images", required=True, metavar="DIR", help="folder of pictures, or one picture")
    command.add_argument("--boxes", metavar="CSV", help="face boxes: columns img, x, y, w, h in image pixels")
    command.add_argument("--deep", action="store_true", help="also the pictures in the folders below")
    command.add_argument("--out", required=True, metavar="FILE", help="one row per picture (.csv), or COCO (.json)")
    command.add_argument("--coco", metavar="JSON", help="also write COCO keypoints")
    command.add_argument("--deeplabcut", metavar="CSV", help="also write DeepLabCut's table, with likelihoods")
    command.add_argument("--draw", metavar="DIR", help="also draw into copies: DIR/a.jpg, DIR/b.tif.png")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    command.add_argument("--six-views", **SIX_VIEWS)
    command.add_argument("--quick", action="store_true", help="decode large JPEGs at reduced size, fold batch norm")

    command = _add(commands, export, "python -m cskt export --checkpoint checkpoint.pt --out detector.onnx")
    command.add_argument("--checkpoint", required=True, metavar="PT", help="a network that cskt saved")
    command.add_argument("--scheme", **SCHEME)
    command.add_argument("--out", required=True, metavar="FILE", help="ends in .onnx, or .xml for OpenVINO")

    example = (
        "python -m cskt run notebooks/04_few_shot.ipynb --config params/zoo.yaml --set SEED=1 "
        "--out outputs/zoo/few_shot/seed1"
    )
    command = _add(commands, run, example)
    command.add_argument("notebook", help="of notebooks/")
    command.add_argument("--config", required=True, metavar="YAML", help="params file")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the config")
    command.add_argument("--out", required=True, metavar="DIR", help="run folder")
    command.add_argument("--own-gpu", action="store_true", help="of several GPUs use the one with the fewest such runs")

    command = _add(commands, rerun, "python -m cskt rerun outputs/zoo/few_shot/seed0")
    command.add_argument("run_dir", help="folder of a finished run")
    command.add_argument("--out", metavar="DIR", help="folder to make (default: outputs/rerun/SETTING-RUN-seedK)")

    command = _add(commands, table, "python -m cskt table animalpose --out docs/results/animalpose_runs.csv")
    command.add_argument("setting", help="a folder of outputs/")
    command.add_argument("--out", metavar="CSV", help="write the table here too")

    command = _add(commands, report, "python -m cskt report animalpose")
    command.add_argument("setting", help="a folder of outputs/ with a finished evaluate run")

    command = _add(commands, html, "python -m cskt html zoo")
    command.add_argument("setting", help="a folder of outputs/")

    command = _add(commands, tour, "python -m cskt tour --out docs/images")
    command.add_argument("--config", default="params/zoo.yaml", metavar="YAML", help="of the zoo (%(default)s)")
    command.add_argument("--out", default="docs/images", metavar="DIR", help="folder to write into (%(default)s)")

    command = _add(commands, horse_lists, "python -m cskt horse-lists ../data/release_data")
    command.add_argument("release", help="the unpacked release_data of Rashid et al.")
    command.add_argument("--seed", type=own_commands.whole(0), default=0, help="of the draw (default: %(default)s)")

    parser.epilog = _overview(commands)
    return parser


def _add(commands: argparse._SubParsersAction, run, example: str) -> argparse.ArgumentParser:
    """Add the command that a function is: its name, its docstring, and an example to copy."""
    name = run.__name__.replace("_", "-")
    command = own_commands.add_command(commands, name, run.__doc__.splitlines()[0], example)
    command.set_defaults(run=run)
    return command


ORIGINAL = "or one of the original project or of mmpose (.pth, .pth.tar)"
SCHEME = {"metavar": "NAME", "help": f"landmarks of a network that is {ORIGINAL[3:]}: animalweb9, ap10k17, ..."}
SIX_VIEWS = {"action": "store_true", "help": "turned and mirrored too: six times as long, errs about a tenth less"}

# the overview's order; a command of no group stands under the last one
GROUPS = {
    "animals of your own (docs/own_data.md)": (
        "data check",
        "data sample",
        "data collect",
        "adapt",
        "predict",
        "export",
    ),
    "the suite": ("run", "rerun", "html", "table", "report", "tour"),
    "single numbers": (),
}


def _overview(commands: argparse._SubParsersAction) -> str:
    """All commands, each with what it does and an example, in groups."""
    found = {}
    for name, command in commands.choices.items():
        below = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
        found |= {f"{name} {kind}": own for action in below for kind, own in action.choices.items()} or {name: command}
    grouped = [name for names in GROUPS.values() for name in names]
    lines = []
    for group, names in GROUPS.items():
        lines += ["", f"{group}:"] if lines else [f"{group}:"]
        for name in names or [name for name in found if name not in grouped]:
            about, example = found[name].description, found[name].get_default("example")
            lines += textwrap.wrap(about, 110, initial_indent=f"  {name:<12}  ", subsequent_indent=" " * 16)
            lines += own_commands.copyable(example, " " * 16)
    return "\n".join(lines)


def _note(text: str) -> None:
    print(f"note: {one_line(text)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
