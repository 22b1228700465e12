# SPDX-License-Identifier: Apache-2.0
"""The payloads under `bothy run`: the machine from inside, with KVM's CPU and interrupt controller.

Some points are properties of Bothy's own EL2 that KVM hasn't: those and no others must fail here."""

import re
from concurrent.futures import ThreadPoolExecutor

from bothylab import Host, WaitFailed
from support import WORK
from type2 import SHARE, clean

TIMEOUT = 900
AT_A_TIME = 2

# name: numbers of vCPUs with which it is run
PAYLOADS = {
    "tap_cpu": (1, 4), "tap_fp": (1, 2), "tap_gic": (1, 3), "tap_irq": (1, 4), "tap_memory": (1,),
    "tap_mmio": (1,), "tap_psci": (1, 4), "tap_smccc": (1,), "tap_smp": (2, 4),
    "tap_sysreg_sweep": (1,),
}
# A CPU that KVM starts in a hole (see test_cpu_on_in_a_hole) never comes back, so this is skipped.
BOOTARGS = {("tap_psci", 4): "bare=1"}

# What KVM (Linux 6.12) does otherwise; a point's name without what follows in parentheses.
KVM = {
    # A sign-extended load of a device: KVM extends, and cuts the result to its size afterwards
    # (vcpu_data_host_to_guest() in kvm_handle_mmio_return()).
    "tap_mmio": {"LDRSB to W", "LDRSB to X", "LDRSW"}
                # An injected abort's syndrome says "load" for a store, too: inject_abt64() leaves
                # ESR_EL1.WnR 0.
                | {f"{place}: loads and stores get an external abort"
                   for place in ("0x9800000", "0x9800ff8", "0x3200000000", "0x4b00000040",
                                 "0x44000000")},
    # An SPI has one target: vgic_mmio_write_irouter() drops IRM.
    "tap_gic": {"GICD_IROUTER: any CPU"},
    # SMCCC 1.1, whose ARCH_FEATURES needn't know itself.
    "tap_smccc": {"SMCCC_VERSION is 1.2 or a later 1.x", "ARCH_FEATURES knows SMCCC_VERSION",
                  "ARCH_FEATURES knows itself",
                  # kvm_trng_do_rnd() takes a request for nothing.
                  "TRNG_RND64 of 0 bits"},
}


def points(text):
    """{name: passed} of a finished TAP report."""
    found = re.findall(r"^(not ok|ok) (\d+) - (.*?)(?: \([^()]*\))?$", text, re.M)
    plan = re.search(r"^1\.\.(\d+)$", text, re.M)
    numbers = [int(number) for _, number, _ in found]
    assert plan and numbers == list(range(1, int(plan[1]) + 1)), text
    return [(name, word == "ok") for word, _, name in found]


def command(program, cpus=1, bootargs="", options=""):
    return (f"bothy run -N {program}-{cpus} -k {SHARE}/{program}.bin -c {cpus} -m 64 "
            f"-p '{bootargs}' {options}")


def run(host, program, cpus=1, bootargs="", timeout=WORK):
    """Runs it to its end: what it wrote. It must have switched itself off."""
    done = host.run(command(program, cpus, bootargs), timeout)
    text = done.stdout.replace("\r", "")
    assert done.status == 0 and re.search(rf"^BOTHY-PAYLOAD {program} done", text, re.M), done
    assert done.stderr == f"bothy: {program}-{cpus}: the guest is off\n", done.stderr
    return text


def judge(host, program, cpus):
    """None, or what is wrong with its report."""
    try:
        report = points(run(host, program, cpus, BOOTARGS.get((program, cpus), "")))
    except (AssertionError, WaitFailed) as error:
        return f"{program} on {cpus}: {error}"
    failed = {name for name, passed in report if not passed}
    wanted = KVM.get(program, set())
    if failed == wanted:
        return None
    return f"{program} on {cpus}: fails: {failed - wanted}, doesn't fail any more: {wanted - failed}"


def test_payloads():
    """Each TAP point, against what KVM is known for."""
    jobs = [(name, cpus) for name, numbers in PAYLOADS.items() for cpus in numbers]
    with Host() as host:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            wrong = list(filter(None, pool.map(lambda job: judge(host, *job), jobs)))
        # About deadlines that it must meet: nobody else runs meanwhile.
        wrong += filter(None, (judge(host, "tap_timer", cpus) for cpus in (1, 2)))
        assert not wrong, "\n".join(wrong)
        clean(host)


def numbers(text, pattern):
    found = re.search(pattern, text, re.M)
    assert found, text
    return [int(number) for number in found.groups()]


def test_others():
    """Those that don't print TAP."""
    with Host() as host, ThreadPoolExecutor(AT_A_TIME) as pool:
        def start(*arguments):
            return pool.submit(run, host, *arguments)

        hello = start("hello", 1, "beats=3 period=50")
        attack = start("attack", 2, "rounds=6")
        sums = start("checksum", 2, "rounds=3 megabytes=4")
        # One after the other: their VMs have the same name.
        mix = pool.submit(lambda: [run(host, "mix", 1, f"kind={kind} seconds=1")
                                   for kind in ("yield", "sleep")])
        bench = start("bench", 1, "rounds=50 pages=256")
        first = start("first")
        # One that comes late may be shown together with the next.
        assert re.search(r"^beat ([3-9]|\d\d+) of 3", hello.result(), re.M), hello.result()
        rounds, faults = numbers(attack.result(),
                                 r"^BOTHY-PAYLOAD attack done rounds=(\d+) faults=(\d+)$")
        assert rounds == 12 and faults > 100, (rounds, faults)  # 6 on each CPU
        assert "checksum result ok rounds=6 bad=0\n" in sums.result(), sums.result()  # of 2 CPUs
        for text in mix.result():
            assert numbers(text, r"^mix \w+ total cpu=0 steps=(\d+) ")[0] > 0
        assert len(re.findall(r"^bench \S+ \d+ \d+ \d+$", bench.result(), re.M)) > 5, bench.result()
        numbers(first.result(), r"^first cntvct (\d+) cntpct (\d+) frequency (\d+)$")
        clean(host)


def lives(process):
    """How often tap_reset found its memory scrubbed and its image pristine."""
    text = process.stdout.replace("\r", "")
    assert "not ok" not in text, text
    return text.count("ok 2 - the image is pristine\n")


def restart_ten_times(host, how):
    """It has ten more lives; then somebody ends it on the console."""
    vm = host.spawn(command("tap_reset", 2, f"do={how} wait=1"))
    for life in range(11):
        vm.expect(r"^ok 1 - free memory holds nothing of an earlier life\r?$", WORK)
        vm.expect(r"^ok 2 - the image is pristine\r?$", WORK)
        vm.expect(rf"^BOTHY-PAYLOAD tap_reset ends by {how}\r?$", WORK)
        assert life == 0 or vm.stderr.count("the guest reboots\n") >= life, vm.stderr
    vm.write(b"\x01x")
    done = vm.wait(WORK)
    assert done.status == 0 and lives(vm) >= 11, done


def test_resets():
    """SYSTEM_RESET and SYSTEM_RESET2 ten times; off, with exit code 0; and with reboot=off."""
    with Host() as host:
        for how in ("reset", "reset2"):
            restart_ten_times(host, how)
        for how in ("reset", "reset2"):
            done = host.run(command("tap_reset", 1, f"do={how}", "--reboot=off"), WORK)
            assert done.status == 0 and done.stdout.count("the image is pristine") == 1, done
            assert done.stderr == "bothy: tap_reset-1: the guest asked for a reboot\n", done
        run(host, "tap_reset", 1, "do=off")
        clean(host)


def killed(host, vm, name):
    """It still runs, says so, and is ended at once."""
    assert '"state":"running"' in host.run(["bothy", "stat", name, "--json"],
                                           WORK).check().stdout.replace(" ", "")
    host.run(["bothy", "kill", name], WORK).check()
    vm.wait(WORK)


def test_guests_that_hang():
    """Faults without end and a guest that will never do anything again: they harm themselves, the
    VM can be asked, and can be ended."""
    with Host() as host:
        for kind in ("undef", "jump", "store"):
            done = host.run(command("crash", 1, f"do={kind} seconds=1"), WORK)
            assert done.status == 0 and re.search(r"crash: [1-9]\d+ times", done.stdout), done
        for kind in ("vectors", "stack", "tables", "cpuoff", "hang", "spin"):
            vm = host.spawn(command("crash", 2, f"do={kind}"))
            vm.expect(rf"^BOTHY-PAYLOAD crash does {kind}\r?$", WORK)
            killed(host, vm, "crash-2")
        clean(host)


def test_cpu_on_in_a_hole():
    """KVM starts a CPU wherever the guest says; it then aborts at its vector for ever."""
    with Host() as host:
        vm = host.spawn(command("tap_psci", 2))
        vm.expect(r"^ok 33 - CPU_ON of a CPU that is on\r?$", WORK)
        failed = re.findall(r"^not ok \d+ - (.*?)\r?$", vm.stdout, re.M)
        assert failed == ["CPU_ON at an address without memory", "the CPU stays off after that",
                          "CPU_ON (0xc4000003)", "CPU_ON (0x84000003)"], failed
        killed(host, vm, "tap_psci-2")
        clean(host)
