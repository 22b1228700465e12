# SPDX-License-Identifier: Apache-2.0
"""The command line of the native bothy: each wrong input has its sentence and exit code; what can be
printed without running anything is right."""

import json
import os
import re
import subprocess

from bothylab import paths
from native import BOTHY, world

USAGE = [
    ([], "no command; bothy help lists them, bothy run --help says how to run a VM"),
    (["rnu"], "unknown command rnu: did you mean run?"),
    (["xyzzy"], "unknown command xyzzy; bothy help lists them"),
    (["-k", "Image"], "-k: a command comes first, for instance: bothy run -k ... (bothy help lists "
                      "them)"),
    (["help", "lsit"], "unknown command lsit: did you mean list?"),
    (["run"], "no kernel: give --kernel FILE, or --wait to have the API give one"),
    (["run", "--disc", "x"], "unknown option --disc: did you mean --disk?"),
    (["run", "--kernal=x"], "unknown option --kernal: did you mean --kernel?"),
    (["run", "--xyzzy"], "unknown option --xyzzy; bothy help run lists all"),
    (["run", "-Z"], "unknown option -Z; bothy help run lists all"),
    (["run", "Image"], '"Image": bothy run takes only options; bothy help run lists them'),
    (["run", "-k"], "-k needs a value: FILE"),
    (["run", "--disk"], "--disk needs a value: FILE[,KEY=VALUE...]"),
    (["run", "--dump-config=x"], '--dump-config takes no value, but has "x"'),
    (["run", "--no-rng=x"], '--no-rng takes no value, but has "x"'),
    (["run", "--no-kernel"], "unknown option --no-kernel: did you mean --kernel?"),
    (["run", "--sdl"], "--sdl: there is no display; the guest has a serial port and a virtio "
                       "console"),
    (["run", "-append", "quiet"], "-append: write -p TEXT or --cmdline TEXT"),
    (["run", "-smp", "2"], "-smp: write -c N or --cpus N"),
    (["run", "-drive", "file=x"], "-drive: write -d FILE or --disk path=FILE,..."),
    (["run", "--hugetlbfs", "/x"], "--hugetlbfs: write --memory size=...,hugepages=2M"),
    (["run", "-c", "0"], "--cpus: count: 0 is not possible; allowed is 1 to 64"),
    (["run", "-c65"], "--cpus: count: 65 is not possible; allowed is 1 to 64"),
    (["run", "-m", "3X"], '--memory: size: "3X" is not possible; allowed is a size like 512M or '
                          '2G'),
    (["run", "-m", "17M"], "memory: size: 17M is not possible; allowed are multiples of 2M from "
                           "16M up to what the host's CPU can address"),
    (["run", "-d", "x,redonly=on"],
     '--disk: unknown key "redonly": did you mean readonly? Allowed are path, readonly, direct, '
     'cache, serial, id, queues, queue_size, bandwidth and ops'),
    (["run", "-d", "x", "-d", "x"],
     "disk0 and disk1 are the same file, x; that needs both to be readonly"),
    (["run", "-n", "bridge"], '--net: mode: "bridge" is not possible; allowed are user and tap'),
    (["run", "--vsock", "2"], "--vsock: cid: 2 is not possible; allowed is 3 to 4294967294"),
    (["run", "--name", "a/b"], 'name: "a/b" is not a name; allowed are 1 to 63 letters, digits, '
                               "'-', '_' and '.', the first of them no '-' or '.'"),
    (["run", "--log-level", "loud"], 'log_level: "loud" is not possible; allowed are error, '
                                     'warning, info and debug'),
    (["run", "--gic", "v9"], '--gic: "v9" is not possible; allowed are auto, v2 and v3'),
    (["run", "--rng=maybe"], '--rng: "maybe" is not possible; allowed is on or off'),
    (["run", "--dump-dtb", "-"], "--dump-dtb needs a kernel: give --kernel FILE"),
    (["list", "web"], '"web": bothy list takes only options; bothy help list lists them'),
    (["stop"], "something is missing: bothy stop NAME"),
    (["stop", "a", "b"], '"b" is too much: bothy stop NAME'),
    (["stop", "a", "--timeout", "soon"], '--timeout: "soon" is not possible; allowed are 0 to '
                                         '86400 seconds'),
    (["stop", "a b"], 'NAME: "a b" is not a name; allowed are 1 to 63 letters, digits, \'-\', '
                      "'_' and '.', the first of them no '-' or '.'"),
    (["api", "a", "get", "/"], '"get" is not a method; allowed are GET, PUT and PATCH'),
    (["api", "a", "GET", "version"], '"version" is not a path; it must begin with /, like '
                                     '/machine-config, and have no spaces'),
    (["api", "a"], "something is missing: bothy api NAME METHOD PATH [BODY]"),
]


def test_wrong_usage():
    with world() as here:
        for arguments, sentence in USAGE:
            here.fails(2, sentence, *arguments)
        assert not here.left_over(), here.left_over()


def test_missing_files():
    with world() as here:
        missing = "No such file or directory"
        here.fails(4, f"--config: can't open nix.json: {missing}", "run", "--config", "nix.json")
        here.fails(4, re.compile(rf"bothy: x: .*nix.*: {missing}"), "run", "--name", "x", "-k",
                   "nix")
        here.fails(4, re.compile(rf"bothy: x: .*nix.*: {missing}"), "run", "--name", "x", "-k",
                   here.kernel, "-i", "nix")
        here.fails(4, re.compile(rf"bothy: x: .*nix: {missing} .*"), "run", "--name", "x", "-k",
                   here.kernel, "-d", "nix")
        assert not here.left_over(), here.left_over()


def test_no_such_vm():
    with world() as here:
        for verb in ("stat", "pause", "resume", "stop", "kill", "console"):
            here.fails(5, f"no VM called web runs; none does, as far as {here.run_dir} knows", verb,
                       "web")
        assert not os.path.exists(here.run_dir)


def test_bad_configuration_files():
    with world() as here:
        def config(text, sentence, code=2):
            here.file("vm.json", text)
            here.fails(code, sentence, "run", "--config", "vm.json")

        config(b"{", re.compile(r"bothy: vm\.json:1:\d+: not JSON: .*"))
        config(b"[1]", "vm.json: is an array; it must be an object")
        config(b'{"kernal": 1}', 'vm.json: unknown key "kernal": did you mean "kernel"?')
        config(b'{"disks": [{"path": "a", "readonly": "on"}]}',
               "vm.json: disks[0].readonly: is a string; it must be true or false")
        config(b" " * (1 << 20 | 1), "vm.json is longer than 1 MiB; a VM's configuration never is")
        here.fails(2, "standard input: is an array; it must be an object", "run", "--config", "-",
                   stdin=b"[]")


def test_bad_run_directories():
    with world() as here:
        os.symlink(here.path, os.path.join(here.path, "link"))
        shared = os.path.join(here.path, "shared")
        os.mkdir(shared)
        os.chmod(shared, 0o777)
        run = ("run", "-k", here.kernel)
        link = os.path.join(here.path, "link")
        here.fails(3, re.compile(r"bothy: .*can't open the run directory .*/link, which must be a "
                                 r"directory, not a link .*"), *run, env={"BOTHY_RUN_DIR": link})
        here.fails(3, re.compile(r"bothy: .*others may write to the run directory .*/shared: chmod "
                                 r"700 .*"), *run, env={"BOTHY_RUN_DIR": shared})
        here.fails(3, re.compile(r"bothy: .*can't make the run directory /nix/run .*"), *run,
                   env={"BOTHY_RUN_DIR": "/nix/run"})
        here.fails(3, re.compile(r"bothy: .*is longer than 107 characters; set BOTHY_RUN_DIR to a "
                                 r"shorter one"), *run, env={"BOTHY_RUN_DIR": "/" + "x" * 200})


def test_config_round_trip():
    with world() as here:
        code, first, _ = here.bothy(
            "run", "-k", "Image", "-i", "initrd", "-c", "2", "-m", "512", "-p", "quiet", "-d",
            "a.img,ro", "--disk", "path=b.img,bw=1M/100ms", "-n", "user,forward=2222:22", "--net",
            "tap=tap0,vhost", "--balloon", "--vsock", "7", "--no-rng", "--cpu", "host",
            "--console=virtio", "--dump-config")
        assert code == 0
        here.file("vm.json", first.encode())
        code, second, errors = here.bothy("run", "--config", "vm.json", "--dump-config")
        assert (code, second) == (0, first), errors
        value = json.loads(first)
        assert value["cpus"]["count"] == 2 and value["cpus"]["profile"] == "host"
        assert value["memory"]["size"] == "512M"
        assert [disk["readonly"] for disk in value["disks"]] == [True, False]
        assert value["disks"][1]["bandwidth"]["refill_ms"] == 100
        assert [net["mode"] for net in value["nets"]] == ["user", "tap"]
        assert value["rng"] is False and value["console"] == "virtio"
        # The command line has the last word, wherever it stands.
        code, third, _ = here.bothy("run", "-m", "64M", "--config", "vm.json", "--no-balloon",
                                    "--no-vsock", "--dump-config", "-p", "")
        third = json.loads(third)
        assert third["memory"]["size"] == "64M"
        assert not {"balloon", "vsock", "cmdline"} & set(third)


def schema():
    return json.loads(subprocess.run([BOTHY, "run", "--dump-schema"], capture_output=True,
                                     check=True).stdout)


def test_published_schema_is_the_programs():
    with open(os.path.join(paths.TOP, "docs/vm.schema.json"), encoding="utf-8") as file:
        assert json.load(file) == schema(), "bothy run --dump-schema > docs/vm.schema.json"


def example(key, value):
    """Something that the schema allows."""
    if "anyOf" in value:
        value = value["anyOf"][0]
    if "enum" in value:
        return value["enum"][0 if key == "hugepages" else -1]
    kind = value["type"]
    if kind == "object":
        return {name: example(name, inner) for name, inner in value.get("properties", {}).items()
                if name not in ("tapfd", "tap", "make", "vhost", "forward")}
    if kind == "array":
        return [example(key, value["items"])]
    if kind == "boolean":
        return True
    if kind == "integer":
        return max(value.get("minimum", 0), {"size": 64 << 20, "mtu": 1500}.get(key, 2))
    return {"mac": "52:54:00:12:34:56", "affinity": "0-3", "log_level": "debug",
            "bandwidth": "10M+1M/1s"}.get(key.split("_", 1)[-1] if "bandwidth" in key else key,
                                          "100/50ms" if "ops" in key else "x")


def test_program_takes_what_the_schema_allows():
    with world() as here:
        for key, value in schema()["properties"].items():
            text = json.dumps({"kernel": "x", "vsock": {"cid": 3}, key: example(key, value)})
            code, _, errors = here.bothy("run", "--config", "-", "--dump-config",
                                         stdin=text.encode())
            assert code == 0, (text, errors)


def test_help_names_everything():
    with world() as here:
        code, text, _ = here.bothy("help")
        assert code == 0
        commands = re.findall(r"^  ([a-z]+) ", text, re.M)
        assert len(commands) == 12, commands
        for command in commands:
            code, text, _ = here.bothy("help", command)
            assert code == 0 and text.startswith(f"bothy {command} - "), text
            assert here.bothy(command, "--help") == (0, text, "")
            assert max(map(len, text.splitlines())) <= 100, command
        assert here.bothy("--help")[1] == here.bothy("help")[1]
        assert re.fullmatch(r"bothy \d+\.\d+\n", here.bothy("--version")[1])


def test_dtb():
    with world() as here:
        code, _, errors = here.bothy("run", "-k", here.kernel, "--dump-dtb", "x.dtb", "-p", "quiet")
        assert code == 0, errors
        with open(os.path.join(here.path, "x.dtb"), "rb") as file:
            tree = file.read()
        assert tree[:4] == b"\xd0\x0d\xfe\xed" and b"quiet\0" in tree and b"pl011" in tree
        here.fails(4, "--dump-dtb: can't write /nix/x: No such file or directory", "run", "-k",
                   here.kernel, "--dump-dtb", "/nix/x")
        assert not here.left_over()


def test_doctor():
    with world() as here:
        code, text, _ = here.bothy("doctor")
        assert code == 3
        assert "This build of bothy has the fake backend" in text, text
        assert "No VM can run on this host" in text
        code, text, _ = here.bothy("doctor", "--json")
        value = json.loads(text)
        assert code == 3 and value["can_run"] is False
        states = {finding["id"]: finding["state"] for finding in value["findings"]}
        assert states["kvm"] == "fatal" and states["run-directory"] == "ok", states
        assert {"memory", "hugepages", "thp", "memlock", "io-uring", "tun", "make-tap",
                "vhost-net", "passt", "vhost-vsock", "seccomp", "landlock",
                "namespaces"} <= set(states), states
        for finding in value["findings"]:
            assert finding["state"] != "missing" or finding.get("remedy"), finding
