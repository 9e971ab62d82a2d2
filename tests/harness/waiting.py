"""Waiting for a condition, with a deadline; no test sleeps and hopes."""

import time


def wait_until(condition, what, deadline_s=60.0, every_s=0.05):
    """Polls condition() until it is true and returns what it returned; fails with `what` at the deadline."""
    give_up = time.monotonic() + deadline_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= give_up:
            raise AssertionError(f"not within {deadline_s:g} s: {what() if callable(what) else what}")
        time.sleep(every_s)


def hold_for(duration_s, check=None, every_s=0.1):
    """Lets the system run for a while, calling check() all along; check raises or answers False when it does not hold."""
    until = time.monotonic() + duration_s
    while time.monotonic() < until:
        if check is not None:
            assert check() is not False, "did not hold"
        time.sleep(max(0.0, min(every_s, until - time.monotonic())))
