"""Where the programs under test are."""

import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CYAN_BUILD_DIR", ROOT / "build" / "dev")).resolve()
CYAND = BUILD / "cyand"
SWARM = BUILD / "cyan-swarm"
CYANCTL = BUILD / "cyanctl"
READERS = BUILD / "cyan-readers"


def build_profile():
    """The CMake preset of the build: dev, asan, tsan, release."""
    match = re.search(r"^CYAN_PROFILE:\w+=(\w+)", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return match.group(1) if match else "dev"
