# SPDX-License-Identifier: Apache-2.0
"""Debian packages as files: their parts, an unpacked tar of many, a repository of some.

A .deb is an `ar` archive of debian-binary, control.tar and data.tar, the latter two compressed.
"""

import gzip
import hashlib
import io
import lzma
import os
import shutil
import subprocess
import tarfile

from .errors import SetupError

AR_MAGIC = b"!<arch>\n"
MERGED = ("bin", "sbin", "lib")   # links into /usr, as in every Debian since 12


def ar_members(path):
    """(name, bytes) of each member of an `ar` archive."""
    with open(path, "rb") as file:
        if file.read(8) != AR_MAGIC:
            raise SetupError(f"{path} is not a Debian package: remove it")
        while True:
            header = file.read(60)
            if len(header) < 60:
                return
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            yield name, file.read(size)
            file.read(size % 2)


def decompressed(name, data):
    """(name without the suffix, bytes)"""
    if name.endswith(".xz"):
        return name[:-3], lzma.decompress(data)
    if name.endswith(".gz"):
        return name[:-3], gzip.decompress(data)
    if name.endswith(".zst"):
        done = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True)
        return name[:-4], done.stdout
    return name, data


def parts(deb):
    """{"debian-binary" | "control.tar" | "data.tar": bytes}, nothing compressed."""
    return dict(decompressed(name, data) for name, data in ar_members(deb))


def write_stored(contents, path):
    """A .deb without compression: dpkg in an emulated machine is slow enough without."""
    with open(path, "wb") as file:
        file.write(AR_MAGIC)
        for name in ("debian-binary", "control.tar", "data.tar"):
            data = contents[name]
            file.write(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), 0, 0, 0, b"100644",
                                                         len(data)))
            file.write(data + b"\n" * (len(data) % 2))


def merged(name):
    """Where a package's file lies once /bin, /sbin and /lib are links into /usr."""
    name = name.removeprefix("./").rstrip("/")
    return "usr/" + name if name.split("/")[0] in MERGED and "/" in name else name


class Tree:
    """A tar of what several packages contain, as unpacked into an empty root."""

    def __init__(self, path, excluded):
        self.tar = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)
        self.excluded = excluded
        self.seen = set()
        for name in MERGED:
            self.directory("usr/" + name)
            link = tarfile.TarInfo(name)
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, "usr/" + name, 0o777
            self.tar.addfile(link)
            self.seen.add(name)

    def directory(self, name, mode=0o755):
        if name and name not in self.seen:
            self.directory(os.path.dirname(name))
            self.seen.add(name)
            made = tarfile.TarInfo(name)
            made.type, made.mode = tarfile.DIRTYPE, mode
            self.tar.addfile(made)

    def file(self, name, data, mode=0o644):
        self.directory(os.path.dirname(name))
        made = tarfile.TarInfo(name)
        made.size, made.mode = len(data), mode
        self.tar.addfile(made, io.BytesIO(data))

    def add(self, data):
        """Adds a package's data.tar."""
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                member.name = merged(member.name)
                if member.islnk():
                    member.linkname = merged(member.linkname)
                member.pax_headers = {}
                if not member.name or member.name in self.seen or self.excluded(member.name):
                    continue
                self.directory(os.path.dirname(member.name))
                self.seen.add(member.name)
                self.tar.addfile(member, content)

    def close(self):
        self.tar.close()


def control_field(deb, field):
    done = subprocess.run(["dpkg-deb", "-f", deb, field], capture_output=True, text=True,
                          check=True)
    return done.stdout.strip()


def digest(kind, data):
    return hashlib.new(kind, data).hexdigest()


def write_repository(debs, folder, suite):
    """Makes `folder` a flat repository of these packages: `deb [trusted=yes] URI ./`.

    Nobody signs it. It has what apt wants to see all the same, so that apt doesn't complain.
    """
    pool = os.path.join(folder, "pool")
    os.makedirs(pool, exist_ok=True)
    stanzas = []
    for deb in sorted(debs):
        name = os.path.basename(deb)
        shutil.copy(deb, os.path.join(pool, name))
        with open(deb, "rb") as file:
            data = file.read()
        control = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True,
                                 check=True).stdout.rstrip("\n")
        stanzas.append(f"{control}\nFilename: ./pool/{name}\nSize: {len(data)}\n"
                       f"MD5sum: {digest('md5', data)}\nSHA256: {digest('sha256', data)}\n")
    text = "\n".join(stanzas).encode()
    indices = {"Packages": text, "Packages.gz": gzip.compress(text, mtime=0)}
    release = [f"Origin: {suite}", f"Label: {suite}", f"Suite: {suite}", f"Codename: {suite}",
               "Architectures: arm64 all", "Components: main",
               "Date: Thu, 01 Jan 2026 00:00:00 UTC", "SHA256:"]
    for name, data in indices.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        release.append(f" {digest('sha256', data)} {len(data)} {name}")
    with open(os.path.join(folder, "Release"), "w", encoding="utf-8") as file:
        file.write("\n".join(release) + "\n")
