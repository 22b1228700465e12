# SPDX-License-Identifier: Apache-2.0
"""What the tests of the native bothy share: running it, VMs that sleep (the fake backend's vCPUs do
nothing until they are asked to end), a run directory of their own."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time

from bothylab import paths

BOTHY = paths.out("test", "vmm", "bothy")
PATIENCE = 30


class World:
    """A directory with a kernel and a run directory."""

    def __init__(self, directory):
        self.path = directory
        self.run_dir = os.path.join(directory, "run")
        self.kernel = self.file("kernel", b"\0" * 4096)
        self.env = dict(os.environ, BOTHY_RUN_DIR=self.run_dir)
        self.env.pop("JOURNAL_STREAM", None)
        self.vms = []

    def file(self, name, content=b""):
        path = os.path.join(self.path, name)
        with open(path, "wb") as out:
            out.write(content)
        return path

    def bothy(self, *arguments, stdin=b"", env=None):
        """(exit code, standard output, standard error)"""
        done = subprocess.run([BOTHY, *arguments], input=stdin, capture_output=True, cwd=self.path,
                              env=dict(self.env, **(env or {})), timeout=PATIENCE, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def fails(self, code, sentence, *arguments, **more):
        """The command must end with this code and exactly this sentence (a string), or one that
        the expression matches."""
        status, _, errors = self.bothy(*arguments, **more)
        text = errors.rstrip("\n")
        if isinstance(sentence, re.Pattern):
            assert sentence.fullmatch(text), (arguments, text)
        else:
            assert text == "bothy: " + sentence, (arguments, text)
        assert status == code, (arguments, status, code)

    def start(self, *arguments, env=None, **more):
        """A VM in the background, once it is in the list."""
        process = subprocess.Popen([BOTHY, "run", *arguments], cwd=self.path,
                                   env=dict(self.env, **(env or {})), stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, stdout=subprocess.PIPE, **more)
        self.vms.append(process)
        return process

    def wait_state(self, name, state):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.vms[-1].poll() is not None:
                raise AssertionError(self.vms[-1].communicate()[1].decode())
            code, output, _ = self.bothy("stat", name, "--json")
            if code == 0 and f'"state": "{state}"' in output:
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} isn't {state}: {self.bothy('list')}")

    def left_over(self):
        return sorted(os.listdir(self.run_dir)) if os.path.isdir(self.run_dir) else []

    def end(self):
        for process in self.vms:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()


@contextlib.contextmanager
def world():
    with tempfile.TemporaryDirectory(prefix="bothy-") as directory:
        here = World(directory)
        try:
            yield here
        finally:
            here.end()
