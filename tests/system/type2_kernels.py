# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels, unmodified, under `bothy run`: 6.1 and 6.12, as installed in clouds and on
hardware, with PREEMPT_RT, and with pages of 16 KiB."""

import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor

from bothylab import KERNELS, Host
from support import BOOT, KERNEL_TROUBLE, WORK
from type2 import SHARE, Vm, api, bothy, clean, guest_initrd, type2_host

TIMEOUT = 900
AT_A_TIME = 2
# Each character on the serial port is two exits, which cost an emulated host more than anything
# else; complaints are still shown.
QUIET = "console=ttyAMA0 panic=-1 loglevel=5"
BUTTONS = ("linux-6.1-generic", "linux-6.12-generic")  # which have a driver for it


def boot(host, name, cpus, words="cpus,checksum,poweroff", options="", bootargs=QUIET):
    """Boots it, lets it do `words`, and returns what it wrote; it must have nothing to complain of
    and switch itself off."""
    vm = host.spawn(f"bothy run -N {name} -k {SHARE}/{name} -i {SHARE}/initrd.cpio.gz -c {cpus} "
                    f"-m 256 -p '{bootargs} bothy.do={words}' {options}")
    vm.expect(r"^BOTHY-INIT-REACHED", BOOT)
    vm.expect(rf"^BOTHY-CPUS {cpus}\r?$", WORK)
    done = vm.wait(WORK)
    trouble = re.findall(rf"^.*(?:{KERNEL_TROUBLE}).*$", done.stdout, re.M)
    assert done.status == 0 and not trouble, (name, trouble, done)
    assert "checksum" not in words or re.search(r"^BOTHY-CHECKSUM [0-9a-f]{64} ok", done.stdout,
                                                re.M), done
    # That the host lacks something may be told first.
    assert done.stderr.endswith(f"bothy: {name}: the guest is off\n"), done.stderr
    return done.stdout


def test_all_kernels():
    """Each with 2 vCPUs."""
    with Host(kernels=sorted(KERNELS), mem=1536) as host, ThreadPoolExecutor(AT_A_TIME) as pool:
        for future in [pool.submit(boot, host, name, 2) for name in KERNELS]:
            future.result()
        clean(host)


def test_eight_vcpus():
    """Four times as many vCPUs as CPUs. In an emulator on an emulator's CPUs the guest's watchdogs
    are right that its CPUs stand still for long, so they are off."""
    with Host(smp=2) as host:
        boot(host, "linux-6.12-cloud", 8, "cpus,hotplug:1,poweroff",
             bootargs=QUIET + " nowatchdog rcupdate.rcu_cpu_stall_suppress=1")
        clean(host)


def test_messages():
    """What the kernel says of the machine, on which it finds nothing to complain of."""
    with Host() as host:
        text = boot(host, "linux-6.12-cloud", 2, "cpus,hotplug:2,poweroff",
                    bootargs="console=ttyAMA0 panic=-1")
        assert "BOTHY-HOTPLUG 2 of 2" in text, text
        for line in (r"psci: PSCIv1\.\d+ detected", r"GICv3: \d+ SPIs implemented",
                     r"ITS@0x\w+: ", r"smp: Brought up 1 node, 2 CPUs", r"arch_timer: cp15 timer",
                     r"9000000\.pl011: ttyAMA0", r"rtc-pl031 \S+ registered as rtc0"):
            assert re.search(line, text), (line, text)
        clean(host)


def test_gicv2():
    """A host that has nothing better gives its guests a GICv2."""
    with Host(gic=2, cpu="cortex-a72") as host:
        boot(host, "linux-6.12-cloud", 2)
        refused = host.run(f"bothy run --gic v3 -k {SHARE}/hello.bin", WORK)
        assert refused.status == 3 and "GICv3" in refused.stderr, refused
        clean(host)


def test_sve():
    """Guests have it or not, as one asks, and still have it when they have rebooted."""
    with Host(cpu="max,pauth-impdef=on") as host:
        command = (f"bothy run -N sve -k {SHARE}/linux-6.12-cloud -i {SHARE}/initrd.cpio.gz -m 256 "
                   "-p 'console=ttyAMA0 panic=-1 bothy.do=cpus,checksum,reboot' -c n=2,sve=")
        vm = host.spawn(command + "on")
        for _ in range(2):
            vm.expect(r"CPU features: detected: Scalable Vector Extension\r?$", BOOT)
            vm.expect(r"^BOTHY-CPUS 2\r?$", BOOT)
            vm.expect(r"^BOTHY-CHECKSUM [0-9a-f]{64} ok\r?$", WORK)
            vm.expect(r"^bothy: sve: the guest reboots$", WORK, "stderr")
        vm.write(b"\x01x")
        assert vm.wait(WORK).status == 0
        done = host.run(command + "off --no-reboot", BOOT)
        assert done.status == 0 and "BOTHY-CPUS 2" in done.stdout, done
        assert "Scalable Vector" not in done.stdout, done
        clean(host)


def test_linux_reboots():
    """By itself, with CPUs to stop and to start again; and where it may not."""
    with Host() as host:
        command = (f"bothy run -N reboots -k {SHARE}/linux-6.12-cloud -i {SHARE}/initrd.cpio.gz "
                   f"-c 2 -m 256 -p '{QUIET} bothy.do=cpus,reboot' ")
        vm = host.spawn(command)
        for _ in range(3):
            vm.expect(r"^BOTHY-INIT-REACHED", BOOT)
            vm.expect(r"^BOTHY-CPUS 2\r?$", WORK)
            vm.expect(r"^bothy: reboots: the guest reboots$", WORK, "stderr")
        vm.write(b"\x01x")
        assert vm.wait(WORK).status == 0
        done = host.run(command + "--no-reboot", BOOT)
        assert done.status == 0 and done.stdout.count("BOTHY-INIT-REACHED") == 1, done
        assert done.stderr.endswith("bothy: reboots: the guest asked for a reboot\n"), done
        clean(host)


def test_linux_panics():
    """panic=-1 is a reboot, as the kernel asks for it; without reboots the VM ends."""
    with Host() as host:
        done = host.run(f"bothy run -N panics -k {SHARE}/linux-6.12-cloud --no-reboot "
                        f"-i {SHARE}/initrd.cpio.gz -m 256 -p '{QUIET} bothy.do=cpus,crash'", BOOT)
        assert done.status == 0, done
        assert "Kernel panic - not syncing: sysrq triggered crash" in done.stdout, done
        clean(host)


def press_button(host, kernel):
    """Each press of the button reaches a program through Linux's driver, though the host's CPUs
    have much else to do; and `bothy stop` waits for the power-off."""
    vm = Vm(host, kernel, kernel=kernel, initrd=kernel).ready()
    others = [host.spawn("while :; do :; done") for _ in range(4)]
    for _ in range(5):
        vm.type("guest key")
        vm.process.expect(r"^WAITING\r?$", WORK)
        api(host, kernel, "PUT", "/actions", {"action_type": "PowerButton"})
        assert vm.ended() == (0, "PRESSED\nRELEASED\n")
    for other in others:
        other.kill()
    vm.type("guest key && poweroff -f")
    vm.process.expect(r"^WAITING\r?$", WORK)
    assert bothy(host, "stop", kernel, "-t", str(WORK)) == f"{kernel}: stopped\n"
    done = vm.process.wait(WORK)
    assert done.status == 0, done
    assert done.stderr.endswith(f"bothy: {kernel}: the guest is off\n"), done.stderr


def test_power_button():
    """The one of the device tree, with the driver that Debian's kernels for hardware have."""
    with tempfile.TemporaryDirectory(prefix="bothy-type2-") as folder:
        files = {kernel: os.path.join(folder, kernel) for kernel in BUTTONS}
        for kernel, path in files.items():
            guest_initrd(path, kernel, ("gpio_keys", "evdev"))
        with type2_host(with_dir=files, kernels=BUTTONS) as host:
            for kernel in BUTTONS:
                press_button(host, kernel)
                clean(host)
