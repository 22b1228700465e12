# SPDX-License-Identifier: Apache-2.0
"""A whole Debian 12 for arm64 as a disk image, an initrd that boots it, and a mirror for its apt.

    debian()        path of the image: ext4 on the whole disk, systemd, apt, DHCP; root has no
                    password. It is shared: boot a copy (fresh_copy), never the file itself.
    initrd(kernel)  path of an initrd that mounts root= and goes on there, with the modules for it
    mirror(folder)  makes a small repository for `apt install hello`; returns the folder

The image is made from Debian's packages without being root and without an arm64 machine: an
emulated one runs dpkg, as debootstrap's second stage would. It takes minutes, once.
"""

import os
import re
import shutil
import subprocess
import time

from . import cpio, debs, ext4, fetch, modules, paths
from .errors import SetupError
from .machine import Machine, WaitFailed
from .progress import say

RECIPE = 2                      # another number for another content: images are made again
KERNEL = "linux-6.12-cloud"     # whose modules the image has, and which makes it
IMAGE_MIB = 512
LABEL = "bothy-root"
BUILD_TIMEOUT = 3600           # only a hang, or a host with much else to do, reaches it

# Beside what is essential. systemd's own DHCP client needs no further package.
REQUIRED = ["apt", "debconf", "e2fsprogs", "libpam-runtime", "login", "mawk", "mount", "passwd",
            "tzdata", "usr-is-merged"]
BASE = ["busybox", "dbus", "iproute2", "iputils-ping", "kmod", "netbase", "procps", "systemd",
        "systemd-resolved", "systemd-sysv", "udev"]
MIRRORED = ["hello", "tree"]

# Half of all files; dpkg leaves them out in the guest as well.
EXCLUDE = """\
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
"""

ETC = {
    "hostname": "debian\n",
    "hosts": "127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost ip6-localhost\n",
    "fstab": "# The initrd mounted / as root= and ro or rw on the kernel's command line say.\n",
    "default/locale": "LANG=C.UTF-8\n",
    "apt/sources.list": "# deb http://MIRROR/debian bookworm main\n",
    "apt/apt.conf.d/20languages": 'Acquire::Languages "none";\n',
    # The first that fits counts: ip= on the kernel's command line becomes 90-eth0.network.
    "systemd/network/95-dhcp.network": "[Match]\nName=eth* en*\n\n[Network]\nDHCP=yes\n",
}

# To have a root file system, and then for kernels whose modules the image lacks. ext4 asks for its
# checksum by another name than the module's.
ROOT_MODULES = (["virtio_mmio", "virtio_blk", "ext4"], ["crc32c_generic", "virtio_pci"])
LATER_MODULES = (["virtio_net"], ["virtio_rng", "virtio_balloon", "virtio_console", "autofs4",
                                  "vmw_vsock_virtio_transport", "gpio_keys", "evdev"])
APPLETS = ("sh cat chroot cut echo findfs fstrim grep insmod ls mkdir mount poweroff sed sleep "
           "switch_root tar umount uname").split()


def excluded(name):
    return bool(re.match(r"usr/share/(doc/.*(?<!/copyright)|(man|info|locale|lintian)/.+)$", name))


def module_archive(archive, folder, kernel, wanted):
    """Puts modules and the order in which to load them into an initrd."""
    found = modules.modules(kernel, *wanted)
    archive.add(folder, cpio.DIRECTORY)
    for name, data in found:
        archive.add(f"{folder}/{name}", cpio.FILE, data)
    order = "".join(name + "\n" for name, _ in found)
    archive.add(f"{folder}/order", cpio.FILE, order.encode())


def script(*place):
    with open(os.path.join(paths.TOP, "tools", *place), "rb") as file:
        return file.read()


def start_of_initrd(init):
    with open(fetch.busybox(), "rb") as file:
        archive = cpio.with_busybox(file.read(), APPLETS)
    archive.add("init", cpio.PROGRAM, script("initrd", init))
    return archive


def initrd(kernel=KERNEL):
    """Path of the initrd with which this kernel (its name) boots from the disk that root= names."""
    image = paths.out(f"guest/initrd-root-{kernel}.cpio.gz")
    tools = os.path.join(paths.TOP, "tools")
    parts = [fetch.busybox(), modules.tree(kernel), os.path.join(tools, "initrd/root-init"),
             os.path.join(tools, "bothylab/rootfs.py"), os.path.join(tools, "bothylab/cpio.py")]
    if not os.path.exists(image) or any(
            os.path.getmtime(part) > os.path.getmtime(image) for part in parts):
        archive = start_of_initrd("root-init")
        archive.add("root", cpio.DIRECTORY)
        archive.add("modules", cpio.DIRECTORY)
        module_archive(archive, "modules/root", kernel, ROOT_MODULES)
        module_archive(archive, "modules/later", kernel, LATER_MODULES)
        cpio.write_compressed(archive.finish(), image)
    return image


def download(source, names, into):
    """Downloads packages and all that they need; returns the paths in apt's order."""
    os.makedirs(os.path.join(into, "partial"))
    options = ["-q", "-y", "-o", f"Dir::Cache::archives={into}/"]
    plan = source.run("apt-get", "install", "-s", *options, *names)
    order = re.findall(r"^Inst (\S+) \((\S+)", plan, re.M)
    source.run("apt-get", "install", "--download-only", *options, *names)
    present = os.listdir(into)
    files = []
    for package, _ in order:
        files += [os.path.join(into, name) for name in present if name.startswith(package + "_")]
    return files


def essential(source):
    stanzas = source.run("apt-cache", "dumpavail").split("\n\n")
    return [re.search(r"^Package: (\S+)", stanza, re.M).group(1) for stanza in stanzas
            if re.search(r"^Essential: yes", stanza, re.M)]


def first_stage(tar, files):
    tree = debs.Tree(tar, excluded)
    tree.file("etc/dpkg/dpkg.cfg.d/excludes", EXCLUDE.encode())
    for deb in files:
        tree.add(debs.parts(deb)["data.tar"])
    tree.close()


def parts_disk(scratch, module_tree):
    """The disk from which the emulated machine installs: see tools/rootfs/second-stage."""
    source = fetch.apt("arm64", [fetch.BASE])
    source.update()
    say("downloading the packages of a Debian root file system (45 MB)")
    names = sorted(set(essential(source) + REQUIRED))
    required = download(source, names, os.path.join(scratch, "required"))
    every = download(source, names + BASE, os.path.join(scratch, "every"))

    content = os.path.join(scratch, "content")
    os.makedirs(os.path.join(content, "debs"))
    say(f"unpacking {len(every)} packages")
    first_stage(os.path.join(content, "first-stage.tar"), required)
    for deb in every:
        debs.write_stored(debs.parts(deb), os.path.join(content, "debs", os.path.basename(deb)))
    inner = {os.path.basename(deb) for deb in required}
    lists = {"required": [name for name in map(os.path.basename, every) if name in inner],
             "base": [name for name in map(os.path.basename, every) if name not in inner]}
    for name, entries in lists.items():
        with open(os.path.join(content, name), "w", encoding="utf-8") as file:
            file.write("\n".join(entries) + "\n")
    for name, text in ETC.items():
        os.makedirs(os.path.dirname(os.path.join(content, "etc", name)), exist_ok=True)
        with open(os.path.join(content, "etc", name), "w", encoding="utf-8") as file:
            file.write(text)
    shutil.copytree(module_tree, os.path.join(content, "modules", os.path.basename(module_tree)))
    shutil.copy(os.path.join(paths.TOP, "tools/rootfs/second-stage"), content)

    disk = os.path.join(scratch, "parts.img")
    ext4.create(disk, 1024, "-t", "ext2", "-d", content)
    return disk


def build(image, parts, kernel, init):
    """Lets an emulated machine install the packages of the disk `parts` into `image`."""
    def drive(name, path, *options):
        path = path.replace(",", ",,")
        return ["-drive", ",".join([f"if=none,id={name},format=raw,file={path}", *options]),
                "-device", f"virtio-blk-device,drive={name}"]

    # The last device given becomes /dev/vda.
    extra = ["-global", "virtio-mmio.force-legacy=false",
             *drive("parts", parts, "readonly=on"),
             *drive("root", image, "cache=unsafe", "discard=unmap")]
    machine = Machine(image=kernel, initrd=init, append="console=ttyAMA0 panic=-1 quiet",
                      el2=False, cpu="cortex-a72", smp=2, mem=1024, extra=extra)
    deadline = time.monotonic() + BUILD_TIMEOUT
    with machine:
        line = None
        while True:
            line = machine.wait_for(r"^BOTHY-BUILD (step: (.*)|packages: \d+|failed.*|done)",
                                    deadline - time.monotonic(), after=line)
            if line.match[2]:
                say("emulated machine: " + line.match[2])
            elif line.match[1].startswith("failed"):
                raise WaitFailed(f"{line.match[1]}; last lines:\n{machine.tail(60)}")
            elif line.match[1] == "done":
                break
        if machine.wait_exit(60):
            raise WaitFailed(f"QEMU failed; last lines:\n{machine.tail()}")


def debian():
    """Path of the image. The first time it takes some minutes to make."""
    # Their own locks: nothing of this may happen inside item().
    tree, kernel = modules.tree(KERNEL), fetch.kernel(KERNEL)
    fetch.qemu()
    fetch.busybox()

    def make(scratch):
        say("making a Debian root file system in an emulated machine (once; some minutes)")
        start = time.monotonic()
        work = os.path.join(scratch, "work")
        os.makedirs(work)
        parts = parts_disk(work, tree)
        archive = start_of_initrd("build-init")
        module_archive(archive, "modules", KERNEL, ROOT_MODULES)
        init = os.path.join(work, "initrd.cpio.gz")
        cpio.write_compressed(archive.finish(), init)
        image = os.path.join(scratch, "root.img")
        ext4.create(image, IMAGE_MIB, "-t", "ext4", "-L", LABEL, "-m", "1", "-E",
               "lazy_itable_init=0,lazy_journal_init=0")
        try:
            build(image, parts, kernel, init)
        except WaitFailed as error:
            raise SetupError(f"the Debian root file system can't be made: {error}") from None
        subprocess.run([ext4.tool("e2fsck"), "-fp", image], stdout=subprocess.DEVNULL, check=True)
        shutil.rmtree(work)
        say(f"it took {time.monotonic() - start:.0f} s")

    version = os.path.basename(tree)
    made = fetch.item(f"guests/debian-12-root-{RECIPE}-{version}", make)
    return os.path.join(made, "root.img")


def fresh_copy(path):
    """A copy of the image, to be written to; holes stay holes."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", debian(), path], check=True)
    return path


def mirror(folder):
    """Makes `folder` a repository with a few small packages for the image's apt.

    In the guest: echo 'deb [trusted=yes] http://ADDRESS:PORT ./' >/etc/apt/sources.list
    """
    def make(scratch):
        source = fetch.apt("arm64", [fetch.BASE])
        for package in MIRRORED:
            source.download(package, scratch)

    made = fetch.item("guests/mirror-" + "-".join(MIRRORED), make)
    debs.write_repository([os.path.join(made, name) for name in os.listdir(made)], folder,
                          fetch.BASE)
    return folder
