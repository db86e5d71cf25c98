"""What share of its mutants a module's tests noticed, as `make mutants` has left it; fails below 85 %.

Called as `python tests/mutants.py mutants/cskt`.
"""

import json
import sys
from pathlib import Path

LEAST = 0.85


def shares(folder: Path) -> dict[str, tuple[int, int]]:
    """How many mutants of each module a test noticed, and how many there are, from mutmut's own records."""
    found = {}
    for file in sorted(folder.glob("*.meta")):
        codes = json.loads(file.read_text())["exit_code_by_key"].values()
        if None in codes:
            sys.exit(f"{file}: some mutants were not tried yet; call `make mutants` again")
        # a test run that ends well has noticed nothing
        if codes:
            found[file.name.removesuffix(".py.meta")] = (sum(code != 0 for code in codes), len(codes))
    return found


def main() -> None:
    found = shares(Path(sys.argv[1]))
    for module, (noticed, tried) in found.items():
        print(f"{module:12} {noticed} of {tried} noticed: {noticed / tried:.1%}")
    if low := [module for module, (noticed, tried) in found.items() if noticed < LEAST * tried]:
        sys.exit(f"less than {LEAST:.0%} noticed: {', '.join(low)}")
    if not found:
        sys.exit(f"{sys.argv[1]}: no records of mutants")


if __name__ == "__main__":
    main()
