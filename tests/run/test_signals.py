"""SIGTERM outside training ends the process with a word, whatever it was about."""

import os
import signal
import time

import pytest

from trm_scaling.run.signals import ended_politely
from trm_scaling.train.interrupt import Interrupted


def wait_for_it() -> None:
    """Until an exception comes; the test's timeout is the limit."""
    while True:
        time.sleep(0.005)


def asked_twice() -> None:
    with ended_politely():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            wait_for_it()
        finally:
            # A second one must not break off what the first one ends.
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_is_an_exception_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped by SIGTERM outside training"):
        asked_twice()
    assert signal.getsignal(signal.SIGTERM) is before


class Farewell:
    """Something collected just when the signal comes."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def asked_in_a_callback() -> None:
    with ended_politely():
        Farewell()
        wait_for_it()


def test_a_signal_that_came_where_no_exception_gets_out_comes_again() -> None:
    with pytest.raises(Interrupted):
        asked_in_a_callback()
