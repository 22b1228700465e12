# SPDX-License-Identifier: Apache-2.0
"""Bad partitions: each gets one exact sentence, at boot and offline, and the sound ones start all
the same."""

import os
import re
import subprocess
import tempfile

from bothylab import Guest, Machine, kernel, paths
from support import BOOT, WORK, bare, sane

MOST = 0x3fc0000000 // 1024
ALLOWED = ("unknown property; allowed are memory, cpus, vpl011, bothy,name, bothy,affinity, "
           "bothy,dedicated, bothy,priority, bothy,restart, bothy,restart-limit, bothy,populate, "
           "#address-cells, #size-cells and status")
NO_MODULE = ('is not a module; allowed are "multiboot,kernel" and "multiboot,ramdisk", each with '
             '"multiboot,module"')
FREE = 0x78000000      # memory that nobody uses
RESERVED = 0x7c000000  # and some that /reserved-memory names

# name: (properties that differ, sentence after the path)
PROPERTIES = {
    "memory-missing": ({"memory": None},
                       "memory: is missing; it must give the partition's memory in KiB"),
    "memory-zero": ({"memory": "<0>"}, "memory: 0 KiB are not possible; allowed are multiples of "
                                       f"2048 KiB up to {MOST} KiB"),
    "memory-odd": ({"memory": "<0 1000>"}, "memory: 1000 KiB are not possible; allowed are "
                                           f"multiples of 2048 KiB up to {MOST} KiB"),
    "memory-long": ({"memory": "<0 0 2048>"},
                    "memory: has 12 bytes; it must be a number of KiB in one or two cells"),
    "cpus-missing": ({"cpus": None},
                     "cpus: is missing; it must give the number of vCPUs, 1 to 8"),
    "cpus-zero": ({"cpus": "<0>"}, "cpus: 0 is not possible; allowed are 1 to 8"),
    "cpus-nine": ({"cpus": "<9>"}, "cpus: 9 is not possible; allowed are 1 to 8"),
    "cpus-long": ({"cpus": "<1 1>"}, "cpus: has 8 bytes; it must be one cell, 1 to 8"),
    "vpl011-value": ({"vpl011": "<1>"},
                     "vpl011: has a value; it must stand without one, or be left out"),
    "name-twice": ({"bothy,name": '"sound"'},
                   'bothy,name: "sound" is the name of /chosen/domU1 already; each needs its own'),
    "name-bad": ({"bothy,name": '"a b"'}, "bothy,name: is not a name; allowed are 1 to 31 "
                                          "characters of A-Z a-z 0-9 . _ -"),
    "unknown": ({"bothy,colour": "<1>"}, "bothy,colour: " + ALLOWED),
    "xen": ({"direct-map": ""},
            "direct-map: Xen's property is not supported by Bothy; leave it out"),
    "passthrough": ({"passthrough": '"enabled"'},
                    'passthrough: is not supported by Bothy; allowed is "disabled"'),
    "affinity-zero": ({"bothy,affinity": "<0>"}, "bothy,affinity: a mask is 0; each must name a "
                                                 "CPU, allowed is 0x3"),
    "affinity-beyond": ({"bothy,affinity": "<0x31>"}, "bothy,affinity: 0x31 names a CPU that "
                                                      "isn't there; allowed is 0x3, CPUs 0 to 1"),
    "affinity-many": ({"bothy,affinity": "<1 1>"}, "bothy,affinity: has 2 masks for 1 vCPUs; it "
                                                   "must have one, or one for each vCPU"),
    "affinity-taken": ({"bothy,affinity": "<2>"},
                       "bothy,affinity: CPU 1 is named by /chosen/domU2 too, and dedicated; "
                       "allowed are CPUs that nobody else names"),
    "dedicated-what": ({"bothy,dedicated": ""}, "bothy,dedicated: needs bothy,affinity; it must "
                                                "say which CPUs are the partition's own"),
    "dedicated-all": ({"bothy,dedicated": "", "bothy,affinity": "<1>"},
                      "bothy,dedicated: every CPU is dedicated then, and a partition without "
                      "bothy,affinity has none; one CPU must be left"),
    "priority": ({"bothy,priority": "<8>"},
                 "bothy,priority: 8 is not possible; allowed are 0 to 7"),
    "restart": ({"bothy,restart": '"sometimes"'},
                'bothy,restart: "sometimes" is unknown; allowed are "never", "on-reset", '
                '"on-crash" and "always"'),
    "populate": ({"bothy,populate": '"late"'},
                 'bothy,populate: "late" is unknown; allowed are "touch" and "start"'),
    "cells": ({"#address-cells": "<3>"},
              "#address-cells: 3 is not possible; allowed are 1 and 2"),
}

# name: (modules as (kind, address, size, more), sentence after the partition's path). The sound
# guest's kernel, a module that may be shared, is "sound".
MODULES = {
    "kernel-missing": ([("ramdisk", "sound", None, "")],
                       ": multiboot,kernel: there is no kernel; there must be a child node with "
                       'compatible = "multiboot,kernel", "multiboot,module"'),
    "kernel-twice": ([("kernel", "sound", None, ""), ("kernel", FREE, 4096, "")],
                     f"/module@{FREE:x}: compatible: is a second kernel; a partition has one "
                     "kernel and at most one ramdisk"),
    "device-tree": ([("kernel", "sound", None, ""), ("device-tree", FREE, 4096, "")],
                    f"/module@{FREE:x}: compatible: a device tree for passthrough is not "
                    'supported by Bothy; allowed are "multiboot,kernel" and "multiboot,ramdisk"'),
    "no-module": ([("kernel", "sound", None, ""), (None, FREE, 4096, "")],
                  f"/module@{FREE:x}: compatible: " + NO_MODULE),
    "reg-empty": ([("kernel", FREE, 0, "")], f"/module@{FREE:x}: reg: the size is 0; it must be "
                                             "the module's length in bytes"),
    "reg-short": ([("kernel", FREE, 4096, f"reg = <{FREE:#x} 4096>;")],
                  f"/module@{FREE:x}: reg: has 8 bytes; it must be one address of 2 and one size "
                  "of 2 cells, as #address-cells and #size-cells of /chosen/reg-short say"),
    "reg-outside": ([("kernel", 0x10000000000, 4096, "")],
                    "/module@10000000000: reg: 0x10000000000..0x10000000fff is not in the "
                    "machine's memory; it must lie in one of its regions"),
    "reg-wraps": ([("kernel", 0xfffffffffffff000, 8192, "")],
                  "/module@fffffffffffff000: reg: 0xfffffffffffff000 and 0x2000 bytes reach "
                  "beyond 64 bits; it must lie in memory"),
    "overlap-own": ([("kernel", FREE, 8192, ""), ("ramdisk", FREE + 4096, 8192, "")],
                    f"/module@{FREE + 4096:x}: reg: {FREE + 4096:#x}..{FREE + 12287:#x} overlaps "
                    f"the kernel at {FREE:#x}..{FREE + 8191:#x}; it must lie in memory that "
                    "nobody else uses"),
    "overlap-reserved": ([("kernel", RESERVED - 4096, 8192, "")],
                         f"/module@{RESERVED - 4096:x}: reg: {RESERVED - 4096:#x}.."
                         f"{RESERVED + 4095:#x} overlaps what is reserved at {RESERVED:#x}.."
                         f"{RESERVED + 0xfffff:#x}; it must lie in memory that nobody else uses"),
    "unknown-in-module": ([("kernel", "sound", None, "colour = <1>;")],
                          "/module@{sound:x}: colour: unknown property; allowed are compatible, "
                          "reg, bootargs and status"),
    "bootargs-long": ([("kernel", "sound", None, f'bootargs = "{"a" * 2048}";')],
                      "/module@{sound:x}: bootargs: has 2048 characters; allowed are 2047"),
}


def cells(value):
    return f"{value >> 32:#x} {value & 0xffffffff:#x}"


def module(kind, address, size, more):
    compatible = f'compatible = "multiboot,{kind}", "multiboot,module";' if kind else ""
    reg = "" if "reg =" in more else f"reg = <{cells(address)} {cells(size)}>;"
    return f"module@{address:x} {{ {compatible} {reg} {more} }};\n"


def partition(name, properties=None, modules=()):
    """Device-tree source of a partition, all sound but for what is given."""
    own = {"compatible": '"xen,domain"', "#address-cells": "<2>", "#size-cells": "<2>",
           "memory": "<0x8000>", "cpus": "<1>", "vpl011": ""}
    own.update(properties or {})
    lines = [f"{key} = {value};" if value else f"{key};"
             for key, value in own.items() if value is not None]
    return (f"/ {{ chosen {{ {name} {{\n" + "\n".join(lines) + "\n" +
            "".join(module(*each) for each in modules) + "}; }; };\n")


class Bench:
    """A machine with two sound partitions, and more device tree with its expected sentences."""

    def __init__(self, **options):
        self.guests = [bare("sound", "hello"),
                       bare("pinned", "hello", affinity=0x2, dedicated=True)]
        self.machine = Machine(guests=self.guests, smp=2, edit_dts=lambda text: text + self.text,
                               **options)
        path, self.sound = self.machine.board.place(self.guests)[1][0]
        self.size = os.path.getsize(path)
        self.text = ""
        self.expected = []

    def add(self, name, properties, modules, sentence):
        """`sentence`, a regular expression, is what follows the path of the partition."""
        modules = [(kind, self.sound, self.size, more) if address == "sound" else
                   (kind, address, size, more) for kind, address, size, more in modules]
        self.text += partition(name, properties, modules)
        self.expected.append(f"/chosen/{name}{sentence}")

    def check(self, left_out=None):
        """Each sentence came once, none else did, and the sound guests ran to their end."""
        with self.machine as machine:
            for guest in self.guests:
                machine.wait_for(r"^BOTHY-PAYLOAD hello done$", BOOT, guest=guest.name)
            assert machine.wait_exit(WORK) == 0
            said = [text for text in machine.texts("bothy") if text.startswith("/")]
            wrong = [f"expected once: {regex}" for regex in self.expected
                     if sum(bool(re.fullmatch(regex, text)) for text in said) != 1]
            wrong += [f"not expected: {text}" for text in said
                      if not any(re.fullmatch(regex, text) for regex in self.expected)]
            assert not wrong, "\n".join(wrong)
            if left_out is not None:
                machine.wait_for(rf"^{left_out} partition\(s\) left out$", 0, guest="bothy")
            stats = machine.stats()
            assert list(stats) == ["sound", "pinned"], list(stats)
            for guest in self.guests:
                sane(guest, stats[guest.name], "off")
            offline = subprocess.run([paths.out("bothy-partition-check"), machine.dtb],
                                     capture_output=True, text=True, check=False)
        return said, offline


def offline_agrees(said, offline):
    assert offline.returncode == 1, offline
    missing = set(said) - set(offline.stderr.splitlines())
    assert not missing, f"not said offline: {missing}\n{offline.stderr}"


def test_sound_partitions():
    """What is allowed gets no sentence, here or offline."""
    bench = Bench()
    bench.text = partition("asleep", {"status": '"disabled"', "nonsense": ""})
    said, offline = bench.check()
    assert not said and offline.returncode == 0, f"{said} {offline}"


def test_properties():
    bench = Bench()
    for name, (properties, sentence) in PROPERTIES.items():
        bench.add(name, properties, [("kernel", "sound", None, "")], re.escape(": " + sentence))
    offline_agrees(*bench.check(len(PROPERTIES)))


def test_modules():
    bench = Bench()
    for name, (modules, sentence) in MODULES.items():
        sentence = sentence.replace("{sound:x}", f"{bench.sound:x}")
        bench.add(name, {}, modules, re.escape(sentence))
    bench.add("overlap-other", {}, [("kernel", bench.sound + 64, 4096, "")], re.escape(
        f"/module@{bench.sound + 64:x}: reg: {bench.sound + 64:#x}..{bench.sound + 4159:#x} "
        f"overlaps /chosen/domU1 at {bench.sound:#x}..{bench.sound + bench.size - 1:#x}; it must "
        "lie in memory that nobody else uses"))
    bench.text += f"""/ {{
        reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges;
            hole@{RESERVED:x} {{ reg = <{cells(RESERVED)} {cells(0x100000)}>; }};
        }};
        chosen {{ {module("kernel", FREE, 4096, "")} }};
    }};"""
    bad = len(bench.expected)
    bench.expected.append(re.escape(
        f"/chosen/module@{FREE:x}: compatible: a module out here belongs to no partition; allowed "
        'are modules inside of a node with compatible = "xen,domain"'))
    offline_agrees(*bench.check(bad))


def test_overlaps_with_the_hypervisor():
    bench = Bench()
    bench.add("on-top", {}, [("kernel", 0x40000000, 0x1000000, "")],
              r"/module@40000000: reg: 0x40000000\.\.0x40ffffff overlaps the hypervisor at "
              r"0x[0-9a-f]+\.\.0x[0-9a-f]+; it must lie in memory that nobody else uses")
    bench.check(1)


def test_too_much_memory():
    bench = Bench()
    bench.add("huge", {"memory": "<0x4000000>"}, [("kernel", "sound", None, "")],
              r": memory: 67108864 KiB are more than is there; the machine has \d+ KiB left in "
              r"blocks of 2048 KiB")
    bench.check(1)


def test_kernels_that_are_none():
    """What only a look at the module tells."""
    header = bytearray(64)
    header[56:60] = b"ARM\x64"
    big = bytes(header[:16]) + (4096).to_bytes(8, "little") + b"\x0b" + bytes(header[25:])
    offset = bytes(header[:8]) + b"\x01" + bytes(header[9:16]) + b"\x00\x10" + bytes(header[18:])
    files = {"gzip": (b"\x1f\x8b\x08" + bytes(61), "is compressed with gzip: unpack it"),
             "elf": (b"\x7fELF" + bytes(60),
                     "is an ELF file: make a binary of it with objcopy -O binary"),
             "big-endian": (big, "is a big-endian arm64 Image"),
             "offset": (offset, "has an Image header whose text_offset isn't n * 4 KiB below "
                                "2 MiB")}
    with tempfile.TemporaryDirectory(prefix="bothy-test-") as folder:
        bench = Bench()
        more = []
        for number, (name, (data, why)) in enumerate(files.items(), 1):
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(data.ljust(4096, b"\0"))
            at = FREE + number * 0x10000
            more += ["-device", f"loader,file={path},addr={at:#x},force-raw=on"]
            bench.add(name, {}, [("kernel", at, 4096, "")], re.escape(
                f"/module@{at:x}: reg: the kernel {why}; allowed are an arm64 Image and a raw "
                "binary"))
        at = FREE + 0x1000000
        image = kernel("linux-6.1-cloud")
        more += ["-device", f"loader,file={image},addr={at:#x},force-raw=on"]
        bench.add("little", {"memory": "<2048>"}, [("kernel", at, os.path.getsize(image), "")],
                  r": memory: 2048 KiB are too little, the kernel needs more memory than there is; "
                  r"the kernel needs \d+ KiB, the ramdisk 0 KiB and the device tree \d+ KiB")
        bench.machine.extra = more
        bench.check(len(files) + 1)


def test_seventeenth_partition():
    """One more than Bothy can have."""
    guests = [Guest(f"g{n}", bare("x", "hello").kernel, memory=16, bootargs="beats=1")
              for n in range(1, 18)]
    with Machine(guests=guests) as machine:
        machine.wait_for(r"^/chosen/domU17: there are 16 partitions before it already, which is "
                         r"the most$", BOOT, guest="bothy")
        for guest in guests[:-1]:
            machine.wait_for(r"^BOTHY-PAYLOAD hello done$", BOOT, guest=guest.name)
        assert machine.wait_exit(WORK) == 0
        assert len(machine.stats()) == 16, machine.stats().keys()
