"""The stages with a network: passes, a step, mining and evaluation. Each gives rows of `timing.stage`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cskt import mining
from cskt.config import VARIANTS
from cskt.data.augment import Augmentation
from cskt.data.datasets import labeled_set, plain_images
from cskt.errors import DataError
from cskt.export import Exported, export
from cskt.heatmaps import CODECS
from cskt.methods.meta_cskt import MetaCSKT, Options
from cskt.methods.supervised import Surroundings
from cskt.models import LandmarkNet, autocast
from cskt.models.inference import folded
from cskt.predict import find_landmarks
from cskt.progress import say
from cskt.speed.material import SCHEME, largest, networks, photographs, plain
from cskt.speed.timing import Contender, Machine, stage
from cskt.training import step_generator

CPU = torch.device("cpu")
PRECISIONS = {"float32": "cskt, float32", "bfloat16": "cskt, bfloat16"}


def operations(net: torch.nn.Module, images: torch.Tensor) -> int:
    """Multiplications and additions of one pass."""
    from torch.utils.flop_counter import FlopCounterMode  # loads triton, whose leaks are told at exit

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(images)
    return counter.get_total_flops()


def passes(machine: Machine, size: int = 256, batch: int = 20, seconds: float = 30.0) -> list[dict[str, Any]]:
    """A pass in evaluation mode, and one with its gradient in training mode."""
    net, original = networks(size)
    quick = folded(net)
    images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    count = operations(net, images)
    floor = count / machine.conv_bf16

    def plain_pass():
        with torch.no_grad():
            return original((images - net.mean) / net.std)

    def ours(which, precision):
        def run():
            with torch.no_grad(), autocast(CPU, precision):
                return which(images)

        return run

    relative = float(plain_pass().abs().max())
    rows = stage(
        "forward", "image", batch,
        [Contender("plain, float32, channels first", "plain", plain_pass),
         *(Contender(name, "ours", ours(net, precision)) for precision, name in PRECISIONS.items()),
         *(Contender(f"{name}, batch norm folded", "ours", ours(quick, precision))
           for precision, name in PRECISIONS.items())],
        seconds=seconds, least=3, difference=lambda a, b: largest(a, b) / relative,
        floor=(floor, f"{count / batch / 1e9:.2f} GFLOP at the peak of the bfloat16 convolution"),
    )  # fmt: skip

    original.train(), net.train()
    target = torch.rand(batch, len(SCHEME.landmarks), net.cells, net.cells)

    def plain_gradient():
        original.zero_grad()
        F.mse_loss(original((images - net.mean) / net.std), target).backward()

    def gradient(precision):
        def run():
            net.zero_grad()
            with autocast(CPU, precision):
                maps = net(images)
            F.mse_loss(maps, target).backward()

        return run

    return rows + stage(
        "forward and backward", "image", batch,
        [Contender("plain, float32, channels first", "plain", plain_gradient),
         *(Contender(name, "ours", gradient(precision)) for precision, name in PRECISIONS.items())],
        seconds=seconds, least=2,
        floor=(3 * floor, f"3 x {count / batch / 1e9:.2f} GFLOP at the peak of the bfloat16 convolution"),
    )  # fmt: skip


def step(folder: Path, size: int = 256, labeled: int = 4, unlabeled: int = 16, seconds: float = 15.0) -> list[dict]:
    """One whole Meta-CSKT step, as published: the plain one is given its batches, ours gathers them from the cache."""
    module = plain("step")
    faces = photographs(folder, labeled + unlabeled)
    data = labeled_set(faces, size, 1.0, folder / "cache")
    few, rest = data.subset(np.arange(labeled)), data.subset(np.arange(labeled, len(data)))
    teacher, original_teacher = networks(size, seed=0)
    student, original_student = networks(size, seed=1)

    def method(precision):
        named = {key.lower(): value for key, value in VARIANTS["published"].items() if hasattr(Options, key.lower())}
        options = Options(**{**named, "batch_labeled": labeled, "batch_unlabeled": unlabeled, "label_jitter": 0.0})
        around = Surroundings(CODECS["published"], CPU, precision, seed=0)
        views = dict.fromkeys(("labeled", "weak", "strong"), Augmentation())
        made = MetaCSKT(teacher, few, rest, np.ones(len(rest), bool), around, options, views)
        made.student.load_state_dict(student.state_dict())
        return made

    methods = {precision: method(precision) for precision in PRECISIONS}
    first = methods["float32"]
    rows, others = first._labeled_batch(0, step_generator(0, 0)), first._unlabeled_batch(0, step_generator(0, 0))
    targets = np.stack([plain("loops").draw(one + 0.5, (0, 0, size, size), teacher.cells)
                        for one in rows.landmarks.numpy()])  # fmt: skip
    images = [(batch - teacher.mean) / teacher.std for batch in (rows.images, others.weak)]
    nets = (original_teacher.train(), original_student.train())
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-4) for net in nets]

    def plain_step():
        losses, _ = module.meta_step(*nets, *optimizers, images[0], torch.from_numpy(targets), images[1])
        return losses

    def ours(precision):
        def run():
            losses = methods[precision].step(0, 1e-4, step_generator(0, 0))
            return {name: float(value) for name, value in losses.items()}

        return run

    def differ(expected, found):
        """Of the first step of each, before any of them has moved."""
        return max(abs(found[name] - value) / abs(value) for name, value in expected.items())

    timed = stage(
        f"Meta-CSKT step, {labeled} + {unlabeled}", "step", 1,
        [Contender("plain, float32, channels first", "plain", plain_step),
         *(Contender(name, "ours", ours(precision)) for precision, name in PRECISIONS.items())],
        seconds=seconds, least=2, difference=differ,
    )  # fmt: skip
    for row in timed:
        if row["kind"] == "ours":
            row["note"] = "largest relative difference of a loss"
    return timed


def mine(folder: Path, size: int = 256, count: int = 12, seconds: float = 20.0) -> list[dict[str, Any]]:
    """Mining, three passes an image (human, animal, mirror image), and evaluation, one; and both without a network."""
    loops = plain("loops")
    faces = photographs(folder, count)
    data = labeled_set(faces, size, 1.0, folder / "cache")
    # raised, so that no map is dead: landmarks are compared, and not the corner that a dead map is read at
    animal, original = networks(size, seed=0, lift=1.0)
    human, original_human = networks(size, seed=1, lift=1.0)
    names, boxes, pictures = list(faces.table["image"]), faces.boxes, folder / "images"
    table, norm = faces.table[["image", "x", "y", "w", "h"]], faces.norm
    codec = CODECS["published"]
    exported = _exported(animal, folder)
    exported_human = _exported(human, folder / "human")

    @torch.no_grad()
    def plain_landmarks(net, images, mirrored=False):
        maps = torch.cat([net(image[None].flip(-1) if mirrored else image[None]) for image in images])
        return loops.find_landmarks(maps, boxes)

    def plain_items():
        return [loops.item(table, name, pictures, size)[0] for name in names]

    def plain_mining(images):
        of_animal = plain_landmarks(original, images)
        of_human, of_mirror = plain_landmarks(original_human, images), plain_landmarks(original, images, True)
        # a picture of width 1 is mirrored about 0, a face's crop about the middle of its box
        twice = 2 * boxes[:, 0] + boxes[:, 2]
        mirrored = [[[x - twice[b], y] for x, y in of_mirror[b]] for b in range(count)]
        # the human model is of the same landmarks here, and shares them all
        return (loops.nme(of_human, of_animal, norm),
                loops.flip_disagreement(np.array(mirrored), of_animal, norm, 1))  # fmt: skip

    def plain_evaluation(images):
        return loops.nme(plain_landmarks(original, images), faces.landmarks, norm)

    def mining_of(human_net, animal_net, precision):
        return lambda: mining.disagreements(human_net, animal_net, data, codec=codec, precision=precision)

    def evaluation_of(net, precision):
        from cskt.predict import predict, score

        return lambda: score(predict(net, data, codec=codec, precision=precision), faces)

    nets = [("cskt, float32", human, animal, "float32"),
            ("cskt, bfloat16, batch norm folded", folded(human), folded(animal), "bfloat16")]  # fmt: skip
    for precision in exported:
        nets.append((f"cskt, OpenVINO {precision}", exported_human[precision], exported[precision], "float32"))
    constant = _Constant(animal, animal.heatmaps(plain_images(data, np.arange(count), CPU)).detach())
    nets.append(("cskt, without the network", constant, constant, "float32"))
    rows = stage("mining a pool", "image", count,
                 [Contender("plain loops", "plain", lambda: plain_mining(plain_items())),
                  *(Contender(name, "ours", mining_of(a, b, precision)) for name, a, b, precision in nets)],
                 seconds=seconds, least=2)  # fmt: skip
    rows += stage("evaluation, end to end", "image", count,
                  [Contender("plain loops", "plain", lambda: plain_evaluation(plain_items())),
                   *(Contender(name, "ours", evaluation_of(b, precision)) for name, _, b, precision in nets)],
                  seconds=seconds / 2, least=2)  # fmt: skip
    # compared on the same crops: the plain ones are cut at whole pixels
    same = [(crop - animal.mean) / animal.std for crop in plain_images(data, np.arange(count), CPU)]
    mined = mining_of(human, animal, "float32")()[["human_disagreement", "flip_disagreement"]]
    scored = evaluation_of(animal, "float32")()["nme"]
    compared = {
        "mining a pool": (largest(np.stack(plain_mining(same), axis=1), mined),
                          "of the disagreements, plain ones of whole pixels"),
        "evaluation, end to end": (largest(plain_evaluation(same), scored), "of the NME"),
    }  # fmt: skip
    for row in rows:
        if row["contender"] == PRECISIONS["float32"]:
            row["difference"], row["note"] = compared[row["stage"]]
    own = find_landmarks(animal, data)[0]
    if "float32" in exported:
        # random weights make maps without peaks, on which bfloat16 would only show where noise is largest
        differs = largest(own, find_landmarks(exported["float32"], data)[0])
        for row in rows:
            if row["contender"] == "cskt, OpenVINO float32":
                row |= {"difference": differs, "note": "of landmarks, pixels of the crop, sub-pixel decoding"}
    return rows


class _Constant(torch.nn.Module):
    """Stands for a network that takes no time: the heatmaps are known."""

    def __init__(self, net: LandmarkNet, heatmaps: torch.Tensor):
        super().__init__()
        self.spec, self.size, self.cells, self.known = net.spec, net.size, net.cells, heatmaps
        self.place = torch.nn.Parameter(torch.empty(0), requires_grad=False)

    def heatmaps(self, images):
        return self.known


def _exported(net: LandmarkNet, folder: Path) -> dict[str, Exported]:
    """The network in OpenVINO, for each precision; nothing where that is not installed."""
    try:
        export(net, folder / "net.xml")
        return {precision: Exported(folder / "net.xml", precision) for precision in PRECISIONS}
    except DataError as error:
        say(f"left out: {error}")
        return {}
