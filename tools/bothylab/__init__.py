# SPDX-License-Identifier: Apache-2.0
"""The laboratory: emulated ARM64 machines on which Bothy and its guests run.

What ./run and the system tests (tests/system/) are made of. In a test:

    from bothylab import Guest, Machine, initrd, kernel, payload

    def test_two_kernels_reach_init():
        guests = [Guest("old", kernel("linux-6.1-cloud"), initrd=initrd(), cpus=2,
                        bootargs="console=ttyAMA0 panic=-1 bothy.do=cpus,poweroff"),
                  Guest("bare", payload("hello"), memory=16, affinity=0x8, dedicated=True)]
        with Machine(guests=guests) as machine:         # starts; kills QEMU at the end
            machine.wait_for(r"BOTHY-INIT-REACHED", timeout=60, guest="old")
            machine.wait_for(r"BOTHY-CPUS 2$", timeout=30, guest="old")
            assert machine.wait_exit(60) == 0           # Bothy powered the machine off
            assert machine.stats()["old"]["state"] == "off"

Images
    kernel(NAME)   a Debian kernel from the cache; names: linux-6.1-cloud, linux-6.12-cloud,
                   linux-6.1-generic, linux-6.12-generic, linux-6.12-16k, linux-6.1-rt, linux-6.12-rt
    fetch.installer(), fetch.uboot(), fetch.uboot_disk(), rootfs.debian(), rootfs.initrd(KERNEL),
    rootfs.mirror(FOLDER): guests with disks and networks, see docs/guests.md
    initrd()       the busybox initrd; tools/make-initrd lists the words for bothy.do=
    payload(NAME)  out/guest/NAME.bin
    bothy()        out/bothy.bin

Guest(name, kernel, initrd=None, cpus=1, memory=256, bootargs="", affinity=None, dedicated=False,
      priority=None, restart=None, restart_limit=None, populate=None, vpl011=True, extra="")
    memory in MiB; affinity is a CPU mask for all vCPUs or a list with one mask a vCPU; what is
    None is left out of the device tree; `extra` is device-tree source put into the guest's node
    last (it may overwrite: "cpus = <0>;", "/delete-property/ memory;").

Machine(guests=(), machine="virt", cpu=None, smp=4, mem=2048, icount=False, image=None,
        append=None, initrd=None, el2=True, edit_dts=None, dtb=None, extra=())
    machine   "virt" (GICv3) or "xlnx-versal-virt"; any other text goes to -M verbatim
    cpu       -cpu; None is "max,sve=off,pauth-impdef=on" on virt
    mem       MiB
    icount    deterministic instruction counting, single-threaded
    image     -kernel; None is bothy()
    append, initrd   for an image that is a bare Linux: -append, -initrd
    el2       False starts the image at EL1
    edit_dts  function from device-tree source to device-tree source, called last
    dtb       a finished device tree to use instead of all that
    extra     more QEMU arguments

    .start()                        starts QEMU (with Machine(...) as m: does it)
    .command                        QEMU's argument list; .board is the Board (device tree)
    .wait_for(regex, timeout=60, guest=None, after=None, partial=False) -> Line
        the first line after `after` (a Line or an index; None: from the start) whose text
        matches; with guest="x", only that guest's lines, and the regex sees the text after the
        prefix (guest="bothy": the hypervisor's own). The Line has .match, .text, .guest, .time,
        .index. partial=True also looks at the unfinished last line (a prompt).
        Raises WaitFailed (an AssertionError that shows the last lines) on timeout and at once
        when the machine ended.
    .wait_for_any([regex, ...], ...) -> Line    the same for several
    .tap(guest, timeout=60) -> int  waits for the payload's plan (`1..N`, anywhere) and its N
        points; raises WaitFailed with those that are `not ok`
    .absent(regex, guest=None)      raises WaitFailed if such a line has come
    .lines                          all Lines so far; .texts(guest=None) -> [str]
    .send(bytes)                    typed at the console; b"\x011" (Ctrl-A 1) selects guest 1
    .wait_exit(timeout=60) -> int   QEMU's exit status, once it ended by itself
    .stats() -> {guest: {key: value}}   of the closing `[bothy] stat` lines; numbers are int
    .kill()                         ends QEMU; harmless when it has ended

Host(kernel="linux-6.12-cloud", with_dir=None, cpu=None, smp=2, mem=2048, gic=3, icount=False,
     kernels=("linux-6.12-cloud",), files=None, append="", extra=(), spare=256)
    the test host: a Debian with KVM at EL2 and `bothy` on its PATH. See host.py for the arguments
    and hostlink.py for Process and Result; docs/type2-host.md says what is in the host.

    with Host(...) as host: boots it, and ends it
    .run(command, timeout=120, stdin=b"", cwd="/with", env=None) -> Result
        .status (negative: ended by that signal), .stdout, .stderr (.out, .err as bytes), .check();
        command is a text for sh -c or a list; raises WaitFailed, and kills it, when it is late
    .spawn(command, terminal=False, ...) -> Process, several at a time:
        .expect(regex, timeout, stream="stdout"), .write(data), .close_stdin(), .wait(timeout),
        .kill(signal), .resize(rows, columns), .stdout and .stderr so far
    .put(path, data, mode)  .get(path)  .fetch_tree(path, directory)  .lines (of its kernel)
    HostEnded (a WaitFailed) is raised when the host panicked or its machine ended
arm64_program(NAME, SOURCES)
    path of out/NAME, a static program for arm64 Linux (for with_dir or Host.put)

A system test is a function test_* without arguments in tests/system/*.py, made at run time too
(globals()["test_..."] = ...); it fails by raising. Each runs in a process of its own, with
TIMEOUT (a module's variable, default 300) seconds; ./test --only system/FILE.FUNCTION runs one.

A line is `[guest] text`; colours are stripped. Lines of a machine without Bothy have guest None,
QEMU's own complaints the guest "qemu".
Progress and errors: SetupError (something is missing), UsageError (asked for what can't be).
"""

from .board import Board, Guest
from .errors import SetupError, UsageError
from .fetch import KERNELS, initrd, kernel, qemu
from .host import Host
from .hostimage import arm64_program
from .hostlink import HostEnded
from .machine import Machine, WaitFailed, bothy, payload
from .stream import Line, Transcript

__all__ = ["Board", "Guest", "Host", "HostEnded", "KERNELS", "Line", "Machine", "SetupError",
           "Transcript", "UsageError", "WaitFailed", "arm64_program", "bothy", "initrd", "kernel",
           "payload", "qemu"]
