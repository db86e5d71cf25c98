"""The figures for print: they fit the page, can be read there, and show what they are given."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from cskt import figures_paper, figures_print, figures_supplement, published

FAMILIES = ["Cebidae", "Ursidae", "Bovidae", "Phocidae", "Spheniscidae"]
COLUMNS = {"known": "known species", "unknown": "unknown species"}


@pytest.fixture(autouse=True)
def in_print():
    with matplotlib.rc_context(figures_print.PRINT):
        yield
    plt.close("all")


def errors(**ours):
    """A table of `paper.side_by_side`: a row with both numbers, one that has not run, one that the paper alone has."""
    table = pd.DataFrame({"run": ["uda", "mean_teacher", ""]}, index=["L_s", "Mean Teacher", "HG2"])
    for column in COLUMNS:
        table[f"published_{column}"] = [0.058, np.nan, 0.05]
        for name, value in (("", 0.10), ("_low", 0.09), ("_high", 0.12), ("_seeds", 3)):
            table[f"{column}{name}"] = [value, np.nan, np.nan]
    return table.assign(**ours)


def curves():
    rows = [(model, name, base + 0.01 * k, base + 0.01 * k - spread, base + 0.01 * k + spread)
            for model, base, spread in (("human_model", 0.1, 0), ("random", 0.08, 0.01), ("mean_shape", 0.12, 0))
            for k, name in enumerate(FAMILIES)]  # fmt: skip
    return pd.DataFrame(rows, columns=["model", "tested", "nme", "lowest", "highest"])


def cells(gain=0.02):
    rows = [(a, b, gain, "unclear" if a == b else "helps") for a in FAMILIES for b in FAMILIES]
    return pd.DataFrame(rows, columns=["tested", "tuned", "gain", "verdict"])


def budgets():
    rows = [(name, labels, 0.2 - labels / 1000, 0.1, 0.21) for name in ("easy", "hard") for labels in (10, 80)]
    return pd.DataFrame(rows, columns=["difficulty", "labels", "nme", "nme_low", "nme_high"])


def swept():
    rows = [(group, value, 0.1, 0.09, 0.11, 1000 * value, 2000.0) for group in COLUMNS for value in (0.1, 0.2, 0.5)]
    return pd.DataFrame(rows, columns=["group", "value", "nme", "nme_low", "nme_high", "images", "of"])


def shares():
    return pd.DataFrame(np.linspace(0, 1, 10).reshape(5, 2), index=FAMILIES, columns=[0.5, 0.2])


def released_tables():
    differences = pd.DataFrame({"file": ["test_40_unknown_uda_pre", "other"], "difference": [-0.0026, 0.001],
                                "standard_error": [0.0006, 0.0006], "batches": 302})  # fmt: skip
    margins = pd.DataFrame({"side": ["left", "left", "top", "top"], "extent": [100.0, 200] * 2,
                            "margin": [51.0, 101, 82, 162], "cut": False})  # fmt: skip
    rule = pd.DataFrame({"side": ["left", "top"], "share": [0.5, 0.8], "pixels": [1.0, 2.0]})
    return [0.05] * 16 + [0.06] * 16, differences, margins, rule


def table(name):
    return published.table(name)


FIGURES = {
    "beside": lambda: figures_paper.beside(errors(), COLUMNS),
    "nothing_ran": lambda: figures_paper.beside(errors(unknown=np.nan).drop(columns="published_unknown"), COLUMNS),
    "families": lambda: figures_paper.family_curves(table("family_nme"), curves(), {0: "Cebidae", 65: "Spheniscidae"}),
    "families_gap": lambda: figures_paper.family_curves(table("family_nme"), None),
    "gains": lambda: figures_paper.family_gains(table("family_gain"), cells()),
    "gains_gap": lambda: figures_paper.family_gains(table("family_gain"), None),
    "contradictions": lambda: figures_paper.contradictions(*released_tables()),
    "contradictions_gap": lambda: figures_paper.contradictions([], *(t.iloc[:0] for t in released_tables()[1:])),
    "budget": lambda: figures_supplement.label_budget(table("label_budget"), budgets()),
    "budget_gap": lambda: figures_supplement.label_budget(table("label_budget"), budgets().iloc[:0]),
    "sweep": lambda: figures_supplement.sweep(table("t_neg"), swept(), "T_neg", "excluded"),
    "sweep_gap": lambda: figures_supplement.sweep(table("t_pos"), swept().iloc[:0], "T_pos", "included"),
    "shares": lambda: figures_supplement.family_shares(shares(), table("t_neg_families"), "T_neg", "excluded"),
    "shares_gap": lambda: figures_supplement.family_shares(None, table("t_pos_families"), "T_pos", "included"),
}  # fmt: skip


def texts(axes):
    figure = np.ravel(axes)[0].figure
    return [item for item in figure.findobj(Text) if item.get_text() and item.get_visible()]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_it_fits_a_column_or_a_page_and_can_be_read_there(name):
    axes = FIGURES[name]()
    figure = np.ravel(axes)[0].figure
    figure.draw_without_rendering()
    assert figure.get_figwidth() in (figures_print.COLUMN, figures_print.PAGE)
    assert min(item.get_fontsize() for item in texts(axes)) >= figures_print.SMALLEST
    # nothing sticks out of it
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < figure.get_figwidth() + 0.02
    assert box.y1 < figure.get_figheight() + 0.02


@pytest.mark.parametrize("name", [name for name in FIGURES if name.endswith("gap") and "contra" not in name])
def test_what_has_not_run_says_so(name):
    assert "not run" in [item.get_text() for item in texts(FIGURES[name]())]


def test_absent_files_say_so():
    found = [item.get_text() for item in texts(FIGURES["contradictions_gap"]())]
    assert {"file absent", "files absent", "landmarks absent"} <= set(found)


def test_published_and_own_errors_stand_on_the_line_of_their_method():
    ax = figures_paper.beside(errors(), COLUMNS)[0]
    printed, own = ax.lines[0], ax.containers[0].lines[0]
    assert printed.get_xdata() == pytest.approx([5.8, np.nan, 5.0], nan_ok=True)
    assert own.get_xdata() == pytest.approx([10, np.nan, np.nan], nan_ok=True)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["$L_{s}$", "Mean Teacher", "HG2"]
    # not run: of our runs alone, not of HG2, which is none
    (gap,) = [item for item in ax.texts if item.get_text() == "not run"]
    assert gap.xy[1] == 1


def test_gains_are_drawn_in_points_and_in_brackets_where_unclear():
    ours = figures_paper.family_gains(table("family_gain"), cells(0.02))[1]
    written = [item.get_text() for item in ours.texts]
    assert written[:2] == ["(+2.0)", "+2.0"]
    left = [item.get_text() for item in figures_paper.family_gains(table("family_gain"), None)[0].texts]
    assert left[:2] == ["0", "−5.7"]
    image = ours.images[0]
    assert image.norm.vmin == -image.norm.vmax == pytest.approx(-14)


def test_of_many_families_five_gains_are_drawn_and_no_names_below_the_curves():
    names = [*FAMILIES, *(f"Family{k}" for k in range(40))]
    many = pd.DataFrame([(a, b, 0.02, "helps") for a in names for b in names], columns=cells().columns)
    ours = figures_paper.family_gains(table("family_gain"), many)[1]
    assert [label.get_text() for label in ours.get_xticklabels()] == FAMILIES
    assert ours.get_title().startswith("ours, five of 45;")
    rows = pd.DataFrame({"model": "random", "tested": names, "nme": 0.1, "lowest": 0.1, "highest": 0.1})
    ours = figures_paper.family_curves(published.table("family_nme"), rows)[1]
    assert ours.get_xlabel() == "family, of 45"
    assert not {label.get_text() for label in ours.get_xticklabels()} & set(names)
    assert ours.lines[0].get_xdata().tolist() == list(range(45))


def test_a_sweep_counts_its_images_below_its_errors():
    axes = figures_supplement.sweep(table("t_neg"), swept(), "T_neg", "excluded")
    assert [bar.get_height() for bar in axes[1, 1].patches] == [500, 200, 100]
    assert [label.get_text() for label in axes[1, 1].get_xticklabels()] == ["50", "20", "10"]
    assert [bar.get_height() for bar in axes[1, 0].patches] == table("t_neg")["images"].tolist()


def test_print_sizes_stay_where_they_are_set():
    before = matplotlib.rcParams["font.size"]
    with matplotlib.rc_context():
        figures_print.print_style()
        assert matplotlib.rcParams["font.size"] == figures_print.PRINT["font.size"]
    assert matplotlib.rcParams["font.size"] == before
