# SPDX-License-Identifier: Apache-2.0
"""The test host itself (bothylab.host), and ./run --type2, which runs commands in it."""

import hashlib
import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import termios
import time

from bothylab import Host, HostEnded, WaitFailed, arm64_program, paths
from support import BOOT, WORK

TIMEOUT = 600
HERE = os.path.dirname(os.path.abspath(__file__))
RUN = [os.path.join(paths.TOP, "run"), "--type2", "--no-build"]


def run(*arguments, stdin=b""):
    """./run --type2: (exit code, stdout, stderr)."""
    done = subprocess.run(RUN + list(arguments), input=stdin, capture_output=True, check=False,
                          timeout=BOOT + WORK)
    return done.returncode, done.stdout, done.stderr


def raises(kind, function):
    try:
        function()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def test_a_command():
    """Its status, its output and its errors, nothing else; files of --with, input, --out."""
    with tempfile.TemporaryDirectory() as folder:
        files, out = os.path.join(folder, "files"), os.path.join(folder, "back")
        os.makedirs(os.path.join(files, "below"))
        with open(os.path.join(files, "below/text"), "wb") as file:
            file.write(b"of the directory\n")
        run("--", "true")  # what has to be made first is told on stderr, too
        script = ("pwd; cat below/text; cat; echo complaint >&2; echo more >>below/text; "
                  "cp below/text out; basename $(command -v passt); exit 42")
        status, stdout, stderr = run("--with", files, "--out", out, "--", script,
                                     stdin=b"typed\r\n\0bytes")
        assert status == 42, (status, stderr)
        assert stdout == (b"/with\nof the directory\ntyped\r\n\0bytes"
                          b"passt\n"), stdout
        assert stderr == b"complaint\n", stderr
        with open(os.path.join(out, "text"), "rb") as file:
            assert file.read() == b"of the directory\nmore\n"
        assert os.path.getsize(os.path.join(files, "below/text")) == 17  # it had a copy


def test_the_guest():
    """Without anything else: a Debian under `bothy run`, and a table."""
    status, stdout, stderr = run()
    text = stdout.decode()
    assert status == 0, (status, text, stderr)
    for line in (r"^\[    0\.000000\] Linux version 6\.12", r"^BOTHY-CPUS 2$",
                 r"^BOTHY-CHECKSUM [0-9a-f]{64} ok\b",
                 r"^guest +kernel +vCPUs +memory +init after \(own clock\) +end$",
                 r"^debian +Linux 6\.12\.\S+ +2 +256 MiB +\d+\.\d\d s \(\d+\.\d\d s\) +off$"):
        assert re.search(line, text, re.M), (line, text)


def test_words_of_a_command():
    """Several words are a program's arguments as they are; a signal is a shell's 128 + N."""
    status, stdout, stderr = run("--", "printf", "%s|", "a b", "$HOME", "")
    assert (status, stdout, stderr) == (0, b"a b|$HOME||", b""), (status, stdout, stderr)
    status, stdout, stderr = run("--", "kill -TERM $$")
    assert (status, stdout, stderr) == (128 + 15, b"", b""), (status, stdout, stderr)


class OnTerminal:
    """./run --type2 with a terminal of its own, that is typed at."""

    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (31, 79))
        self.process = subprocess.Popen(RUN + list(arguments), stdin=slave, stdout=slave,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(slave)
        self.text = b""

    def expect(self, regex):
        deadline = time.monotonic() + BOOT
        while not (match := re.search(regex, self.text)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], self.text
            self.text += os.read(self.master, 4096)
        self.text = self.text[match.end():]

    def type(self, data):
        os.write(self.master, data)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_shell():
    """A shell on our terminal, of its size; its status is ours."""
    with OnTerminal("--shell") as shell:
        shell.expect(rb"host:/with# ")
        shell.type(b"stty size; echo $((40 + 2))\r")
        shell.expect(rb"31 79\r\n42\r\n.*host:/with# ")
        shell.type(b"exit 5\r")
        assert shell.process.wait(WORK) == 5


def test_keys():
    """Ctrl-C is the command's; Ctrl-] three times is ours."""
    with OnTerminal("--", "trap 'echo caught' INT; echo go; while :; do sleep 1; done") as command:
        command.expect(rb"go\r\n")
        command.type(b"\x03")
        command.expect(rb"caught\r\n")
        command.type(b"\x1d\x1d")
        command.type(b"\x1d")
        assert command.process.wait(WORK) == 130


def test_time_is_up():
    start = time.monotonic()
    status, _, stderr = run("--timeout", "20", "--", "sleep 3600")
    assert status == 4 and b"20 s are over" in stderr, (status, stderr)
    assert time.monotonic() - start < WORK


def test_the_host_panics():
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        status, _, stderr = run("--log", log, "--", "echo c >/proc/sysrq-trigger; sleep 3600")
        assert status == 5, (status, stderr)
        assert re.search(rb"^run: the host ended", stderr), stderr
        assert b"sysrq_handle_crash" in stderr, stderr
        with open(log, encoding="utf-8") as file:
            text = file.read()
        assert "Linux version 6.12" in text and "Kernel panic" in text, text


def test_wrong_usage():
    """One sentence each, and nothing is booted."""
    cases = [
        (["--with", "/nonexistent", "--", "x"], "--with /nonexistent: there is no such directory"),
        (["--wiht", "/tmp"], "unknown argument '--wiht'; did you mean --with?; "
                             "./run --type2 --help lists all"),
        (["--"], "there is no COMMAND after --"),
        (["--shell", "--", "x"], "--shell and a COMMAND exclude each other"),
        (["--out", "/tmp"], "--out needs a COMMAND"),
        (["--out", "/etc/passwd", "--", "x"], "--out /etc/passwd: this is not a directory"),
        (["--gic", "4", "--", "x"], "argument --gic: invalid choice: 4 (choose from 2, 3)"),
        (["--mem", "1", "--", "x"], "argument --mem: '1' is not a number from 512 to 65536"),
        (["--log", "/nonexistent/x", "--", "x"], "--log /nonexistent/x: No such file or directory"),
        (["--host-kernel", "linux-5", "--", "x"], "linux-5 is none of the Debian kernels "),
        (["--cpu", "z80", "--", "x"], "QEMU refuses "),
    ]
    for arguments, sentence in cases:
        status, stdout, stderr = run(*arguments)
        assert status == 2 and not stdout, (arguments, status, stdout, stderr)
        text = stderr.decode()
        assert text.startswith(f"run: {sentence}") and text.count("\n") == 1, (arguments, text)


def test_several_commands():
    """Many at a time in one host, each with its own input, output, status and end."""
    with Host() as host:
        assert host.run("exit 7", WORK).status == 7
        assert host.run("kill -9 $$", WORK).status == -9
        assert host.run(["no-such-program"], WORK).status == 127
        assert host.run("pwd", WORK, cwd="/tmp", env={"A": "b"}).stdout == "/tmp\n"
        assert "no-such-folder" in host.run("true", WORK, cwd="/no-such-folder").stderr
        talkers = [host.spawn(f"while read -r line; do echo {n} $line; done; exit {n}")
                   for n in range(10)]
        for turn in ("first", "second"):
            for talker in talkers:
                talker.write(turn + "\n")
            for n, talker in enumerate(talkers):
                assert talker.expect(r"^(\d) (\w+)\n", WORK)[0] == f"{n} {turn}\n"
        for n, talker in enumerate(talkers):
            talker.close_stdin()
            assert talker.wait(WORK).status == n
        late = raises(WaitFailed, lambda: host.run("echo so far; sleep 3600", timeout=3))
        assert "3 s passed" in late and "so far" in late, late
        # What it started goes with it; what is left in the background doesn't hold a command up.
        sleeper = host.spawn("sleep 3600 & echo $!; wait")
        pid = sleeper.expect(r"\d+", WORK)[0]
        sleeper.kill(signal.SIGTERM)
        assert sleeper.wait(WORK).status == -signal.SIGTERM
        assert host.run(f"while kill -0 {pid} 2>/dev/null; do sleep 0.1; done", WORK).status == 0
        assert host.run("sleep 3600 & echo started", WORK).stdout == "started\n"
        gone = raises(HostEnded, lambda: host.run("poweroff -f", WORK))
        assert "the host ended" in gone, gone


def test_much_data():
    """10 MB each way, unharmed; a program that doesn't read holds only itself up."""
    data = os.urandom(10_000_000)
    with Host() as host:
        done = host.run("tee /tmp/copy; sha256sum /tmp/copy >&2", WORK, stdin=data)
        assert done.out == data and hashlib.sha256(data).hexdigest() in done.stderr
        host.put("/run/new/file", data, 0o750)
        assert host.get("/run/new/file") == data
        assert host.run("stat -c %a /run/new/file", WORK).stdout == "750\n"
        host.put("/run/empty", b"")
        assert host.get("/run/empty") == b""
        deaf = host.spawn("sleep 3600")
        assert "to read its input" in raises(WaitFailed, lambda: deaf.write(data, timeout=3))
        assert host.run("echo still here", WORK).stdout == "still here\n"
        # Who has closed its input, or ended, takes what is written as if it read it.
        closed = host.spawn("exec <&-; sleep 1; echo done")
        closed.write(data, WORK)
        assert closed.wait(WORK).stdout == "done\n"


def test_terminal():
    """A process with a terminal: a prompt, keys, Ctrl-C, Ctrl-D, a size."""
    with Host() as host:
        shell = host.spawn(["sh", "-i"], terminal=True, env={"PS1": "% "})
        shell.expect(r"^% ", WORK)
        shell.resize(33, 77)
        shell.write("stty size; tty\r")
        shell.expect(r"^33 77\r\n/dev/pts/\d+\r\n% ", WORK)
        shell.write("echo go; sleep 3600\r")
        shell.expect(r"^go\r$", WORK)
        shell.write("\x03")
        shell.expect(r"^% ", WORK)
        shell.write("echo status $?\r")
        shell.expect(r"^status 130\r\n% ", WORK)
        shell.write("\x04")
        assert shell.wait(WORK).status == 0
        reader = host.spawn("cat; echo end", terminal=True)
        reader.write("line\n")
        reader.close_stdin()
        assert reader.wait(WORK).stdout.replace("\r", "") == "line\nline\nend\n"


def test_surroundings():
    """What docs/type2-host.md promises: file systems, networks, users, modules, guests' images."""
    with Host(smp=1, mem=1024) as host:
        def says(script, expected):
            done = host.run(script, WORK)
            assert re.fullmatch(expected, done.stdout) and not done.stderr, done

        says("uname -m; nproc; id -un", "aarch64\n1\nroot\n")
        says("ls -ld /dev/kvm | cut -c1-10; su nobody -s /bin/sh -c 'id -u'", "crw-rw----\n65534\n")
        says("ip tuntap add tap0 mode tap && ip link add v0 type veth peer name v1 && "
             "ip link add br0 type bridge && ip netns add other && "
             "ip netns exec other ip -br link | cut -c1-2; ip -br addr show lo",
             r"lo\nlo +UNKNOWN +127.0.0.1/8 ::1/128 \n")
        says("exec 3<>/dev/vhost-net 4<>/dev/vhost-vsock && echo open", "open\n")
        says("head -c 16m /dev/zero >/tmp/disk && d=$(losetup -f) && losetup $d /tmp/disk && "
             "mke2fs $d >/dev/null && mount $d /mnt && echo x >/mnt/y && umount /mnt && echo ok",
             "ok\n")
        says("echo 4 >/proc/sys/vm/nr_hugepages && sed -n 's/HugePages_Free: *//p' /proc/meminfo",
             "4\n")
        says("stat -f -c %T /sys/fs/cgroup /tmp /run /dev/pts /dev/hugepages",
             "(cgroup2fs|cgroup2|UNKNOWN|.*)\ntmpfs\ntmpfs\ndevpts\n(hugetlbfs|.*)\n")
        says("unshare -m sh -c 'mount -t tmpfs x /mnt && mkdir /mnt/old && "
             "pivot_root /mnt /mnt/old && echo moved'", "moved\n")
        says("cd $BOTHY_SHARE && ls linux-6.12-cloud initrd.cpio.gz hello.bin; ls /with; pwd",
             "hello.bin\ninitrd.cpio.gz\nlinux-6.12-cloud\n/usr/share/bothy\n")
        says("outside && ping -c 1 192.0.2.1 >/dev/null && ping -c 1 2001:db8::1 >/dev/null && "
             "mkdir /tmp/web && echo page >/tmp/web/a && "
             "ip netns exec outside httpd -h /tmp/web && wget -q -O - http://192.0.2.1/a", "page\n")
        passt = host.spawn("passt -f -1 -s /tmp/passt")
        passt.expect("UNIX domain socket bound at /tmp/passt", WORK, stream="stderr")
        passt.kill()


def kvm_works(**options):
    probe = arm64_program("kvm_probe", [os.path.join(HERE, "kvm_probe.c")])
    with Host(kernels=(), **options) as host:
        with open(probe, "rb") as file:
            host.put("/tmp/kvm_probe", file.read(), 0o755)
        done = host.run("/tmp/kvm_probe", WORK)
        assert done.status == 0 and done.stdout == "KVM works\n", done
        return host.run("dmesg", WORK).stdout


def test_kvm():
    assert "VHE mode initialized" in kvm_works()


def test_kvm_without_vhe():
    assert "Hyp nVHE mode initialized" in kvm_works(cpu="cortex-a72")


def test_kvm_with_gic_2():
    assert "vgic interrupt" in kvm_works(gic=2)


def test_kvm_of_linux_6_1():
    assert "Linux version 6.1." in kvm_works(kernel="linux-6.1-cloud")


def test_kvm_of_16k_pages():
    kvm_works(kernel="linux-6.12-16k")


def counts():
    """What the machine's clock, which counts instructions, says at some moments of one run."""
    with Host(icount=True, kernels=()) as host:
        clock = "sed -n 's/^now at //p' /proc/timer_list"
        result = [host.run(clock, WORK).check().stdout]
        done = host.run("sha256sum; sleep 1 & sha256sum </usr/bin/busybox; wait; "
                        + clock, WORK, stdin=bytes(1 << 20))
        result.append(done.check().stdout)
        talker = host.spawn("echo ready; read line; echo got $line; " + clock)
        talker.expect("ready", WORK)
        time.sleep(0.2)  # our time is not the machine's
        talker.write("something\n")
        result.append(talker.wait(WORK).stdout)
    return result


def test_counting_instructions():
    """Two runs are the same to the nanosecond of the machine's clock, whatever we do."""
    first, second = counts(), counts()
    assert first == second, (first, second)
    assert re.search(r"^\d+ nsecs", first[0], re.M), first


def test_counting_instructions_of_a_command():
    arguments = ["--icount", "--", "cat; sed -n 's/^now at //p' /proc/timer_list"]
    with tempfile.TemporaryFile() as file:
        results = []
        for _ in range(2):
            file.seek(0)
            file.write(b"input\n")
            file.seek(0)
            done = subprocess.run(RUN + arguments, stdin=file, capture_output=True, check=False,
                                  timeout=BOOT + WORK)
            results.append((done.returncode, done.stdout, done.stderr))
    assert results[0] == results[1], results
    assert re.fullmatch(rb"input\n\d+ nsecs\n", results[0][1]), results
