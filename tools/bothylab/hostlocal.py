# SPDX-License-Identifier: Apache-2.0
"""./run --type2 on an Arm machine with KVM: this machine is the host, no emulator is needed.

A command runs here, as the user that called, in a copy of --with's directory; there is no /with,
so what has to work in both hosts uses relative names, or $BOTHY_WITH and $BOTHY_SHARE.
"""

import contextlib
import glob
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from . import fetch, hostguest, paths
from .errors import EXIT_TIMEOUT
from .host import KERNEL


def fits(options):
    """Whether this machine can be the host, and none with other properties was asked for."""
    return (platform.machine() == "aarch64" and os.access("/dev/kvm", os.R_OK | os.W_OK)
            and not (options.emulate or options.icount or options.cpu or options.gic
                     or options.host_kernel))


def make_share(folder, kernels):
    """What the emulated host has in /usr/share/bothy."""
    os.makedirs(folder)
    images = {name: fetch.kernel(name) for name in kernels}
    images["initrd.cpio.gz"] = fetch.initrd()
    for path in glob.glob(paths.out("guest/*.bin")):
        images[os.path.basename(path)] = path
    for name, path in images.items():
        os.symlink(os.path.abspath(path), os.path.join(folder, name))


def wait(process, deadline):
    """Its status; None, and it is killed with all that it started, if the time is up."""
    try:
        return process.wait(None if deadline is None else max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def show_guest(share, environment, deadline):
    screen = hostguest.Screen()
    process = subprocess.Popen(hostguest.command(share), env=environment, process_group=0,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    screen.transcript.start = time.monotonic()

    def read(file, is_error):
        while data := os.read(file.fileno(), 1 << 16):
            screen.take(is_error, data)

    readers = [threading.Thread(target=read, args=arguments, daemon=True)
               for arguments in ((process.stdout, False), (process.stderr, True))]
    for reader in readers:
        reader.start()
    status = wait(process, deadline)
    for reader in readers:
        reader.join(5)
    return hostguest.close(screen, status, "on this machine")


def run(options, command):
    deadline = time.monotonic() + options.timeout if options.timeout else None
    with tempfile.TemporaryDirectory(prefix="bothy-host-") as folder:
        files, share = os.path.join(folder, "with"), os.path.join(folder, "share")
        if options.with_dir:
            shutil.copytree(options.with_dir, files, symlinks=True)
        else:
            os.makedirs(files)
        if options.out:
            os.makedirs(os.path.join(files, "out"), exist_ok=True)
        make_share(share, options.guest_kernel or [KERNEL])
        environment = dict(os.environ, BOTHY_WITH=files, BOTHY_SHARE=share,
                           PATH=f"{os.path.abspath(paths.OUT)}:{os.environ.get('PATH', '')}")
        if options.is_guest:
            return show_guest(share, environment, deadline)
        words = command or ["bash", "-l"]
        words = ["sh", "-c", words[0]] if len(words) == 1 else words
        # A shell needs the terminal's foreground; a command is killed with what it started.
        try:
            process = subprocess.Popen(words, cwd=files, env=environment,
                                       process_group=0 if command else None)
        except OSError as error:
            print(f"run: {words[0]}: {error.strerror}", file=sys.stderr)
            return 127 if isinstance(error, FileNotFoundError) else 126
        status = wait(process, deadline)
        if status is None:
            print(f"run: {options.timeout} s are over: the command was stopped", file=sys.stderr)
            return EXIT_TIMEOUT
        if options.out:
            shutil.copytree(os.path.join(files, "out"), options.out, dirs_exist_ok=True)
        return 128 - status if status < 0 else status
