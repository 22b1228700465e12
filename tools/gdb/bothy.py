# SPDX-License-Identifier: Apache-2.0
"""Commands for gdb on a running Bothy (./run --gdb, or `source tools/gdb/bothy.py`).

  bothy vms                 guests: state, VMID, memory, exits
  bothy vcpus [GUEST]       where each vCPU is and what it waits for
  bothy cpus                physical CPUs
  bothy lrs [GUEST [VCPU]]  list registers, and interrupts that are waiting for one
  bothy irq GUEST INTID [VCPU]   one interrupt's state
  bothy s2walk GUEST IPA    walk the guest's stage-2 table
  bothy s2map GUEST         all that is mapped
  bothy ipa GUEST IPA [N]   N words of guest memory

GUEST is a number or a name. EL2's memory is read through its own page tables, physically, so the
commands work whether the CPU at hand stopped in EL2 or in a guest.
"""

import gdb

PAGE = 4096
VALID = 1
TABLE = 2
OUTPUT = 0x0000FFFFFFFFF000
POWER = ("off", "on pending", "on")
SCHED = ("off", "blocked", "runnable", "running")
VM_STATE = ("stopped", "running", "stopping")


# --- memory -------------------------------------------------------------------------------------

class PhysicalMemory:
    """Read physical addresses through QEMU's gdb stub."""

    def __enter__(self):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)
        return self

    def __exit__(self, *_):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)

    @staticmethod
    def read(address, size):
        return bytes(gdb.selected_inferior().read_memory(address, size))


def physical(address, size):
    with PhysicalMemory() as memory:
        return memory.read(address, size)


def entry(table, index):
    return int.from_bytes(physical(table + index * 8, 8), "little")


def register(name):
    value = gdb.selected_frame().read_register(name)
    return int(value) & 0xFFFFFFFFFFFFFFFF


def el2_to_pa(address):
    """Walk EL2's own tables (stage 1, 4 KiB granule, 48 bits: four levels)."""
    table = register("TTBR0_EL2") & OUTPUT & ~1
    for level in range(4):
        shift = 39 - 9 * level
        descriptor = entry(table, address >> shift & 511)
        if not descriptor & VALID:
            raise gdb.GdbError(f"EL2 has nothing at {address:#x} (level {level})")
        if level == 3 or not descriptor & TABLE:
            mask = (1 << shift) - 1
            return descriptor & OUTPUT & ~mask | address & mask
        table = descriptor & OUTPUT
    raise AssertionError


def read(address, size):
    data = b""
    while size:
        part = min(size, PAGE - address % PAGE)
        data += physical(el2_to_pa(address), part)
        address += part
        size -= part
    return data


def load(address, kind):
    """The object of this type at an address of EL2's, as a gdb value."""
    return gdb.Value(read(address, kind.sizeof), kind)


def follow(pointer):
    return load(int(pointer), pointer.type.target())


def global_object(name):
    symbol = gdb.lookup_global_symbol(name)
    if symbol is None:
        raise gdb.GdbError(f"there is no `{name}`: is this bothy.elf?")
    value = symbol.value()
    return load(int(value.address), value.type)


def text(array):
    data = bytes(int(array[i]) & 255 for i in range(array.type.range()[1] + 1))
    return data.split(b"\0")[0].decode("ascii", "replace")


# --- objects ------------------------------------------------------------------------------------

class Hyp:
    """What hangs off `hyp`, read once per command."""

    def __init__(self):
        self.value = global_object("hyp")
        self.guests = [follow(self.value["guests"][i]) for i in range(int(self.value["nr_guests"]))]

    def guest(self, which):
        for number, guest in enumerate(self.guests):
            if which in (str(number), text(guest["vm"]["name"])):
                return guest
        raise gdb.GdbError(f"there is no guest `{which}`; see bothy vms")

    def vcpus(self, guest):
        vm = guest["vm"]
        return [(int(vm["vcpus"][i]), follow(vm["vcpus"][i])) for i in range(int(vm["nr_vcpus"]))]

    def cpus(self):
        return [self.value["cpus"][i] for i in range(int(self.value["nr_cpus"]))]

    def chosen(self, words):
        return [self.guest(words[0])] if words else self.guests

    def vcpu_name(self, address):
        if address == 0:
            return "-"
        for guest in self.guests:
            for at, vcpu in self.vcpus(guest):
                if at == address:
                    return f"{text(guest['vm']['name'])}/{int(vcpu['id'])}"
        return f"{address:#x}"


def table(rows):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())


def named(names, value):
    return names[int(value)] if int(value) < len(names) else str(int(value))


# --- commands -----------------------------------------------------------------------------------

def show_vms(hyp, _):
    rows = [("#", "name", "state", "vCPUs", "VMID", "starts", "memory", "mapped", "table pages",
             "exits")]
    for number, guest in enumerate(hyp.guests):
        vm = guest["vm"]
        exits = sum(int(vcpu["exits"][i]) for _, vcpu in hyp.vcpus(guest)
                    for i in range(vcpu["exits"].type.range()[1] + 1))
        rows.append((number, text(vm["name"]), named(VM_STATE, vm["state"]), int(vm["nr_vcpus"]),
                     int(vm["s2"]["vmid"]), int(vm["starts"]), f"{int(vm['ram_size']) >> 20} MiB",
                     f"{int(vm['s2']['mapped']) >> 20} MiB", int(vm["s2"]["table_pages"]), exits))
    table(rows)


def show_vcpus(hyp, words):
    loaded = {int(cpu["loaded"]): int(cpu["id"]) for cpu in hyp.cpus()}
    rows = [("vCPU", "power", "scheduler", "CPU", "loaded on", "PC at last exit", "PSTATE",
             "priority", "affinity", "address")]
    for guest in hyp.chosen(words):
        for address, vcpu in hyp.vcpus(guest):
            sched = vcpu["sched"]
            rows.append((f"{text(guest['vm']['name'])}/{int(vcpu['id'])}",
                         named(POWER, vcpu["power"]), named(SCHED, sched["state"]),
                         int(sched["cpu"]), loaded.get(address, "-"),
                         f"{int(vcpu['regs']['pc']):#x}", f"{int(vcpu['regs']['pstate']):#x}",
                         int(sched["priority"]), f"{int(sched['affinity']):#x}", f"{address:#x}"))
    table(rows)


def show_cpus(hyp, _):
    rows = [("CPU", "MPIDR", "online", "idle", "loaded", "running", "requests", "timer at")]
    for cpu in hyp.cpus():
        rows.append((int(cpu["id"]), f"{int(cpu['mpidr']):#x}", bool(cpu["online"]),
                     bool(cpu["idle"]), hyp.vcpu_name(int(cpu["loaded"])),
                     hyp.vcpu_name(int(cpu["running"])), f"{int(cpu['requests']):#x}",
                     f"{int(cpu['timer_at']):#x}"))
    table(rows)


def irq_row(where, irq):
    flags = [name for name in ("enabled", "line", "latch", "active", "soft_active", "edge", "hw")
             if bool(irq[name])]
    return (where, int(irq["intid"]), f"{int(irq['priority']):#x}", int(irq["group"]),
            " ".join(flags))


def waiting(vm, vcpu):
    """Interrupts in `ready`: to be delivered or active, in no list register."""
    for word in range(vcpu["vgic"]["ready"].type.range()[1] + 1):
        bits = int(vcpu["vgic"]["ready"][word])
        for bit in range(32):
            if bits >> bit & 1:
                intid = word * 32 + bit
                yield vcpu["vgic"]["irqs"][intid] if intid < 32 else vm["vgic"]["spis"][intid - 32]


def hardware_lr(index):
    try:
        return f"  ICH_LR{index}_EL2 = {register(f'ICH_LR{index}_EL2'):#018x}"
    except (gdb.error, ValueError):
        return ""  # QEMU's stub does not offer these registers


def show_lrs(hyp, words):
    for guest in hyp.chosen(words[:1]):
        for _, vcpu in hyp.vcpus(guest):
            if len(words) > 1 and int(vcpu["id"]) != int(words[1], 0):
                continue
            vgic = vcpu["vgic"]
            place = "not loaded"
            if int(vgic["cpu"]):
                place = f"loaded on CPU {int(follow(vgic['cpu'])['id'])}"
            print(f"{text(guest['vm']['name'])}/{int(vcpu['id'])}: {place}, VMCR "
                  f"{int(vgic['vmcr']):#x}, used {int(vgic['lr_used']):#x}"
                  f"{', overflow' if bool(vgic['overflow']) else ''}")
            rows = [("  ", "INTID", "priority", "group", "as memory has it")]
            for i in range(vgic["listed"].type.range()[1] + 1):
                if int(vgic["lr_used"]) >> i & 1:
                    row = irq_row(f"  LR{i}", follow(vgic["listed"][i]))
                    rows.append(row[:4] + (row[4] + hardware_lr(i),))
            rows += [irq_row("  waits", irq) for irq in waiting(guest["vm"], vcpu)]
            if len(rows) > 1:
                table(rows)


def show_irq(hyp, words):
    guest = hyp.guest(words[0])
    intid = int(words[1], 0)
    if intid < 32:
        vcpus = hyp.vcpus(guest)
        irq = vcpus[int(words[2], 0) if len(words) > 2 else 0][1]["vgic"]["irqs"][intid]
    else:
        irq = guest["vm"]["vgic"]["spis"][intid - 32]
    print(irq.format_string(symbols=False))
    print("target:", hyp.vcpu_name(int(irq["target"])))


def s2_shape(guest):
    s2 = guest["vm"]["s2"]
    if not int(s2["root"]):
        raise gdb.GdbError("the guest has no stage-2 table")
    config = s2["config"]
    return el2_to_pa(int(s2["root"])), int(config["start_level"]), int(config["ipa_bits"])


def s2_attributes(descriptor):
    access = {0: "--", 1: "r-", 2: "-w", 3: "rw"}[descriptor >> 6 & 3]
    execute = {0: "x", 1: "x(EL0)", 2: "-", 3: "x(EL1)"}[descriptor >> 53 & 3]
    return (f"{access}{execute} MemAttr={descriptor >> 2 & 15:#x} SH={descriptor >> 8 & 3} "
            f"AF={descriptor >> 10 & 1}")


def s2_step(level, descriptor):
    """What a descriptor is: its kind, and the address in it."""
    if not descriptor & VALID:
        return "invalid", 0
    if level < 3 and descriptor & TABLE:
        return "table", descriptor & OUTPUT
    if level == 3 and not descriptor & TABLE:
        return "reserved", 0
    return "page" if level == 3 else "block", descriptor & OUTPUT


def s2_walk(guest, ipa, say=lambda *_: None):
    """Physical address of ipa, or None."""
    at, level, bits = s2_shape(guest)
    if ipa >> bits:
        raise gdb.GdbError(f"the guest has {bits} bits of IPA")
    first = True
    while True:
        shift = 39 - 9 * level
        index = ipa >> shift if first else ipa >> shift & 511  # the root may be concatenated
        descriptor = entry(at, index)
        kind, address = s2_step(level, descriptor)
        say(level, at, index, descriptor, kind)
        if kind != "table":
            break
        at, level, first = address, level + 1, False
    if kind not in ("page", "block"):
        return None
    return address & ~((1 << shift) - 1) | ipa & ((1 << shift) - 1)


def show_s2walk(hyp, words):
    def say(level, at, index, descriptor, kind):
        more = "  " + s2_attributes(descriptor) if kind in ("page", "block") else ""
        print(f"level {level}: table {at:#x}[{index}] = {descriptor:#018x}  {kind}{more}")

    ipa = int(gdb.parse_and_eval(words[1]))
    found = s2_walk(hyp.guest(words[0]), ipa, say)
    print(f"IPA {ipa:#x} -> " + ("not mapped" if found is None else f"PA {found:#x}"))


def s2_leaves(at, level, base, entries):
    shift = 39 - 9 * level
    data = physical(at, entries * 8)
    for index in range(entries):
        descriptor = int.from_bytes(data[index * 8:index * 8 + 8], "little")
        kind, address = s2_step(level, descriptor)
        ipa = base + (index << shift)
        if kind == "table":
            yield from s2_leaves(address, level + 1, ipa, 512)
        elif kind in ("page", "block"):
            yield ipa, address, 1 << shift, s2_attributes(descriptor)


def show_s2map(hyp, words):
    at, level, bits = s2_shape(hyp.guest(words[0]))
    run = None
    for leaf in s2_leaves(at, level, 0, 1 << (bits - (39 - 9 * level))):
        if run and leaf[0] == run[0] + run[2] and leaf[1] == run[1] + run[2] and leaf[3] == run[3]:
            run[2] += leaf[2]
            continue
        print_run(run)
        run = list(leaf)
    print_run(run)


def print_run(run):
    if run:
        print(f"{run[0]:#014x} .. {run[0] + run[2] - 1:#014x} -> {run[1]:#014x}  {run[3]}")


def show_ipa(hyp, words):
    guest = hyp.guest(words[0])
    ipa = int(gdb.parse_and_eval(words[1]))
    for i in range(int(words[2], 0) if len(words) > 2 else 8):
        at = s2_walk(guest, ipa + i * 8)
        value = "not mapped" if at is None else f"{int.from_bytes(physical(at, 8), 'little'):#018x}"
        print(f"{ipa + i * 8:#014x}: {value}")


COMMANDS = {  # name: (function, least number of words)
    "vms": (show_vms, 0),
    "vcpus": (show_vcpus, 0),
    "cpus": (show_cpus, 0),
    "lrs": (show_lrs, 0),
    "irq": (show_irq, 2),
    "s2walk": (show_s2walk, 2),
    "s2map": (show_s2map, 1),
    "ipa": (show_ipa, 2),
}


class Bothy(gdb.Command):
    __doc__ = __doc__

    def __init__(self):
        super().__init__("bothy", gdb.COMMAND_DATA)

    def invoke(self, argument, _):
        words = gdb.string_to_argv(argument)
        if not words or words[0] not in COMMANDS:
            print(__doc__.strip())
            return
        function, least = COMMANDS[words[0]]
        if len(words) - 1 < least:
            raise gdb.GdbError(f"bothy {words[0]} needs {least} argument(s); see `bothy`")
        function(Hyp(), words[1:])

    def complete(self, line, _):
        words = line.split(" ")
        return [name for name in COMMANDS if name.startswith(words[0])] if len(words) == 1 else []


Bothy()
