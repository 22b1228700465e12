# SPDX-License-Identifier: Apache-2.0
"""VMs of the native bothy, whose guests only sleep: names, states, verbs, signals, the console, the
service manager, and that nothing is left after any end."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
import time

from native import BOTHY, PATIENCE, world

LIST_KEYS = {"name", "pid", "state", "vcpu_count", "mem_size_mib", "uptime_s"}


def run_of(here, name, *more):
    return ("--name", name, "-k", here.kernel, "-m", "64", "--serial", "none", *more)


def finish(process):
    """Exit code and what it said."""
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors.decode()


def rows(here):
    return json.loads(here.bothy("list", "--json")[1])


def test_life_of_a_vm():
    with world() as here:
        process = here.start(*run_of(here, "web", "-c", "2"))
        here.wait_state("web", "running")
        row, = rows(here)
        assert set(row) == LIST_KEYS, row
        assert (row["name"], row["vcpu_count"], row["mem_size_mib"]) == ("web", 2, 64)
        assert row["pid"] == process.pid
        text = here.bothy("list")[1]
        assert re.search(rf"^web +{process.pid}  running +2 +64 MiB +0:00:\d\d$", text, re.M), text
        assert here.bothy("pause", "web") == (0, "web: paused\n", "")
        here.wait_state("web", "paused")
        assert json.loads(here.bothy("resume", "web", "--json")[1]) == {
            "name": "web", "state": "running"}
        code, text, _ = here.bothy("stat", "web")
        assert code == 0 and "bothy_vcpu_exits_total" in text, text
        assert json.loads(here.bothy("stat", "--json")[1])[0]["id"] == "web"
        here.fails(5, "no VM called wbe runs: did you mean web?", "pause", "wbe")
        here.fails(5, "no VM called other runs; bothy list shows those that do", "pause", "other")
        here.fails(1, "web hasn't shut down within 1 s: the guest may not know the power button, "
                      "or takes longer (--timeout); bothy kill web ends it at once", "stop", "web",
                   "-t1")
        assert here.bothy("kill", "web") == (0, "web: killed\n", "")
        code, errors = finish(process)
        assert code == 128 + signal.SIGKILL
        assert "bothy: web: the VM was ended by signal 9" in errors, errors
        assert not here.left_over(), here.left_over()
        assert rows(here) == []


def test_names_are_unique():
    with world() as here:
        process = here.start(*run_of(here, "web"))
        here.wait_state("web", "running")
        here.fails(5, f"web: a VM called web runs already, as process {process.pid}; give this one "
                      "another --name, or end that one: bothy stop web", "run",
                   *run_of(here, "web"))
        here.start(*run_of(here, "web2"))
        here.wait_state("web2", "running")
        assert [row["name"] for row in rows(here)] == ["web", "web2"]
        # The loser has left the winner's files alone.
        assert here.bothy("pause", "web")[0] == 0


def test_what_kill_left_is_cleaned():
    with world() as here:
        process = here.start(*run_of(here, "web"))
        here.wait_state("web", "running")
        vm = int(open(os.path.join(here.run_dir, "web.lock"), encoding="ascii").read().split()[1])
        process.kill()
        finish(process)
        deadline = time.monotonic() + PATIENCE
        while os.path.exists(f"/proc/{vm}") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert here.left_over() == ["web.api", "web.console", "web.lock"], here.left_over()
        here.start(*run_of(here, "other"))
        here.wait_state("other", "running")
        assert not [name for name in here.left_over() if name.startswith("web")]
        here.vms[-1].kill()
        finish(here.vms[-1])
        # The VM's process is told by the kernel; it may take a moment to be gone.
        while here.left_over() and time.monotonic() < deadline:
            assert here.bothy("list")[0] == 0
        assert here.left_over() == []


def test_signals():
    with world() as here:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = here.start(*run_of(here, "web"))
            here.wait_state("web", "running")
            process.send_signal(number)
            line = process.stderr.readline().decode()
            assert "pressed the power button; the next one ends the VM at once" in line, line
            process.send_signal(number)
            code, errors = finish(process)
            assert code == 128 + number, (code, errors)
            assert f"bothy: web: ended by signal {int(number)}" in errors, errors
            assert here.left_over() == []


def test_waiting_for_the_api():
    with world() as here:
        process = here.start("--name", "fire", "--api-socket", "fire.sock", "--serial", "none")
        here.wait_state("fire", "configuring")
        own = os.path.join(here.path, "fire.sock")
        assert os.path.exists(own) and "fire.api" not in here.left_over()
        code, text, errors = here.bothy("api", "fire", "PUT", "/actions",
                                        '{"action_type": "InstanceStart"}')
        assert code == 1 and "without kernel" in errors and "fault_message" in text, errors
        body = json.dumps({"kernel_image_path": here.kernel}).encode()
        assert here.bothy("api", "fire", "PUT", "/boot-source", "-", stdin=body)[0] == 0
        assert here.bothy("api", "fire", "PUT", "/actions",
                          '{"action_type": "InstanceStart"}') == (0, "", "")
        here.wait_state("fire", "running")
        answer = json.loads(here.bothy("api", "--json", "fire", "GET", "/")[1])
        assert answer["status"] == 200 and answer["body"]["state"] == "Running", answer
        assert here.bothy("kill", "fire")[0] == 0
        assert finish(process)[0] == 137
        assert not os.path.exists(own) and here.left_over() == []


def test_a_start_that_failed_can_be_repeated():
    def start(here):
        return here.bothy("api", "again", "PUT", "/actions", '{"action_type": "InstanceStart"}')

    with world() as here:
        process = here.start("--name", "again", "--wait")
        here.wait_state("again", "configuring")
        for path, body in (
                ("/boot-source", {"kernel_image_path": here.kernel}),
                ("/drives/x", {"drive_id": "x", "is_root_device": False,
                               "path_on_host": here.file("x.img", bytes(4096))}),
                ("/serial", {"serial_out_path": os.path.join(here.path, "none", "out")})):
            assert here.bothy("api", "again", "PUT", path, json.dumps(body)) == (0, "", "")
        code, _, errors = start(here)
        assert code == 1 and "can't be opened for writing" in errors, errors
        body = json.dumps({"serial_out_path": os.path.join(here.path, "out")})
        assert here.bothy("api", "again", "PUT", "/serial", body) == (0, "", "")
        nobody = json.dumps({"iface_id": "n", "host_dev_name": "bothy-none"})
        assert here.bothy("api", "again", "PUT", "/network-interfaces/n", nobody) == (0, "", "")
        for _ in range(3):  # what the disk had is free again
            code, _, errors = start(here)
            assert code == 1 and "bothy-none" in errors, errors
        assert here.bothy("api", "again", "GET", "/")[0] == 0
        assert "again.console" in here.left_over()
        assert here.bothy("kill", "again")[0] == 0
        finish(process)
        assert here.left_over() == []


def test_stop_of_a_vm_that_waits():
    with world() as here:
        process = here.start("--name", "idle", "--wait", "--serial", "none")
        here.wait_state("idle", "configuring")
        assert here.bothy("stop", "idle") == (0, "idle: stopped\n", "")
        assert finish(process)[0] == 0
        assert here.left_over() == []


def read_until(fd, wanted):
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([fd], [], [], PATIENCE)
        assert ready, seen
        seen += os.read(fd, 4096)
    return seen


def test_console_on_a_terminal():
    with world() as here:
        here.start(*run_of(here, "web"))
        here.wait_state("web", "running")
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        process = subprocess.Popen([BOTHY, "console", "web"], stdin=theirs, stdout=theirs,
                                   stderr=theirs, env=here.env, start_new_session=True,
                                   preexec_fn=lambda: __import__("fcntl").ioctl(
                                       0, termios.TIOCSCTTY, 0))
        read_until(ours, b"attached to web")
        os.write(ours, b"\x01h")
        read_until(ours, b"Ctrl-A x")
        assert termios.tcgetattr(theirs) != before
        os.write(ours, b"\x01x")
        assert process.wait(PATIENCE) == 0
        read_until(ours, b"left web")
        assert termios.tcgetattr(theirs) == before
        os.close(ours)
        os.close(theirs)


def test_console_ends_with_its_vm():
    with world() as here:
        here.start(*run_of(here, "web"))
        here.wait_state("web", "running")
        process = subprocess.Popen([BOTHY, "console", "web"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env=here.env)
        process.stdin.write(b"\x01h")
        process.stdin.flush()
        read_until(process.stdout.fileno(), b"Ctrl-A x") # it is attached
        assert here.bothy("kill", "web")[0] == 0
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0


def notified(listener):
    listener.settimeout(PATIENCE)
    return listener.recv(4096).decode().split("\n")


def test_service_manager():
    with world() as here:
        path = os.path.join(here.path, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            process = here.start(*run_of(here, "web"), env={"NOTIFY_SOCKET": path,
                                                            "WATCHDOG_USEC": "200000"})
            assert notified(listener)[0] == "READY=1"
            assert notified(listener) == ["WATCHDOG=1"]
            assert notified(listener) == ["WATCHDOG=1"]
            process.terminate()
            process.stderr.readline()
            process.terminate()
            messages = []
            while "STOPPING=1" not in messages:
                messages += notified(listener)
            assert finish(process)[0] == 143


def test_journal_levels():
    with world() as here:
        code, _, errors = here.bothy("run", *run_of(here, "web")[:2], "-k", "nix",
                                     env={"JOURNAL_STREAM": "1:2"})
        assert code == 4 and errors.startswith("<3>bothy: web: "), errors


def test_long_run_directory():
    """A socket's path has 107 characters; the run directory may use nearly all of them."""
    with world() as here:
        deep = os.path.join(here.path, "x" * (100 - len(here.path)))
        here.run_dir = here.env["BOTHY_RUN_DIR"] = deep
        name = "n" * 63
        here.start(*run_of(here, name))
        here.wait_state(name, "running")
        assert here.bothy("pause", name)[0] == 0
        assert here.bothy("kill", name)[0] == 0
        assert here.left_over() == []
