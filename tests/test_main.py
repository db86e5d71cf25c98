"""The command line: results on stdout, one line and status 2 for a file at fault."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cskt.__main__ import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Shift tables of four images, and boxes and landmarks of three, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("human.csv").write_text("img,nme\na,0.01\nb,0.01\nc,0.06\nd,0.09\n")
    Path("flip.csv").write_text("img,nme\na,0.3\nb,0.1\nc,0.1\nd,0.1\n")
    header = "image,x,y,w,h,p0_x,p0_y\n"
    Path("landmarks.csv").write_text(header + "a,0,0,10,10,2,5\nb,0,0,10,10,4,5\nc,0,0,10,10,9,5\nd,5,5,20,20,15,15\n")
    Path("fit.txt").write_text("a\nb\nc\n")
    Path("test.txt").write_text("d\ngone\n")


MINING = "mining --human human.csv --flip flip.csv --t-pos 0.05 --t-neg 0.2"
MEAN_SHAPE = "mean-shape --landmarks landmarks.csv --fit fit.txt --test test.txt"


def test_mining_prints_the_counts(files, capsys):
    assert main(MINING.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["hard", "negatives", "1"],
        ["positives", "1"],
        ["semi-hard", "2"],
        ["images", "4"],
    ]


def test_mining_of_a_list_counts_a_repeated_name_once_and_says_so(files, capsys):
    Path("list.txt").write_text("b\nd\nb\n")
    assert main([*MINING.split(), "--list", "list.txt"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[-1] for line in out.splitlines()] == ["0", "1", "1", "2"]
    assert err == "note: list.txt: repeated names are counted once: 'b'\n"


def test_mining_by_percent_is_noted(files, capsys):
    assert main(MINING.split()) == 0
    assert capsys.readouterr().err == ""
    Path("human.csv").write_text("img,nme\na,1.5\nb,1\nc,6\nd,9\n")
    assert main([*MINING.split(), "--t-pos", "5"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "note: human.csv: 3 of 4 values are above 1: fractions are expected, not percent",
        "note: --t-pos 5 is above 1: a fraction is expected, not percent",
    ]


def test_mining_of_one_file_for_both_is_noted_and_a_threshold_of_digits_apart_refused(files, capsys):
    assert main(["mining", "--human", "flip.csv", "--flip", "./flip.csv", "--t-pos", "0.05", "--t-neg", "0.2"]) == 0
    assert capsys.readouterr().err == "note: --human and --flip are the same file, flip.csv\n"
    with pytest.raises(SystemExit):
        main([*MINING.split(), "--t-pos", "1_0"])
    assert "expected a number of 0 or more, found '1_0'" in capsys.readouterr().err


def test_mean_shape_prints_both_errors_and_what_was_left_out(files, capsys):
    assert main(MEAN_SHAPE.split()) == 0
    out, err = capsys.readouterr()
    # mean place x = .5 hits d exactly; median place x = .4 is 2 of 20 pixels off
    assert out.splitlines() == [
        "fitted on 3 of 3 listed images",
        "tested on 1 of 2 listed images",
        "mean shape in the box: NME 0.00 %",
        "median shape in the box: NME 10.00 %",
    ]
    assert err == "note: test.txt: 1 face; excluded 1: not in landmarks.csv ('gone')\n"


def test_mean_shape_says_when_it_is_tested_on_what_it_was_fitted_on(files, capsys):
    Path("test.txt").write_text("d\nc\n")
    main(MEAN_SHAPE.split())
    assert "note: 1 of the 2 test images are also fitted on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "file", "content", "message"),
    [
        (MINING, "flip.csv", None, "cskt mining: error: flip.csv: no such file\n"),
        (
            MINING,
            "flip.csv",
            "img,nme\na,x\n",
            "cskt mining: error: flip.csv, line 2: expected a number as nme, found 'x'",
        ),
        (MINING, "human.csv", "", "cskt mining: error: human.csv, line 1: expected columns"),
        (MINING + " --list list.txt", "list.txt", "", "cskt mining: error: list.txt: expected one image name a line"),
        (
            MINING + " --list list.txt",
            "list.txt",
            "z\n",
            "cskt mining: error: human.csv: no row for 1 of 1 images: 'z'",
        ),
        (
            MEAN_SHAPE,
            "fit.txt",
            "z\n",
            "cskt mean-shape: error: fit.txt: none of its images can be used; the first: 'z'",
        ),
        (
            MEAN_SHAPE,
            "landmarks.csv",
            "image,x,y,w,h\n",
            "cskt mean-shape: error: landmarks.csv, line 1: expected colum",
        ),
        (
            MEAN_SHAPE,
            "landmarks.csv",
            "image,x,y,w,h,p0_x,p0_y\na,0,0,9,9,,\nd,0,0,9,9,1,1\n",
            "cskt mean-shape: error: fit.txt: no image of it has the landmarks p0",
        ),
        (
            MEAN_SHAPE,
            "landmarks.csv",
            "image,x,y,w,h,p0_x,p0_y\na,0,0,9,9,1,1\nd,0,0,9,9,,\n",
            "cskt mean-shape: error: test.txt: no image of this list has a landmark",
        ),
    ],
)
def test_a_file_at_fault_gives_one_line_and_status_2(files, capsys, command, file, content, message):
    if content is None:
        Path(file).unlink()
    else:
        Path(file).write_text(content)
    assert main(command.split()) == 2
    last = capsys.readouterr().err.splitlines(keepends=True)[-1]
    assert last.startswith(message)


@pytest.mark.parametrize("value", ["nan", "-0.1", "inf", "much"])
def test_a_threshold_must_be_a_fraction(files, capsys, value):
    with pytest.raises(SystemExit) as stop:
        main([*MINING.split(), f"--t-pos={value}"])
    assert stop.value.code == 2
    assert f"expected a number of 0 or more, found '{value}'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "reason", "unbuffered"), [("full", "No space left on device", ""), ("ended", "Broken pipe", "1")]
)
def test_an_output_that_nobody_takes_is_one_line_and_status_1(files, where, reason, unbuffered):
    if where == "full" and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    reader, writer = os.pipe()
    os.close(reader)
    target = os.open("/dev/full", os.O_WRONLY) if where == "full" else writer
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cskt", *MINING.split()]
    done = subprocess.run(command, stdout=target, stderr=subprocess.PIPE, text=True, env=environment)
    for descriptor in {target, writer}:
        os.close(descriptor)
    assert done.stderr == f"cskt mining: error: its output cannot be written: {reason}\n"
    assert done.returncode == 1


@pytest.mark.slow
def test_an_output_that_is_closed_is_one_line_and_status_1(files):
    """The first file that a command opened would take its place."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["sh", "-c", 'exec "$0" "$@" >&-', sys.executable, "-m", "cskt", *MINING.split()]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert (done.returncode, done.stderr) == (1, "cskt mining: error: its output cannot be written: it is closed\n")


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb", "x" * 100_000], ids=["escape", "two lines", "long"])
def test_an_error_is_one_line_whatever_a_file_holds(files, capsys, name):
    Path("flip.csv").write_text(f'img,nme\n"{name}",0.1\n"{name}",0.1\n')
    assert main(MINING.split()) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and line[:-1].isprintable() and len(line) < 2100
    Path("own.yaml").write_text(json.dumps({name: 1}))
    assert main(["tour", "--config", "own.yaml"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and line[:-1].isprintable() and len(line) < 2100


@pytest.mark.parametrize("command", ["mining", "mean-shape"])
def test_help_has_an_example_that_parses(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example:\n  python -m cskt {command} --" in capsys.readouterr().out


def test_the_overview_names_every_command_once_with_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    examples = [line.split()[3:] for line in lines if line.strip().startswith("python -m cskt ")]
    names = [" ".join(words[:2]) if words[0] == "data" else words[0] for words in examples]
    assert {"data check", "data sample", "data collect", "adapt", "predict", "run", "table", "report", "mining"} <= set(
        names
    )
    assert len(names) == len(set(names))
    headings = [line for line in lines if line.endswith(":")]
    assert headings[1:] == ["animals of your own (docs/own_data.md):", "the suite:", "single numbers:"]


def test_help_does_not_wait_for_the_library():
    code = "import sys, cskt.__main__; sys.exit(bool({'numpy', 'pandas', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
