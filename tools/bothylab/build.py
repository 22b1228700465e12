# SPDX-License-Identifier: Apache-2.0
"""./build: sets up and runs Meson's build directories, and puts the results into out/."""

import argparse
import concurrent.futures
import contextlib
import fcntl
import filecmp
import os
import shutil
import subprocess
import sys

from . import fetch, install, paths
from .errors import EXIT_GUEST_CRASHED, EXIT_SETUP, SetupError
from .options import JOBS
from .progress import say

HELP = """\
Builds with Meson below out/ and leaves there:
  out/bothy                  the program for arm64 Linux that runs VMs over KVM
  out/bothy.bin              the EL2 image, an arm64 Image
  out/bothy.elf              the same with symbols
  out/guest/NAME.bin         the bare-metal guests (and NAME.elf)
  out/bothy-partition-check  checks the partitions of a device tree

Exit codes: 0 built, 1 a compile or link error, 2 wrong usage, 3 something is missing.
"""
# What tests are made with: the fast linker, and of debugging only what a trace of calls needs.
TESTS = ["-Ddebug=false", "-Dc_args=-g1"]
TESTS_ENV = {"CC_LD": "lld"}
SANITIZE = ["-Db_lundef=false", "-Doptimization=1", "-Ddebug=false",
            "-Dc_args=-g1 -fno-sanitize-recover=all -fno-omit-frame-pointer"]
# name: (what it is, environment, arguments for meson setup)
BUILDS = {
    "cross": ("EL2 image and guests (gcc)", {},
              ["--cross-file", "tools/cross/arm64-gcc.ini", "-Dfloor=image"]),
    "linux": ("program for arm64 Linux (gcc)", {},
              ["--cross-file", "tools/cross/arm64-linux.ini", "-Dfloor=linux"]),
    "native": ("native programs (gcc)", {"CC": "gcc"}, ["-Dtests=false"]),
    "clang-cross": ("EL2 image and guests (clang)", {},
                    ["--cross-file", "tools/cross/arm64-clang.ini", "-Dfloor=image"]),
    "test": ("unit tests (gcc)", {"CC": "gcc", **TESTS_ENV}, TESTS),
    "asan": ("unit tests (clang, AddressSanitizer and UBSan)", {"CC": "clang", **TESTS_ENV},
             ["-Dfuzz=true", "-Db_sanitize=address,undefined"] + SANITIZE),
    "tsan": ("unit tests (clang, ThreadSanitizer)", {"CC": "clang", **TESTS_ENV},
             ["-Db_sanitize=thread"] + SANITIZE),
    "fuzz": ("fuzz targets (clang, libFuzzer, AddressSanitizer and UBSan)",
             {"CC": "clang", **TESTS_ENV},
             ["-Dfloor=fuzz", "-Db_sanitize=address,undefined"] + SANITIZE),
}
# What of a build is made, if not everything.
TARGETS = {"native": ["el2/bothy-partition-check"]}
DEFAULT = ["cross", "linux", "native"]


class BuildFailed(Exception):
    """The compiler has already said why."""


@contextlib.contextmanager
def locked():
    """One build at a time in this checkout."""
    os.makedirs(paths.OUT, exist_ok=True)
    with open(paths.out("lock"), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def setup_command(name):
    """meson's command line; what it refers to is in the cache."""
    arguments = BUILDS[name][2]
    command = ["meson", "setup", paths.out(name), "-Dlibfdt=" + fetch.libfdt()] + arguments
    if "-Dfloor=image" not in arguments:
        own = fetch.machine_arch()
        arch = "arm64" if "-Dfloor=linux" in arguments else own
        command += ["-Dlibs=" + fetch.libs(arch), "-Dhost_libs=" + fetch.libs(own),
                    "-Dhttp_parser=" + fetch.http_parser()]
    return command


def configure(name, command):
    """Runs meson; not if its directory is one that was made with the same words."""
    what, env, _ = BUILDS[name]
    directory = paths.out(name)
    stamp = os.path.join(directory, "setup-command")
    words = "\n".join([f"{key}={value}" for key, value in sorted(env.items())] + command)
    if os.path.exists(os.path.join(directory, "build.ninja")) and os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as file:
            if file.read() == words:
                return
    shutil.rmtree(directory, ignore_errors=True)
    done = subprocess.run(command, cwd=paths.TOP, env=dict(os.environ, **env), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        print("\n".join(errors or [done.stdout[-2000:]]), file=sys.stderr)
        raise BuildFailed(f"meson could not set up the build of the {what}")
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(words)


def compile_one(name, jobs=None):
    what = BUILDS[name][0]
    command = ["ninja", "-C", paths.out(name)] + (["-j", str(jobs)] if jobs else [])
    command += TARGETS.get(name, [])
    dry = subprocess.run(command + ["-n"], capture_output=True, text=True, check=False)
    if dry.returncode == 0 and "no work to do" in dry.stdout:
        return
    say(f"building: {what}")
    if subprocess.run(command + ["--quiet"], stdout=sys.stderr, check=False).returncode:
        raise BuildFailed(f"the {what} did not build")


def publish(source, target):
    """Copies a result to its place in out/, if it changed."""
    if not os.path.exists(source):
        return
    if os.path.exists(target) and filecmp.cmp(source, target, shallow=False):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy2(source, target + ".new")
    os.rename(target + ".new", target)


def build_each(names, jobs=None):
    """Builds them all, also after one has failed; returns {name: BuildFailed}."""
    failed = {}
    commands = {name: setup_command(name) for name in names}
    # meson takes one CPU: while it looks at the next builds, the compilers have the others.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ready = {name: pool.submit(configure, name, commands[name]) for name in names}
        for name in names:
            try:
                ready[name].result()
                compile_one(name, jobs)
            except BuildFailed as error:
                failed[name] = error
    return failed


def attempt(names, jobs=None):
    """Builds the named build directories and publishes the results; returns {name: BuildFailed}."""
    with locked():
        failed = build_each(names, jobs)
        for name in ("bothy.elf", "bothy.bin"):
            publish(paths.out("cross/el2", name), paths.out(name))
        publish(paths.out("linux/vmm/bothy"), paths.out("bothy"))
        publish(paths.out("native/el2/bothy-partition-check"), paths.out("bothy-partition-check"))
        guests = paths.out("cross/guest")
        for name in os.listdir(guests) if os.path.isdir(guests) else []:
            if name.endswith((".bin", ".elf")):
                publish(os.path.join(guests, name), paths.out("guest", name))
    return failed


def build(names, jobs=None):
    """The same, but raises BuildFailed; both may raise SetupError."""
    for error in attempt(names, jobs).values():
        raise error


def main():
    parser = argparse.ArgumentParser(prog="./build", description=HELP, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true",
                        help="also the clang build, the unit tests and their sanitizer builds")
    parser.add_argument("--only", choices=list(BUILDS), action="append", metavar="NAME",
                        help="just this build: " + ", ".join(BUILDS))
    parser.add_argument("--jobs", type=JOBS, metavar="N", help="compilers at a time")
    parser.add_argument("--clean", action="store_true", help="start from nothing")
    parser.add_argument("--install", metavar="DIR",
                        help="build, and copy the program, its manual page, completions and "
                             "systemd unit below DIR, e.g. /usr/local")
    options = parser.parse_args()
    names = options.only or (list(BUILDS) if options.all else DEFAULT)
    if options.install:
        names = list(dict.fromkeys(list(names) + ["cross", "linux"]))
    try:
        if options.clean:
            for name in names:
                shutil.rmtree(paths.out(name), ignore_errors=True)
        build(names, options.jobs)
        if options.install:
            install.install(options.install)
    except BuildFailed as error:
        print(f"build: {error}", file=sys.stderr)
        return EXIT_GUEST_CRASHED
    except SetupError as error:
        print(f"build: {error}", file=sys.stderr)
        return EXIT_SETUP
    image = paths.out("bothy.bin")
    if "cross" in names and os.path.exists(image):
        say(f"{os.path.relpath(image)}: {os.path.getsize(image)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
