# SPDX-License-Identifier: Apache-2.0
"""QEMU for arm64 with the libraries that it needs, from Debian's backports: what Bothy is compared
with, live, in the same host."""

import glob
import os
import shutil

from bothylab import fetch
from bothylab.apt import unpack
from bothylab.errors import SetupError
from bothylab.hostimage import libraries_of

PROGRAM = "usr/bin/qemu-system-aarch64"
PACKAGE = "qemu-system-arm"


def take(source, target):
    """Copies QEMU, and the libraries it asks for, from unpacked packages into one directory."""
    found = {os.path.basename(path): path for path in
             glob.glob(os.path.join(source, "**/*.so*"), recursive=True)}
    program = os.path.join(source, PROGRAM)
    os.makedirs(target)
    shutil.copy(program, target)
    waiting, taken = libraries_of(program), set()
    while waiting:
        name = waiting.pop()
        # The host has the C library itself.
        if name in taken or name.startswith(("ld-linux", "libc.so", "libm.so")):
            continue
        if name not in found:
            raise SetupError(f"the library {name} is in none of QEMU's packages")
        taken.add(name)
        shutil.copy(os.path.realpath(found[name]), os.path.join(target, name))
        waiting += libraries_of(found[name])


def qemu():
    """(directory with the program and its libraries, version of the package)."""

    def make(scratch):
        source = fetch.apt("arm64", [fetch.BASE, fetch.BACKPORTS])
        debs = source.download_closure(PACKAGE, fetch.BACKPORTS)
        unpacked = os.path.join(scratch, "unpacked")
        for deb in debs:
            if os.path.basename(deb).startswith(PACKAGE + "_"):
                with open(os.path.join(scratch, "version"), "w", encoding="utf-8") as file:
                    file.write(os.path.basename(deb).split("_")[1].replace("%3a", ":"))
            unpack(deb, unpacked)
        source.clean()
        take(unpacked, os.path.join(scratch, "qemu"))
        shutil.rmtree(unpacked)

    made = fetch.item("host/qemu-1", make)
    with open(os.path.join(made, "version"), encoding="utf-8") as file:
        return os.path.join(made, "qemu"), file.read()
