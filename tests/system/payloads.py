# SPDX-License-Identifier: Apache-2.0
"""The payloads that test the guest's machine from inside, on a CPU with FWB and on one without, and
all of them at once."""

from bothylab import Machine
from support import MODELS, WORK, bare, finish, tap

TIMEOUT = 400
# name: numbers of vCPUs with which it is run
PAYLOADS = {
    "tap_cpu": (1, 4), "tap_fp": (1, 2), "tap_gic": (1, 3), "tap_irq": (1, 4), "tap_memory": (1,),
    "tap_mmio": (1,), "tap_psci": (1, 4), "tap_smccc": (1,), "tap_smp": (2, 4),
    "tap_sysreg_sweep": (1,), "tap_timer": (1, 4),
}
ON = ("max", "cortex_a72")


def run(name, cpus, model):
    """Alone on the machine."""
    guest = bare(name, name, cpus=cpus, memory=64)
    with Machine(guests=[guest], cpu=MODELS[model], smp=4) as machine:
        tap(machine, name)
        finish(machine)


def add_tests():
    for model in ON:
        for name, numbers in PAYLOADS.items():
            for cpus in numbers:
                globals()[f"test_{name}_{cpus}_on_{model}"] = (
                    lambda name=name, cpus=cpus, model=model: run(name, cpus, model))


add_tests()


def all_at_once(cpu):
    """All together, several times as many vCPUs as there are CPUs: nothing leaks from one guest
    to another. Only tap_timer wants a CPU for itself: it is about deadlines that it must meet."""
    guests = [bare(name, name, cpus=numbers[-1], memory=64) for name, numbers in PAYLOADS.items()
              if name != "tap_timer"]
    with Machine(guests=guests, cpu=cpu, smp=4) as machine:
        for guest in guests:
            tap(machine, guest.name, WORK)
        finish(machine)


def test_all_at_once_on_max():
    all_at_once(None)


def test_all_at_once_on_neoverse_n1():
    all_at_once("neoverse-n1")


def test_all_at_once_on_cortex_a53():
    all_at_once("cortex-a53")
