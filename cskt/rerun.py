"""Doing a finished run again from what it wrote down, and comparing: are its results repeatable?

    python -m cskt rerun outputs/zoo/few_shot/seed0

Code, config and inputs are those of the run; the environment is the one that is here, and is said to differ where it
does. Nothing of the run itself is touched.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cskt import config, runs
from cskt.agreement import MEASURED, compare, results
from cskt.errors import one_line
from cskt.runs import RunError

_WAIT = 0.5  # seconds between two looks at what the new run has written down
_SHOWN = 12  # signs of a hash
# what a provenance holds; `diff` and `earlier` are of later versions
_KINDS = {"commit": (str, type(None)), "lock": (str, type(None)), "python": str, "packages": dict, "device": str,
          "inputs": dict, "dirty": (bool, type(None)), "diff": (str, type(None)), "earlier": list}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """What a finished run wrote down about itself."""

    dir: Path
    notebook: str
    config: dict[str, Any]
    provenance: dict[str, Any]


def rerun(run_dir: str | Path, out: str | Path | None = None, say: Callable[[str], None] | None = None) -> list[str]:
    """Do a finished run again in a new folder and compare the two.

    Where the code here is another one, that of the run is checked out into a temporary git worktree, and what it
    differed in from its commit is applied to it.

    Args:
        run_dir: of the finished run, made by `python -m cskt run`; relative to the project.
        out: folder to make, for the new run and links to those that it reads; by default
            outputs/rerun/<setting>-<run>[-seed<k>].
        say: gets the lines of the report; by default they are printed.

    Returns:
        What differs in the results, as `compare` gives it; empty if nothing does.

    Raises:
        RunError: the run is not finished, its code cannot be had, its inputs are no longer what they were, or the new
            run failed.
        DataError: another process is at work in the new folder, or it cannot be written to.
    """
    say = say or (lambda line: print(one_line(line), flush=True))
    record = read(run_dir)
    folder = runs.setting_folder(record.dir)
    place = record.dir.relative_to(folder)
    out = config.resolve(out or folder.parent / "rerun" / "-".join([folder.name, *place.parts])).resolve()
    new = out / folder.name / place
    if record.dir.is_relative_to(out):
        raise RunError(f"--out {out}: the run itself is in there; give another folder")
    say(f"repeats      {record.dir}: {record.notebook}")
    say(f"into         {new}")

    now = runs.provenance(record.config["SEED"], record.config["DEVICE"], {})
    here = same_code(record.provenance, now)
    for name, line in environment(record.provenance, now).items():
        say(f"{name:<13}{line}")
    commit = record.provenance["commit"]
    say(f"{'code':<13}{'that of the run' if here else f'checked out: {_code(record.provenance)}'}")
    if commit is None:
        say(f"{'':<13}the run does not know its commit: what is here is taken")

    _link(folder, record.dir, out)
    patch = record.provenance.get("diff") or ""
    with nullcontext(config.PROJECT) if here else checked_out(commit, patch, record.config) as project:
        status = _execute(record, new, project, say)
    if status:
        if status in (130, 143):
            raise SystemExit(status)
        raise RunError(f"{new}: the new run has failed, with status {status}; its log.txt says why")

    differences = compare(record.dir, new)
    say(f"{'results':<13}{_verdict(record.dir, differences)}")
    for line in differences:
        say(f"{'':<13}{line}")
    return differences


def read(run_dir: str | Path) -> Record:
    """Read what a finished run wrote down.

    Raises:
        RunError: it is not finished, or does not say what it was.
    """
    folder = config.resolve(run_dir).resolve()
    for name in ("config.yaml", "provenance.json", "summary.json", "executed.ipynb"):
        if not (folder / name).is_file():
            why = {
                "summary.json": "the run is not finished",
                "executed.ipynb": "only runs of `python -m cskt run` can be repeated, not notebooks run by hand",
            }.get(name, "this is no run folder")
            raise RunError(f"{folder}: there is no {name}: {why}")
    try:
        tree = config.read_yaml(folder / "config.yaml")
        provenance = json.loads((folder / "provenance.json").read_text())
        notebook = json.loads((folder / "executed.ipynb").read_text())["metadata"]["papermill"]["input_path"]
        recorded, seed = provenance["seed"], tree["SEED"]
        for key, kind in (("SEED", int), ("DEVICE", str), ("THREADS", int)):
            if type(tree[key]) is not kind:
                raise TypeError(f"{key}: {tree[key]!r}")
        for part in [provenance, *provenance.get("earlier", [])]:
            for key, kind in _KINDS.items():
                if key in ("diff", "earlier") and key not in part:
                    continue
                if not isinstance(part[key], kind):
                    raise TypeError(f"{key}: {part[key]!r}")
        json.dumps([provenance, notebook], ensure_ascii=False).encode()  # half a character can be told to nobody
        for text in (notebook, provenance["commit"] or "", *provenance["inputs"].values()):
            if not isinstance(text, str) or "\0" in text:
                raise TypeError(f"expected a text, found {text!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{folder}: what it wrote down cannot be read ({type(error).__name__}: {error})") from None
    if recorded != seed:
        raise RunError(f"{folder}: config.yaml says SEED {seed}, provenance.json {recorded}: one of them was changed")
    return Record(folder, notebook, tree, provenance)


def same_code(provenance: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the code here is that of a run, so that no checkout is needed; also where the run does not know its own.

    Args:
        provenance: of the run.
        now: that of a run begun here (`runs.provenance`).

    Raises:
        RunError: the code of the run cannot be had: the difference to its commit was not stored, the commit is not in
            the repository, or there is none.
    """
    commit = provenance["commit"]
    if commit is None:
        return True
    if provenance["dirty"] and provenance.get("diff") is None:
        raise RunError(
            f"its code was that of commit {commit[:_SHOWN]} with changes that were too large to be stored, "
            "or were made before cskt stored them: it cannot be had again"
        )
    if now["commit"] is None:
        raise RunError(
            f"its code was that of commit {commit[:_SHOWN]}, but {config.PROJECT} is not in a git repository"
        )
    if commit == now["commit"] and (provenance.get("diff") or "") == now["diff"]:
        return True
    if _git("cat-file", "-e", f"{commit}^{{commit}}", check=False).returncode:
        raise RunError(f"its commit {commit} is not in this repository: `git fetch` it and call again")
    return False


def environment(provenance: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """Say of each part of what a run was made with whether the same is here.

    Returns:
        Name of the part -> a line: what it is, or "A there, B here".
    """
    lines = {"commit": _beside(*[_short(one["commit"]) for one in (provenance, now)])}
    lines["lock"] = _beside(*[_short(one["lock"]) for one in (provenance, now)])
    lines["python"] = _beside(provenance["python"], now["python"])
    packages = provenance["packages"] | now["packages"]
    versions = [{name: one["packages"].get(name, "none") for name in packages} for one in (provenance, now)]
    other = [
        f"{name} {_beside(*[v[name] for v in versions])}" for name in packages if versions[0][name] != versions[1][name]
    ]
    lines["packages"] = "; ".join(other) or ", ".join(f"{name} {version}" for name, version in versions[0].items())
    lines["device"] = _beside(provenance["device"], now["device"])
    if "cpu" in provenance:  # since there was such an entry
        lines["processor"] = _beside(provenance["cpu"], now["cpu"])
    lines["seed"] = str(provenance["seed"])
    codes = [_code(part) for part in [*provenance.get("earlier", []), provenance]]
    if len(set(codes)) > 1:
        lines["parts"] = f"the run was stopped and gone on with by other code ({', '.join(codes)}): the last is taken"
    return lines


@contextmanager
def checked_out(commit: str, patch: str, settings: dict[str, Any]) -> Iterator[Path]:
    """Check a commit out into a temporary git worktree, apply a patch to it, and remove it when the block is left.

    What the code finds by relative paths is there too, as links: the data and runs in outputs/ (but not the cached
    crops, which it makes itself), and folders beside the project that the config names.

    Args:
        commit: which.
        patch: for `git apply`; may be empty.
        settings: the run's config, as a tree.

    Raises:
        RunError: the patch does not fit.
    """
    with tempfile.TemporaryDirectory(prefix="cskt-rerun-") as home:
        checkout = Path(home) / config.PROJECT.name
        project = checkout / _git("rev-parse", "--show-prefix").stdout.strip()
        _git("worktree", "add", "--detach", "--quiet", str(checkout), commit)
        try:
            if patch:
                _git("apply", "--whitespace=nowarn", "-", cwd=checkout, text=patch)
            (project / "outputs").mkdir(exist_ok=True)
            for path in (config.PROJECT / "outputs").glob("*"):
                if path.name not in ("cache", "rerun") and not (project / "outputs" / path.name).exists():
                    (project / "outputs" / path.name).symlink_to(path.resolve())
            for name in {Path(text).parts[1] for text in _texts(settings) if text.startswith("../") and len(text) > 3}:
                if (config.PROJECT.parent / name).exists() and not (project.parent / name).exists():
                    (project.parent / name).symlink_to(config.PROJECT.parent / name)
            yield project
        finally:
            _git("worktree", "remove", "--force", str(checkout), check=False)


def _verdict(run_dir: Path, differences: list[str]) -> str:
    names = results(run_dir)
    counts = {
        kind: sum(name.endswith(suffix) for name in names) for kind, suffix in (("tables", ".csv"), ("networks", ".pt"))
    }
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    if differences:
        return f"NOT the same: {len(differences)} of {len(names)} files differ ({told}), the first of them in"
    return f"the same, bit for bit: {len(names)} files ({told}); but for what is measured ({', '.join(MEASURED)})"


def _link(folder: Path, run_dir: Path, out: Path) -> None:
    """Link the other runs of the setting, and the other settings, to where the new run looks for them."""
    own = run_dir.relative_to(folder).parts[0]
    for place in (out / folder.name, out / folder.name / own):
        # of another run that was repeated here: what is written there would go into the run itself
        if place.is_symlink():
            place.unlink()
    (out / folder.name).mkdir(parents=True, exist_ok=True)
    beside = {
        out / folder.name / path.name: path for path in folder.iterdir() if path.name != own and _holds_runs(path)
    }
    settings = [path for path in folder.parent.iterdir() if path != folder and path.is_dir()]
    beside |= {
        out / path.name: path for path in settings if path.name != "rerun" and any(map(_holds_runs, path.glob("*")))
    }
    for link, target in beside.items():
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(target)


def _holds_runs(path: Path) -> bool:
    return (path / "summary.json").is_file() or any(path.glob("seed*/summary.json"))


def _execute(record: Record, new: Path, project: Path, say: Callable[[str], None]) -> int:
    """Execute the run's notebook into a new folder, by the code of `project`; return the exit status.

    Raises:
        RunError: the new run's inputs are not those of the old one, which is known once it has begun.
    """
    notebook = Path(record.notebook)
    if notebook.is_absolute() and notebook.is_relative_to(config.PROJECT):
        notebook = notebook.relative_to(config.PROJECT)
    options = ["--config", str(record.dir / "config.yaml"), "--out", str(new)]
    own = {"PYTHONPATH": str(project), "OMP_NUM_THREADS": str(record.config["THREADS"])}
    if record.provenance["device"] == "cpu":
        own["CUDA_VISIBLE_DEVICES"] = ""  # the run had none, whatever DEVICE says
    before = _provenance(new)
    process = subprocess.Popen(
        [sys.executable, "-m", "cskt", "run", str(notebook), *options], cwd=project, env={**os.environ, **own}
    )
    former = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        told = False
        while process.poll() is None:
            time.sleep(_WAIT)
            told = told or _told_inputs(record, new, before, process, say)
        told or _told_inputs(record, new, before, process, say)
    except KeyboardInterrupt:
        process.wait()  # the terminal has told it too: it saves
        raise
    finally:
        signal.signal(signal.SIGTERM, former)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _told_inputs(
    record: Record, new: Path, before: dict | None, process: subprocess.Popen, say: Callable[[str], None]
) -> bool:
    """Compare the inputs of the two runs, once the new one has written them down; whether it has."""
    found = _provenance(new)
    if found is None or found == before:
        return False
    there, here = record.provenance["inputs"], found["inputs"]
    other = [
        f"{name} {_beside(_short(there.get(name)), _short(here.get(name)))}"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]
    if other:
        process.terminate()
        process.wait()
        raise RunError(
            f"{record.dir}: what the run read is not here any more: {'; '.join(other)}; "
            "restore it, or repeat first the runs that made it"
        )
    say(f"{'inputs':<13}{', '.join(f'{name} {_short(value)}' for name, value in there.items()) or 'none'}")
    return True


def _provenance(run_dir: Path) -> dict[str, Any] | None:
    try:
        return json.loads((run_dir / "provenance.json").read_text())
    except FileNotFoundError:
        return None


def _git(*arguments: str, cwd: Path | None = None, text: str | None = None, check: bool = True):
    done = subprocess.run(
        ["git", *arguments], cwd=cwd or config.PROJECT, input=text, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise RunError(f"git {' '.join(arguments)}: {' '.join(done.stderr.split())}")
    return done


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from _texts(value)
    elif isinstance(tree, str):
        yield tree


def _beside(there: Any, here: Any) -> str:
    return str(there) if there == here else f"{there} there, {here} here"


def _short(text: str | None) -> str | None:
    return text and text[:_SHOWN]


def _code(provenance: dict[str, Any]) -> str:
    return f"commit {_short(provenance['commit'])}{' with changes' if provenance.get('diff') else ''}"
