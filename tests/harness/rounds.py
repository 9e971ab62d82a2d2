"""How often a test repeats what it does at random moments: a few times in ./check, often in tests/soak."""

import os


def rounds(few):
    """few, unless CYAN_TEST_ROUNDS says how many."""
    return int(os.environ.get("CYAN_TEST_ROUNDS", few))
