# SPDX-License-Identifier: Apache-2.0
"""What `./build --install DIR` puts where: the Linux program and what belongs to it."""

import os
import shutil
import subprocess

from . import paths
from .errors import SetupError
from .progress import say

UNIT = "lib/systemd/system/bothy@.service"
SHARE = {
    "man/man1/bothy.1": "share/man/man1/bothy.1",
    "bash-completion/completions/bothy": "share/bash-completion/completions/bothy",
    "zsh/site-functions/_bothy": "share/zsh/site-functions/_bothy",
    "examples/web.json": "share/doc/bothy/examples/web.json",
}


def put(source, target, mode):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, target + ".new")
    os.chmod(target + ".new", mode)
    os.rename(target + ".new", target)


def install(prefix):
    """Copies everything below the directory `prefix`, which may be new."""
    prefix = os.path.abspath(prefix)
    program = os.path.join(prefix, "bin/bothy")
    try:
        put(paths.out("bothy"), program, 0o755)
        subprocess.run(["aarch64-linux-gnu-strip", program], check=True)
        put(paths.out("bothy.bin"), os.path.join(prefix, "lib/bothy/bothy.bin"), 0o644)
        for source, target in SHARE.items():
            put(os.path.join(paths.TOP, "share", source), os.path.join(prefix, target), 0o644)
        unit = os.path.join(prefix, UNIT)
        put(os.path.join(paths.TOP, "share/systemd/bothy@.service"), unit, 0o644)
        with open(unit, encoding="utf-8") as file:
            text = file.read()
        with open(unit, "w", encoding="utf-8") as file:
            file.write(text.replace("/usr/bin/bothy", program))
    except OSError as error:
        raise SetupError(f"can't install below {prefix}: {error.strerror}: "
                         f"{error.filename}") from error
    say(f"installed below {prefix}: bin/bothy ({os.path.getsize(program)} bytes), its manual "
        f"page, completions, {UNIT}, lib/bothy/bothy.bin")
