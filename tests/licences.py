"""List the licences of all packages in requirements.lock: `python tests/licences.py` writes docs/licences.md.

cskt itself is under MIT and ships none of them: it imports them, or calls them as programs. Whether a licence allows
that is decided here, by its name; a package whose licence is not among the known ones fails the test.
"""

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"

# what a licence is called -> its family; the first that is found in a package's own words counts
FAMILIES = {
    r"lgpl|lesser general public": "LGPL",
    r"mozilla|mpl": "MPL-2.0",
    r"apache": "Apache-2.0",
    r"bsd|0bsd|isc\b|iscl": "BSD",
    r"\bmit\b|mit-cmu|hpnd|historical": "MIT",
    r"python software foundation|psf|python-2|cnri": "PSF",
    r"unlicense|public domain|cc0|zlib|zpl|zope": "public domain or as free",
    r"nvidia|proprietary": "NVIDIA's own",
    r"agpl|affero": "AGPL",
    r"gpl|general public": "GPL",
}
BROWSER = "not looked up"
ALLOWED = {
    "MIT": "no condition but the notice",
    "BSD": "no condition but the notice",
    "Apache-2.0": "no condition but the notice",
    "PSF": "no condition but the notice",
    "public domain or as free": "no condition, or none but the notice",
    "MPL-2.0": "its own files stay open; a program that imports it is free",
    "LGPL": "the library stays open and exchangeable; a program that imports it is free",
    "NVIDIA's own": "free of charge to use, not open; only on machines with an NVIDIA GPU, and not passed on by cskt",
    BROWSER: "wanted by the lock for Python in a browser only, where cskt does not run",
}
# packages of other systems, or without a word on it in their metadata, looked up by hand (their own repositories)
BY_HAND = {
    "appnope": "BSD", "colorama": "BSD", "pywinpty": "MIT", "pywin32": "PSF", "tzdata": "Apache-2.0",
    "triton": "MIT", "cuda-pathfinder": "Apache-2.0", "pyreadline3": "BSD", "httpx2-jsfetch": BROWSER,
    "async-timeout": "Apache-2.0", "exceptiongroup": "MIT", "tomli": "MIT", "importlib-metadata": "Apache-2.0",
    "aiohappyeyeballs": "PSF",
    **dict.fromkeys(("aiohttp", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"), "Apache-2.0"),
}  # fmt: skip


def locked() -> list[str]:
    """The names of all packages in requirements.lock."""
    text = (ROOT / "requirements.lock").read_text()
    return sorted(set(re.findall(r"^([A-Za-z0-9_.-]+)==", text, flags=re.MULTILINE)))


def family(name: str) -> str:
    """The family of a package's licence; "unknown" where its metadata does not tell."""
    if name in BY_HAND:
        return BY_HAND[name]
    if name.startswith(("nvidia-", "cuda-")):
        return "NVIDIA's own"
    try:
        meta = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    classifiers = [text for text in meta.get_all("Classifier") or [] if text.startswith("License")]
    for words in (meta.get("License-Expression"), " ".join(classifiers), (meta.get("License") or "")[:300]):
        for pattern, found in FAMILIES.items():
            if words and re.search(pattern, words.lower()):
                return found
    # the first line of the licence itself
    for file in importlib.metadata.files(name) or []:
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            first = file.locate().read_text(errors="replace").strip().splitlines()[0].lower()
            return next((found for pattern, found in FAMILIES.items() if re.search(pattern, first)), "unknown")
    return "unknown"


def page() -> str:
    """The page's text."""
    packages = {name: family(name) for name in locked()}
    lines = [
        "# Licences of the packages that cskt needs",
        "",
        "Written by `python tests/licences.py` from the metadata of the packages in `requirements.lock`; a test",
        "keeps the page in step with the lock and refuses a licence that is not in the first table. cskt is under MIT",
        "and passes none of them on. This is a list, not a lawyer's opinion.",
        "",
        "| licence | packages | why it is compatible |",
        "|---|---|---|",
    ]
    for licence, why in ALLOWED.items():
        count = sum(own == licence for own in packages.values())
        lines += [f"| {licence} | {count} | {why} |"] if count else []
    lines += ["", "| name of the package | licence |", "|---|---|"]
    lines += [f"| {name} | {own} |" for name, own in packages.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = page()
    PAGE.write_text(text)
    odd = [line for line in text.splitlines() if line.endswith(("| unknown |", "| not installed |", "GPL |"))]
    print("\n".join(odd) or "all known")
