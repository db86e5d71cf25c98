"""Whether two runs have the same results, bit for bit, and if not, in what they first differ."""

import csv
import json
from pathlib import Path
from typing import Any

# measured, not computed: no two runs agree in them
MEASURED = ("seconds", "seconds_per_step", "peak_memory")
# of a run's folder, what is no result: what it was given (which is compared apart), and how it went
_NO_RESULT = (
    "config.yaml",
    "provenance.json",
    "log.txt",
    "executed.ipynb",
    "failed.ipynb",
    "running.ipynb",
    "resume.pt",
)


def compare(there: str | Path, here: str | Path) -> list[str]:
    """Say in what the results of two runs differ: tables, networks, summary, texts; figures follow from them.

    Numbers that are measured (`MEASURED`) are left out, as is which commit made them; all else has to be equal to the
    bit.

    Args:
        there, here: the folders of the two runs.

    Returns:
        Per file that differs one line, with the first difference in it; in the order of the files' names.
    """
    there, here = Path(there), Path(here)
    differences = []
    names = results(there)
    for name in names:
        if not (here / name).is_file():
            differences.append(f"{name}: is not here")
        elif (there / name).read_bytes() != (here / name).read_bytes():
            how = {".csv": _csv_difference, ".json": _json_difference, ".pt": _network_difference}
            found = how.get(Path(name).suffix, _byte_difference)(there / name, here / name)
            differences += [f"{name}: {found}"] if found else []
    return differences + [f"{name}: is not there" for name in results(here) if name not in names]


def results(run_dir: str | Path) -> list[str]:
    """The files of a run that hold its results, relative to its folder, sorted."""
    found = (path.relative_to(run_dir) for path in Path(run_dir).rglob("*") if path.is_file())
    return sorted(
        str(path)
        for path in found
        if path.name not in _NO_RESULT
        and not path.name.startswith(".")
        and path.suffix not in (".png", ".pdf")
        and path.parts[0] != "former"
    )


def _csv_difference(there: Path, here: Path) -> str | None:
    tables = []
    for path in (there, here):
        with path.open(newline="", encoding="utf-8") as file:
            tables.append(list(csv.reader(file)))
    a, b = tables
    if a[:1] != b[:1]:
        return f"columns {','.join(a[0] if a else [])} there, {','.join(b[0] if b else [])} here"
    for row, (left, right) in enumerate(zip(a, b, strict=False)):
        for column, *values in zip(a[0], left, right, strict=False):
            if column not in MEASURED and values[0] != values[1]:
                return f"row {row} ({left[0]}), column {column}: {values[0]} there, {values[1]} here"
    return f"{len(a) - 1} rows there, {len(b) - 1} here" if len(a) != len(b) else None


def _json_difference(there: Path, here: Path) -> str | None:
    own = (*MEASURED, "commit", "dirty")
    a, b = (_flat(json.loads(path.read_text())) for path in (there, here))
    for key in {**a, **b}:
        if key.rpartition(".")[2] not in own and repr(a.get(key, "nothing")) != repr(b.get(key, "nothing")):
            return f"{key}: {a.get(key, 'nothing')} there, {b.get(key, 'nothing')} here"
    return None


def _network_difference(there: Path, here: Path) -> str | None:
    import torch

    a, b = (_flat(torch.load(path, map_location="cpu", weights_only=True)) for path in (there, here))
    for key in {**a, **b}:
        if key not in a or key not in b:
            return f"{key}: is not {'there' if key not in a else 'here'}"
        left, right = a[key], b[key]
        if not torch.is_tensor(left) or not torch.is_tensor(right):
            if repr(left) != repr(right):
                return f"{key}: {left} there, {right} here"
        elif left.shape != right.shape or left.dtype != right.dtype:
            return f"{key}: {list(left.shape)} of {left.dtype} there, {list(right.shape)} of {right.dtype} here"
        elif not torch.equal(*(one.contiguous().flatten().view(torch.uint8) for one in (left, right))):
            gap = (left.double() - right.double()).abs()
            return f"{key}: {int((gap != 0).sum())} of {gap.numel()} values differ, by at most {float(gap.max()):.3g}"
    return None


def _byte_difference(there: Path, here: Path) -> str:
    a, b = there.read_bytes(), here.read_bytes()
    first = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    line = a[:first].count(b"\n") + 1
    return f"line {line} differs ({len(a):,} bytes there, {len(b):,} here)"


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one of dotted keys."""
    flat = {}
    for key, value in tree.items() if isinstance(tree, dict) else [("", tree)]:
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
