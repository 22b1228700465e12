# SPDX-License-Identifier: Apache-2.0
"""Disks of `bothy run` as a Linux guest meets them, with io_uring and without: what they can do, how
fast they may be, and that what the guest was told is durable is there after the VM's death."""

import random
import re
import struct

from support import WORK
from type2 import Vm, bothy, clean, type2_host

TIMEOUT = 900
MIB = 1 << 20
BLOCK, BLOCKS = 4096, 256  # as in type2_guest.c


def check_identity(vm):
    """In the order of the command line, each with its size, serial number, queues and rights."""
    text = vm.run("for d in vda vdb vdc; do cd /sys/block/$d; "
                  "echo $d $(cat size ro queue/write_cache) $(ls mq | wc -l) \"$(cat serial)\"; "
                  "done")
    assert text.splitlines() == ["vda 16384 0 write back 2 FIRST-DISK",
                                 "vdb 8192 1 write back 1 ", "vdc 8192 0 write back 1 "], text


def check_data(host, vm, path):
    """Both ways; and not where it may not."""
    vm.run("dd if=/dev/urandom of=/tmp/data bs=1M count=4 && "
           "dd if=/tmp/data of=/dev/vda bs=1M seek=2 conv=fsync")
    there = vm.run("md5sum </tmp/data").split()[0]
    here = host.run(f"dd if={path} bs=1M skip=2 count=4 2>/dev/null | md5sum", WORK).check()
    assert here.stdout.split()[0] == there, (here, there)
    assert there in vm.run("echo 3 >/proc/sys/vm/drop_caches; "
                           "dd if=/dev/vda bs=1M skip=2 count=4 2>/dev/null | md5sum")


def check_readonly(host, vm):
    assert "READ ONLY" in host.run("head -c 9 /with/b.img", WORK).stdout
    assert vm.run("head -c 9 /dev/vdb; echo") == "READ ONLY\n"
    assert "not permitted" in vm.run("echo x >/dev/vdb", status=1)


def check_discard(host, vm):
    """Discarded blocks take no room in the host; zeroes are zeroes."""
    allocated = "du -k /with/a.img | cut -f1"
    before = int(host.run(allocated, WORK).stdout)
    vm.run(f"blkdiscard -o {2 * MIB} -l {MIB} /dev/vda && guest zero /dev/vda {3 * MIB} {MIB}")
    assert int(host.run(allocated, WORK).stdout) <= before - 1024
    zeroes = "[ $(dd if=%s bs=1M skip=2 count=2 2>/dev/null | tr -d '\\0' | wc -c) = 0 ]"
    host.run(zeroes % "/with/a.img", WORK).check()
    vm.run("echo 3 >/proc/sys/vm/drop_caches; " + zeroes % "/dev/vda")


def check_rate(vm):
    """3 MiB at 1 MiB a second, of which the first is free."""
    text = vm.run("read start x </proc/uptime; dd if=/dev/vdc of=/dev/null bs=64k count=48 "
                  "iflag=direct; read end x </proc/uptime; echo $start $end")
    start, end = (float(word) for word in text.splitlines()[-1].split())
    assert end - start > 1.5, (start, end)


def metric(host, name, sample):
    text = bothy(host, "api", name, "GET", "/metrics")
    return float(re.search(rf"^{re.escape(sample)} (\S+)$", text, re.M)[1])


def check_durable(host, vm, path, seed):
    """The guest writes blocks and says each that is durable, until its VM is shot. Each that it
    said is there, whole, unless a later one took its place."""
    vm.type("guest blocks /dev/vda")
    wanted = random.Random(seed).randrange(30, 90)
    vm.process.expect(rf"^durable {wanted}\r?$", WORK)
    flushes = metric(host, vm.name, 'bothy_block_flushes_total{device="disk0"}')
    assert flushes >= wanted, (flushes, wanted)
    host.run(f"kill -9 $(cut -d' ' -f2 /run/bothy/{vm.name}.lock)", WORK).check()
    assert vm.process.wait(WORK).status == 128 + 9
    last = max(int(number) for number in re.findall(rb"^durable (\d+)\r?\n", vm.process.out, re.M))
    assert last >= wanted
    ring = host.run(f"dd if={path} bs={BLOCK} count={BLOCKS} 2>/dev/null", WORK).check().out
    for number in range(max(1, last - BLOCKS + 1), last + 1):
        block = ring[number % BLOCKS * BLOCK:][:BLOCK]
        words = set(struct.unpack(f"<{BLOCK // 8}Q", block))
        assert len(words) == 1 and min(words) >= number, (number, last, sorted(words)[:4])
    return last


def rings(host, name):
    """How many io_urings the VM has."""
    return int(host.run(f"ls -l /proc/$(cut -d' ' -f2 /run/bothy/{name}.lock)/fd | "
                        "grep -c io_uring", WORK).stdout)


def test_disks():
    with type2_host(mem=1024) as host:
        host.run("truncate -s 8M a.img; truncate -s 4M b.img c.img; printf 'READ ONLY' | "
                 "dd of=b.img conv=notrunc 2>/dev/null; truncate -s 8M /tmp/loop; "
                 "modprobe loop; losetup /dev/loop0 /tmp/loop", WORK).check()
        one = Vm(host, "one", "-c", "2", "-d", "/with/a.img,serial=FIRST-DISK,queues=2,direct=on",
                 "-d", "/with/b.img,readonly=on", "-d", "/with/c.img,bandwidth=1M")
        host.run("until bothy stat one >/dev/null 2>&1; do :; done", WORK)
        # From here on without io_uring, on a block device.
        host.run("echo 2 >/proc/sys/kernel/io_uring_disabled", WORK).check()
        two = Vm(host, "two", "-d", "/dev/loop0")
        one.ready()
        assert rings(host, "one") == 1
        check_identity(one)
        check_data(host, one, "/with/a.img")
        check_readonly(host, one)
        check_discard(host, one)
        check_rate(one)
        check_durable(host, one, "/with/a.img", 1)
        two.ready()
        assert rings(host, "two") == 0
        check_data(host, two, "/dev/loop0")
        flushed = "awk '{ print $16 }' /sys/block/loop0/stat"
        before = int(host.run(flushed, WORK).stdout)
        last = check_durable(host, two, "/dev/loop0", 2)
        after = int(host.run(flushed, WORK).stdout)
        assert after - before >= last, (before, after, last)  # each reached the device
        clean(host)
        host.run("losetup -d /dev/loop0", WORK).check()  # nobody has it open
