"""Files are written whole or not at all."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from cskt import files
from cskt.errors import DataError, WriteError


def test_an_error_while_writing_leaves_the_former_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("former")
    with pytest.raises(RuntimeError, match="half way"), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half way")
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_the_final_name_appears_only_when_the_block_is_left(tmp_path):
    path = tmp_path / "new" / "weights.pt"
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(b"1")
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename is atomic only within one folder"
        assert temporary.suffix == ".pt"
    assert path.read_bytes() == b"1"
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "else").mkdir()
    target, dangling = tmp_path / "else" / "target.csv", tmp_path / "dangling.csv"
    target.write_text("former")
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    dangling.symlink_to("else/new.csv")
    files.write_text(link, "new")
    files.write_text(dangling, "first")
    assert link.is_symlink() and target.read_text() == "new"
    assert dangling.is_symlink() and (tmp_path / "else" / "new.csv").read_text() == "first"


def test_a_device_or_a_pipe_is_refused_and_stays(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link.csv"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(WriteError, match=f"^{path}: cannot be written: it is a device or a pipe"):
            files.write_text(path, "new")
    assert pipe.is_fifo() and link.is_symlink()
    assert set(tmp_path.iterdir()) == {pipe, link}


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing was written for .*empty\.csv"):  # noqa: SIM117
        with files.atomic_path(tmp_path / "empty.csv"):
            pass


def test_two_writers_of_one_file_do_not_share_a_temporary_one(tmp_path):
    path = tmp_path / "a.txt"
    with files.atomic_path(path) as first, files.atomic_path(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the outer block is left last"


def test_a_csv_round_trip_keeps_numbers_and_missing_values(tmp_path):
    table = pd.DataFrame({"image": ["a", "b"], "nme": [0.1, np.nan]})
    files.write_csv(tmp_path / "scores.csv", table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), table)
    assert (tmp_path / "scores.csv").read_text() == "image,nme\na,0.1\nb,\n"


def test_json_takes_numpy_numbers_and_writes_a_missing_one_as_null(tmp_path):
    content = {"nme": np.float64(0.25), "n": np.int64(3), "per_landmark": np.array([0.5, np.nan]), "gap": float("nan")}
    files.write_json(tmp_path / "summary.json", content)
    expected = {"nme": 0.25, "n": 3, "per_landmark": [0.5, None], "gap": None}
    assert json.loads((tmp_path / "summary.json").read_text()) == expected


def test_json_refuses_an_infinite_number(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "summary.json", {"nme": float("inf")})
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_an_input_or_another_output_is_refused_by_whatever_name(tmp_path):
    (tmp_path / "mine.csv").write_text("mine")
    (tmp_path / "link.csv").symlink_to(tmp_path / "mine.csv")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "mine.csv")
    (tmp_path / "folder").mkdir()
    for name in ("mine.csv", "link.csv", "hard.csv", "folder/../mine.csv"):
        with pytest.raises(WriteError, match=r"would be overwritten, since it is read too \(.*mine\.csv\)"):
            files.refuse_overwriting([None, tmp_path / name], [None, tmp_path / "mine.csv"])
    with pytest.raises(WriteError, match=r"would be overwritten, since it is written too \(.*new\.csv\)"):
        files.refuse_overwriting([tmp_path / "new.csv", tmp_path / "folder/../new.csv"], [])
    files.refuse_overwriting([tmp_path / "new.csv", tmp_path / "other.csv", None], [tmp_path / "mine.csv", ""])


def test_a_table_comes_back_as_it_was_written_and_only_an_empty_field_is_missing(tmp_path):
    table = pd.DataFrame({"species": ["NA", "None", "null"], "nme": [0.1, np.nan, 1 / 3]})
    files.write_csv(tmp_path / "scores.csv", table)
    pd.testing.assert_frame_equal(files.read_table(tmp_path / "scores.csv", ("species",)), table)
    with pytest.raises(DataError, match=r"scores\.csv: damaged, or of another version: it has no column image"):
        files.read_table(tmp_path / "scores.csv", ("image",))
