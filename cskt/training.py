"""The one training loop: steps, schedule, averaging, progress, metrics, and a checkpoint to go on from exactly.

A method (cskt/methods) is an object with `step(t, lr, generator) -> dict of losses`, `state_dict` and
`load_state_dict`. The loop counts, draws the schedule, watches for numbers that are not finite, logs and saves.
Everything random in step t follows from (seed, t), so a run that is stopped anywhere and resumed ends in the same
weights, bit for bit on a CPU.
"""

import copy
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn

from cskt import distributed
from cskt.errors import DataError
from cskt.files import remove_leftovers, write_csv
from cskt.locks import held
from cskt.models import checkpoints
from cskt.processes import keep_memory
from cskt.progress import bar
from cskt.untrusted import read_plain

SAVE_SECONDS = 60
SHOW_SECONDS = 20
LOG_STEPS = 20
LOCK_SECONDS = 10  # that a process which was stopped just now may take to be gone


class NotFiniteError(RuntimeError):
    """A loss became infinite or not a number; the message says which, and at which step."""


class Method(Protocol):
    """What the loop trains."""

    def step(self, step: int, lr: float, generator: torch.Generator) -> dict[str, torch.Tensor | float]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def learning_rate(step: int, steps: int, peak: float, warmup: int = 0, dead: int = 0) -> float:
    """Learning rate of a step: half a cosine from `peak` to 0.

    Args:
        step: 0-based.
        steps: length of the run.
        peak: the largest rate.
        warmup: steps of linear rise before it.
        dead: steps of rate 0 before it, after which it jumps (the released schedule has 50; spec 1.10).

    Example:
        >>> [round(learning_rate(t, 10_000, 1e-4, dead=50), 9) for t in (0, 49, 50, 5000, 10_000)]
        [0.0, 0.0, 9.9994e-05, 5e-05, 0.0]
    """
    if step < dead:
        return 0.0
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return peak * rise * 0.5 * (1 + math.cos(math.pi * step / steps))


def stepped_rate(step: int, steps: int, peak: float, warmup: int = 0) -> float:
    """Learning rate of a step: `peak`, a tenth of it after 170/210 of the steps, a hundredth after 200/210.

    Args:
        step: 0-based.
        steps: length of the run.
        peak: the largest rate.
        warmup: steps of linear rise from a thousandth of it.

    Source: AP-10K's recipe in mmpose (spec 6.3).

    Example:
        >>> [round(stepped_rate(t, 210, 5e-4, warmup=4), 9) for t in (0, 4, 169, 170, 200)]
        [5e-07, 0.0005, 0.0005, 5e-05, 5e-06]
    """
    rise = 1.0 if step >= warmup else 0.001 + 0.999 * step / warmup
    return peak * rise * 0.1 ** sum(210 * step >= epoch * steps for epoch in (170, 200))


def train(
    method: Method,
    *,
    steps: int,
    rate: Callable[[int], float],
    seed: int,
    folder: str | Path,
    title: str = "train",
    on_log: Callable[[pd.DataFrame], None] | None = None,
    save_seconds: float = SAVE_SECONDS,
) -> pd.DataFrame:
    """Train a method for a fixed number of steps; go on where an earlier, stopped call in the same folder was.

    Args:
        method: changed in place.
        steps: how many; no step is chosen by a score.
        rate: step -> learning rate.
        seed: of the batches and views.
        folder: holds `resume.pt` while the run is going on, and `metrics.csv`.
        title: of the progress bar.
        on_log: called with the metrics so far every `SHOW_SECONDS` and at the end (a live figure).
        save_seconds: time between two saves.

    Returns:
        The metrics: step, lr, seconds and the mean of each loss over the `LOG_STEPS` steps before, one row each.

    Raises:
        NotFiniteError: a loss is not finite. The last checkpoint stays.
        DataError: `resume.pt` cannot be read, or belongs to a run of another length or seed; another process trains in
            this folder; or it cannot be written to.
        SystemExit: code 143 after a SIGTERM, with the state saved.
        KeyboardInterrupt: after Ctrl-C, with the state saved; at once after a second one.
    """
    folder = Path(folder)
    keep_memory()
    with held(folder, patience=LOCK_SECONDS):
        remove_leftovers(folder)
        return _train(method, steps, rate, seed, folder, title, on_log, save_seconds)


def _train(
    method: Method,
    steps: int,
    rate: Callable[[int], float],
    seed: int,
    folder: Path,
    title: str,
    on_log: Callable[[pd.DataFrame], None] | None,
    save_seconds: float,
) -> pd.DataFrame:
    resume = folder / "resume.pt"
    first, rows, window, spent = _resume(resume, method, {"steps": steps, "seed": seed})

    def save(step: int) -> None:
        if distributed.rank():
            return
        state = {"run": {"steps": steps, "seed": seed}, "step": step, "rows": rows, "window": window,
                 "seconds": spent + time.monotonic() - begun, "method": method.state_dict()}  # fmt: skip
        checkpoints.save_plain(resume, state)
        write_csv(folder / "metrics.csv", pd.DataFrame(rows))
        show()

    def show() -> None:
        if on_log is not None:
            on_log(pd.DataFrame(rows))

    begun = saved = shown = time.monotonic()
    progress = bar(total=steps, initial=first, desc=title, unit="step", mininterval=2)
    with _StopSignal() as stop_signal, progress:
        for step in range(first, steps):
            lr = rate(step)
            losses = method.step(step, lr, step_generator(seed, step))
            # of several processes all stop when one is to stop: after the same step
            told = [*losses.values(), stop_signal.came is not None]
            told = torch.stack([torch.as_tensor(v, dtype=torch.float32).cpu() for v in told])
            *values, stop = distributed.mean(told).tolist()
            losses = dict(zip(losses, values, strict=True))
            _check_finite(losses, step, resume)
            window.append(losses)
            progress.update()
            now = time.monotonic()
            if len(window) == LOG_STEPS or step == steps - 1:
                seconds = round(spent + now - begun, 2)
                rows.append({"step": step + 1, "lr": lr, "seconds": seconds, **_means(window)})
                window = []
                progress.set_postfix({name: f"{rows[-1][name]:.4g}" for name in list(losses)[:3]}, refresh=False)
            if now - shown > SHOW_SECONDS:
                show()
                shown = now
            if stop:
                save(step + 1)
                raise KeyboardInterrupt if stop_signal.came == signal.SIGINT else SystemExit(143)
            if now - saved > save_seconds:
                save(step + 1)
                saved = now
    save(steps)
    return pd.DataFrame(rows)


def cost(table: pd.DataFrame) -> dict[str, float]:
    """What a training took.

    Args:
        table: what `train` returned in this process.

    Returns:
        seconds_per_step: the median over the logged windows of steps, so that an interruption does not count;
        peak_memory: bytes, of the GPU's memory where it was used, else of all that this process holds.
    """
    import resource  # not on Windows

    first = pd.DataFrame({"step": [0], "seconds": [0.0]})
    spent = pd.concat([first, table[["step", "seconds"]]]).diff().iloc[1:]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        memory = torch.cuda.max_memory_allocated()
    return {"seconds_per_step": float((spent["seconds"] / spent["step"]).median()), "peak_memory": float(memory)}


def step_seconds(stages: Mapping[str, tuple[Method, int]], rounds: int = 4, steps: int = 3) -> dict[str, float]:
    """Time steps of several methods in turn: whatever else the machine does slows all of them alike.

    Args:
        stages: name -> method, and the step to begin with.
        rounds: how often each has its turn; the first one, in which buffers are made, does not count.
        steps: in a turn.

    Returns:
        Name -> seconds per step, the median over the rounds.
    """
    # with one thread the processor's time, which other processes disturb less than the time of day
    one = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    clock = time.process_time if one else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in stages}
    for turn in bar(range(rounds), desc="timing", unit="round"):
        for name, (method, first) in stages.items():
            begun = clock()
            for step in range(first + turn * steps, first + (turn + 1) * steps):
                method.step(step, 1e-5, step_generator(0, step))
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken[name].append((clock() - begun) / steps)
    return {name: float(np.median(own[1:])) for name, own in taken.items()}


def step_generator(seed: int, step: int) -> torch.Generator:
    """The randomness of one step, whatever came before it."""
    state = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(state)


def optimizer(net: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over a network; the loop sets the rate of each step (`take_step`)."""
    distributed.join(net)
    return torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=weight_decay)


def take_step(opt: torch.optim.Optimizer, loss: torch.Tensor, lr: float) -> None:
    """Descend the gradient of `loss` once, at the given rate."""
    for group in opt.param_groups:
        group["lr"] = lr
    opt.zero_grad(set_to_none=True)
    loss.backward()
    distributed.average_gradients(parameter for group in opt.param_groups for parameter in group["params"])
    opt.step()


def averaged_copy(net: nn.Module) -> nn.Module:
    """A copy of a network to be kept as its running average; it takes no gradient."""
    return copy.deepcopy(net).eval().requires_grad_(False)


@torch.no_grad()
def average_in(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move an average towards a network: `decay * average + (1 - decay) * net`, batch-norm statistics too."""
    mine, other = average.state_dict(), net.state_dict()
    floats = [key for key, value in mine.items() if value.is_floating_point()]
    torch._foreach_lerp_([mine[key] for key in floats], [other[key] for key in floats], 1 - decay)
    for key in mine.keys() - floats:
        mine[key].copy_(other[key])


def _resume(path: Path, method: Method, run: dict[str, int]) -> tuple[int, list[dict], list[dict], float]:
    state = distributed.from_first(lambda: _read_state(path, run))
    if state is None:
        return 0, [], [], 0.0
    method.load_state_dict(state["method"])
    return state["step"], state["rows"], state["window"], state["seconds"]


def _read_state(path: Path, run: dict[str, int]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    state = read_plain(path, "; delete it to start from the beginning")
    if not isinstance(state, dict) or not {"run", "step", "rows", "window", "seconds", "method"} <= state.keys():
        raise DataError(f"{path}: not the state of a training; delete it to start from the beginning")
    if state["run"] != run:
        raise DataError(
            f"{path}: belongs to a run of {state['run']}, this one is {run}; delete it or use another folder"
        )
    return state


def _means(window: list[dict[str, float]]) -> dict[str, float]:
    # the last step of one stage and the first of another may have losses of different names
    names = dict.fromkeys(name for losses in window for name in losses)
    return {name: float(np.mean([losses[name] for losses in window if name in losses])) for name in names}


def _check_finite(losses: dict[str, float], step: int, resume: Path) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            kept = f"; the state before is in {resume}" if resume.exists() else ""
            raise NotFiniteError(f"step {step}: {name} is {value}; all losses: {losses}{kept}")


class _StopSignal:
    """While it is entered, SIGTERM and Ctrl-C are noted, so that a step is finished and saved before the training ends.

    Attributes:
        came: the signal, or None. A second Ctrl-C interrupts at once.
    """

    def __init__(self) -> None:
        self.came: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "_StopSignal":
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)

    def _note(self, number: int, _: Any) -> None:
        if number == signal.SIGINT == self.came:
            raise KeyboardInterrupt
        self.came = number
