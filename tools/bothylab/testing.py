# SPDX-License-Identifier: Apache-2.0
"""./test: builds everything, runs all tests, and closes with `N passed, N failed`.

A test has an identifier: check/NAME (tools/check-*), gcc/NAME, asan/NAME, tsan/NAME (a cmocka
program in one of its builds), quick/FILE.FUNCTION (tests/quick/FILE.py: Python without QEMU, over
the native programs of out/test), system/FILE.FUNCTION (tests/system/FILE.py).
"""

import argparse
import concurrent.futures
import fnmatch
import glob
import os
import re
import signal
import subprocess
import sys
import threading
import time

from . import build, fetch, hostimage, onetest, paths
from .errors import EXIT_GUEST_CRASHED, EXIT_INTERRUPTED, EXIT_SETUP, EXIT_USAGE, SetupError
from .options import JOBS
from .progress import say

HELP = """\
Builds everything and runs all tests: the checks of the tree (check/...), the unit and property
tests (gcc/..., asan/..., tsan/...), the native programs (quick/...) and the system tests under QEMU
(system/...). Each check, each cmocka test case and each quick or system test function counts one;
the last line is `N passed, N failed`.

Exit codes: 0 all passed, 1 something failed, 2 wrong usage, 3 something is missing,
130 interrupted.
"""
UNIT_BUILDS = {"gcc": "test", "asan": "asan", "tsan": "tsan"}
SYSTEM_TIMEOUT = 300
UNIT_TIMEOUT = 300
QUICK_TIMEOUT = 120


class Result:
    """What one program or function had to say."""

    def __init__(self, passed, failed, output, seconds=0.0):
        self.passed, self.failed = passed, failed
        self.output, self.seconds = output, seconds


running = set()
running_lock = threading.Lock()


def command_output(command, timeout, env=None):
    """Exit status (None: it took too long) and output of a command in a session of its own."""
    process = subprocess.Popen(command, cwd=paths.TOP, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=dict(os.environ, **(env or {})), start_new_session=True)
    with running_lock:
        running.add(process)
    try:
        output, status = process.communicate(timeout=timeout)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, status = process.communicate()[0], None
    finally:
        with running_lock:
            running.discard(process)
    return status, output.decode("utf-8", "replace")


def stop_all():
    with running_lock:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)


def why(status, timeout):
    if status is None:
        return f"\nit still ran after {timeout} s"
    return f"\nended by {signal.Signals(-status).name}" if status < 0 else f"\nexit status {status}"


def run_check(path):
    status, output = command_output([path], UNIT_TIMEOUT)
    return Result(int(status == 0), int(status != 0), output + why(status, UNIT_TIMEOUT))


def run_unit(kind, name):
    """A cmocka program: its cases are counted from its TAP output."""
    program = paths.out(UNIT_BUILDS[kind], "tests", name)
    if not os.path.exists(program):
        return Result(0, 1, f"{name} is not built: is it listed in tests/meson.build?")
    # ThreadSanitizer's shadow memory wants the addresses that it knows.
    command = (["setarch", "-R"] if kind == "tsan" else []) + [program]
    status, output = command_output(command, UNIT_TIMEOUT, {
        "CMOCKA_MESSAGE_OUTPUT": "tap", "UBSAN_OPTIONS": "print_stacktrace=1"})
    passed = len(re.findall(r"^ok \d+", output, re.M))
    failed = len(re.findall(r"^not ok \d+", output, re.M))
    if status != 0 and not failed or not passed + failed:
        failed += 1
        output += why(status, UNIT_TIMEOUT)
    return Result(passed, failed, output)


def run_function(path, function, timeout):
    command = [sys.executable, "-m", "bothylab.onetest", path, function]
    status, output = command_output(command, timeout)
    return Result(int(status == 0), int(status != 0), output + why(status, timeout))


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
            tests.append((f"{kind}/{name}", lambda kind=kind, name=name: run_unit(kind, name)))
    for path in sorted(glob.glob(os.path.join(paths.TOP, "tests/quick/*.py"))):
        tests += python_tests("quick", path, QUICK_TIMEOUT)
    for path in [] if quick else sorted(glob.glob(os.path.join(paths.TOP, "tests/system/*.py"))):
        tests += python_tests("system", path, SYSTEM_TIMEOUT)
    return tests


def matches(identifier, patterns):
    return not patterns or any(
        pattern in identifier or fnmatch.fnmatchcase(identifier, pattern) for pattern in patterns)


def needed_builds(tests, complete):
    """The builds on which these tests depend."""
    kinds = {identifier.split("/")[0] for identifier, _ in tests}
    names = [UNIT_BUILDS[kind] for kind in UNIT_BUILDS
             if kind in kinds or kind == "gcc" and "quick" in kinds]
    if complete or "system" in kinds:
        names = ["cross", "native"] + names
    return names + (["clang-cross"] if complete else [])


def build_all(names):
    """Builds one by one, so that each that fails counts; returns the number of those."""
    failed = 0
    for name in names:
        try:
            build.build([name])
        except build.BuildFailed as error:
            print(f"FAILED build/{name}: {error}", flush=True)
            failed += 1
    return failed


def fetch_guests(tests):
    """Everything that system tests take from the cache, before any clock runs."""
    if any(identifier.startswith("system/") for identifier, _ in tests):
        fetch.qemu()
        fetch.initrd()
        for name in fetch.KERNELS:
            fetch.kernel(name)
        hostimage.fetch_all(fetch.KERNELS)


def timed(test):
    start = time.monotonic()
    result = test()
    result.seconds = time.monotonic() - start
    return result


def run_all(tests, jobs):
    """Runs the tests, `jobs` at a time, telling of each; returns passed and failed."""
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        names = {pool.submit(timed, test): name for name, test in tests}
        try:
            for future in concurrent.futures.as_completed(names):
                result = future.result()
                passed += result.passed
                failed += result.failed
                word = "FAILED" if result.failed else "ok    "
                print(f"{word} {names[future]} ({result.passed} of "
                      f"{result.passed + result.failed}, {result.seconds:.1f} s)", flush=True)
                if result.failed:
                    print("".join(f"    | {line}\n" for line in result.output.splitlines()),
                          flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            raise
    return passed, failed


def parse_options():
    parser = argparse.ArgumentParser(prog="./test", description=HELP, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the system tests")
    parser.add_argument("--only", action="append", metavar="PATTERN",
                        help="tests whose identifier contains or matches it; repeatable")
    parser.add_argument("--list", action="store_true", help="print the identifiers")
    parser.add_argument("--jobs", type=JOBS, metavar="N", default=min(os.cpu_count() or 1, 4),
                        help="tests at a time (default: one a CPU, at most 4)")
    parser.add_argument("--no-build", action="store_true", help="take out/ as it is")
    return parser.parse_args()


def run(options):
    tests = [test for test in all_tests(options.quick) if matches(test[0], options.only)]
    if not tests:
        print(f"test: no test matches {' or '.join(options.only or ['anything'])}; "
              "./test --list names all", file=sys.stderr)
        return EXIT_USAGE
    if options.list:
        print("\n".join(identifier for identifier, _ in tests))
        return 0
    start = time.monotonic()
    broken = 0 if options.no_build else build_all(needed_builds(tests, not options.only))
    fetch_guests(tests)
    say(f"running {len(tests)} tests, {options.jobs} at a time")
    passed, failed = run_all(tests, options.jobs)
    say(f"took {time.monotonic() - start:.0f} s")
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
