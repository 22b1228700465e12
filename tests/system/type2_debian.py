# SPDX-License-Identifier: Apache-2.0
"""A whole Debian under `bothy run`: from its disk to the login, a package from the network, a clean
power-off, and a file system that is found clean afterwards, from outside of everything."""

import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

from bothylab import Host, ext4, rootfs
from support import KERNEL_TROUBLE
from type2 import SHARE, clean

TIMEOUT = 1500
STEP = 600
KERNEL = "linux-6.12-cloud"
HARDWARE_KERNEL = "linux-6.12-generic"  # which has a driver for the power button
KERNELS = (KERNEL, HARDWARE_KERNEL)
CMDLINE = "console=ttyAMA0 quiet loglevel=5 root=/dev/vda rw"
# systemd doesn't wait longer than 90 s for the serial port, which a busy emulated host may need.
PATIENCE = ("etc/systemd/system.conf.d/patience.conf",
            "[Manager]\nDefaultTimeoutStartSec=900\nDefaultDeviceTimeoutSec=900\n")
# As it goes down, systemd no longer hears the journal, which a busy host lets live long enough to
# say so.
FAILED = r"[Ff]ailed to (?!send WATCHDOG=1)"
PORT = 8000
TAP = "10.9.0.1", "10.9.0.2"


class Debian:
    """One that runs, at its serial port."""

    def __init__(self, host, name, disk, options, cmdline="", kernel=KERNEL):
        self.host, self.name = host, name
        self.vm = host.spawn(f"bothy run -N {name} -k {SHARE}/{kernel} -i /with/{kernel} -c 1 "
                             f"-m 320 -d {disk} {options} -p '{CMDLINE} {cmdline}'")

    def log_in(self):
        self.vm.expect(r"^debian login: ", STEP)
        self.vm.write("root\n")
        self.vm.expect(r"root@debian:~# ", STEP)

    def run(self, command):
        """What a command that must succeed prints."""
        start = len(self.vm.out)
        self.vm.write(f"{command}; echo \"BOTHY-STATUS=$?\"\n")
        status = self.vm.expect(r"BOTHY-STATUS=(\d+)\r", STEP)[1]
        text = self.vm.out[start:].decode("utf-8", "replace").replace("\r", "")
        assert status == "0", f"{self.name}: {command}: {text}"
        return text

    def install(self, package, server):
        self.run("/lib/systemd/systemd-networkd-wait-online --timeout=500")
        self.run(f"echo 'deb [trusted=yes] http://{server}:{PORT} ./' >/etc/apt/sources.list")
        self.run("apt-get -q update")
        self.run(f"apt-get -q install -y {package}")
        assert "install ok installed" in self.run(f"dpkg -s {package}")

    def power_off(self):
        self.vm.write("poweroff\n")
        self.ended()

    def stop(self):
        """By the power button, which systemd-logind obeys once it has found it."""
        self.run("until journalctl -q -u systemd-logind | "
                 "grep 'Watching system buttons on .*(gpio-keys)'; do sleep 1; done")
        done = self.host.run(f"bothy stop {self.name} --timeout {STEP}", STEP)
        assert (done.status, done.stdout) == (0, f"{self.name}: stopped\n"), done
        self.ended()

    def ended(self):
        done = self.vm.wait(STEP)
        assert done.status == 0, done
        assert done.stderr.endswith(f"bothy: {self.name}: the guest is off\n"), done.stderr
        trouble = re.findall(rf"^.*(?:{KERNEL_TROUBLE}|{FAILED}).*$", done.stdout, re.M)
        assert not trouble, trouble


def by_passt(host):
    """Over a network of user mode: the gateway is the host's loopback. The disk is a block device
    of the host."""
    debian = Debian(host, "user", "/dev/vda", "-n user")
    debian.log_in()
    assert "Debian GNU/Linux 12" in debian.run("cat /etc/os-release")
    assert "running" in debian.run("systemctl is-system-running --wait")
    debian.install("hello", "192.0.2.1")
    assert "Hello, world!" in debian.run("hello")
    debian.power_off()


def by_tap(host):
    """Over a tap and the kernel's vhost-net, with an address that is given; the disk is a file.
    The kernel is that for hardware, whose modules come with the initrd, and it is `bothy stop`
    that switches it off."""
    debian = Debian(host, "tap", "/with/debian.img", "-n tap=tap0,vhost=on",
                    f"ip={TAP[1]}::{TAP[0]}:255.255.255.0::eth0:none", HARDWARE_KERNEL)
    debian.log_in()
    debian.install("tree", TAP[0])
    assert "directories" in debian.run("tree /etc/apt")
    debian.stop()


def patient_copy(path):
    """A copy of Debian's disk, with PATIENCE in it."""
    rootfs.fresh_copy(path)
    name, text = PATIENCE
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.chmod(file.name, 0o644)
        subprocess.run([ext4.tool("debugfs"), "-w", "-f", "-", path], text=True, check=True,
                       input=f"mkdir {os.path.dirname(name)}\nwrite {file.name} {name}\n",
                       capture_output=True)
    return path


def prepare(host):
    """Disks, networks and the mirror's servers."""
    host.run("modprobe virtio_blk && test -b /dev/vdb && cp /dev/vdb /with/debian.img && outside && "
             "modprobe tun && modprobe vhost_net && ip tuntap add tap0 mode tap vnet_hdr && "
             f"ip addr add {TAP[0]}/24 dev tap0 && ip link set tap0 up", STEP).check()
    for address in ("127.0.0.1", TAP[0]):
        host.run(f"httpd -p {address}:{PORT} -h /with/mirror").check()


def test_login_package_poweroff():
    """Both kinds of network at once. What was installed is on the disks, which are clean."""
    with tempfile.TemporaryDirectory(prefix="bothy-test-") as folder:
        images = [patient_copy(os.path.join(folder, name)) for name in ("a.img", "b.img")]
        mirror = rootfs.mirror(os.path.join(folder, "mirror"))
        files = {os.path.relpath(os.path.join(place, name), folder): os.path.join(place, name)
                 for place, _, names in os.walk(mirror) for name in names}
        drives = [word for number, image in enumerate(images) for word in (
            "-drive", f"if=none,id=d{number},format=raw,cache=unsafe,file={image}",
            "-device", f"virtio-blk-pci,drive=d{number}")]
        files |= {kernel: rootfs.initrd(kernel) for kernel in KERNELS}
        with Host(with_dir=files, kernels=KERNELS, mem=2048, spare=700, extra=drives) as host:
            prepare(host)
            with ThreadPoolExecutor(2) as pool:
                for future in [pool.submit(by_passt, host), pool.submit(by_tap, host)]:
                    future.result()
            clean(host)
            host.run("cat /with/debian.img >/dev/vdb && sync", STEP).check()
        for image, program in zip(images, ("/usr/bin/hello", "/usr/bin/tree")):
            trouble = ext4.check(image)
            assert trouble is None, trouble
            found = subprocess.run([ext4.tool("debugfs"), "-R", f"stat {program}", image],
                                   capture_output=True, text=True, check=True).stdout
            assert "Type: regular" in found, (program, found)
