# SPDX-License-Identifier: Apache-2.0
"""How ./test runs a program, and what is left of it: counts and output."""

import os
import re
import signal
import subprocess
import threading

from . import paths

running = set()
running_lock = threading.Lock()


class Result:
    """What one program or function had to say. `skipped` has a line for each case that didn't run:
    that is neither passed nor failed."""

    def __init__(self, passed, failed, output, skipped=()):
        self.passed, self.failed = passed, failed
        self.output, self.skipped = output, list(skipped)
        self.seconds = 0.0


def run(command, timeout, env=None):
    """Exit status (None: it took too long) and output of a command in a session of its own."""
    process = subprocess.Popen(command, cwd=paths.TOP, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=dict(os.environ, **(env or {})), start_new_session=True)
    with running_lock:
        running.add(process)
    try:
        output, status = process.communicate(timeout=timeout)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, status = process.communicate()[0], None
    finally:
        with running_lock:
            running.discard(process)
    return status, output.decode("utf-8", "replace")


def stop_all():
    with running_lock:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)


def why(status, timeout):
    if status is None:
        return f"\nit still ran after {timeout} s"
    return f"\nended by {signal.Signals(-status).name}" if status < 0 else f"\nexit status {status}"


def tap_result(status, output, timeout):
    """The cases of a program that reports by TAP; one that says nothing, or dies, failed once."""
    lines = re.findall(r"^(not )?ok \d+(.*)$", output, re.M)
    skipped = [text for _, text in lines if "# SKIP" in text]
    failed = sum(1 for bad, text in lines if bad and "# SKIP" not in text)
    passed = len(lines) - len(skipped) - failed
    if status != 0 and not failed or not lines:
        failed += 1
        output += why(status, timeout)
    return Result(passed, failed, output,
                  [text.replace("# SKIP", "").strip(" -") for text in skipped])


def without_randomness():
    """What goes before a command whose sanitizer wants addresses that it knows; nothing where
    that isn't allowed, as in some containers (recent sanitizers cope)."""
    words = ["setarch", "-R"]
    done = subprocess.run(words + ["true"], check=False, capture_output=True)
    return words if done.returncode == 0 else []
