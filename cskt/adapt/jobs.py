"""All jobs of an adaptation: how long they take, several at a time, stopped and gone on with."""

import multiprocessing
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from yacs.config import CfgNode

from cskt import training
from cskt.adapt.job import is_done, load_human, run_job, start_net, steps_of
from cskt.adapt.prepare import Adaptation
from cskt.errors import DataError
from cskt.locks import held
from cskt.models import pick_device
from cskt.predict import predict
from cskt.processes import cores, one_thread_each
from cskt.progress import bar
from cskt.settings import Setting

FAILED = "failed: "  # begins the last line of the log of a job that failed


@dataclass(frozen=True)
class Estimate:
    """How long it will take, by a few timed steps.

    Attributes:
        few_shot, method: seconds per step.
        picture: seconds per unlabeled picture and prediction.
        seconds: of all that is left.
        workers: processes at a time that it is for.
    """

    few_shot: float
    method: float
    picture: float
    seconds: float
    workers: int


def estimate(adaptation: Adaptation, workers: int, until: str = "method") -> Estimate:
    """Time a few steps of each training and one batch of predictions; the crops are cached on the way."""
    cfg, jobs = adaptation.cfg, pending(adaptation, until)
    setting = Setting(cfg)
    labeled = setting.labeled_set("labeled")
    net = start_net(setting, load_human(cfg))
    few_shot = _seconds_per_step(setting.supervised("FEW_SHOT", net, labeled)[0], 3, 8)
    method, picture, count = 0.0, 0.0, 0
    if adaptation.unlabeled is not None:
        unlabeled = setting.unlabeled_set()
        count = len(unlabeled)
        few = unlabeled.subset(np.arange(min(64, count)))
        begun = time.perf_counter()
        predict(net, few, **setting.how)
        picture = (time.perf_counter() - begun) / len(few)
        if until == "method" and not cfg.OWN.FEW_SHOT_ONLY:
            categories = np.full(count, "semi_hard", dtype=object)
            method = _seconds_per_step(setting.method(net, labeled, unlabeled, categories)[0], 2, 4)
    seconds = 0.0
    for job in jobs:
        first = (adaptation.out / "jobs" / job / "few_shot.pt").exists()
        # three predictions of each picture for mining, one at the end
        seconds += 0 if first else few_shot * cfg.FEW_SHOT.STEPS + 3 * count * picture
        seconds += method * cfg.METHOD.STEPS + count * picture
    return Estimate(few_shot, method, picture, seconds / max(min(workers, len(jobs)), 1), min(workers, len(jobs)))


def told(estimated: Estimate, adaptation: Adaptation, until: str = "method") -> str:
    """An estimate in words."""
    cfg, jobs = adaptation.cfg, pending(adaptation, until)
    parts = [f"{cfg.FEW_SHOT.STEPS} steps of {estimated.few_shot:.2f} s"]
    if estimated.method:
        parts.append(f"{cfg.METHOD.STEPS} of {estimated.method:.2f} s")
    many = f"{len(jobs)} trainings, {estimated.workers} at a time" if len(jobs) > 1 else "1 training"
    return f"about {max(1, round(estimated.seconds / 60))} min: {many}, each {' and '.join(parts)} as timed now"


def _seconds_per_step(method: training.Method, warm: int, steps: int) -> float:
    for step in range(warm + steps):
        if step == warm:
            begun = time.perf_counter()
        method.step(step, 1e-6, training.step_generator(0, step))
    return (time.perf_counter() - begun) / steps


def pending(adaptation: Adaptation, until: str = "method") -> list[str]:
    """The jobs that are not done, the final one first."""
    jobs = ["final"] if until == "mining" else list(adaptation.held_out)
    return [job for job in jobs if not is_done(adaptation.out, job, until)]


def run(adaptation: Adaptation, workers: int = 1, until: str = "method") -> None:
    """Do all jobs that are not done, some at a time; what was stopped goes on where it was.

    Args:
        adaptation: by `prepare`.
        workers: processes at a time; 1: in this process, with its own progress bars.
        until: "method", or "mining" for a look at the pseudo-labels before the long part.

    Raises:
        DataError: a job failed; with the last line of its log. Another process is at work in the folder.
    """
    with held(adaptation.out):
        _run(adaptation, workers, until)


def _run(adaptation: Adaptation, workers: int, until: str) -> None:
    jobs = pending(adaptation, until)
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            run_job(adaptation.out, job, until)
        return
    context = multiprocessing.get_context("spawn")
    taken, counters = context.Value("i", 0), [context.Value("q", 0) for _ in jobs]
    total = steps_of(adaptation.cfg, until) * len(jobs)
    with _stoppable(), one_thread_each(), bar(total=total, desc="training", unit="step", mininterval=2) as progress:
        processes = [
            context.Process(target=_work, args=(adaptation.out, jobs, until, taken, counters))
            for _ in range(min(workers, len(jobs)))
        ]
        try:
            for process in processes:
                process.start()
            while any(process.is_alive() for process in processes) and not any(
                process.exitcode for process in processes
            ):
                time.sleep(0.2)
                if steps := sum(counter.value for counter in counters) - progress.n:
                    progress.update(steps)
        finally:
            for process in processes:
                if process.is_alive():
                    process.terminate()  # training saves its state first
                if process.pid:
                    process.join()
    if left := pending(adaptation, until):
        raise DataError(_last_words(adaptation.out, left))


def _work(out: Path, jobs: list[str], until: str, taken: Any, counters: list[Any]) -> None:
    """A process of its own that takes one job after the other; what it says goes to the jobs' logs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which then asks to stop
    while True:
        with taken.get_lock():
            number = taken.value
            taken.value += 1
        if number >= len(jobs):
            return
        folder = out / "jobs" / jobs[number]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.txt").open("w", buffering=1) as log, redirect_stdout(log), redirect_stderr(log):
            try:
                run_job(out, jobs[number], until, counters[number])
            except DataError as error:
                print(f"\n{FAILED}{error}")
                raise SystemExit(2) from None
            except Exception as error:  # the log has it all; the parent shows its last line
                traceback.print_exc()
                print(f"\n{FAILED}{type(error).__name__}: {error}")
                raise SystemExit(1) from None


def _last_words(out: Path, jobs: list[str]) -> str:
    for job in jobs:
        log = out / "jobs" / job / "log.txt"
        lines = log.read_text().strip().splitlines() if log.exists() else [""]
        if lines and lines[-1].startswith(FAILED):
            return f"{job}: {lines[-1].removeprefix(FAILED)} (see {log})"
    return (
        f"{', '.join(jobs)} not done: a process ended before its time, perhaps for want of memory; see {out / 'jobs'}"
    )


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does, so that its children are asked to stop."""

    def stop(*_: Any) -> None:
        raise SystemExit(143)

    try:
        former = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: its signals are none of ours
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def workers_for(cfg: CfgNode) -> int:
    """Processes at a time: one per core, one for a GPU."""
    if pick_device(cfg.DEVICE).type != "cpu":
        return 1
    # the cores that this process may use, where the system tells
    return cores()
