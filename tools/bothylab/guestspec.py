# SPDX-License-Identifier: Apache-2.0
"""--guest key=value,...: from the command line's text to a Guest."""

import difflib
import os
import re

from . import fetch, paths
from .board import Guest
from .errors import UsageError

HELP = """\
partitions: --guest KEY=VALUE,... (repeat it; without any, three guests are started)
  name=NAME          shown before each line; letters, digits and - . _
  kernel=K           a file (arm64 Image, or raw binary), a Debian kernel from the cache
                     ({kernels}),
                     or a payload that was built (out/guest/NAME.bin, by its NAME)
  initrd=F           a file, `default` (busybox; the default for a Debian kernel) or `none`
  cpus=N             vCPUs, 1 to 8 (default 1)
  memory=N           MiB, or with a suffix K, M or G (default 256)
  affinity=M[/M...]  mask of physical CPUs for all vCPUs, or one for each (0x8 is CPU 3)
  dedicated          no other guest runs on those CPUs
  priority=N         0 to 7, higher runs first (default 3)
  restart=P          never, on-reset (default), on-crash or always
  restart-limit=N    so many restarts at most (default: no limit)
  populate=P         touch (default) or start: when memory is given
  bootargs=TEXT      the kernel command line; takes all that follows, commas included, unless it
                     is enclosed in double quotes. tools/make-initrd lists the words for bothy.do=
                     Default for a Debian kernel:{bootargs}
"""
LINUX_BOOTARGS = "console=ttyAMA0 panic=-1 bothy.do="
KEYS = ("name", "kernel", "initrd", "cpus", "memory", "affinity", "dedicated", "priority",
        "restart", "restart-limit", "populate", "bootargs")
RESERVED = {"bothy": "Bothy's", "qemu": "QEMU's"}
CHOICES = {"restart": ("never", "on-reset", "on-crash", "always"),
           "populate": ("touch", "start")}


def nearest(word, known):
    found = difflib.get_close_matches(word, known, 1, 0.5)
    return f"; did you mean {found[0]}?" if found else f"; known are {', '.join(known)}"


def split(text):
    """(key, value) pairs; a word without = has the value None."""
    while text:
        match = re.match(r'(?:bootargs=(?P<quoted>"[^"]*")|bootargs=(?P<rest>[^"].*|)|'
                         r'(?P<key>[^,=]+)(?:=(?P<value>[^,]*))?)(?:,|$)', text, re.S)
        if not match:
            raise UsageError(f"--guest: can't read {text!r}: write key=value,key=value,...")
        if match["key"]:
            yield match["key"].strip(), match["value"]
        else:
            yield "bootargs", match["rest"] if match["quoted"] is None else match["quoted"][1:-1]
        text = text[match.end():]


def number(key, value, low, high):
    try:
        result = int(value, 0)
    except (TypeError, ValueError):
        result = None
    if result is None or not low <= result <= high:
        raise UsageError(f"--guest: {key}={value} is not a number from {low} to {high}")
    return result


def mebibytes(value):
    match = re.fullmatch(r"(\d+)([KMG]?)", value or "", re.I)
    if not match or not int(match.group(1)):
        raise UsageError(f"--guest: memory={value} is not a size like 256, 64M or 1G")
    size = int(match.group(1)) * {"K": 1 / 1024, "G": 1024}.get(match.group(2).upper(), 1)
    if size % 2:
        raise UsageError(f"--guest: memory={value} is not a multiple of 2 MiB")
    return size


def find_kernel(value):
    """The file, and whether it is one of Debian's kernels."""
    if value in fetch.KERNELS:
        return fetch.kernel(value), True
    if value and os.path.isfile(value):
        return os.path.abspath(value), False
    built = paths.out("guest", f"{value}.bin")
    if value and "/" not in value and os.path.isfile(built):
        return built, False
    raise UsageError(f"--guest: kernel={value} is neither a file nor the name of a Debian kernel "
                     f"or payload{nearest(value, list(fetch.KERNELS) + payloads())}")


def payloads():
    folder = paths.out("guest")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name[:-4] for name in names if name.endswith(".bin"))


def find_initrd(value, is_debian):
    if value == "none" or (value is None and not is_debian):
        return None
    if value in (None, "default"):
        return fetch.initrd()
    if not os.path.isfile(value):
        raise UsageError(f"--guest: initrd={value}: there is no such file (`default` and `none` "
                         "are allowed too)")
    return os.path.abspath(value)


def resolve(guest):
    """Replaces the images' names by files; to be called when everything is built."""
    guest.kernel, is_debian = find_kernel(guest.kernel)
    guest.initrd = find_initrd(guest.initrd, is_debian)
    return guest


def masks(value):
    result = [number("affinity", mask, 1, 0xffffffff) for mask in (value or "").split("/")]
    return result[0] if len(result) == 1 else result


def parse(text, words, index):
    """A Guest from the text after --guest, its images still by name: see resolve(). `words` are
    the default for bothy.do=."""
    given = {}
    for key, value in split(text):
        if key not in KEYS:
            raise UsageError(f"--guest: unknown key {key!r}{nearest(key, KEYS)}")
        if key in given:
            raise UsageError(f"--guest: {key} is given twice in {text!r}")
        if (value is None) != (key == "dedicated"):
            raise UsageError(f"--guest: write {key}" + ("=VALUE" if value is None else
                                                        " without a value"))
        given[key] = value
    if "kernel" not in given:
        raise UsageError(f"--guest {text!r}: kernel= is missing; see ./run --help")
    for key, allowed in CHOICES.items():
        if key in given and given[key] not in allowed:
            raise UsageError(f"--guest: {key}={given[key]} is none of {', '.join(allowed)}")
    name = given.get("name", f"guest{index}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,30}", name):
        raise UsageError(f"--guest: name={name}: a letter, then at most 30 letters, digits, "
                         "dots, underscores or dashes are allowed")
    if name in RESERVED:
        raise UsageError(f"--guest: name={name} would look like a line of {RESERVED[name]} own; "
                         "take another one")
    is_debian = given["kernel"] in fetch.KERNELS
    options = {key.replace("-", "_"): given[key] for key in CHOICES if key in given}
    for key, high in (("priority", 7), ("restart-limit", 0xffffffff)):
        if key in given:
            options[key.replace("-", "_")] = number(key, given[key], 0, high)
    if "affinity" in given:
        options["affinity"] = masks(given["affinity"])
    return Guest(name, given["kernel"], given.get("initrd"),
                 number("cpus", given.get("cpus", "1"), 1, 8),
                 mebibytes(given.get("memory", "256")),
                 given.get("bootargs", LINUX_BOOTARGS + words if is_debian else ""),
                 dedicated="dedicated" in given, **options)


def help_text(words):
    names = list(fetch.KERNELS)
    newline = "\n" + " " * 21
    return HELP.format(kernels=", ".join(names[:3]) + "," + newline + ", ".join(names[3:]),
                       bootargs=newline + LINUX_BOOTARGS + words)
