"""What a process uses is read from /proc, and follows what it opens and starts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from pyfl.peer.resources import anonymous_bytes, open_files, resident_bytes, threads

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="this system has no /proc")


def test_open_files_and_threads_are_counted() -> None:
    files, running = open_files(), threads()
    go_on = threading.Event()
    waiting = threading.Thread(target=go_on.wait)
    waiting.start()
    with open(os.devnull) as _, open(os.devnull) as _:
        assert open_files() == files + 2
        assert threads() == running + 1
    go_on.set()
    waiting.join()
    assert open_files() == files


def test_another_process_is_looked_at_by_its_number() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        try:
            assert threads(other.pid) == 1
            assert 0 < anonymous_bytes(other.pid) < resident_bytes(other.pid)[0] <= resident_bytes(other.pid)[1]
        finally:
            other.kill()


def test_of_a_process_that_is_no_more_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    assert (resident_bytes(other.pid), threads(other.pid), open_files(other.pid)) == ((0, 0), 0, 0)
