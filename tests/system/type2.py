# SPDX-License-Identifier: Apache-2.0
"""What the tests of `bothy run` share: a Linux guest that does what is typed at its serial port, the
program in the test host that is its VM, and what must not be left behind."""

import contextlib
import json
import os
import re
import tempfile

from bothylab import Host, WaitFailed, arm64_program, cpio, fetch, hostimage, modules
from support import BOOT, KERNEL_TROUBLE, WORK

HERE = os.path.dirname(os.path.abspath(__file__))
SHARE = "/usr/share/bothy"
KERNEL = "linux-6.12-cloud"
# In the guest; evdev and others that nobody asks for here would only take time.
MODULES = ("virtio_mmio", "virtio_blk", "virtio_net", "virtio_balloon", "virtio_rng",
           "vmw_vsock_virtio_transport")
QUIET = "console=ttyAMA0 quiet loglevel=3 panic=-1"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def guest_program():
    return arm64_program("type2_guest", [os.path.join(HERE, "type2_guest.c")])


def guest_initrd(path, kernel=KERNEL, names=MODULES):
    """Writes the initrd of a guest with this kernel and the named modules of it. It isn't
    compressed: unpacking would take the guest seconds."""
    busybox = read(fetch.busybox())
    archive = cpio.with_busybox(busybox, set(hostimage.applets(busybox)) - {"busybox"})
    archive.add("init", cpio.PROGRAM, read(os.path.join(HERE, "type2_init")))
    archive.add("bin/guest", cpio.PROGRAM, read(guest_program()))
    archive.add("modules", cpio.DIRECTORY)
    order = modules.modules(kernel, names)
    for name, data in order:
        archive.add("modules/" + name, cpio.FILE, data)
    archive.add("modules/order", cpio.FILE, "\n".join(name for name, _ in order).encode())
    with open(path, "wb") as file:
        file.write(archive.finish())


@contextlib.contextmanager
def type2_host(**options):
    """A test host with that initrd and its program as /with/initrd and /with/guest; its kernel must have nothing to complain of,
    and nothing of any VM may be left in it."""
    with tempfile.TemporaryDirectory(prefix="bothy-type2-") as folder:
        path = os.path.join(folder, "initrd")
        guest_initrd(path)
        files = {"initrd": path, "guest": guest_program()} | options.pop("with_dir", {})
        with Host(with_dir=files, **options) as host:
            yield host
            clean(host)
            trouble = [line.text for line in host.lines if re.search(KERNEL_TROUBLE, line.text)]
            assert not trouble, trouble


def left_over(host):
    """What a VM could leave: its files, processes, interfaces. Empty if it left nothing."""
    return host.run("ls -A /run/bothy 2>/dev/null; ls -d /tmp/bothy-* 2>/dev/null; "
                    "pidof bothy; pidof passt; ls /sys/class/net | grep -E '^bothy|^bt'; "
                    "true", WORK).stdout


def clean(host):
    found = left_over(host)
    assert not found, f"left over: {found!r}"


def bothy(host, *arguments, status=0, stdin=b""):
    """Runs a verb; returns what it printed, or what it complained of if it had to fail."""
    done = host.run(["bothy", *arguments], WORK, stdin=stdin)
    assert done.status == status, (arguments, status, done)
    return done.stdout if status == 0 else done.stderr


def api(host, name, method, path, body=None, status=0):
    """A request through `bothy api`: the answer's JSON, or None."""
    text = bothy(host, "api", name, method, path, *([json.dumps(body)] if body is not None else []),
                 status=status)
    return json.loads(text) if status == 0 and text.strip() else text


def fails(host, arguments, status, *sentences):
    """A run that has to fail, with one line that says all of this."""
    done = host.run(["bothy", *arguments], WORK)
    assert done.status == status and not done.stdout, (arguments, status, done)
    for sentence in sentences:
        assert sentence in done.stderr, (arguments, sentence, done.stderr)
    assert re.fullmatch(r"bothy: [^\n]+\n", done.stderr), (arguments, done.stderr)


class Vm:
    """`bothy run` in the host, with a Linux that does what it is told."""

    def __init__(self, host, name, *arguments, memory="192", cmdline="", linux=True, prefix=(),
                 kernel=KERNEL, initrd="initrd"):
        words = ["bothy", "run", "--name", name, "-m", memory]
        if linux:
            words += ["-k", f"{SHARE}/{kernel}", "-i", f"/with/{initrd}", "-p",
                      f"{QUIET} {cmdline}".strip()]
        self.host, self.name = host, name
        self.process = host.spawn([*prefix, *words, *arguments])
        self.number = 0

    def ready(self, timeout=BOOT):
        self.process.expect(r"^GUEST-READY\r?$", timeout)
        return self

    def type(self, line):
        """Types a line, and doesn't wait for its end."""
        self.number += 1
        self.process.write(line + "\n")

    def ended(self, timeout=WORK):
        """(status, output) of the line that was typed last."""
        start = self.process.seen[17]
        done = self.process.expect(rf"^GUEST-DID {self.number} (\d+)\r?\n", timeout)
        text = self.process.out[start:self.process.seen[17]].decode("utf-8", "replace")
        text = text.replace("\r", "")
        return int(done[1]), text[:text.rindex("GUEST-DID")].lstrip("\n")

    def run(self, line, timeout=WORK, status=0):
        """The output of a line that ends with this status."""
        self.type(line)
        got, text = self.ended(timeout)
        if status is not None and got != status:
            raise WaitFailed(f"in {self.name}: {line}: status {got}\n{text}")
        return text

    def off(self, timeout=WORK):
        """Switches the guest off, and checks how the VM ended."""
        self.process.write("poweroff -f\n")
        done = self.process.wait(timeout)
        assert done.status == 0, done
        assert f"bothy: {self.name}: the guest is off" in done.stderr, done.stderr
        return done

    def log(self):
        return self.process.stderr
