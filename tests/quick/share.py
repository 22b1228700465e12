# SPDX-License-Identifier: Apache-2.0
"""What lies beside the program: the man page, the completions, the unit and the example name what the
program has, all of it and nothing else."""

import functools
import os
import re
import shutil
import subprocess

from bothylab import paths
from bothylab.errors import Skipped
from native import BOTHY, world

SHARE = os.path.join(paths.TOP, "share")


def read(name):
    with open(os.path.join(SHARE, name), encoding="utf-8") as file:
        return file.read()


def output(*arguments):
    return subprocess.run([BOTHY, *arguments], capture_output=True, text=True, check=True).stdout


@functools.cache
def commands():
    """Not at the start: ./test looks at this file before it has built the program."""
    return re.findall(r"^  ([a-z]+) ", output("help"), re.M)


def options(command):
    """Long options of a command, --no-X included, from its help."""
    text = output("help", command)
    found = set()
    for name, rest in re.findall(r"^  (?:-\w,|   ) --([a-z-]+)(.*(?:\n {34}.*)*)", text, re.M):
        found.add(name)
        if "--no-... for not" in re.sub(r"\s+", " ", rest):
            found.add("no-" + name)
    return found


def keys():
    """{option: its keys} of run."""
    found = {}
    for name, block in re.findall(r"^Keys of --([a-z]+)[ :].*\n((?: .*\n)+)",
                                  output("help", "run"), re.M):
        found[name] = re.findall(r"^ {6}([a-z_]+)=", block, re.M)
    return found


def test_parsing_of_help():
    """The other tests are worth nothing if this doesn't find what is there."""
    assert {"name", "kernel", "no-rng", "no-balloon", "config", "help"} <= options("run")
    assert {"timeout", "json", "help"} == options("stop")
    assert "readonly" in keys()["disk"] and "tapfd" in keys()["net"] and len(keys()) == 8, keys()


def test_man_page_names_everything():
    text = read("man/man1/bothy.1").replace("\\-", "-").replace("\\&", "")
    for command in commands():
        assert re.search(rf"^\.B {command}$", text, re.M), command
    for option in options("run"):
        if not option.startswith("no-"):
            assert re.search(rf"^\\fB(-\w, )?--{option}\\fR", text, re.M), option
    for option, names in keys().items():
        part = text.split(f'.SS "Keys of --{option}"')[1].split(".SS")[0].split(".SH")[0]
        for key in names:
            assert f"\\fB{key}\\fR=" in part, (option, key)
        assert len(re.findall(r"^\\fB\w+\\fR=", part, re.M)) == len(names), option
    everywhere = set().union(*(options(command) for command in commands()))
    for option in re.findall(r"--([a-z][a-z-]+)", text):
        assert option in everywhere, f"--{option} is in the man page only"


def test_man_page_has_no_warnings():
    if not shutil.which("groff"):
        raise Skipped("the package groff-base isn't installed")
    done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8",
                           os.path.join(SHARE, "man/man1/bothy.1")], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr


def completion(name):
    text = read(name)
    everywhere = set().union(*(options(command) for command in commands()), {"version"})
    for option in options("run") | options("stop"):
        assert re.search(rf"--{option}\b(?!-)", text), option
    for option in re.findall(r"--([a-z][a-z-]+)", text):
        assert option in everywhere, f"--{option} is in {name} only"
    for command in commands():
        assert re.search(rf"\b{command}\b", text), command
    for option, names in keys().items():
        for key in names:
            assert re.search(rf"\b{key}=", text), (option, key)


def test_zsh_completion_names_everything():
    completion("zsh/site-functions/_bothy")


def test_bash_completion_names_everything():
    completion("bash-completion/completions/bothy")


def complete(here, *words):
    """What bash offers for the last word."""
    script = os.path.join(SHARE, "bash-completion/completions/bothy")
    command = (f'source "{script}"; compopt() {{ :; }}; COMP_WORDS=("$@"); '
               'COMP_CWORD=$(($# - 1)); _bothy; printf "%s\\n" "${COMPREPLY[@]}"')
    env = dict(here.env, PATH=os.path.dirname(BOTHY) + ":" + os.environ["PATH"])
    done = subprocess.run(["bash", "-c", command, "bash", *words], capture_output=True, text=True,
                          env=env, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completion_works():
    with world() as here:
        assert set(complete(here, "bothy", "")) == set(commands()) | {"--help", "--version"}
        assert complete(here, "bothy", "run", "--ker") == ["--kernel"]
        assert complete(here, "bothy", "run", "--gic", "v") == ["v2", "v3"]
        assert complete(here, "bothy", "run", "-n", "u") == ["user"]
        assert complete(here, "bothy", "run", "--disk", "a.img,ser") == ["a.img,serial="]
        here.start("--name", "web", "-k", here.kernel, "-m", "64", "--serial", "none")
        here.wait_state("web", "running")
        assert complete(here, "bothy", "stop", "") == ["web"]
        assert complete(here, "bothy", "stop", "-") == ["--timeout", "--json", "--help"]
        assert complete(here, "bothy", "help", "do") == ["doctor"]


def test_example_is_a_vm():
    with world() as here:
        code, _, errors = here.bothy("run", "--dump-config", "--config",
                                     os.path.join(SHARE, "examples/web.json"))
        assert code == 0, errors


def test_service_starts_what_there_is():
    line = re.search(r"^ExecStart=/usr/bin/bothy (.*)$", read("systemd/bothy@.service"), re.M)
    words = line.group(1).replace("%i", "web").split()
    assert words[0] == "run"
    with world() as here:
        words[words.index("--config") + 1] = os.path.join(SHARE, "examples/web.json")
        code, _, errors = here.bothy(*words, "--dump-config")
        assert code == 0, errors


def test_service_is_one_for_systemd():
    if not shutil.which("systemd-analyze"):
        raise Skipped("there is no systemd on this machine")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no",
                           os.path.join(SHARE, "systemd/bothy@.service")], capture_output=True,
                          text=True, check=False)
    known = [text for text in done.stderr.splitlines()
             if "bothy@" in text and "is not executable" not in text]
    assert not known, known
