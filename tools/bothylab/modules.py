# SPDX-License-Identifier: Apache-2.0
"""Modules of the cached Debian kernels, for initrds and root file systems.

The packages bring no modules.dep (their installation would make it), so dependencies are read from
the modules themselves.
"""

import lzma
import os
import re
import shutil

from . import fetch
from .apt import unpack
from .errors import SetupError

SUFFIX = re.compile(r"\.ko(\.xz)?$")


def package_of(kernel):
    """(package, version) from which the cached kernel came: its modules must be of the same."""
    folder = os.path.dirname(fetch.kernel(kernel))
    with open(os.path.join(folder, "package"), encoding="utf-8") as file:
        package, version, _ = file.read().strip().split("_")
    return package, version.replace("%3a", ":")


def tree(kernel):
    """Path of the directory that the kernel knows as /lib/modules/$(uname -r)."""
    package, version = package_of(kernel)

    def make(scratch):
        source = fetch.apt("arm64", [fetch.KERNELS[kernel][0]])
        try:
            deb = source.download(f"{package}={version}", scratch)
        except SetupError as error:
            raise SetupError(f"the modules of {kernel} {version} can't be had: {error}; if Debian "
                             "has a newer one by now, remove "
                             f"{os.path.dirname(fetch.kernel(kernel))}") from None
        unpack(deb, os.path.join(scratch, "root"))
        for lib in ("lib", "usr/lib"):
            found = os.path.join(scratch, "root", lib, "modules")
            if os.path.isdir(found):
                os.rename(found, os.path.join(scratch, "modules"))
                break
        shutil.rmtree(os.path.join(scratch, "root"))
        os.unlink(deb)

    found = os.path.join(fetch.item(f"modules/{package}_{version}", make), "modules")
    return os.path.join(found, os.listdir(found)[0])


def named(text):
    """A module's name as the kernel has it; files also use dashes."""
    return text.replace("-", "_")


def index(folder):
    """({name: path} of the modules, {name} of what is built into the kernel)."""
    found = {}
    for place, _, files in os.walk(folder):
        for file in files:
            if SUFFIX.search(file):
                found[named(SUFFIX.sub("", file))] = os.path.join(place, file)
    with open(os.path.join(folder, "modules.builtin"), encoding="utf-8") as file:
        built_in = {named(SUFFIX.sub("", os.path.basename(line.strip()))) for line in file}
    return found, built_in


def read(path):
    with (lzma.open if path.endswith(".xz") else open)(path, "rb") as file:
        return file.read()


def needs(module):
    """Names of the modules that have to be loaded first, and of those that had better be."""
    hard = re.search(rb"\0depends=([^\0]*)", module)
    soft = re.findall(rb"\0softdep=pre: ([^\0]*)", module)
    return ([named(name) for name in (hard.group(1) if hard else b"").decode().split(",") if name],
            [named(name) for text in soft for name in text.decode().split("post:")[0].split()])


def modules(kernel, names, optional=()):
    """(file name, bytes) of the named modules and all they need, uncompressed, in load order.

    What is built into the kernel is left out. `optional` are names that a kernel may lack.
    """
    found, built_in = index(tree(kernel))
    done, result = set(), []

    def visit(name, must):
        name = named(name)
        if name in done or name in built_in:
            return
        done.add(name)
        if name not in found:
            if must:
                raise SetupError(f"{kernel} has no module {name}")
            return
        data = read(found[name])
        hard, soft = needs(data)
        for other in soft:
            visit(other, False)
        for other in hard:
            visit(other, True)
        result.append((os.path.basename(found[name]).removesuffix(".xz"), data))

    for name in names:
        visit(name, True)
    for name in optional:
        visit(name, False)
    return result
