"""The pool of threads: every item once, failures told, alive after a fork."""

import os
import subprocess
import sys
import threading

import pytest

from skts.nn.threads import share


@pytest.mark.parametrize(("n_items", "n_threads"), [(0, 2), (1, 4), (7, 1), (7, 3), (64, 2)])
def test_every_item_is_done_once(n_items, n_threads):
    done, lock = [], threading.Lock()

    def work(first, last):
        with lock:
            done.extend(range(first, last))

    share(work, n_items, n_threads)
    assert sorted(done) == list(range(n_items))


def test_shares_run_at_once():
    meeting = threading.Barrier(2, timeout=10)
    share(lambda first, last: meeting.wait(), 2, 2)  # one after the other, the first would wait in vain
    assert not meeting.broken


def test_one_thread_is_the_callers_own():
    found = []
    share(lambda first, last: found.append(threading.current_thread()), 5, 1)
    assert found == [threading.current_thread()]


@pytest.mark.parametrize("guilty", [0, 2])
def test_a_failure_reaches_the_caller(guilty):
    def work(first, last):
        if first <= guilty < last:
            raise ArithmeticError(str(guilty))

    with pytest.raises(ArithmeticError, match=str(guilty)):
        share(work, 3, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_threads_of_its_own():
    code = (
        "import os, threading\n"
        "from skts.nn.threads import share\n"
        "both = lambda: share(lambda first, last: gate.wait(), 2, 2)\n"
        "gate = threading.Barrier(2, timeout=10); both()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    both(); os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
