"""Runs programs of other languages: each has a limit of time, and none outlives it."""

import os
import signal
import subprocess
import time


def newest(paths, what):
    """The last of the paths in the order of their names."""
    found = sorted(paths)
    if not found:
        raise FileNotFoundError(f"cannot find {what}")
    return found[-1]


def ended_after(command, seconds_max, folder, environment):
    """Runs a command in a process group of its own and returns how it ended, what it printed (both streams), and the seconds it took."""
    began = time.monotonic()
    child = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=seconds_max)
        status = "it ended" if child.returncode == 0 else f"it ended with {child.returncode}"
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        status = f"no end within {seconds_max} s"
    return status, output, round(time.monotonic() - began, 1)
