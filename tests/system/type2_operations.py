# SPDX-License-Identifier: Apache-2.0
"""`bothy` as its operator meets it: verbs, names, consoles, the API, failures and their sentences,
the jail, and that no VM leaves anything behind."""

import json
import re
import signal

from support import WORK
from type2 import KERNEL, QUIET, SHARE, Vm, api, bothy, clean, fails, type2_host

TIMEOUT = 900
HELLO = ("-k", f"{SHARE}/hello.bin")
FOREVER = "beats=1000000 period=200"


def beating(host, name, *arguments, memory="16"):
    """A VM whose guest says something five times a second, for ever."""
    vm = Vm(host, name, *HELLO, "-p", FOREVER, *arguments, memory=memory, linux=False)
    wait_state(host, name, "running")
    return vm


def rows(host):
    return {row["name"]: row for row in json.loads(bothy(host, "list", "--json"))}


def wait_state(host, name, state):
    """`bothy list` is asked in the host, which is quicker than from here."""
    script = (f"until bothy list --json 2>/dev/null | tr -d '\\n ' | "
              f"grep -q '\"name\":\"{name}\",\"pid\":[0-9]*,\"state\":\"{state}\"'; do :; done")
    host.run(script, WORK)


def pids(host, name):
    """Supervisor and VM."""
    return [int(word) for word in host.run(["cat", f"/run/bothy/{name}.lock"]).stdout.split()[:2]]


# ---- Verbs ----

def check_verbs(host):
    vms = {name: beating(host, name, "-s", "socket") for name in ("mail", "web-1")}
    found = rows(host)
    assert set(found) == set(vms) and found["mail"]["pid"] == pids(host, "mail")[0], found
    assert bothy(host, "pause", "mail") == "mail: paused\n"
    assert bothy(host, "pause", "mail") == "mail: paused\n"  # again does no harm
    found = rows(host)
    assert (found["mail"]["state"], found["web-1"]["state"]) == ("paused", "running"), found
    assert json.loads(bothy(host, "resume", "mail", "--json")) == {"name": "mail",
                                                                   "state": "running"}
    assert re.search(r"^web-1 +\d+  running +1 +16 MiB +0:\d\d:\d\d$", bothy(host, "list"), re.M)
    stat = json.loads(bothy(host, "stat", "web-1", "--json"))
    assert stat["id"] == "web-1" and stat["metrics"], stat
    assert "mail: running, process" in bothy(host, "stat")
    fails(host, ["stat", "web1"], 5, "no VM called web1 runs: did you mean web-1?")
    fails(host, ["kill", "other"], 5, "no VM called other runs; bothy list shows those that do")
    fails(host, ["pasue", "mail"], 2, "unknown command pasue: did you mean pause?")
    fails(host, ["run", "--name", "mail", *HELLO], 5, "a VM called mail runs already, as process ")
    fails(host, ["stop", "mail", "-t", "1"], 1, "mail hasn't shut down within 1 s", "bothy kill")
    done = host.run(["bothy", "api", "mail", "GET", "/nope"], WORK)
    assert done.status == 1 and "fault_message" in done.stdout, done
    assert api(host, "mail", "GET", "/")["state"] == "Running"
    assert json.loads(bothy(host, "kill", "mail", "--json")) == {"name": "mail",
                                                                 "state": "killed"}
    done = vms["mail"].process.wait(WORK)
    assert done.status == 128 + 9 and "ended by signal 9" in done.stderr, done
    api(host, "web-1", "PUT", "/actions", {"action_type": "Stop"})
    assert vms["web-1"].process.wait(WORK).status == 0
    assert rows(host) == {}


def check_console(host):
    vm = beating(host, "talk", "-s", "socket")
    console = host.spawn(["bothy", "console", "talk"], terminal=True)
    console.expect("attached to talk; Ctrl-A x leaves", WORK)
    console.expect(r"^beat \d+ of 1000000", WORK)
    console.write("\x01h")
    console.expect(r"Ctrl-A", WORK)
    console.write("\x01b")
    console.write("\x01x")
    console.expect("left talk", WORK)
    assert console.wait(WORK).status == 0
    assert rows(host)["talk"]["state"] == "running"
    again = host.spawn(["bothy", "console", "talk"], terminal=True)
    again.expect(r"^beat \d+ of", WORK)
    bothy(host, "kill", "talk")
    assert again.wait(WORK).status == 0  # the VM's end is the console's
    assert vm.process.wait(WORK).status == 128 + 9
    # The serial port on the terminal itself: there Ctrl-A x is the VM's end.
    vm = host.spawn(["bothy", "run", "--name", "tty", *HELLO, "-m", "16", "-p", FOREVER],
                    terminal=True)
    vm.expect(r"^beat \d+ of", WORK)
    vm.write("\x01x")
    assert vm.wait(WORK).status == 0, vm.stdout
    clean(host)


# ---- Ends ----

def end_by(vm, number):
    """The first one presses the power button, of which this guest knows nothing; the second ends
    the VM."""
    vm.process.kill(number)
    vm.process.expect(r"pressed the power button; the next one ends the VM", WORK, "stderr")
    vm.process.kill(number)
    assert vm.process.wait(WORK).status == 128 + number


def check_signals(host):
    for number in (signal.SIGTERM, signal.SIGINT):
        vm = beating(host, "sig", "-s", "none")
        end_by(vm, number)
        clean(host)


def check_kills(host):
    """With everything that has a name in the host: interfaces, sockets, passt, a disk's lock."""
    host.run("truncate -s 1M /with/kill.img; mkdir /with/sockets", WORK).check()
    all_of_it = ("-s", "none", "-d", "/with/kill.img", "-n", "tap=new", "-n", "user",
                 "--vsock", "9,path=/with/sockets/v", "--api-socket", "/with/sockets/api")
    sockets = "ls /with/sockets; ls /sys/class/net"
    before = host.run(sockets, WORK).stdout
    for victim in (1, 0):  # the VM; its supervisor
        vm = beating(host, "victim", *all_of_it)
        host.run(["kill", "-9", str(pids(host, "victim")[victim])], WORK).check()
        done = vm.process.wait(WORK)
        assert done.status == (128 + 9 if victim else -9), done
        host.run("while pidof bothy passt; do :; done", WORK)
        if not victim:
            assert "victim.lock" in host.run("ls /run/bothy", WORK).stdout
            assert rows(host) == {}  # which cleans up
        assert host.run("ls -A /run/bothy", WORK).stdout == ""
        vm = beating(host, "victim", *all_of_it)  # what was left is in nobody's way
        end_by(vm, signal.SIGTERM)
        assert host.run(sockets, WORK).stdout == before
        clean(host)


def check_hundred(host):
    """Nothing grows with the number of VMs that there were."""
    script = """
    one() { bothy run --name loop$1 -k /usr/share/bothy/first.bin -m 16 -s none 2>&1 |
            grep -v ': the guest is off'; }
    # Free, of use only as long as nobody needs it, or free and kept by a CPU (in pages).
    used() { awk '/^(MemFree|Buffers|Cached|SReclaimable):/ { sum += $2 }
                  $1 == "count:" { sum += 4 * $2 } END { print -sum }' \
             /proc/meminfo /proc/zoneinfo; }
    facts() { echo 3 >/proc/sys/vm/drop_caches; echo "$(used) $(cut -f1 /proc/sys/fs/file-nr)" \
              "$(ls /run/bothy /tmp | wc -l)"; }
    for i in 1 2 3 4; do one $i & one 5$i; wait; done
    before=$(facts)
    for i in $(seq 50); do one $i & one $((i + 50)); wait; done
    after=$(facts)
    echo "$before"; echo "$after"
    """
    done = host.run(script, 2 * WORK).check()
    before, after = ([int(word) for word in line.split()] for line in done.stdout.splitlines())
    assert not done.stderr, done
    assert after[0] - before[0] < 16384, (before, after)  # KiB: no VM keeps 160
    assert after[1] - before[1] < 64, (before, after)  # the kernel counts open files in batches
    assert after[2] == before[2], (before, after)


def check_several(host):
    """Ten at once; each has its own name, and ends without the others."""
    script = """
    for i in 0 1 2 3 4 5 6 7 8 9; do
        bothy run --name many$i -k /usr/share/bothy/hello.bin -m 16 -s file=/tmp/many$i \
            -p "beats=$((2 + i))" & done
    wait; grep -h '^BOTHY-PAYLOAD hello done' /tmp/many? | wc -l; rm /tmp/many?
    """
    done = host.run(script, WORK).check()
    assert done.stdout == "10\n" and done.stderr.count(": the guest is off\n") == 10, done


def check_jail(host):
    """Each thread of a VM: nobody, without rights, in nothing, under its filter."""
    vm = beating(host, "jailed", "-s", "none", "-c", "2")
    pid = pids(host, "jailed")[1]
    text = host.run(f"cat /proc/{pid}/task/*/status; ls -A /proc/{pid}/root/; "
                    f"ls -A /proc/{pid}/cwd/", WORK).check().stdout
    threads = text.count("Name:\t")
    assert threads >= 3 and text.count("\nName:") == threads - 1, text  # no file behind the last
    for line in (r"Seccomp:\t2", r"NoNewPrivs:\t1", r"CapEff:\t0+", r"CapPrm:\t0+",
                 r"CapInh:\t0+", r"Uid:\t65534\t65534\t65534\t65534",
                 r"Gid:\t65534\t65534\t65534\t65534", r"Groups:\t *"):
        assert len(re.findall(rf"^{line}$", text, re.M)) == threads, (line, text)
    assert not re.search(r"^[^:\s]+$", text, re.M), text  # a file of its root
    for space in ("mnt", "ipc", "uts"):
        host.run(f"a=$(readlink /proc/{pid}/ns/{space}) && [ $a != $(readlink "
                 f"/proc/self/ns/{space}) ]", WORK).check()
    bothy(host, "kill", "jailed")
    vm.process.wait(WORK)


def check_memory(host):
    """Where the guest's memory comes from, and that it isn't taken before it is used."""
    host.run("echo 40 >/proc/sys/vm/nr_hugepages", WORK).check()
    for memory, script in (
            ("64,hugepages=2M", "grep -q '^HugePages_Rsvd: *[1-9]' /proc/meminfo"),
            ("64,locked=on", "awk '/^VmLck/ && $2 >= 65536 { ok = 1 } END { exit !ok }' status"),
            ("64,shared=on", "grep -q '^[^ ]* rw-s .*/memfd:' maps"),
            ("64,numa_node=0", "grep -q '^[^ ]* bind:0 ' numa_maps"),
            ("6G", "awk '/^VmRSS/ && $2 < 8192 { ok = 1 } END { exit !ok }' status")):
        vm = beating(host, "memory", memory=memory)
        vm.process.expect(r"^beat \d+ of", WORK)
        done = host.run(script, WORK, cwd=f"/proc/{pids(host, 'memory')[1]}")
        assert done.status == 0, (memory, done)
        bothy(host, "kill", "memory")
        size = vm.process.wait(WORK).stdout
        assert f"RAM {6144 if memory == '6G' else 64} MiB at" in size, size
    assert "HugePages_Free:       40\n" in host.run("cat /proc/meminfo", WORK).stdout
    host.run("echo 0 >/proc/sys/vm/nr_hugepages", WORK).check()


def test_verbs_and_ends():
    with type2_host(mem=1024) as host:
        host.run("outside", WORK).check()
        for check in (check_verbs, check_console, check_signals, check_kills, check_several,
                      check_jail, check_memory, check_hundred):
            check(host)
            clean(host)


# ---- Failures ----

SMALL = ("run", *HELLO, "-m", "16", "-s", "none")
REFUSED = [
    # arguments, exit code, what the sentence has
    (("-k", "/nope"), 4, "can't open the kernel /nope: No such file or directory"),
    (("-k", "/tmp/empty"), 4, "the kernel /tmp/empty is empty"),
    (("-k", "/tmp/kernel.gz"), 4, "the kernel /tmp/kernel.gz is compressed with gzip: unpack it"),
    (("-k", "/usr/bin/bothy"), 4, "is an ELF file: make a binary of it with objcopy"),
    (("-k", f"{SHARE}/{KERNEL}"), 4, "16 MiB of memory are too few: the kernel "),
    (("-i", "/nope"), 4, "can't open the initrd /nope: No such file or directory"),
    (("--dtb", "/tmp/text"), 4, "/tmp/text is no flattened device tree"),
    (("-d", "/nope"), 4, "can't open /nope: No such file or directory (make one with `truncate"),
    (("-d", "/tmp"), 4, "/tmp is a directory; a disk is a file or a block device"),
    (("-d", "/tmp/empty"), 4, "/tmp/empty has 0 bytes, less than a sector"),
    (("-d", "/dev/null"), 4, "/dev/null is neither file nor disk"),
    (("-n", "tap=tap9"), 4, "tap tap9: there is no such interface (ip tuntap add dev tap9"),
    (("-n", "tap=lo"), 4, "tap lo: not a tap interface"),
    (("-n", "tap=new", "--netns", "nope"), 4, "netns nope: can't be opened (ip netns add"),
    (("-n", "tapfd=77"), 4, "tapfd 77: not an open tap interface"),
    (("-n", "user"), 3, "net0: passt refuses: "),  # this host has no interface to the outside
    (("-s", "file=/nodir/x"), 4, "'/nodir/x': can't be opened for writing"),
    (("--vsock", "3,path=/nodir/x"), 4, "vsock: can't listen on '/nodir/x'"),
    (("--api-socket", "/nodir/x"), 3, "cannot listen at the API's socket /nodir/x"),
    (("--memory", "16,hugepages=2M"), 3, "fewer free huge pages than 8 of 2048 KiB: write more to"),
    (("--memory", "16,numa_node=3"), 2, "can't bind guest memory to NUMA node 3"),
    (("--cpus", "1,affinity=9"), 3, "vCPU 0 can't be bound to CPU 9 of this host"),
    (("--cpus", "1,sve=on"), 3, "this host's VMs have no sve: leave out sve=on"),
    (("--cpus", "65"), 2, "count: 65 is not possible; allowed is 1 to 64"),
    (("--cpu", "cortex-a27"), 2, 'there is no CPU profile "cortex-a27": take host, '),
    (("--gic", "v2"), 3, "this host can't give its guests a GICv2: use --gic auto"),
    (("--jail", "on,user=nobdy"), 2, "jail user 'nobdy': /etc/passwd has no such user"),
    (("--jail", "on,user=root"), 2, "jail user 'root' is root"),
    (("--config", "/tmp/text"), 2, "/tmp/text:1:4: not JSON"),
    (("--balloon=16",), 2, "a target of 16 MiB leaves nothing of the guest's 16 MiB"),
    (("--kernal", "x"), 2, "unknown option --kernal: did you mean --kernel?"),
]


def merged(arguments):
    """A kernel or memory of its own takes the place of the usual one."""
    base = list(SMALL)
    for names, count in ((("-k",), 2), (("--memory",), 2)):
        if arguments[0] in names:
            at = base.index({"-k": "-k", "--memory": "-m"}[arguments[0]])
            del base[at:at + count]
    return base + list(arguments)


def check_refusals(host):
    host.run("echo this is no such thing >/tmp/text; : >/tmp/empty; "
             f"gzip -c {SHARE}/hello.bin >/tmp/kernel.gz; truncate -s 1M /tmp/disk", WORK).check()
    for arguments, status, sentence in REFUSED:
        fails(host, merged(arguments), status, sentence)
        clean(host)


def check_conflicts(host):
    """What one VM has another can't have."""
    vm = beating(host, "first", "-s", "none", "-d", "/tmp/disk", "--vsock", "5",
                 "--api-socket", "/tmp/api")
    pid = pids(host, "first")[1]
    fails(host, [*SMALL, "-d", "/tmp/disk"], 4, f"process {pid} (bothy) has /tmp/disk open; one VM "
          "may write to an image, or several read it with readonly=on")
    fails(host, [*SMALL, "--vsock", "5"], 2, "another VM of this host has the CID 5; choose")
    fails(host, [*SMALL, "--api-socket", "/tmp/api"], 5,
          "another process listens at the API's socket /tmp/api")
    assert rows(host)["first"]["state"] == "running"
    bothy(host, "kill", "first")
    vm.process.wait(WORK)


def check_nobody(host):
    """A user without rights is told which he lacks; with them he can run VMs."""
    su = "su -s /bin/sh nobody -c '%s'"
    small = " ".join(["bothy", *SMALL])
    done = host.run(su % small, WORK)
    assert done.status == 3, done
    assert "/dev/kvm may not be opened by this user: join its group with `sudo" in done.stderr, done
    done = host.run(su % "bothy doctor", WORK)
    assert done.status == 3 and re.search(r"^STOP +/dev/kvm may not be opened", done.stdout), done
    assert "No VM can run on this host until" in done.stdout, done
    host.run("chmod 666 /dev/kvm", WORK)
    for more, status, sentence in (
            ("-p beats=1", 0, "the guest is off"),
            ("-d /tmp/disk", 4, "can't open /tmp/disk: Permission denied (to only read it, say "),
            ("-d /tmp/disk,readonly=on -p beats=1", 0, "the guest is off"),
            ("-n tap=new", 3, "no permission to make an interface; it takes CAP_NET_ADMIN, or"),
            ("--memory 128,locked=on", 3, "can't lock 128 MiB of guest memory: raise `ulimit -l`")):
        words = small.replace("-m 16 ", "") if "--memory" in more else small
        done = host.run(su % f"{words} {more}", WORK)
        assert done.status == status and sentence in done.stderr, (more, done)
    assert host.run("ls -A /tmp/bothy-65534; rmdir /tmp/bothy-65534", WORK).stdout == ""
    host.run("chmod 660 /dev/kvm", WORK)


def check_no_kvm(host):
    host.run("mv /dev/kvm /dev/kvm.away", WORK).check()
    fails(host, SMALL, 3, "/dev/kvm does not exist: this Linux has no KVM", "`bothy doctor` tells")
    done = host.run("bothy doctor --json", WORK)
    findings = {row["id"]: row for row in json.loads(done.stdout)["findings"]}
    assert done.status == 3 and findings["kvm"]["state"] == "fatal", done
    assert "doctor" not in findings["kvm"]["text"] and findings["el2"]["state"] == "ok", done
    host.run("mv /dev/kvm.away /dev/kvm", WORK).check()
    done = host.run("bothy doctor", WORK).check()
    assert done.stdout.endswith("VMs can run on this host.\n"), done


def test_refusals():
    with type2_host(mem=1024) as host:
        for check in (check_refusals, check_conflicts, check_nobody, check_no_kvm):
            check(host)
            clean(host)


# ---- The API, as Firecracker's clients use it ----

def check_openmetrics(text):
    """Families once, samples below their family, an EOF at the end."""
    lines = text.splitlines()
    assert lines[-1] == "# EOF", lines[-1]
    family, seen = None, set()
    for line in lines[:-1]:
        if line.startswith("# TYPE "):
            family = line.split()[2]
            assert family not in seen, line
            seen.add(family)
        elif not line.startswith("# "):
            match = re.fullmatch(r'(\w+)(\{(\w+="[^"]*",?)+\})? [-+0-9.e]+(Inf)?', line)
            assert match and match[1].startswith(family), (family, line)
    return seen


def metric(host, name, sample):
    """The value of a sample."""
    text = bothy(host, "api", name, "GET", "/metrics")
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.M)
    assert found, (sample, text)
    return float(found[1])


def configure(host, name):
    put = lambda path, body: api(host, name, "PUT", path, body)  # noqa: E731
    put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 192})
    put("/boot-source", {"kernel_image_path": f"{SHARE}/{KERNEL}", "initrd_path": "/with/initrd",
                         "boot_args": f"{QUIET} root=none"})
    put("/drives/rootfs", {"drive_id": "rootfs", "path_on_host": "/with/fc.img",
                           "is_root_device": True, "is_read_only": False})
    put("/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": "fctap",
                                     "guest_mac": "06:00:AC:10:00:02"})
    put("/balloon", {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1})
    text = bothy(host, "api", name, "PUT", "/drives/rootfs",
                 json.dumps({"drive_id": "rootfs", "path_on_host": "/nope",
                             "is_root_device": False}), status=1)
    assert "/nope" in text, text
    put("/actions", {"action_type": "InstanceStart"})


def wait_balloon(host, name, text):
    """Until its statistics have this text."""
    host.run(f"until bothy api {name} GET /balloon/statistics | grep -q '{text}'; do sleep 0.1; "
             "done", WORK)


def check_balloon(host, vm):
    """Memory comes back to the host, and goes again."""
    name = vm.name
    fill = "dd if=/dev/zero of=/tmp/much bs=1M count=%d && rm /tmp/much"
    resident = f"sed -n 's/^VmRSS:[^0-9]*//p' /proc/{pids(host, name)[1]}/status"
    vm.run(fill % 70)
    before = int(host.run(resident, WORK).stdout.split()[0])
    api(host, name, "PATCH", "/balloon", {"amount_mib": 40})
    wait_balloon(host, name, '"actual_mib":40,')
    after = int(host.run(resident, WORK).stdout.split()[0])
    assert before - after > 20 << 10, (before, after)
    wait_balloon(host, name, "available_memory")
    api(host, name, "PATCH", "/balloon", {"amount_mib": 0})
    wait_balloon(host, name, '"actual_mib":0,')
    vm.run(fill % 20)


def test_firecracker():
    with type2_host(mem=1024) as host:
        host.run("truncate -s 8M /with/fc.img; ip tuntap add dev fctap mode tap", WORK).check()
        vm = Vm(host, "fc", "--api-socket", "/tmp/fc.sock", linux=False)
        wait_state(host, "fc", "configuring")
        assert api(host, "fc", "GET", "/")["state"] == "Not started"
        configure(host, "fc")
        vm.ready()
        assert api(host, "fc", "GET", "/vm/config")["machine-config"]["mem_size_mib"] == 192
        assert "16384" in vm.run("cat /sys/block/vda/size")
        assert "06:00:ac:10:00:02" in vm.run("cat /sys/class/net/eth0/address").lower()
        # Paused, a guest's clock ticks on but nothing answers.
        api(host, "fc", "PATCH", "/vm", {"state": "Paused"})
        vm.type("echo woken")
        ticks = metric(host, "fc", 'bothy_kvm_vcpu_total{vcpu="0",stat="exits"}')
        assert metric(host, "fc", 'bothy_kvm_vcpu_total{vcpu="0",stat="exits"}') == ticks
        assert api(host, "fc", "GET", "/")["state"] == "Paused"
        api(host, "fc", "PATCH", "/vm", {"state": "Resumed"})
        assert vm.ended() == (0, "woken\n")
        check_balloon(host, vm)
        families = check_openmetrics(bothy(host, "api", "fc", "GET", "/metrics"))
        assert {"bothy_vcpu_exits", "bothy_kvm_exits", "bothy_block_reads"} <= families, families
        text = bothy(host, "api", "fc", "GET", "/metrics")
        for reason in ("DABT_LOW", "WFx", "HVC64"):
            assert re.search(rf'^bothy_kvm_exits_total{{vcpu="0",reason="{reason}"', text, re.M)
        # The power button, by the name that Firecracker has for it.
        vm.type("guest button && poweroff -f")
        vm.process.expect(r"^WAITING", WORK)
        api(host, "fc", "PUT", "/actions", {"action_type": "SendCtrlAltDel"})
        vm.process.expect(r"^PRESSED", WORK)
        assert vm.process.wait(WORK).status == 0
        assert host.run("ls /tmp/fc.sock", WORK).status == 1
