# SPDX-License-Identifier: Apache-2.0
"""The emulated board: its device tree with the partitions in it, and where their images lie."""

import os
import subprocess

from .errors import SetupError, UsageError

MIB = 1 << 20
ALIGN = 2 * MIB
# RAM from which each machine can run images, and how QEMU is to make it (GICv3, EL2).
MACHINES = {
    "virt": {"ram": 0x40000000, "el2": ",gic-version=3,virtualization=on",
             "el1": ",gic-version=3", "cpu": "max,sve=off,pauth-impdef=on"},
    "xlnx-versal-virt": {"ram": 0x0, "el2": "", "el1": "", "cpu": None},
}
DETERMINISTIC = ["-icount", "shift=0,sleep=off", "-seed", "1",
                 "-rtc", "base=2026-01-01T00:00:00,clock=vm"]


class Guest:
    """One partition: see the package's documentation."""

    def __init__(self, name, kernel, initrd=None, cpus=1, memory=256, bootargs="", *,
                 affinity=None, dedicated=False, priority=None, restart=None,
                 restart_limit=None, populate=None, vpl011=True, extra=""):
        self.name = name
        self.kernel = kernel
        self.initrd = initrd
        self.cpus = cpus
        self.memory = memory
        self.bootargs = bootargs
        self.affinity = affinity
        self.dedicated = dedicated
        self.priority = priority
        self.restart = restart
        self.restart_limit = restart_limit
        self.populate = populate
        self.vpl011 = vpl011
        self.extra = extra

    def properties(self):
        """The node's own properties, as device-tree source lines."""
        kib = int(self.memory * 1024)
        lines = ['compatible = "xen,domain";', "#address-cells = <2>;", "#size-cells = <2>;",
                 f"memory = <{kib >> 32:#x} {kib & 0xffffffff:#x}>;", f"cpus = <{self.cpus}>;",
                 f"bothy,name = {quote(self.name)};"]
        if self.vpl011:
            lines.append("vpl011;")
        if self.affinity is not None:
            masks = [self.affinity] if isinstance(self.affinity, int) else self.affinity
            lines.append(f"bothy,affinity = <{' '.join(hex(mask) for mask in masks)}>;")
        if self.dedicated:
            lines.append("bothy,dedicated;")
        for key, value in (("priority", self.priority), ("restart-limit", self.restart_limit)):
            if value is not None:
                lines.append(f"bothy,{key} = <{value}>;")
        for key, value in (("restart", self.restart), ("populate", self.populate)):
            if value is not None:
                lines.append(f"bothy,{key} = {quote(value)};")
        return lines


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def module_node(kind, address, size, bootargs=None):
    cells = f"{address >> 32:#x} {address & 0xffffffff:#x} {size >> 32:#x} {size & 0xffffffff:#x}"
    lines = [f"module@{address:x} {{",
             f'    compatible = "multiboot,{kind}", "multiboot,module";', f"    reg = <{cells}>;"]
    if bootargs:
        lines.append(f"    bootargs = {quote(bootargs)};")
    return lines + ["};"]


def dtc(text_or_path, to):
    """Runs the device tree compiler: a .dtb path to source text, or source text to a .dtb."""
    if to == "dts":
        command, text = ["dtc", "-q", "-I", "dtb", "-O", "dts", text_or_path], None
        done = subprocess.run(command, capture_output=True, check=False)
    else:
        command, text = ["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", to, "-"], text_or_path
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise SetupError(f"dtc failed: {done.stderr.decode().strip()}")
    return done.stdout.decode("utf-8", "replace")


class Board:
    """Machine type, CPUs and memory; makes the device tree and the arguments for QEMU."""

    def __init__(self, machine="virt", cpu=None, smp=4, mem=2048, *, icount=False, el2=True):
        known = MACHINES.get(machine)
        if known:
            self.machine = machine + known["el2" if el2 else "el1"]
        else:
            self.machine = machine
            known = MACHINES["virt"]
        self.ram = known["ram"]
        self.cpu = cpu or known["cpu"]
        self.smp = smp
        self.mem = mem
        self.icount = icount

    def arguments(self, option=""):
        """QEMU's arguments for the board itself; `option` is added to -M."""
        arguments = ["-M", self.machine + option]
        if self.cpu:
            arguments += ["-cpu", self.cpu]
        arguments += ["-smp", str(self.smp), "-m", str(self.mem), "-nic", "none",
                      "-display", "none", "-no-user-config"]
        return arguments + (DETERMINISTIC if self.icount else [])

    def source(self, qemu, directory):
        """The board's own device tree, as QEMU makes it, in source form."""
        dump = os.path.join(directory, "qemu.dtb")
        command = qemu + self.arguments(f",dumpdtb={dump}") + ["-monitor", "none"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if done.returncode or not os.path.exists(dump):
            reasons = [line.split(": ", 1)[-1] for line in done.stderr.splitlines()
                       if line and "initialize module" not in line]
            raise UsageError(f"QEMU refuses -M {self.machine} -cpu {self.cpu} -smp {self.smp} "
                             f"-m {self.mem}: {(reasons or ['it gives no reason'])[-1]}")
        return dtc(dump, "dts")

    def first_module(self):
        """Modules lie above the image and above the place where QEMU puts the device tree."""
        return self.ram + min(self.mem * MIB // 2, 128 * MIB) + 16 * MIB

    def place(self, guests):
        """Device-tree source of all partitions, and (file, address) of each module."""
        address = self.first_module()
        modules = []
        text = ["/ { chosen {"]
        for number, guest in enumerate(guests, 1):
            text += [f"domU{number} {{"] + guest.properties()
            for kind, path in (("kernel", guest.kernel), ("ramdisk", guest.initrd)):
                if not path:
                    continue
                size = os.path.getsize(path)
                text += module_node(kind, address, size,
                                    guest.bootargs if kind == "kernel" else None)
                modules.append((path, address))
                address += -(-max(size, 1) // ALIGN) * ALIGN
            text += [guest.extra, "};"]
        text += ["}; };"]
        if address > self.ram + self.mem * MIB:
            raise UsageError(f"the guests' images need {(address - self.ram) // MIB} MiB, the "
                             f"machine has {self.mem} MiB: give it more with --mem")
        return "\n".join(text) + "\n", modules

    def make_dtb(self, qemu, directory, guests, edit=None):
        """Writes board.dtb into `directory`; returns its path and the modules to load."""
        text, modules = self.place(guests)
        text = self.source(qemu, directory) + text
        path = os.path.join(directory, "board.dtb")
        dtc(edit(text) if edit else text, path)
        return path, modules


def loader_arguments(modules):
    arguments = []
    for path, address in modules:
        arguments += ["-device", f"loader,file={path.replace(',', ',,')},addr={address:#x},"
                      "force-raw=on"]
    return arguments
