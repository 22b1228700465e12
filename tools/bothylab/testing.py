# SPDX-License-Identifier: Apache-2.0
"""./test: builds everything, runs all tests, and closes with `N passed, N failed`.

A test has an identifier: check/NAME (tools/check-*), gcc/NAME, asan/NAME, tsan/NAME (a cmocka
program in one of its builds), fuzz/NAME (a short run of a libFuzzer target), quick/FILE.FUNCTION
(tests/quick/FILE.py: Python without QEMU, over the native programs of out/test),
system/FILE.FUNCTION (tests/system/FILE.py).
"""

import argparse
import concurrent.futures
import fnmatch
import glob
import os
import signal
import sys
import tempfile
import time

from . import build, command, fetch, fuzzing, hostimage, onetest, paths, rootfs
from .command import Result
from .errors import EXIT_GUEST_CRASHED, EXIT_INTERRUPTED, EXIT_SETUP, EXIT_USAGE, SetupError
from .options import JOBS, count
from .progress import say

HELP = """\
Builds everything and runs all tests: the checks of the tree (check/...), the unit and property
tests (gcc/..., asan/..., tsan/...), a few seconds of each fuzz target (fuzz/...), the native
programs (quick/...) and the system tests under QEMU (system/...). Each check, each cmocka test case,
each fuzz target and each quick or system test function counts one; what is skipped is named and
counts nothing. The last line is `N passed, N failed`.

Exit codes: 0 all passed, 1 something failed, 2 wrong usage, 3 something is missing,
130 interrupted.
"""
UNIT_BUILDS = {"gcc": "test", "asan": "asan", "tsan": "tsan"}
# Programs that a build can't run: {build: {program: why}}. Nothing is left out that isn't here.
NOT_IN = {"asan": {"test_jail": "the run-time library makes system calls that the jail refuses"}}
SYSTEM_TIMEOUT = 300
UNIT_TIMEOUT = 300
QUICK_TIMEOUT = 120


def run_check(path):
    status, output = command.run([path], UNIT_TIMEOUT)
    return Result(int(status == 0), int(status != 0), output + command.why(status, UNIT_TIMEOUT))


def run_unit(kind, name):
    """A cmocka program: its cases are counted from its TAP output."""
    program = paths.out(UNIT_BUILDS[kind], "tests", name)
    if not os.path.exists(program):
        return Result(0, 1, f"{name} is not built: is it listed in tests/meson.build?")
    # ThreadSanitizer's shadow memory wants the addresses that it knows.
    words = (command.without_randomness() if kind == "tsan" else []) + [program]
    status, output = command.run(words, UNIT_TIMEOUT, {
        "CMOCKA_MESSAGE_OUTPUT": "tap", "UBSAN_OPTIONS": "print_stacktrace=1"})
    return command.tap_result(status, output, UNIT_TIMEOUT)


def run_function(path, function, timeout):
    words = [sys.executable, "-m", "bothylab.onetest", path, function]
    status, output = command.run(words, timeout)
    if status == onetest.SKIPPED:
        return Result(0, 0, output, [output.strip().split("\n")[-1]])
    return Result(int(status == 0), int(status != 0), output + command.why(status, timeout))


def python_tests(kind, path, timeout):
    """The tests of one file; a file that can't be loaded is a test that fails."""
    name = os.path.splitext(os.path.basename(path))[0]
    try:
        module = onetest.load(path)
    except Exception as error:
        text = f"{path}: {type(error).__name__}: {error}"
        return [(f"{kind}/{name}", lambda: Result(0, 1, text))]
    limit = getattr(module, "TIMEOUT", timeout)
    return [(f"{kind}/{name}.{function}", lambda function=function:
             run_function(path, function, limit)) for function in onetest.functions(module)]


def all_tests(quick):
    """[(identifier, function that runs it)] of everything, in the order of running."""
    tests = []
    for path in sorted(glob.glob(os.path.join(paths.TOP, "tools/check-*"))):
        tests.append(("check/" + os.path.basename(path), lambda path=path: run_check(path)))
    programs = [os.path.basename(path)[:-2] for pattern in ("unit/test_*.c", "property/prop_*.c")
                for path in sorted(glob.glob(os.path.join(paths.TOP, "tests", pattern)))]
    for kind in UNIT_BUILDS:
        for name in programs:
            if name not in NOT_IN.get(kind, {}):
                tests.append((f"{kind}/{name}", lambda kind=kind, name=name: run_unit(kind, name)))
    for name in fuzzing.targets():
        tests.append((f"fuzz/{name}", lambda name=name: fuzzing.run_short(name)))
    for path in sorted(glob.glob(os.path.join(paths.TOP, "tests/quick/*.py"))):
        tests += python_tests("quick", path, QUICK_TIMEOUT)
    for path in [] if quick else sorted(glob.glob(os.path.join(paths.TOP, "tests/system/*.py"))):
        tests += python_tests("system", path, SYSTEM_TIMEOUT)
    return tests


def long_fuzzing(seconds):
    return [(f"fuzz/{name}", lambda name=name: fuzzing.run_long(name, seconds))
            for name in fuzzing.targets()]


def matches(identifier, patterns):
    return not patterns or any(
        pattern in identifier or fnmatch.fnmatchcase(identifier, pattern) for pattern in patterns)


def needed_builds(tests, options):
    """The builds on which these tests depend."""
    kinds = {identifier.split("/")[0] for identifier, _ in tests}
    if options.fuzz:
        return [fuzzing.LONG_BUILD]
    complete = not options.only
    needed = {UNIT_BUILDS[kind] for kind in kinds if kind in UNIT_BUILDS}
    needed |= {"test"} if "quick" in kinds else set()
    needed |= {fuzzing.SHORT_BUILD} if "fuzz" in kinds else set()
    needed |= {"cross", "linux"} if complete or "system" in kinds else set()
    needed |= {"native"} if "system" in kinds else set()
    needed |= {"clang-cross"} if complete else set()
    return [name for name in build.BUILDS if name in needed]


def build_all(names):
    """Builds all of them, and each that fails counts; returns the number of those."""
    failed = build.attempt(names)
    for name, error in failed.items():
        print(f"FAILED build/{name}: {error}", flush=True)
    return len(failed)


def fetch_guests(tests):
    """Everything that system tests take from the cache, before any clock runs."""
    if any(identifier.startswith("system/") for identifier, _ in tests):
        fetch.qemu()
        fetch.initrd()
        for name in fetch.KERNELS:
            fetch.kernel(name)
        hostimage.fetch_all(fetch.KERNELS)
    if any(identifier.startswith(("system/type2_", "system/images")) for identifier, _ in tests):
        fetch.installer()
        fetch.uboot()
        rootfs.debian()
        with tempfile.TemporaryDirectory() as folder:
            rootfs.mirror(folder)


def timed(test):
    start = time.monotonic()
    result = test()
    result.seconds = time.monotonic() - start
    return result


def tell(name, result):
    ran = result.passed + result.failed
    word = "FAILED" if result.failed else "ok    " if ran else "skip  "
    print(f"{word} {name} ({result.passed} of {ran}, {result.seconds:.1f} s)", flush=True)
    for line in result.skipped:
        print(f"    skipped: {line}", flush=True)
    if result.failed:
        print("".join(f"    | {line}\n" for line in result.output.splitlines()), flush=True)


def run_all(tests, jobs):
    """Runs the tests, `jobs` at a time, telling of each; returns passed, failed and skipped."""
    passed = failed = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        names = {pool.submit(timed, test): name for name, test in tests}
        try:
            for future in concurrent.futures.as_completed(names):
                result = future.result()
                passed += result.passed
                failed += result.failed
                skipped += len(result.skipped)
                tell(names[future], result)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            command.stop_all()
            raise
    return passed, failed, skipped


def parse_options():
    parser = argparse.ArgumentParser(prog="./test", description=HELP, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the system tests")
    parser.add_argument("--only", action="append", metavar="PATTERN",
                        help="tests whose identifier contains or matches it; repeatable")
    parser.add_argument("--fuzz", type=count(1, 1000000), metavar="SECONDS",
                        help="only the fuzz targets, each for so long; what they learn is kept in "
                        "out/fuzz-corpus")
    parser.add_argument("--list", action="store_true", help="print the identifiers")
    parser.add_argument("--jobs", type=JOBS, metavar="N", default=min(os.cpu_count() or 1, 4),
                        help="tests at a time (default: one a CPU, at most 4)")
    parser.add_argument("--no-build", action="store_true", help="take out/ as it is")
    return parser.parse_args()


def run(options):
    tests = long_fuzzing(options.fuzz) if options.fuzz else all_tests(options.quick)
    tests = [test for test in tests if matches(test[0], options.only)]
    if not tests:
        print(f"test: no test matches {' or '.join(options.only or ['anything'])}; "
              "./test --list names all", file=sys.stderr)
        return EXIT_USAGE
    if options.list:
        print("\n".join(identifier for identifier, _ in tests))
        return 0
    start = time.monotonic()
    broken = 0 if options.no_build else build_all(needed_builds(tests, options))
    fetch_guests(tests)
    for kind, programs in NOT_IN.items():
        for name, reason in programs.items():
            if not options.fuzz and matches(f"{kind}/{name}", options.only):
                print(f"left out: {kind}/{name}: {reason}", flush=True)
    say(f"running {len(tests)} tests, {options.jobs} at a time")
    passed, failed, skipped = run_all(tests, options.jobs)
    say(f"took {time.monotonic() - start:.0f} s")
    if skipped:
        print(f"{skipped} skipped: they count neither as passed nor as failed")
    print(f"{passed} passed, {failed + broken} failed", flush=True)
    return EXIT_GUEST_CRASHED if failed + broken else 0


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        return run(parse_options())
    except SetupError as error:
        print(f"test: {error}", file=sys.stderr)
        return EXIT_SETUP
    except KeyboardInterrupt:
        print("test: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
