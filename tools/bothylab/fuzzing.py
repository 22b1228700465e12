# SPDX-License-Identifier: Apache-2.0
"""The fuzz targets: tests/fuzz/fuzz_NAME.c, made with libFuzzer.

A short run, part of ./test, begins with the seeds in tests/fuzz/corpus/NAME, if there are any, and
leaves nothing; its programs are made along with the unit tests under AddressSanitizer. A long one,
./test --fuzz SECONDS, has programs that are made for speed, and goes on from where the last one
ended: out/fuzz-corpus/NAME keeps what reached new code. An input that ended a target is kept in
out/fuzz-crashes.
"""

import glob
import os
import re
import tempfile

from . import command, paths

SHORT_BUILD, LONG_BUILD = "asan", "fuzz"
SHORT = 3
MEMORY_MIB = 1024
INPUT_TIMEOUT = 20  # a single input that takes so long is a finding
MARGIN = 120        # until a target that doesn't end by itself is ended
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def targets():
    return [os.path.basename(path)[len("fuzz_"):-2]
            for path in sorted(glob.glob(os.path.join(paths.TOP, "tests/fuzz/fuzz_*.c")))]


def program(build, name):
    return paths.out(build, "tests", "fuzz", "fuzz_" + name)


def seeds(name):
    folder = os.path.join(paths.TOP, "tests/fuzz/corpus", name)
    return [folder] if os.path.isdir(folder) else []


def explain(path, output):
    """Where the inputs are that a run has found, and how to see it again."""
    return "".join(f"\nthe input: {name}\nto replay: {path} {name}\n"
                   for name in re.findall(r"Test unit written to (.+)$", output, re.M))


def fuzz(build, name, seconds, folder, options):
    """Runs a target over `folder` (which gets what it finds) and the seeds."""
    path = program(build, name)
    if not os.path.exists(path):
        return command.Result(
            0, 1, f"fuzz_{name} is not built: is it listed in tests/fuzz/meson.build?")
    os.makedirs(paths.out("fuzz-crashes"), exist_ok=True)
    words = command.without_randomness() + [
        path, f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MIB}",
        f"-timeout={INPUT_TIMEOUT}", "-print_final_stats=1", *options,
        "-artifact_prefix=" + paths.out("fuzz-crashes", name + "-"), folder] + seeds(name)
    status, output = command.run(words, seconds + MARGIN, OPTIONS)
    done = re.search(r"^stat::number_of_executed_units: *([1-9]\d*)", output, re.M)
    if status == 0 and done:
        return command.Result(1, 0, output)
    output += command.why(status, seconds + MARGIN) + explain(path, output)
    return command.Result(0, 1, output)


def run_short(name):
    with tempfile.TemporaryDirectory(prefix="bothy-fuzz-") as folder:
        return fuzz(SHORT_BUILD, name, SHORT, folder, ["-seed=1"])


def run_long(name, seconds):
    folder = paths.out("fuzz-corpus", name)
    os.makedirs(folder, exist_ok=True)
    return fuzz(LONG_BUILD, name, seconds, folder, [])
