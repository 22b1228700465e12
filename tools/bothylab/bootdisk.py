# SPDX-License-Identifier: Apache-2.0
"""A disk from which firmware boots a kernel: one partition, an extlinux.conf, kernel and initrd."""

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile

from . import ext4, fetch, paths

KERNEL = "linux-6.12-cloud"
MIB = 1 << 20
START_MIB, SIZE_MIB = 1, 64
BOOTARGS = "console=ttyAMA0 panic=-1 bothy.do=cpus,memory,poweroff"

# U-Boot looks for this file on each bootable partition. The time-out is in tenths of a second.
EXTLINUX = """\
DEFAULT linux
TIMEOUT 1

LABEL linux
    KERNEL /vmlinuz
    INITRD /initrd.cpio.gz
    APPEND {bootargs}
"""


def partition_table():
    """A master boot record with one bootable partition for Linux."""
    sectors = MIB // 512
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff",
                        START_MIB * sectors, SIZE_MIB * sectors)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def make(image, kernel, initrd, bootargs):
    with tempfile.TemporaryDirectory() as content:
        shutil.copy(kernel, os.path.join(content, "vmlinuz"))
        shutil.copy(initrd, os.path.join(content, "initrd.cpio.gz"))
        os.makedirs(os.path.join(content, "extlinux"))
        with open(os.path.join(content, "extlinux/extlinux.conf"), "w", encoding="utf-8") as file:
            file.write(EXTLINUX.format(bootargs=bootargs))
        with open(image, "wb") as file:
            file.write(partition_table())
            file.truncate((START_MIB + SIZE_MIB) * MIB)
        # U-Boot reads ext4, but not all that is new in it.
        subprocess.run([ext4.tool("mke2fs"), "-q", "-F", "-t", "ext4", "-L", "boot",
                        "-O", "^metadata_csum,^64bit,^orphan_file", "-d", content,
                        "-E", f"offset={START_MIB * MIB},root_owner=0:0", image,
                        f"{SIZE_MIB}M"], check=True)


def disk(bootargs=BOOTARGS):
    """Path of a raw disk image with KERNEL and these arguments, remade when its parts change."""
    name = hashlib.sha256(bootargs.encode()).hexdigest()[:8]
    image = paths.out(f"guest/uboot-disk-{name}.img")
    parts = [fetch.kernel(KERNEL), fetch.initrd(), os.path.abspath(__file__)]
    if not os.path.exists(image) or any(
            os.path.getmtime(part) > os.path.getmtime(image) for part in parts):
        scratch = f"{image}.{os.getpid()}"
        make(scratch, parts[0], parts[1], bootargs)
        os.rename(scratch, image)
    return image
