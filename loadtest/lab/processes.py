"""Programs started for a measurement, each on its core, and stopped by it and by nothing else."""

import os
import shutil
import signal
import subprocess
import time

SERVER_CORE, CLIENT_CORE = "0", "1"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Refused(Exception):
    """Why a measurement cannot be made, as one sentence."""


class Processes:
    """What was started, so that exactly that is stopped."""

    def __init__(self):
        self.running = []

    def start(self, command, log, core=None, **pipes):
        if core is not None:
            command = ["taskset", "-c", core] + command
        with open(log, "ab") as out:
            options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, **pipes}
            process = subprocess.Popen(command, **options)
        self.running.append(process)
        return process

    def stop(self, process, number=signal.SIGTERM, seconds=60):
        if process not in self.running:
            return
        self.running.remove(process)
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self):
        for process in reversed(list(self.running)):
            self.stop(process, signal.SIGINT, 15)


def wait_for(condition, what, seconds=30, every=0.05):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(every)
    raise Refused(f"{what} was not ready within {seconds} s")


def run(command, seconds=600, **options):
    """A program that ends by itself; its standard output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, **options)
    if done.returncode != 0:
        raise Refused(f"{os.path.basename(command[0])} {command[1]}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise Refused(f"process {pid} is gone")


def cpu_seconds(pid):
    """What the process has used so far: utime + stime of proc(5)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def waited_seconds(pid):
    """How long the process was ready to run and others had its core: schedstat, which counts its first thread."""
    with open(f"/proc/{pid}/schedstat", encoding="utf-8") as file:
        return int(file.read().split()[1]) / 1e9


def build_folder():
    return os.environ.get("CYAN_BUILD_DIR", os.path.join(ROOT, "build/release"))


def check_machine(programs):
    build = build_folder()
    for program in ("cyand", "cyan-swarm"):
        if not os.access(os.path.join(build, program), os.X_OK):
            raise Refused(f"no {program} in {build}: build it (cmake --preset release; cmake --build --preset release) or "
                          "set CYAN_BUILD_DIR")
    for program in ["taskset", "pg_isready", "psql"] + programs:
        if not shutil.which(program):
            raise Refused(f"{program} is not installed")
    if len(os.sched_getaffinity(0)) < 2:
        raise Refused("two cores are needed, one for the server and one for the client")
    return build
