# SPDX-License-Identifier: Apache-2.0
"""What the test host boots: its initrd, its root file system, and the disk with a user's files.

The root file system holds what changes seldom (busybox, passt, ip and their libraries, guests'
kernels) and is kept in out/host/; the initrd brings what changes with each build (the agent,
bothy, payloads) and the kernel's modules, and is made anew for each boot. Both disks are
ext4 images that the machine maps privately as persistent memory: that is fast under emulation,
takes part in instruction counting, and what is written to them is gone with the machine.
"""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

from . import cpio, fetch, modules, paths
from .apt import unpack
from .errors import SetupError, UsageError
from .machine import built
from .progress import say

MIB = 1 << 20
GRAIN = 128 * MIB  # the kernel hot-plugs persistent memory in sections of this size
# What the host needs to reach its root file system and the agent's port.
BOOT_MODULES = ("virtio_pci", "virtio_console", "nd_pmem", "of_pmem", "crc32c_generic", "ext4")
# What the kernel loads when it is asked for (by opening a device, for instance), and modprobe.
AT_HAND = ("tun", "vhost_net", "vhost_vsock", "vsock_loopback", "vmw_vsock_virtio_transport",
           "loop", "fuse", "bridge", "veth", "virtio_mmio", "virtio_blk", "virtio_net",
           "virtio_balloon", "virtio_rng", "virtio_mem", "virtio_iommu", "virtiofs", "overlay",
           "squashfs", "erofs", "isofs", "brd", "null_blk", "nbd", "dummy", "macvlan", "macvtap",
           "ipvlan", "sch_tbf", "vfio_pci", "vfio_iommu_type1", "iommufd", "nvme", "igb", "igbvf",
           "virtio_scsi", "sd_mod", "uio_pci_generic")
# Debian packages for the host, and what is taken from them with its libraries.
PACKAGES = ("passt", "iproute2", "dash", "bash", "ncurses-base")
PROGRAMS = ("usr/bin/passt", "bin/ip", "sbin/bridge", "sbin/tc", "bin/ss", "bin/dash",
            "bin/bash")
TERMINALS = ("l/linux", "s/screen", "t/tmux-256color", "v/vt100", "x/xterm", "x/xterm-256color")
PROGRAMS_FORMAT = 2  # increased whenever these change: then older caches are fetched again
NOT_IN_EXT4 = ("has_journal", "metadata_csum", "metadata_csum_seed", "orphan_file", "resize_inode")
ALIAS = re.compile(rb"\0alias=([^\0]+)")
APPLETS = re.compile(rb"\0(\[\0\[\[\0(?:[a-z0-9_.\-]+\0)+)\0")
COMPILER_FLAGS = ["-static", "-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wconversion",
                  "-Werror"]
AGENT = "usr/lib/bothy/hostagent"
SETUP = "usr/lib/bothy/setup"
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
                  "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nkvm:x:104:\nnogroup:x:65534:\n",
    "etc/hostname": "host\n",
    "etc/hosts": "127.0.0.1 localhost host\n",
    "etc/resolv.conf": "",
    "etc/profile": "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\nPS1='host:\\w# '\n",
}
FOLDERS = ("dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/lib/bothy",
           "usr/lib/modules", "usr/share/bothy", "var/lib", "var/tmp", "with")
LINKS = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib",
         "usr/sbin": "bin", "usr/lib64": "lib", "var/run": "../run", "etc/mtab": "/proc/mounts"}


def arm64_program(name, sources):
    """Path of a static program for arm64 Linux, out/NAME, compiled when its sources changed.
    Headers among the sources are only looked at for that."""
    program = paths.out(name)
    if os.path.exists(program) and all(
            os.path.getmtime(source) <= os.path.getmtime(program) for source in sources):
        return program
    os.makedirs(os.path.dirname(program), exist_ok=True)
    scratch = f"{program}.{os.getpid()}"
    command = ["aarch64-linux-gnu-gcc"] + COMPILER_FLAGS + ["-o", scratch]
    done = subprocess.run(command + [name for name in sources if not name.endswith(".h")],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"{name} doesn't compile:\n{done.stderr.strip()}")
    os.rename(scratch, program)
    return program


def agent():
    """Path of the program that is the host's first process."""
    sources = glob.glob(os.path.join(paths.TOP, "tools/hostagent/*.[chS]"))
    return arm64_program("hostagent", sorted(sources))


def libraries_of(program):
    """Names of the shared libraries that an ELF file asks for, and its loader's."""
    done = subprocess.run(["aarch64-linux-gnu-readelf", "-dl", program], capture_output=True,
                          text=True, check=True)
    return [os.path.basename(name) for name in
            re.findall(r"(?:Shared library: |program interpreter: )\[?([^\]\s]+)\]", done.stdout)]


def take_programs(source, target):
    """Copies PROGRAMS and the libraries they need from unpacked packages, merged into /usr."""
    found = {os.path.basename(path): path for path in
             glob.glob(os.path.join(source, "**/*.so*"), recursive=True)}
    waiting, taken = [], set()
    os.makedirs(os.path.join(target, "usr/bin"))
    os.makedirs(os.path.join(target, "usr/lib/aarch64-linux-gnu"))
    for program in PROGRAMS:
        path = os.path.join(source, program)
        if not os.path.exists(path):
            raise SetupError(f"Debian's packages {' '.join(PACKAGES)} have no /{program}")
        shutil.copy(path, os.path.join(target, "usr/bin", os.path.basename(program)))
        waiting += libraries_of(path)
    # Busybox's shell would take its own ip before Debian's.
    os.symlink("dash", os.path.join(target, "usr/bin/sh"))
    for name in TERMINALS:
        os.makedirs(os.path.join(target, "usr/lib/terminfo", name[0]), exist_ok=True)
        for path in glob.glob(os.path.join(source, "*/terminfo", name)):
            shutil.copy(path, os.path.join(target, "usr/lib/terminfo", name))
    while waiting:
        name = waiting.pop()
        if name in taken:
            continue
        taken.add(name)
        if name not in found:
            raise SetupError(f"the library {name} is in none of the packages that were unpacked")
        folder = "usr/lib" if name.startswith("ld-linux") else "usr/lib/aarch64-linux-gnu"
        shutil.copy(os.path.realpath(found[name]), os.path.join(target, folder, name))
        waiting += libraries_of(found[name])


def programs():
    """Directory with what comes from PACKAGES, as below the host's root."""

    def make(scratch):
        source = fetch.apt("arm64", [fetch.BASE])
        unpacked = os.path.join(scratch, "unpacked")
        for package in PACKAGES:
            debs = source.download_closure(package, fetch.BASE)
        for deb in debs:
            unpack(deb, unpacked)
            os.unlink(deb)
        # The loader's link is absolute in the packages: it is found by its name instead.
        take_programs(unpacked, os.path.join(scratch, "root"))
        shutil.rmtree(unpacked)

    return os.path.join(fetch.item(f"host/programs-{PROGRAMS_FORMAT}", make), "root")


def fetch_all(kernels):
    """Fetches everything for hosts with these kernels."""
    programs()
    fetch.busybox()
    for name in kernels:
        modules.tree(name)


def applets(busybox):
    """Names of all applets of the busybox with this content."""
    match = APPLETS.search(busybox)
    names = match.group(1).decode().rstrip("\0").split("\0") if match else []
    if "sh" not in names or "switch_root" not in names:
        raise SetupError("the applets' names aren't found in Debian's busybox")
    return names


def populate(tree, kernels):
    """Makes the root file system's content in the directory `tree`."""
    for folder in FOLDERS:
        os.makedirs(os.path.join(tree, folder))
    for name, target in LINKS.items():
        os.symlink(target, os.path.join(tree, name))
    for name, text in FILES.items():
        with open(os.path.join(tree, name), "w", encoding="utf-8") as file:
            file.write(text)
    shutil.copytree(programs(), tree, symlinks=True, dirs_exist_ok=True)
    busybox = os.path.join(tree, "usr/bin/busybox")
    shutil.copy(fetch.busybox(), busybox)
    os.chmod(busybox, 0o755)
    with open(busybox, "rb") as file:
        names = applets(file.read())
    for name in names:
        if not os.path.lexists(os.path.join(tree, "usr/bin", name)):
            os.symlink("busybox", os.path.join(tree, "usr/bin", name))
    for name in kernels:
        shutil.copy(fetch.kernel(name), os.path.join(tree, "usr/share/bothy", name))


def tree_size(tree):
    """Bytes that the files of a directory take, in blocks of an ext4."""
    total = 0
    for place, folders, files in os.walk(tree):
        for name in folders + files:
            total += -(-os.lstat(os.path.join(place, name)).st_size // 4096) * 4096 + 512
    return total


def with_sbin():
    """An environment in which a user who isn't root finds e2fsprogs too."""
    return dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def own_by_root(tree, image):
    """Gives all files of the image to root, where whoever makes it isn't."""
    lines = []
    for place, folders, files in os.walk(tree):
        for name in folders + files:
            path = "/" + os.path.relpath(os.path.join(place, name), tree).replace('"', '""')
            lines += [f'set_inode_field "{path}" {field} 0' for field in ("uid", "gid")]
    subprocess.run(["debugfs", "-w", "-f", "-", image], input="\n".join(lines) + "\n", text=True,
                   env=with_sbin(), capture_output=True, check=True)


def make_ext4(tree, image, label, spare):
    """Writes the directory `tree` as an ext4 without journal, with `spare` bytes free."""
    size = -(-(tree_size(tree) * 102 // 100 + spare + 8 * MIB) // GRAIN) * GRAIN
    with open(image, "wb") as file:
        file.truncate(size)
    # Fixed identities: the same files are the same image.
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", label, "-d", tree,
               "-O", ",".join("^" + feature for feature in NOT_IN_EXT4), "-m", "0",
               "-U", "6a3e4a4e-0b07-4b0a-9d10-b07b07b07b07",
               "-E", "hash_seed=6a3e4a4e-0b07-4b0a-9d10-b07b07b07b07,root_owner=0:0,"
               "lazy_itable_init=1", image]
    env = with_sbin() | {"E2FSPROGS_FAKE_TIME": "1767225600"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"mke2fs could not make an image of {tree}: {done.stderr.strip()}")
    if os.getuid():
        own_by_root(tree, image)


def key_of(kernels):
    """Changes with everything that the root file system is made of."""
    parts = [fetch.busybox(), programs(), __file__] + [fetch.kernel(name) for name in kernels]
    text = "".join(f"{part} {os.stat(part).st_mtime_ns} {os.path.getsize(part)}\n"
                   for part in parts) + " ".join(kernels)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def root_image(kernels):
    """Path of the root file system with these kernels in /usr/share/bothy."""
    kernels = sorted(kernels)
    folder = paths.out("host")
    os.makedirs(folder, exist_ok=True)
    name = "root" + "".join("+" + kernel for kernel in kernels)
    image = os.path.join(folder, f"{name}-{key_of(kernels)}.ext4")
    with open(os.path.join(folder, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(image):
            return image
        say("making the test host's root file system")
        for old in glob.glob(os.path.join(folder, glob.escape(name) + "-????????????.ext4")):
            os.unlink(old)
        with tempfile.TemporaryDirectory(prefix="bothy-host-") as tree:
            os.chmod(tree, 0o755)
            populate(tree, kernels)
            make_ext4(tree, image + ".part", "root", 64 * MIB)
        os.rename(image + ".part", image)
    return image


def gather(files, tree):
    """Puts files, {name: path}, into the directory `tree`, without copying where that can be."""
    for name, path in files.items():
        target = os.path.join(tree, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            os.link(os.path.realpath(path), target)
        except OSError:
            shutil.copy(path, target)


def with_image(source, image, spare):
    """Writes a disk with the files of a directory, or with {name: path}, or with none (None)."""
    if isinstance(source, str):
        if not os.path.isdir(source):
            raise UsageError(f"--with {source}: there is no such directory")
        make_ext4(source, image, "with", spare)
        return
    with tempfile.TemporaryDirectory(prefix="bothy-host-") as tree:
        os.chmod(tree, 0o755)
        gather(source or {}, tree)
        make_ext4(tree, image, "with", spare)


def load_order(name, wants):
    """What has to be loaded before `name`, the last first: so modprobe wants it."""
    found = []
    for other in wants[name]:
        for item in [other] + load_order(other, wants):
            if item in found:
                found.remove(item)
            found.append(item)
    return found


def module_files(kernel):
    """(release, {file name: content}) of the modules, with depmod's lists of them."""
    release = os.path.basename(modules.tree(kernel))
    files = dict(modules.modules(kernel, [], BOOT_MODULES + AT_HAND))
    known = {modules.named(name.removesuffix(".ko")): name for name in files}
    wants = {name: [known[other] for other in modules.needs(data)[0] if other in known]
             for name, data in files.items()}
    depends = [" ".join([name + ":"] + load_order(name, wants)) for name in wants]
    aliases = [f"alias {alias.decode()} {modules.named(name.removesuffix('.ko'))}"
               for name, data in files.items() for alias in ALIAS.findall(data)]
    files["modules.dep"] = "\n".join(depends + [""]).encode()
    files["modules.alias"] = "\n".join(aliases + [""]).encode()
    return release, files


def read(path):
    with open(path, "rb") as file:
        return file.read()


def make_initrd(kernel, path, extra=None):
    """Writes the host's initrd; `extra` has more files for its root ({path: content})."""
    tools = os.path.join(paths.TOP, "tools/host")
    archive = cpio.with_busybox(read(fetch.busybox()), ["sh", "mount", "modprobe", "switch_root",
                                                        "cat", "cp", "findfs", "usleep"],
                                {"root", "add"})
    archive.add("init", cpio.PROGRAM, read(os.path.join(tools, "init"))
                .replace(b"@MODULES@", " ".join(BOOT_MODULES).encode()))
    release, files = module_files(kernel)
    # Below /add is what the root file system gets.
    base = f"add/usr/lib/modules/{release}/"
    adds = {base + name: data for name, data in files.items()}
    adds["add/" + AGENT] = read(agent())
    adds["add/" + SETUP] = read(os.path.join(tools, "setup"))
    adds["add/usr/bin/outside"] = read(os.path.join(tools, "outside"))
    if os.path.exists(paths.out("bothy")):
        adds["add/usr/bin/bothy"] = read(paths.out("bothy"))
    adds["add/usr/share/bothy/initrd.cpio.gz"] = read(fetch.initrd())
    for payload in sorted(glob.glob(paths.out("guest/*.bin"))):
        adds["add/usr/share/bothy/" + os.path.basename(payload)] = read(payload)
    adds.update({"add/" + name.lstrip("/"): data for name, data in (extra or {}).items()})
    folders = set()
    for name in adds:
        while name := os.path.dirname(name):
            folders.add(name)
    for folder in sorted(folders - {"add"}):
        archive.add(folder, cpio.DIRECTORY)
    for name, data in adds.items():
        program = name.startswith(("add/usr/bin/", "add/usr/lib/bothy/"))
        archive.add(name, cpio.PROGRAM if program else cpio.FILE, data)
    archive.add("lib", cpio.LINK, b"add/usr/lib")
    with open(path, "wb") as file:
        file.write(archive.finish())
    return path
