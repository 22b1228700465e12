# SPDX-License-Identifier: Apache-2.0
"""Memory that a guest has used and no longer needs: Linux reports its free pages, and the host has
them back."""

from support import WORK
from type2 import Vm, clean, type2_host

TIMEOUT = 900
MEMORY, MUCH = 256, 96  # MiB: of the guest, and what it uses for a while
# What the host spends on the guest of a process, in KiB: RSS counts private pages and those of a
# memory file, but no explicit huge ones.
RESIDENT = "awk '/^(VmRSS|HugetlbPages):/ { sum += $2 } END { print sum }' /proc/%d/status"


def resident(host, pid):
    return int(host.run(RESIDENT % pid, WORK).check().stdout)


def check_reporting(host, memory):
    vm = Vm(host, "reports", "--balloon=0,free_page_reporting=on",
            memory=f"{MEMORY}{memory}").ready()
    pid = int(host.run("cut -d' ' -f2 /run/bothy/reports.lock", WORK).check().stdout)
    for _ in range(2):  # what was given back can be had again
        vm.run("dd if=/dev/urandom of=/tmp/kept bs=1M count=8 && md5sum </tmp/kept >/tmp/sum")
        vm.run(f"dd if=/dev/zero of=/tmp/much bs=1M count={MUCH}")
        used = resident(host, pid)
        assert used > MUCH << 10, (memory, used)
        vm.run("rm /tmp/much")
        # Linux reports blocks of 2 MiB when they are free for some seconds.
        few = used - (MUCH << 10) * 3 // 4
        host.run(f"until [ $({RESIDENT % pid}) -lt {few} ]; do sleep 0.2; done", WORK)
        vm.run("[ \"$(md5sum </tmp/kept)\" = \"$(cat /tmp/sum)\" ]")
    vm.off()


def test_free_pages_are_reported():
    """Private memory, a memory file, huge pages."""
    with type2_host(mem=1024) as host:
        for memory in ("", ",shared=on", ",hugepages=2M"):
            if "2M" in memory:
                host.run(f"echo {MEMORY // 2} >/proc/sys/vm/nr_hugepages", WORK).check()
            check_reporting(host, memory)
            clean(host)
