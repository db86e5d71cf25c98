"""Grids: which runs there are, read from `params/grids/*.yaml`, one entry per run. The Snakefile makes rules of them.

fixmatch:                      # name of the run: outputs/<setting>/fixmatch/seed<k>/
  notebook: 06_meta_cskt       # of notebooks/
  set: {METHOD.NAME: fixmatch} # overrides of the params file; {setting} and {seed} stand for those of the run
  needs: [few_shot, mining]    # runs whose outputs it reads: of its own seed, or of all seeds where it has none;
                               # SETTING/RUN is a run of another setting; one that the setting has not is no need
  per_seed: true               # false: one run for all seeds
  seeds: 1                     # at most so many seeds; without this, as many as the call asks for
  settings: [zoo]              # the settings that have this run; without this, all
  shows: [ablation, sweeps]    # grids whose runs it reads as far as they are there: a gap in a table is no error
  beside: {animalpose: animalpose_unknown}  # setting -> another one of which it reads those grids too
"""

import difflib
import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cskt import config
from cskt.errors import ConfigError

ZOO_MINUTES = 40  # `make reproduce` in a fresh clone takes some, environment included (README.md)
_KEYS = {
    "notebook": str,
    "set": dict,
    "needs": list,
    "per_seed": bool,
    "seeds": int,
    "settings": list,
    "shows": list,
    "beside": dict,
}


@dataclass(frozen=True)
class Entry:
    """One run of a grid; the keys are those of its entry (see above)."""

    name: str
    grid: str
    notebook: str
    overrides: dict[str, Any]
    needs: tuple[str, ...] = ()
    per_seed: bool = True
    seeds: int | None = None
    settings: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    beside: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The run's folder, with the wildcards {setting} and, where there is one per seed, {seed}."""
        return f"outputs/{{setting}}/{self.name}" + ("/seed{seed}" if self.per_seed else "")

    @property
    def options(self) -> str:
        """The overrides as options of `python -m cskt run`, the seed among them."""
        # JSON is YAML, and tells a text from a number
        pairs = [shlex.quote(f"{key}={json.dumps(value)}") for key, value in self.overrides.items()]
        return " ".join([f"--set {pair}" for pair in pairs] + ["--set SEED={seed}"] * self.per_seed)

    def is_of(self, setting: str) -> bool:
        """Whether a setting has this run."""
        return not self.settings or setting in self.settings


def read(folder: str | Path = config.PROJECT / "params" / "grids") -> dict[str, Entry]:
    """Read all grids of a folder.

    Args:
        folder: holds the `.yaml` files, a file's name is the grid's; the params files of the settings are beside it.

    Returns:
        Name of a run -> its entry, in the order of the files' names and of the entries in each.

    Raises:
        ConfigError: a file is not of this form, two runs have the same name, or an entry names a run, a grid or a
            setting that there is not; with the file, the entry and the nearest name that there is.
    """
    entries: dict[str, Entry] = {}
    for file in sorted(Path(folder).glob("*.yaml")):
        for name, keys in config.read_yaml(file).items():
            if name in entries:
                raise ConfigError(f"{file}: run {name} is already one of the grid {entries[name].grid}")
            entries[name] = _entry(name, keys, file)
    settings = {file.stem for file in Path(folder).parent.glob("*.yaml")}
    grids = {entry.grid for entry in entries.values()}
    for entry in entries.values():
        where = f"{folder}/{entry.grid}.yaml: {entry.name}: "
        for need in entry.needs:
            setting, _, run = need.rpartition("/")
            _known(run, entries, f"{where}needs: no run {run!r}")
            if setting:
                _known(setting, settings, f"{where}needs: no setting {setting!r}")
        for grid in entry.shows:
            _known(grid, grids, f"{where}shows: no grid {grid!r}")
        for key, named in (("settings", entry.settings), ("beside", [*entry.beside, *entry.beside.values()])):
            for setting in named:
                _known(setting, settings, f"{where}{key}: no setting {setting!r}")
    return entries


def runs_of(entries: Mapping[str, Entry], grid: str, setting: str) -> list[str]:
    """The runs of a grid that a setting has, those of one per seed, in the grid's order."""
    return [e.name for e in entries.values() if e.grid == grid and e.per_seed and e.is_of(setting)]


def values_of(entries: Mapping[str, Entry], key: str, setting: str) -> dict[str, Any]:
    """Name of a run -> its override of a key, of all runs of a setting that have one."""
    return {e.name: e.overrides[key] for e in entries.values() if key in e.overrides and e.is_of(setting)}


def _entry(name: str, keys: Any, file: Path) -> Entry:
    where = f"{file}: {name}: "
    if not isinstance(keys, dict) or "notebook" not in keys:
        raise ConfigError(f"{where}expected `notebook: NAME` and what else the run is, got {keys!r}")
    for key, value in keys.items():
        _known(key, _KEYS, f"{where}unknown key {key!r}")
        if type(value) is not _KEYS[key]:
            raise ConfigError(f"{where}{key} must be a {_KEYS[key].__name__}, got {value!r}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items()}
    overrides = values.pop("set", {})
    if sections := [key for key, value in overrides.items() if isinstance(value, dict)]:
        raise ConfigError(f"{where}set takes dotted keys, `{sections[0]}.KEY: value`")
    return Entry(name, file.stem, overrides=overrides, **values)


def _known(name: str, names: Collection[str], message: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(str(name), list(names), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(names))}"
        raise ConfigError(f"{message}; {hint}")
