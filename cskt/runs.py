"""The run folder: what one execution was given (config, provenance) and what it made (tables, figures, summary).

outputs/<setting>/<run>/[seed<k>/]
    config.yaml  provenance.json      written by `start`
    *.csv  figures/  checkpoint.pt    written by the run
    summary.json                      written last, by `Run.finish`: its presence means that the run is done
    former/                           what stood here before the run was started anew
"""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cskt import config, files, locks, torchrun
from cskt.errors import DataError
from cskt.files import read_table
from cskt.progress import say

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pandas")
LOCK_SECONDS = 10  # that a process which was stopped just now may take to be gone
DIFF_BYTES = 1_000_000  # of a provenance; a longer difference is no small change
CODE = ("cskt", "notebooks", "params", "Snakefile", "profiles", "requirements.lock", "pyproject.toml")
# written by the notebook wrapper while the run is going on, so not to be moved from under it
WRAPPER_FILES = ("log.txt", "running.ipynb", ".lock", ".running.lock")


class RunError(DataError):
    """A run was refused. The message says why and what to do."""


@dataclass(frozen=True)
class Run:
    """One execution and its folder; made by `start`."""

    dir: Path
    setting: str
    name: str
    seed: int

    def save_table(self, table: "pd.DataFrame", name: str) -> Path:
        """Write `table` to `<name>.csv` in the run folder and return the path."""
        path = self.dir / f"{name}.csv"
        files.write_csv(path, table)
        return path

    def save_figure(self, ax: Any, name: str, dpi: int = 150) -> Path:
        """Write a figure as PNG and PDF into `figures/`.

        Args:
            ax: axes, an array of axes, a figure, or anything else with a `figure` (a seaborn grid).
            name: the file name without suffix.
            dpi: pixels per inch of the PNG.

        Returns:
            The path of the PNG.
        """
        import matplotlib

        first = ax.flat[0] if hasattr(ax, "flat") else ax
        figure = getattr(first, "figure", first)
        png, pdf = (self.dir / "figures" / f"{name}{suffix}" for suffix in (".png", ".pdf"))
        with files.atomic_path(png) as temporary:
            figure.savefig(temporary, dpi=dpi)
        # type 42 keeps text as text; without a date equal figures are equal files
        with matplotlib.rc_context({"pdf.fonttype": 42}), files.atomic_path(pdf) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None})
        return png

    def finish(self, summary: dict[str, Any]) -> Path:
        """Write `summary.json`, which marks the run as done: to be called last.

        Args:
            summary: the run's results, numbers as fractions; NaN is missing. A nested dict becomes dotted columns in
                `collect`.

        Returns:
            The path of `summary.json`.

        Raises:
            ValueError: `summary` uses a name that says which run it is (setting, run, seed, commit, dirty, seconds).
        """
        provenance = json.loads((self.dir / "provenance.json").read_text())
        seconds = (datetime.now(UTC) - datetime.fromisoformat(provenance["started"])).total_seconds()
        identity = {
            "setting": self.setting,
            "run": self.name,
            "seed": self.seed,
            "commit": provenance["commit"],
            "dirty": provenance["dirty"],
            # a clock that was set back in between tells nothing
            "seconds": round(seconds, 1) if seconds >= 0 else None,
        }
        if taken := sorted(identity.keys() & summary.keys()):
            raise ValueError(f"summary may not hold {taken}: these names say which run it is")
        path = self.dir / "summary.json"
        files.write_json(path, identity | summary)
        # only a run that is not done has something to go on from
        (self.dir / "resume.pt").unlink(missing_ok=True)
        locks.release(self.dir)
        return path


def start(run_dir: str | Path, cfg: Any, inputs: dict[str, str] | None = None) -> Run:
    """Open the folder of a run and write down what it was given.

    A run that was stopped and is started again with the same config and inputs finds its files, so that training can
    go on from its checkpoint. In any other case (it had finished, or something differs) the run starts anew and the
    files of the former one are moved to `former/`, where they stay until the next time. An option that has come into
    `config.DEFAULTS` since makes no other config while it has its default.

    Args:
        run_dir: outputs/<setting>/<run>, or outputs/<setting>/<run>/seed<k>; relative to the project.
        cfg: the resolved config of the run, with SETTING and SEED.
        inputs: name -> fingerprint of what the run reads (the data, an earlier run's checkpoint).

    Returns:
        The run.

    The folder is held until the run is finished or its process ends: no second run can be started in it.

    Raises:
        RunError: the folder holds a finished run with another config.
        DataError: another process is at work in the folder, or it cannot be written to.
    """
    run_dir = config.resolve(run_dir)
    locks.hold(run_dir, patience=LOCK_SECONDS)
    for folder in (run_dir, run_dir / "figures"):
        files.remove_leftovers(folder)
    config_text = _dumped(cfg)
    inputs = inputs or {}
    earlier: list[dict[str, Any]] = []

    if (run_dir / "config.yaml").exists():
        changes = config_changes(_recorded(run_dir / "config.yaml"), config.parse_yaml(config_text, run_dir))
        if changes and (run_dir / "summary.json").exists():
            raise RunError(
                f"{run_dir} holds a finished run with another config ({'; '.join(changes)}): "
                "give another run_dir, or delete that folder"
            )
        if changes or _was_finished(run_dir) or _recorded_inputs(run_dir) != inputs:
            _set_aside(run_dir)
        else:
            former = _recorded(run_dir / "provenance.json")
            earlier = [*former.pop("earlier", []), former]

    own = torchrun.run_of(run_dir.resolve())
    name = own.parent.name if own.name.startswith("seed") else own.name
    run = Run(run_dir, cfg.SETTING, name, cfg.SEED)
    now = provenance(cfg.SEED, cfg.DEVICE, inputs)
    files.write_json(run_dir / "provenance.json", now | ({"earlier": earlier} if earlier else {}))
    # last: a folder with a config has all of its beginnings
    files.write_text(run_dir / "config.yaml", config_text)
    return run


def provenance(seed: int, device: str, inputs: dict[str, str]) -> dict[str, Any]:
    """Describe what a result depends on beside its config: code, environment, device, seed and inputs.

    Args:
        seed: the seed of the run.
        device: the device that the config asks for; anything but "cpu" means the GPU where there is one.
        inputs: name -> fingerprint of what the run reads.

    Returns:
        A dict fit for JSON. `commit`, `dirty` and `diff` are None where the code is not in a git repository; `diff` is
        how the code differs from the commit ("": not at all), and None too where that is longer than `DIFF_BYTES`;
        `dirty` whether it does: pages and tables that differ make no other run.
        A run that was stopped and gone on with has what its former parts were made with in a list `earlier` beside it.
    """
    import torch

    lock = config.PROJECT / "requirements.lock"
    status = _git("status", "--porcelain")
    diff = _diff() if status else status
    return {
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if status is None else diff != "",
        "diff": diff,
        "lock": files.fingerprint(lock) if lock.exists() else None,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "cpu": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() and device != "cpu" else "cpu",
        "seed": seed,
        "inputs": inputs,
    }


def collect(setting: str, outputs: str | Path = "outputs") -> "pd.DataFrame":
    """Read the summaries of all finished runs of a setting.

    Args:
        setting: the setting's name.
        outputs: the folder that holds one folder per setting.

    Returns:
        One row per run, sorted by run and seed; the columns `setting`, `run`, `seed`, `commit`, `dirty`, `seconds`,
        then the names the runs used in their summaries, NaN where a run has no such number.

    Raises:
        RunError: there is no finished run.
    """
    import pandas as pd

    summaries = _finished(Path(outputs) / setting)
    return pd.json_normalize(list(summaries.values())).sort_values(["run", "seed"], ignore_index=True)


def upstream(run_dir: str | Path, run: str, file: str = "checkpoint.pt") -> Path:
    """Find what another run of the same setting has made: of the same seed, where that run has one per seed.

    Args:
        run_dir: the folder of the run that needs it; relative to the project.
        run: the name of the run that makes it.
        file: the file in that run's folder.

    Raises:
        RunError: that run is not done, or has no such file.
    """
    run_dir = torchrun.run_of(config.resolve(run_dir))
    seed = run_dir.name if run_dir.name.startswith("seed") else "seed0"
    folder = setting_folder(run_dir) / run
    for candidate in (folder, folder / seed):
        if (candidate / "summary.json").exists() and (candidate / file).exists():
            return candidate / file
    raise RunError(
        f"run {run!r} has to be done first: there is no finished run with a {file} in {folder}, nor in its {seed}; "
        f"`make reproduce SETTING={setting_folder(run_dir).name}` does all of them in order"
    )


def collect_tables(folder: str | Path, name: str, only: Collection[str] | None = None) -> "pd.DataFrame":
    """Read one table of all finished runs of a setting that have it.

    Args:
        folder: the setting's folder (`setting_folder`).
        name: the table's file name without `.csv`.
        only: the names of the runs wanted; if None, all.

    Returns:
        The tables' rows one below the other, sorted by run and seed, with the columns `run` and `seed` before theirs.

    Raises:
        RunError: no finished run has such a table.
    """
    import pandas as pd

    tables = []
    for run_dir, summary in _finished(Path(folder)).items():
        if (run_dir / f"{name}.csv").exists() and (only is None or summary["run"] in only):
            table = read_table(run_dir / f"{name}.csv")
            table.insert(0, "run", summary["run"])
            table.insert(1, "seed", summary["seed"])
            tables.append(table)
    if not tables:
        raise RunError(f"no finished run under {folder} has a {name}.csv")
    return pd.concat(tables).sort_values(["run", "seed"], kind="stable", ignore_index=True)


def collect_configs(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Read what each finished run of a setting was set to.

    Args:
        folder: the setting's folder (`setting_folder`).

    Returns:
        Name of a run -> dotted key -> value, of its first seed, an option that came later at its default; empty where
        no run has finished.
    """
    defaults, configs = _dotted(config.DEFAULTS), {}
    for summary in sorted([*Path(folder).glob("*/summary.json"), *Path(folder).glob("*/seed*/summary.json")]):
        run = read_summary(summary).get("run")
        if run and run not in configs and (summary.parent / "config.yaml").exists():
            configs[run] = defaults | _dotted(_recorded(summary.parent / "config.yaml"))
    return configs


def setting_folder(run_dir: str | Path) -> Path:
    """The folder of all runs of the setting that a run belongs to."""
    run_dir = torchrun.run_of(config.resolve(run_dir))
    return run_dir.parent.parent if run_dir.name.startswith("seed") else run_dir.parent


def read_summary(path: Path) -> dict[str, Any]:
    """Read the summary of a run; empty, which is said, where it is damaged: then the run counts as not done."""
    content = read_record(path) or {}
    named = isinstance(content.get("run"), str) and isinstance(content.get("commit") or "", str)
    if named and type(content.get("seed")) is int:
        return content
    say(f"{path}: damaged, so its run counts as not done: delete this file and do the run again")
    return {}


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a JSON or YAML file that a run wrote; None where it is missing, or damaged, as by a copy that broke off."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else config.parse_yaml(text, path)
        json.dumps(content, ensure_ascii=False).encode()  # half a character (\ud800) cannot be told or written
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _finished(folder: Path) -> dict[Path, dict[str, Any]]:
    """The folders of all finished runs of a setting, each with its summary."""
    paths = [*folder.glob("*/summary.json"), *folder.glob("*/seed*/summary.json")]
    found = {path.parent: summary for path in paths if (summary := read_summary(path))}
    if not found:
        raise RunError(f"no finished run under {folder}: `make reproduce SETTING={folder.name}` makes them")
    places: dict[tuple[str, int], Path] = {}
    for place, summary in found.items():
        run = summary["run"], summary["seed"]
        if run in places:
            # a copy that was kept: means over seeds would count both
            raise RunError(f"{places[run]} and {place} both hold run {run[0]}, seed {run[1]}: move one out of {folder}")
        places[run] = place
    return found


def _git(*arguments: str, index: Path | None = None, strip: bool = True) -> str | None:
    """Return what git prints, or None without git or a repository."""
    environment = {**os.environ, "GIT_INDEX_FILE": str(index)} if index else None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=config.PROJECT, capture_output=True, text=True, check=True, env=environment
        )
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() if strip else done.stdout


def _diff() -> str | None:
    """What the code differs in from the last commit, new files of it too, as a patch for `git apply`."""
    with tempfile.TemporaryDirectory() as folder:
        # in an index of its own, so that new files are part of the patch and the person's index stays as it is
        index = Path(folder) / "index"
        own = _git("rev-parse", "--path-format=absolute", "--git-path", "index")
        if own is None or not Path(own).is_file():
            return None
        shutil.copyfile(own, index)
        code = [name for name in CODE if (config.PROJECT / name).exists()]
        _git("add", "--intent-to-add", "--", *code, index=index)
        patch = _git("diff", "HEAD", "--binary", "--no-ext-diff", "--", *code, index=index, strip=False)
    return patch if patch is not None and len(patch) <= DIFF_BYTES else None


def _processor() -> str:
    """What the processor calls itself: what it computes to the last bit depends on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _dumped(cfg: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        config.dump(cfg, Path(folder) / "config.yaml")
        return (Path(folder) / "config.yaml").read_text()


def config_changes(former: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say which keys of two configs differ, and how; an option that came after the former one had its default there."""
    former, now = _dotted(former), _dotted(now)
    former = {key: value for key, value in _dotted(config.DEFAULTS).items() if key in now} | former
    return [
        f"{key}: {former.get(key, 'nothing')} there, {now.get(key, 'nothing')} now"
        for key in sorted(former.keys() | now.keys())
        if key not in former or key not in now or former[key] != now[key]
    ]


def _dotted(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _was_finished(run_dir: Path) -> bool:
    # the graph deletes summary.json before it runs a job again; the executed notebook still tells
    return (run_dir / "summary.json").exists() or (run_dir / "executed.ipynb").exists()


def _recorded_inputs(run_dir: Path) -> dict[str, str] | None:
    return _recorded(run_dir / "provenance.json").get("inputs")


def _recorded(path: Path) -> dict[str, Any]:
    """What a former run in the folder wrote down."""
    content = read_record(path)
    earlier = None if content is None else content.get("earlier", [])
    if isinstance(earlier, list) and all(isinstance(part, dict) for part in earlier):
        return content
    raise RunError(f"{path}: missing or damaged: delete {path.parent}, or give another run_dir")


def _set_aside(run_dir: Path) -> None:
    """Move all files of the former run to `former/`, in place of those that are there."""
    former = run_dir / "former"
    if former.exists():
        shutil.rmtree(former)
    former.mkdir()
    kept = {former.name, *WRAPPER_FILES}
    paths = [path for path in run_dir.iterdir() if path.name not in kept and torchrun.run_of(path) == path]
    # summary first: the run is no longer done; config last: whoever is stopped here starts anew again
    order = {"summary.json": 0, "config.yaml": 2}
    for path in sorted(paths, key=lambda path: order.get(path.name, 1)):
        path.rename(former / path.name)
