"""A lock where the operating system has none, or another process left something strange; the rest is in test_faults."""

import errno
import subprocess
import sys

import pytest

from cskt import locks

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
time.sleep(60)
"""


def test_a_file_system_without_locks_is_no_reason_to_refuse_a_run(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    assert locks.hold(tmp_path)
    assert (tmp_path / ".lock").resolve() not in locks._held, "there is nothing to let go of"
    locks.release(tmp_path)


def test_a_system_without_locks_makes_the_folder_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    assert locks.hold(tmp_path / "new") and (tmp_path / "new").is_dir()


def test_whoever_holds_a_folder_without_saying_who_is_another_process(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        with pytest.raises(locks.InUseError, match=f"^{tmp_path}: another process is at work in this folder; wait"):
            locks.hold(tmp_path)
    finally:
        process.kill()
        process.wait()
    assert locks.hold(tmp_path), "the lock ends with the process"
    assert not locks.hold(tmp_path), "this process holds it already"
    locks.release(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"process": 1}', "\x00"])
def test_what_does_not_say_who_is_read_as_another_process(text):
    assert locks._who(text) == "another process"
