# SPDX-License-Identifier: Apache-2.0
"""What Bothy takes from Debian's archive, each item fetched once and then found in the cache.

An item appears under its final name by one rename, when it is complete; a lock keeps two
commands from fetching the same thing. So a second run needs no network, and an interrupted one
is simply repeated.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tarfile

from . import paths
from .apt import PrivateApt, unpack
from .errors import SetupError
from .progress import say

BASE = "bookworm"
BACKPORTS = "bookworm-backports"
LIBFDT_SUITES = ("trixie", "bookworm")
QEMU_AT_LEAST = (9, 2)

# Starts the unpacked QEMU through the unpacked dynamic loader, with the unpacked libraries only.
QEMU_WRAPPER = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
root=$here/root
for loader in "$root"/lib64/ld-linux-*.so.* "$root"/lib/ld-linux-*.so.* \\
    "$root"/usr/lib64/ld-linux-*.so.* "$root"/usr/lib/ld-linux-*.so.*; do
    [ -e "$loader" ] && break
done
libraries=
for folder in "$root"/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu/*/; do
    [ -d "$folder" ] && libraries=$libraries:$folder
    [ -d "$folder/qemu" ] && export QEMU_MODULE_DIR="$folder/qemu"
done
exec "$loader" --library-path "${libraries#:}" "$root/usr/bin/qemu-system-aarch64" \\
    -L "$root/usr/share/qemu" "$@"
"""

# name: (suite, meta package)
KERNELS = {
    "linux-6.1-cloud": (BASE, "linux-image-cloud-arm64"),
    "linux-6.12-cloud": (BACKPORTS, "linux-image-cloud-arm64"),
    "linux-6.1-generic": (BASE, "linux-image-arm64"),
    "linux-6.12-generic": (BACKPORTS, "linux-image-arm64"),
    "linux-6.12-16k": (BACKPORTS, "linux-image-arm64-16k"),
    "linux-6.1-rt": (BASE, "linux-image-rt-arm64"),
    "linux-6.12-rt": (BACKPORTS, "linux-image-rt-arm64"),
}


@contextlib.contextmanager
def locked():
    os.makedirs(paths.cache(), exist_ok=True)
    with open(os.path.join(paths.cache(), "lock"), "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another command that is downloading")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def item(relative, make):
    """The cached directory `relative`, made by make(scratch directory) when it isn't there."""
    final = os.path.join(paths.cache(), relative)
    if os.path.exists(final):
        return final
    with locked():
        if os.path.exists(final):
            return final
        scratch = final + ".part"
        shutil.rmtree(scratch, ignore_errors=True)
        os.makedirs(scratch)
        make(scratch)
        os.rename(scratch, final)
    return final


def machine_arch():
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True,
                          check=True)
    return done.stdout.strip()


_apts = {}


def apt(arch, suites, kind="deb"):
    key = (arch, tuple(suites), kind)
    if key not in _apts:
        _apts[key] = PrivateApt(arch, suites, kind)
    return _apts[key]


def kernel(name):
    """Path of an unmodified Debian kernel's arm64 Image; `name` is one of KERNELS."""
    suite, meta = KERNELS[name]

    def make(scratch):
        source = apt("arm64", [suite])
        source.update()
        real = [n for n in source.depends(meta) if n.startswith("linux-image-")]
        if not real:
            raise SetupError(f"the package {meta} in {suite} names no linux-image to depend on")
        deb = source.download(real[0], scratch)
        unpack(deb, os.path.join(scratch, "root"))
        boot = os.path.join(scratch, "root/boot")
        image = [n for n in os.listdir(boot) if n.startswith("vmlinuz-")][0]
        os.rename(os.path.join(boot, image), os.path.join(scratch, "vmlinuz"))
        config = image.replace("vmlinuz-", "config-")
        os.rename(os.path.join(boot, config), os.path.join(scratch, "config"))
        shutil.rmtree(os.path.join(scratch, "root"))
        with open(os.path.join(scratch, "package"), "w", encoding="utf-8") as file:
            file.write(os.path.basename(deb) + "\n")
        os.unlink(deb)

    return os.path.join(item(f"guests/{name}", make), "vmlinuz")


def files_of(package, files, scratch):
    """Puts some files of a package into `scratch`: {path in the package: name in scratch}."""
    deb = apt("arm64", [BASE]).download(package, scratch)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            for member in tar:
                name = files.get(member.name.removeprefix("./"))
                if name and member.isfile():
                    with open(os.path.join(scratch, name), "wb") as file:
                        shutil.copyfileobj(tar.extractfile(member), file)
    missing = [path for path, name in files.items()
               if not os.path.exists(os.path.join(scratch, name))]
    if missing:
        raise SetupError(f"the package {package} has no {missing[0]}")
    with open(os.path.join(scratch, "package"), "w", encoding="utf-8") as file:
        file.write(os.path.basename(deb) + "\n")
    os.unlink(deb)


def installer():
    """Paths of the kernel and the initrd of Debian 12's installer (text, network)."""
    place = "usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/"
    files = {place + "linux": "linux", place + "initrd.gz": "initrd.gz"}
    made = item("guests/installer-12",
                lambda scratch: files_of("debian-installer-12-netboot-arm64", files, scratch))
    return os.path.join(made, "linux"), os.path.join(made, "initrd.gz")


def uboot():
    """Path of Debian's U-Boot for QEMU's `virt` machine: a raw binary for address 0."""
    files = {"usr/lib/u-boot/qemu_arm64/u-boot.bin": "u-boot.bin"}
    made = item("guests/u-boot", lambda scratch: files_of("u-boot-qemu", files, scratch))
    return os.path.join(made, "u-boot.bin")


def uboot_disk():
    """Path of a raw disk image from which U-Boot boots a kernel: see bootdisk.py."""
    from . import bootdisk  # here, because it imports this module
    return bootdisk.disk()


def busybox():
    """Path of Debian's static arm64 busybox."""

    def make(scratch):
        deb = apt("arm64", [BASE]).download("busybox-static", scratch)
        unpack(deb, os.path.join(scratch, "root"))
        for place in ("bin", "usr/bin"):
            found = os.path.join(scratch, "root", place, "busybox")
            if os.path.exists(found):
                os.rename(found, os.path.join(scratch, "busybox"))
                break
        shutil.rmtree(os.path.join(scratch, "root"))
        os.unlink(deb)

    return os.path.join(item("guests/busybox", make), "busybox")


def libfdt_archive(into):
    """Debian's device-tree-compiler as upstream released it, from the first suite that has it."""
    for suite in LIBFDT_SUITES:
        try:
            return apt(machine_arch(), [suite], "deb-src").download_tar(
                "device-tree-compiler", into)
        except SetupError as error:
            problem = error
    raise problem


def libfdt():
    """Directory with libfdt's sources (from Debian's device-tree-compiler source package)."""

    def make(scratch):
        work = os.path.join(scratch, "source")
        with tarfile.open(libfdt_archive(work)) as tar:
            for member in tar.getmembers():
                match = re.match(r"[^/]+/libfdt/([^/]+\.[ch])$", member.name)
                if match and member.isfile():
                    with open(os.path.join(scratch, match.group(1)), "wb") as file:
                        file.write(tar.extractfile(member).read())
        shutil.rmtree(work)

    return item("libfdt", make)


def http_parser():
    """Directory with the source of Debian's http-parser: one file and its header."""

    def make(scratch):
        work = os.path.join(scratch, "source")
        archive = apt(machine_arch(), [BASE], "deb-src").download_tar("http-parser", work)
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                match = re.match(r"[^/]+/(http_parser\.[ch])$", member.name)
                if match:
                    with open(os.path.join(scratch, match.group(1)), "wb") as file:
                        file.write(tar.extractfile(member).read())
        shutil.rmtree(work)

    return item("http_parser", make)


# What the Linux program is linked with, and (libseccomp) what makes its filters while it is built.
LIBRARIES = {"libjansson-dev": "jansson", "liburing-dev": "uring", "libseccomp-dev": "seccomp"}


def libs(arch):
    """Directory with include/ and lib/: Debian's static libraries for a program of `arch`."""

    def make(scratch):
        root = os.path.join(scratch, "root")
        os.makedirs(os.path.join(scratch, "lib"))
        for package, library in LIBRARIES.items():
            deb = apt(arch, [BASE]).download(package, scratch)
            unpack(deb, root)
            os.unlink(deb)
            for folder, _, files in os.walk(os.path.join(root, "usr/lib")):
                for name in files:
                    if name == f"lib{library}.a":
                        os.rename(os.path.join(folder, name), os.path.join(scratch, "lib", name))
        merged = os.path.join(scratch, "include")
        os.rename(os.path.join(root, "usr/include"), merged)
        for name in os.listdir(merged):
            if name.endswith("-linux-gnu"):
                shutil.copytree(os.path.join(merged, name), merged, dirs_exist_ok=True)
        shutil.rmtree(root)

    return item(f"libs/{arch}-1", make)


def qemu_version(command):
    try:
        done = subprocess.run(command + ["--version"], capture_output=True, text=True, check=False)
    except OSError:
        return (0, 0)
    match = re.search(r"version (\d+)\.(\d+)", done.stdout)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def private_qemu():
    """QEMU of the backports, unpacked with its libraries next to nothing of the machine's own."""

    def make(scratch):
        source = apt(machine_arch(), [BASE, BACKPORTS])
        debs = source.download_closure("qemu-system-arm", BACKPORTS)
        say(f"unpacking {len(debs)} packages into Bothy's cache")
        for deb in debs:
            unpack(deb, os.path.join(scratch, "root"))
        source.clean()

        wrapper = os.path.join(scratch, "qemu-system-aarch64")
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(QEMU_WRAPPER)
        os.chmod(wrapper, 0o755)

    return os.path.join(item("qemu", make), "qemu-system-aarch64")


def qemu():
    """The start of a QEMU command line: a recent enough one of the machine, or the private one."""
    own = shutil.which("qemu-system-aarch64")
    if own and qemu_version([own]) >= QEMU_AT_LEAST:
        return [own]
    command = [private_qemu()]
    if qemu_version(command) < QEMU_AT_LEAST:
        raise SetupError(f"the QEMU in {paths.cache()}/qemu doesn't start: remove that directory "
                         "and run this again")
    return command


def initrd():
    """Path of the Linux guests' initrd, remade when its parts change."""
    tools = os.path.join(paths.TOP, "tools")
    parts = [busybox(), os.path.join(tools, "make-initrd"), os.path.join(tools, "initrd/init")]
    image = paths.out("guest/initrd.cpio.gz")
    if not os.path.exists(image) or any(
            os.path.getmtime(part) > os.path.getmtime(image) for part in parts):
        subprocess.run([parts[1], "--busybox", parts[0], "--out", image], check=True)
    return image
