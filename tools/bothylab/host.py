# SPDX-License-Identifier: Apache-2.0
"""The test host: an emulated Arm machine whose Linux has KVM at EL2, and commands that run in it.

    with Host(with_dir="some/files") as host:           # boots: some seconds
        r = host.run("bothy --version", timeout=60)     # a text goes to sh -c, a list is exec'd
        assert r.status == 0 and "bothy" in r.stdout and not r.stderr
        vm = host.spawn("bothy run ...")                # several may run at the same time
        vm.expect(r"BOTHY-INIT-REACHED uptime=(.*)")[1]
        vm.write("keys"); vm.kill(signal.SIGTERM)
        assert vm.wait(timeout=60).status == 0
        shell = host.spawn(["sh"], terminal=True)       # with a terminal of its own
        host.put("/tmp/file", b"..."); host.get("/tmp/file")

docs/type2-host.md says what is in the host. A command's standard input is empty unless it is
given (run(..., stdin=b"...")) or the command was spawned: there it stays open until
close_stdin(). What a host has written to its disks is gone with it.
"""

import contextlib
import io
import os
import shutil
import socket
import tarfile
import tempfile
import time

from . import fetch, hostimage
from .errors import SetupError, UsageError
from .hostlink import HostEnded, Link, Pipes, Result
from .machine import Machine, WaitFailed

__all__ = ["Host", "HostEnded", "Result"]

MIB = 1 << 20
BOOT_SECONDS = 300  # far above what a loaded machine needs
LOOK = 0.5
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": "/root",
               "USER": "root", "LANG": "C.UTF-8", "BOTHY_WITH": "/with",
               "BOTHY_SHARE": "/usr/share/bothy"}
KERNEL = "linux-6.12-cloud"


class Host:
    """One boot of the test host.

    kernel      the host's own kernel, a name of fetch.KERNELS
    with_dir    a directory whose files are in /with (a copy: writable), or {name: path}
    cpu, smp, mem, gic, icount   the machine: -cpu, CPUs, MiB, version 2 or 3, count instructions
    kernels     Debian kernels for guests, as /usr/share/bothy/NAME
    files       {path: content} of more files for its root file system
    append      more words for the host kernel's command line
    extra       more QEMU arguments
    spare       MiB that are free in /with
    """

    def __init__(self, kernel=KERNEL, with_dir=None, cpu=None, smp=2, mem=2048, *, gic=3,
                 icount=False, kernels=(KERNEL,), files=None, append="", extra=(), spare=256,
                 on_line=None):
        self.directory = tempfile.mkdtemp(prefix="bothy-host-")
        self.link = None
        self.machine = None
        self.icount = icount
        try:
            self.prepare(kernel, with_dir, kernels, files, spare)
            self.machine = Machine(
                machine=f"virt,gic-version={gic},virtualization=on",
                cpu=cpu or "max,sve=off,pauth-impdef=on", smp=smp,
                mem=mem + sum(size for _, size in self.disks), icount=icount,
                image=fetch.kernel(kernel), initrd=os.path.join(self.directory, "initrd"),
                append=f"console=ttyAMA0 panic=-1 mem={mem}M numa=off "
                       f"{'bothy.agent=semihosting:agent ' if icount else ''}{append}".strip(),
                edit_dts=lambda text: text + self.disk_nodes(0x40000000 + mem * MIB),
                extra=self.arguments(smp, mem) + list(extra), on_line=on_line)
        except BaseException:
            self.kill()
            raise

    def prepare(self, kernel, with_dir, kernels, files, spare):
        """Makes the images; .disks are (path, MiB)."""
        image = os.path.join(self.directory, "with.ext4")
        hostimage.with_image(with_dir, image, spare * MIB)
        disks = [hostimage.root_image(kernels), image]
        self.disks = [(path, os.path.getsize(path) // MIB) for path in disks]
        hostimage.make_initrd(kernel, os.path.join(self.directory, "initrd"), files)

    def disk_nodes(self, address):
        """The disks lie behind the memory that the kernel is told of."""
        nodes = []
        for _, size in self.disks:
            cells = f"{address >> 32:#x} {address & 0xffffffff:#x} 0 {size * MIB:#x}"
            nodes.append(f'pmem@{address:x} {{ compatible = "pmem-region"; reg = <{cells}>; }};')
            address += size * MIB
        return "/ { " + " ".join(nodes) + " };\n"

    def arguments(self, smp, mem):
        """QEMU's memory in parts: the kernel's, and a private mapping of each disk."""
        arguments = ["-object", f"memory-backend-ram,id=ram,size={mem}M",
                     "-numa", f"node,memdev=ram,cpus=0-{smp - 1}"]
        for number, (path, size) in enumerate(self.disks):
            path = path.replace(",", ",,")
            arguments += ["-object", f"memory-backend-file,id=disk{number},mem-path={path},"
                          f"share=off,size={size}M", "-numa", f"node,memdev=disk{number}"]
        if self.icount:
            # A port's input would come at some time or other: see tools/hostagent/link.h.
            return arguments + ["-semihosting-config", "enable=on,target=native,userspace=on"]
        return arguments + ["-device", "virtio-serial-pci", "-chardev", "socket,id=agent,path=agent",
                            "-device", "virtserialport,chardev=agent,name=bothy.agent"]

    def connect(self, deadline):
        """Starts the machine and returns the connection to its agent."""
        self.machine.prepare()
        # Names in this directory are the same in each run, and short enough for a socket.
        self.machine.command = ["env", f"--chdir={self.directory}"] + self.machine.command
        if self.icount:
            pipes = Pipes(self.directory)
            self.machine.start()
            return pipes
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.bind(os.path.join(self.directory, "agent"))
            server.listen(1)
            server.settimeout(LOOK)
            self.machine.start()
            while not self.machine.ended and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    return server.accept()[0]
        raise HostEnded(self.why_ended())

    def start(self, timeout=BOOT_SECONDS):
        """Boots, and returns when commands can be run."""
        self.link = Link(self.connect(time.monotonic() + timeout),
                         lambda: not self.machine.ended, self.why_ended, self.icount)
        try:
            self.link.wait_until(lambda: self.link.ready, timeout)
        except HostEnded:
            raise
        except WaitFailed as error:
            raise WaitFailed(f"the host did not boot: {error}; its last lines:\n"
                             f"{self.machine.tail()}") from None
        return self

    def why_ended(self):
        """Told when the agent is gone: the machine is about to end, or has."""
        try:
            self.machine.wait_exit(10)
        except WaitFailed:
            return f"the host's agent ended; the host's last lines:\n{self.machine.tail()}"
        return f"the host ended; its last lines:\n{self.machine.tail()}"

    @property
    def lines(self):
        """What the host's kernel wrote, as stream.Line."""
        return self.machine.lines

    def spawn(self, command, *, terminal=False, cwd="/with", env=None, on_data=None):
        """Starts a command (a text for sh -c, or a list); returns its hostlink.Process."""
        arguments = ["sh", "-c", command] if isinstance(command, str) else list(command)
        environment = ENVIRONMENT | ({"TERM": "xterm"} if terminal else {}) | (env or {})
        return self.link.start(arguments, cwd, environment, terminal, on_data)

    def run(self, command, timeout=120, *, stdin=b"", cwd="/with", env=None):
        """Runs a command to its end: a Result. Raises WaitFailed, and kills it, if it is late."""
        process = self.spawn(command, cwd=cwd, env=env)
        try:
            process.write(stdin, timeout)
            process.close_stdin()
            return process.wait(timeout)
        except WaitFailed:
            process.kill()
            raise

    def put(self, path, data, mode=0o644, timeout=120):
        """Writes a file in the host; `data` is bytes or a text."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        data = data.encode() if isinstance(data, str) else data
        self.run(["sh", "-c", script, "put", path, f"{mode:o}"], timeout, stdin=data).check()

    def get(self, path, timeout=120):
        """The bytes of a file in the host."""
        return self.run(["cat", path], timeout).check().out

    def fetch_tree(self, path, target, timeout=600):
        """Copies the files below a directory of the host into the directory `target`."""
        done = self.run(["tar", "-c", "-C", path, "."], timeout).check()
        os.makedirs(target, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(done.out)) as tar:
            for member in tar.getmembers():
                parts = member.name.split("/")
                if (member.isfile() or member.isdir()) and ".." not in parts:
                    member.uid, member.gid = os.getuid(), os.getgid()
                    tar.extract(member, target)

    def kill(self):
        """Ends the machine; harmless when it has ended."""
        if self.machine:
            self.machine.kill()
        if self.link:
            self.link.connection.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *exception):
        self.kill()
