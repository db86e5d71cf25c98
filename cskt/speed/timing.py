"""Fair timing: contenders in turns, medians; what the machine can do at best; memory."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

QUICK = 0.5  # seconds, of one call


@dataclass(frozen=True)
class Contender:
    """One way to do a stage.

    Attributes:
        name: how it is called in the table.
        kind: "plain" (the loops of tests/reference), "ours", or "peer" (another library).
        run: does the whole stage once and returns what is compared with the plain one's result.
    """

    name: str
    kind: str
    run: Callable[[], Any]


def clock() -> Callable[[], float]:
    """With one thread the processor's time, which other processes disturb little; with more, the time of day."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def race(
    runs: Mapping[str, Callable[[], Any]], seconds: float, least: int = 3, most: int = 500, *, warm: bool = True
) -> dict[str, list]:
    """Time functions in turns, so that what else the machine does falls on all of them alike.

    A quick one is called twice in its turn, and the second call counts: it finds its own memory in the caches and in
    this process, as in a loop of its own, and not what the one before it has left there.

    Args:
        runs: name -> function; each is called once before, with the clock not counting.
        seconds: how long to go on; a function of which one call takes longer has one round.
        least, most: how many rounds there are at least and at most.
        warm: False: each call counts, as it finds the caches.

    Returns:
        name -> seconds of each round.
    """
    now, times, slow, quick = clock(), {name: [] for name in runs}, set(), set()
    for name, run in runs.items():
        start = now()
        run()
        if (once := now() - start) > seconds:
            slow.add(name)
        elif warm and once < QUICK:
            quick.add(name)
    begun = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for number in range(most):
            if number >= least and time.perf_counter() - begun > seconds:
                break
            for name, run in runs.items():
                if number and name in slow:
                    continue
                if name in quick:
                    run()
                start = now()
                run()
                times[name].append(now() - start)
    finally:
        gc.enable()
    return times


def stage(
    name: str,
    unit: str,
    items: int,
    contenders: list[Contender],
    *,
    seconds: float = 2.0,
    least: int = 3,
    difference: Callable[[Any, Any], float] | None = None,
    floor: tuple[float, str] | None = None,
) -> list[dict[str, Any]]:
    """Time one stage.

    Args:
        name: of the stage.
        unit: what the times are per ("image", "step").
        items: how many of these a call does, the same for all contenders.
        contenders: the plain one first, if there is one.
        seconds, least: see `race`.
        difference: (result of the plain one, of one of ours) -> the largest difference between them.
        floor: seconds that a call takes at least on this machine, and why.

    Returns:
        One row per contender, and one for the floor: stage, unit, contender, kind, seconds (median, of one item), low
        and high (quartiles), rounds, difference (NaN where it was not compared), note.
    """
    plain = next((one for one in contenders if one.kind == "plain"), None)
    expected = plain.run() if plain is not None and difference is not None else None
    rows = []
    times = race({one.name: one.run for one in contenders}, seconds, least)
    for one in contenders:
        low, middle, high = np.percentile(times[one.name], [25, 50, 75]) / items
        differs = float("nan")
        if expected is not None and one.kind == "ours":
            differs = difference(expected, one.run())
        rows.append({"stage": name, "unit": unit, "contender": one.name, "kind": one.kind, "seconds": middle,
                     "low": low, "high": high, "rounds": len(times[one.name]), "difference": differs,
                     "note": ""})  # fmt: skip
    if floor is not None:
        rows.append({"stage": name, "unit": unit, "contender": "floor", "kind": "floor", "seconds": floor[0] / items,
                     "low": floor[0] / items, "high": floor[0] / items, "rounds": 0, "difference": float("nan"),
                     "note": floor[1]})  # fmt: skip
    return rows


@dataclass(frozen=True)
class Machine:
    """What this machine does at best, with the threads that torch uses.

    Attributes:
        read, write: bytes per second over an array of the size of 64 images' heatmaps (9.4 MB).
        matmul, matmul_bf16: operations per second of a product of 1024 x 1024 matrices.
        conv, conv_bf16: of a 3 x 3 convolution of 128 channels at 64 x 64, channels-last.
    """

    read: float
    write: float
    matmul: float
    matmul_bf16: float
    conv: float
    conv_bf16: float

    @property
    def lines(self) -> list[str]:
        """The same, to be read."""
        return [
            f"memory, 9.4 MB: {self.read / 1e9:.0f} GB/s read, {self.write / 1e9:.0f} GB/s written",
            f"matmul: {self.matmul / 1e9:.0f} GFLOP/s float32, {self.matmul_bf16 / 1e9:.0f} bfloat16",
            f"convolution: {self.conv / 1e9:.0f} GFLOP/s float32, {self.conv_bf16 / 1e9:.0f} bfloat16",
        ]


@torch.no_grad()
def machine(seconds: float = 1.0) -> Machine:
    """Measure it; the best of all rounds counts, since nothing is faster by chance."""
    maps = torch.rand(64 * 9, 4096)
    a, b = torch.rand(2, 1024, 1024)
    image, weight = torch.rand(4, 128, 64, 64), torch.rand(128, 128, 3, 3)
    image, weight = (x.to(memory_format=torch.channels_last) for x in (image, weight))
    half = [x.bfloat16() for x in (a, b, image, weight)]
    runs = {
        "sum": lambda: maps.sum(),
        "argmax": lambda: maps.numpy().argmax(axis=1),  # reads as much, at times quicker than torch's sum
        "write": lambda: maps.fill_(1.0),
        "matmul": lambda: a @ b,
        "matmul_bf16": lambda: half[0] @ half[1],
        "conv": lambda: F.conv2d(image, weight, padding=1),
        "conv_bf16": lambda: F.conv2d(half[2], half[3], padding=1),
    }
    products, convolutions = 2 * 1024**3, 2 * 9 * 128**2 * 64**2 * 4
    work = {"read": maps.nbytes, "write": maps.nbytes, "matmul": products, "matmul_bf16": products,
            "conv": convolutions, "conv_bf16": convolutions}  # fmt: skip
    best = {name: min(taken) for name, taken in race(runs, seconds, least=5).items()}
    best["read"] = min(best.pop("sum"), best.pop("argmax"))
    return Machine(**{name: work[name] / best[name] for name in work})


def anonymous_memory() -> float:
    """Bytes that this process holds and no file backs, which a memory-mapped cache does not add to.

    NaN where the machine does not tell: only Linux does.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024.0 for line in lines if line.startswith("RssAnon:")), float("nan"))
