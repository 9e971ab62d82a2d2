"""Child processes that never outlive the tests: they are stopped by their owner, at exit, and by the kernel when the
test process itself is killed."""

import atexit
import ctypes
import os
import signal
import subprocess

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_living = []


def _die_with_parent(how, parent):
    def in_child():
        _LIBC.prctl(_PR_SET_PDEATHSIG, how, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)

    return in_child


def start(argv, death_signal=signal.SIGKILL, **options):
    """subprocess.Popen in a process group of its own."""
    process = subprocess.Popen([str(arg) for arg in argv], start_new_session=True,
                               preexec_fn=_die_with_parent(death_signal, os.getpid()), **options)
    _living.append(process)
    return process


def stop(process, how=signal.SIGTERM, deadline_s=20.0):
    """Asks, waits, then kills. Returns the exit code; None when it had to be killed."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            forget(process)
            return None
    forget(process)
    return process.returncode


def forget(process):
    if process in _living:
        _living.remove(process)


def children_of(pid):
    """Process ids whose parent is pid."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                after_name = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[1]) == pid:
            found.append(int(name))
    return found


def is_gone(pid):
    """True when there is no such process, or only its zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no resident memory")


@atexit.register
def _stop_all():
    for process in list(_living):
        if process.poll() is None:
            process.kill()
            process.wait()
