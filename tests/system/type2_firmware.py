# SPDX-License-Identifier: Apache-2.0
"""U-Boot and Debian's installer, unmodified, under `bothy run`."""

import re
from concurrent.futures import ThreadPoolExecutor

from bothylab import Host, bootdisk, fetch
from support import BOOT, WORK
from type2 import clean

TIMEOUT = 1200
LONG = 900
BOOTARGS = "console=ttyAMA0 panic=-1 loglevel=5 bothy.do=cpus,memory,poweroff"


def uboot(host, name):
    return host.spawn(f"bothy run -N {name} -k /with/u-boot.bin -d /with/boot.img,readonly=on "
                      f"-m 256 -c 2")


def boots(vm, name):
    """From the disk, to the end."""
    vm.expect(r"Found /extlinux/extlinux.conf", WORK)
    vm.expect(r"Starting kernel", WORK)
    vm.expect(r"^BOTHY-INIT-REACHED", BOOT)
    vm.expect(r"^BOTHY-CPUS 2\r?$", WORK)
    vm.expect(r"^BOTHY-MEMORY \d+ kB\r?$", WORK)
    done = vm.wait(WORK)
    assert done.status == 0 and done.stderr == f"bothy: {name}: the guest is off\n", done


def uboot_prompt(host):
    """Its prompt, what it says of the machine, and on from there."""
    vm = uboot(host, "prompt")
    # In its two seconds a key leads to the prompt: one that is there before, and one in them.
    vm.expect(r"^U-Boot \d+", WORK)
    vm.write("\r")
    vm.expect(r"Hit any key to stop autoboot", WORK)
    vm.write("\r")
    vm.expect(r"=> ", WORK)
    vm.write("version; echo said $? end\n")
    vm.expect(r"^U-Boot \d+\.\d+[^\r\n]*\r?\n", WORK)
    vm.expect(r"^said 0 end\r?\n", WORK)
    vm.write("bdinfo; virtio scan; virtio info\n")
    vm.expect(r"-> size +0?= 0x0*10000000\b", WORK)
    vm.expect(r"Device 0: \S+ VirtIO Block Device", WORK)
    vm.write("boot\n")
    boots(vm, "prompt")


def uboot_alone(host):
    """Left alone it boots from the disk by itself."""
    boots(uboot(host, "alone"), "alone")


def installer(host):
    """To its first menu, which takes keys, and to the next."""
    vm = host.spawn("truncate -s 2G /tmp/empty.img && exec bothy run -N installer -k /with/linux "
                    "-i /with/initrd.gz -m 512 -d /tmp/empty.img -p 'console=ttyAMA0 quiet'")
    vm.expect(r"Select a language", LONG)
    vm.expect(r"English", WORK)
    vm.write("\r")
    vm.expect(r"Select your location", WORK)
    vm.write(b"\x01x")
    done = vm.wait(WORK)
    assert done.status == 0, done
    assert not re.search(r"Kernel panic|Oops|BUG:", done.stdout), done


def test_uboot():
    files = {"u-boot.bin": fetch.uboot(), "boot.img": bootdisk.disk(BOOTARGS)}
    with Host(with_dir=files) as host, ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(function, host) for function in (uboot_prompt, uboot_alone)]:
            future.result()
        clean(host)


def test_installer():
    files = dict(zip(("linux", "initrd.gz"), fetch.installer()))
    with Host(with_dir=files) as host:
        installer(host)
        clean(host)
