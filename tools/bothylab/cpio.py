# SPDX-License-Identifier: Apache-2.0
"""Writes initrds: cpio archives in the "new ASCII" format that the kernel unpacks.

An archive depends on what is put into it alone (owner 0, time 0, inodes counted), and no root is
needed: device nodes are only entries.
"""

import gzip
import io
import os
import stat

DIRECTORY = stat.S_IFDIR | 0o755
PROGRAM = stat.S_IFREG | 0o755
FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777
CONSOLE = stat.S_IFCHR | 0o600


class Newc:
    """An archive that grows; `finish` returns its bytes."""

    def __init__(self):
        self.file = io.BytesIO()
        self.inode = 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        path = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1],
                  len(path), 0)
        self.file.write(b"070701" + b"".join(b"%08x" % field for field in fields) + path)
        self.pad()
        self.file.write(data)
        self.pad()

    def pad(self):
        self.file.write(b"\0" * (-self.file.tell() % 4))

    def finish(self):
        self.add("TRAILER!!!", 0)
        return self.file.getvalue()


def with_busybox(busybox, applets, directories=()):
    """The start of an initrd: `busybox` (its bytes), a link an applet, a console, mount points."""
    cpio = Newc()
    for directory in sorted({"bin", "dev", "proc", "sys", "tmp"} | set(directories)):
        cpio.add(directory, DIRECTORY)
    cpio.add("dev/console", CONSOLE, device=(5, 1))
    cpio.add("bin/busybox", PROGRAM, busybox)
    for applet in sorted(applets):
        cpio.add("bin/" + applet, LINK, b"busybox")
    return cpio


def write_compressed(archive, path):
    """Writes `archive` gzipped to `path`, which appears complete or not at all."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    scratch = f"{path}.{os.getpid()}"
    with open(scratch, "wb") as file:
        file.write(gzip.compress(archive, 9, mtime=0))
    os.rename(scratch, path)
