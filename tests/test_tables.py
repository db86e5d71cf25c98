"""Tables as Markdown and LaTeX."""

import pandas as pd

from cskt.tables import escape, to_latex, to_markdown

TABLE = pd.DataFrame(
    {"known, %": ["5.22", "9.74 (8.97–10.62)"], "unknown, %": ["–", "not run"]},
    index=pd.Index(["HG2", "+ L_u"], name="method"),
)
BOLD = pd.DataFrame([[False, False], [True, False]], index=TABLE.index, columns=TABLE.columns)


def test_markdown_has_a_row_per_row_and_marks_what_is_bold():
    assert to_markdown(TABLE, BOLD).splitlines() == [
        "| method | known, % | unknown, % |",
        "|---|---|---|",
        "| HG2 | 5.22 | – |",
        "| + L_u | **9.74 (8.97–10.62)** | not run |",
    ]


def test_a_bar_in_a_cell_does_not_split_it():
    assert to_markdown(pd.DataFrame({"a": ["x|y"]}, index=["b"])).splitlines()[2] == r"| b | x\|y |"


def test_latex_compiles_as_plain_text_with_booktabs():
    lines = to_latex(TABLE, "Errors & counts", "tab:errors", BOLD).splitlines()
    assert lines[2] == r"\caption{Errors \& counts}"
    body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
    assert body == [
        r"method & known, \% & unknown, \% \\",
        r"\midrule",
        r"HG2 & 5.22 & -- \\",
        r"+ $L_{u}$ & \textbf{9.74 (8.97--10.62)} & not run \\",
    ]
    # every row has as many cells as the head says columns
    assert [line.replace(r"\&", "").count("&") for line in (body[0], *body[2:])] == [2, 2, 2]


def test_every_sign_that_latex_reads_otherwise_is_escaped():
    assert escape("50 % & 3 # of $x$ {y} a_b") == r"50 \% \& 3 \# of \$x\$ \{y\} a\_b"
    assert escape("± 0.1") == r"$\pm$ 0.1"


def test_sentences_are_broken_into_lines():
    table = pd.DataFrame(
        {"n": ["1"], "what": ["a sentence that is much too long for one line of a table"]}, index=["a"]
    )
    assert r"\begin{tabular}{lrp{0.35\linewidth}}" in to_latex(table, "", "a")
    assert r"\begin{tabular}{p{0.35\linewidth}r}" in to_latex(table.set_index("what"), "", "a")
