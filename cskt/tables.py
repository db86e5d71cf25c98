"""Tables of texts as Markdown and as LaTeX (booktabs)."""

import re

import pandas as pd

_LATEX = {"&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
          "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "–": "--", "±": r"$\pm$", "×": r"$\times$",
          "√": r"$\surd$", "·": r"$\cdot$", "−": "$-$", "≥": r"$\geq$", "<": "$<$", ">": "$>$"}  # fmt: skip
_SENTENCE = 40  # characters from which on a cell is one
# L_s, T_pos: a letter with a subscript
_SUBSCRIPT = re.compile(r"\b([LT])_(s|u|f|pos|neg)\b")


def to_markdown(table: pd.DataFrame, bold: pd.DataFrame | None = None) -> str:
    """Write a table of texts as Markdown.

    Args:
        table: its cells as they shall be read; the index is the first column, under its name.
        bold: which cells are set in bold (bool), of the same shape.

    Example:
        >>> print(to_markdown(pd.DataFrame({"NME %": ["5.1", "6.0"]}, index=pd.Index(["a", "b"], name="method"))))
        | method | NME % |
        |---|---|
        | a | 5.1 |
        | b | 6.0 |
    """
    lines = [_row([table.index.name or "", *table.columns]), "|" + "---|" * (1 + len(table.columns))]
    for place, (name, row) in enumerate(zip(table.index, table.to_numpy(), strict=True)):
        marks = [False] * len(row) if bold is None else bold.to_numpy()[place]
        lines.append(_row([name, *(f"**{cell}**" if mark else cell for cell, mark in zip(row, marks, strict=True))]))
    return "\n".join(lines)


def to_latex(table: pd.DataFrame, caption: str, label: str, bold: pd.DataFrame | None = None) -> str:
    """Write a table of texts as a LaTeX float with booktabs' rules.

    Args:
        table: its cells as they shall be read; the index is the first column, under its name.
        caption: its text, plain.
        label: what `\\ref` calls it.
        bold: which cells are set in bold (bool), of the same shape.
    """
    rows = []
    for place, (name, row) in enumerate(zip(table.index, table.to_numpy(), strict=True)):
        marks = [False] * len(row) if bold is None else bold.to_numpy()[place]
        cells = [rf"\textbf{{{escape(cell)}}}" if mark else escape(cell) for cell, mark in zip(row, marks, strict=True)]
        rows.append(" & ".join([escape(name), *cells]) + r" \\")
    columns = _alignment(table.index, "l") + "".join(_alignment(table[name]) for name in table)
    head = " & ".join(escape(name) for name in [table.index.name or "", *table.columns])
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule", rf"{head} \\", r"\midrule", *rows,
        r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ])  # fmt: skip


def escape(text: object) -> str:
    """A text as LaTeX prints it.

    Example:
        >>> escape("L_s at 5 % of T_neg, n_1")
        '$L_{s}$ at 5 \\\\% of $T_{neg}$, n\\\\_1'
    """
    parts = []
    last = 0
    for match in _SUBSCRIPT.finditer(str(text)):
        parts += [_plain(str(text)[last : match.start()]), f"${match[1]}_{{{match[2]}}}$"]
        last = match.end()
    return "".join([*parts, _plain(str(text)[last:])])


def mathtext(text: str) -> str:
    """A text for matplotlib, with L_s, T_neg and their like as letters with a subscript.

    Example:
        >>> mathtext("+ L_u, T_neg")
        '+ $L_{u}$, $T_{neg}$'
    """
    return _SUBSCRIPT.sub(lambda match: f"${match[1]}_{{{match[2]}}}$", text)


def _alignment(column: pd.Series | pd.Index, short: str = "r") -> str:
    """Numbers stand at the right, names at the left; sentences are broken into lines."""
    return short if column.astype(str).str.len().max() <= _SENTENCE else r"p{0.35\linewidth}"


def _plain(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text).replace("_", r"\_")


def _row(cells: list) -> str:
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"
