# SPDX-License-Identifier: Apache-2.0
"""ext4 images through the machine's own e2fsprogs; being root isn't needed for that."""

import os
import shutil
import subprocess

from .errors import SetupError


def tool(name):
    """Path of a program of e2fsprogs; these lie where only root's PATH looks."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise SetupError(f"{name} is missing: install the package e2fsprogs")
    return found


def create(image, mib, *options):
    """Makes the file `image` a file system of `mib` MiB."""
    with open(image, "wb") as file:
        file.truncate(mib << 20)
    subprocess.run([tool("mke2fs"), "-q", "-F", *options, image], check=True)


def check(image):
    """None if the file system is clean, or what e2fsck says."""
    done = subprocess.run([tool("e2fsck"), "-fn", image], capture_output=True, text=True,
                          check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr
