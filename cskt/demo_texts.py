"""The words and tables of the single-image demos, as HTML; whatever comes from a file is escaped."""

from html import escape

import numpy as np

from cskt.demo import VERDICTS, Look
from cskt.figures import PALETTE
from cskt.galleries import MARKS

COLORS = {
    "positive": PALETTE["blue"],
    "semi_hard": "#2b7ba6",
    "hard_negative": PALETTE["vermillion"],
    "": PALETTE["grey"],
}
_SIGNS = {"o": "○", "X": "✖", "s": "■", "^": "▲"}


def note(text: str, kind: str = "") -> str:
    """A message for people: `text` is plain; kind is "", warning or error."""
    return note_html(escape(text), kind)


def note_html(html: str, kind: str = "") -> str:
    """A message that is HTML already."""
    role = "alert" if kind == "error" else "status"
    return f'<div class="cskt-note {kind}" role="{role}">{html}</div>' if html else ""


def percent(fraction: float) -> str:
    """A fraction as percent; a dash where it is not known.

    Example:
        >>> percent(0.0534), percent(float("nan"))
        ('5.3 %', '–')
    """
    return "–" if np.isnan(fraction) else f"{100 * fraction:.1f} %"


def verdict_html(seen: Look, category: str, t_pos: float, t_neg: float, nme: float, labeled: int) -> str:
    """The verdict of the mining rule with the numbers that it rests on, and the error where it is known."""
    name, meaning = VERDICTS[category]
    below = f"{_side(seen.flip_disagreement, t_neg)} T_neg {t_neg:.3f}"
    flip = f"flip disagreement <b>{percent(seen.flip_disagreement)}</b> ({below})"
    human = "human disagreement: no human model at hand"
    if not np.isnan(seen.human_disagreement):
        below = f"{_side(seen.human_disagreement, t_pos)} T_pos {t_pos:.3f}"
        human = f"human disagreement <b>{percent(seen.human_disagreement)}</b> ({below})"
    error = "" if np.isnan(nme) else f"<span>error against the label ({labeled} landmarks) <b>{percent(nme)}</b></span>"
    return (
        f'<div class="cskt-verdict"><span class="cskt-chip" style="background:{COLORS[category]}">{name}</span>'
        f"<span>{meaning}</span></div>"
        f'<div class="cskt-verdict"><span>{flip}</span><span>{human}</span>{error}'
        f"<span>found in {seen.seconds:.2f} s</span></div>"
    )


def _side(value: float, threshold: float) -> str:
    return "below" if value < threshold else "not below"


def key_html(kinds: list[str]) -> str:
    """What the marks in the picture mean."""
    parts = []
    for kind in kinds:
        marker, color, _ = MARKS[kind]
        ink = "#1f2933" if color == "none" else color
        parts.append(f'<span><b style="color:{ink}">{_SIGNS[marker]}</b> {escape(kind)}</span>')
    return f'<div class="cskt-key">{"".join(parts)}</div>' if parts else ""


def table_html(seen: Look, errors: np.ndarray, chosen: str = "") -> str:
    """The landmarks with place, confidence and, where known, error; the one whose heatmap is shown stands out."""
    known = np.isfinite(errors).any()
    head = ["landmark", "confidence", "x", "y", *(["error"] if known else [])]
    rows = []
    for name, (x, y), sure, error in zip(seen.names, seen.landmarks, seen.confidence, errors, strict=True):
        width = round(100 * min(max(sure, 0.0), 1.0))
        cells = [
            escape(name.replace("_", " ")),
            f'<span class="cskt-bar"><i style="width:{width}%"></i></span>{sure:.2f}',
            f"{x:.1f}",
            f"{y:.1f}",
            *([percent(error)] if known else []),
        ]
        mark = ' class="chosen"' if name == chosen else ""
        rows.append(f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    header = "".join(f"<th>{name}</th>" for name in head)
    return f'<table class="cskt-table"><thead><tr>{header}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
