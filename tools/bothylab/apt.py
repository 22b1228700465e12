# SPDX-License-Identifier: Apache-2.0
"""Debian packages through a private apt configuration.

The machine's own apt set-up is read (which mirror, which proxy) and never changed: lists, cache
and an empty package status live in Bothy's cache directory. Signatures are checked by apt itself
with Debian's archive keyring.
"""

import os
import re
import shutil
import subprocess

from . import paths
from .errors import SetupError
from .progress import say

KEYRING = "/usr/share/keyrings/debian-archive-keyring"
INHERITED = re.compile(r"^Acquire::(http|https|ftp|Retries|Check-Valid-Until|Check-Date)\b")


def keyring():
    for suffix in (".gpg", ".pgp"):
        if os.path.exists(KEYRING + suffix):
            return KEYRING + suffix
    raise SetupError(f"{KEYRING}.gpg is missing: install the package debian-archive-keyring")


def one_line_entries(text):
    """(uri, suites, components, signed-by) of each `deb` line of a sources.list."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            options, uri, suite, components = match.groups()
            signed = re.search(r"signed-by=(\S+)", options or "")
            yield uri, [suite], components.split(), signed.group(1) if signed else ""


def deb822_entries(text):
    """The same for a deb822 `.sources` file."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = {}
        key = None
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in " \t" and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" in fields.get("types", "").split():
            for uri in fields.get("uris", "").split():
                yield (uri, fields.get("suites", "").split(),
                       fields.get("components", "").split(), fields.get("signed-by", ""))


def source_entries(etc="/etc/apt"):
    names = [os.path.join(etc, "sources.list")]
    parts = os.path.join(etc, "sources.list.d")
    if os.path.isdir(parts):
        names += [os.path.join(parts, n) for n in sorted(os.listdir(parts))]
    for name in names:
        if name.endswith((".list", ".sources")) and os.path.isfile(name):
            with open(name, encoding="utf-8") as file:
                text = file.read()
            yield from (deb822_entries if name.endswith(".sources") else one_line_entries)(text)


def mirror(etc="/etc/apt"):
    """The address from which this machine gets Debian's main archive."""
    if os.environ.get("BOTHY_MIRROR"):
        return os.environ["BOTHY_MIRROR"]
    scores = {}
    release = re.compile(r"^(stable|testing|unstable|sid|[a-z]+)$")
    for uri, suites, components, signed in source_entries(etc):
        if "main" not in components or (signed and "debian-archive" not in signed):
            continue
        if any("security" in suite for suite in suites) or "security" in uri:
            continue
        score = scores.get(uri, 0)
        score += 4 * any(release.match(s) for s in suites)
        score += 2 * any(s.endswith("-updates") for s in suites)
        score += 2 * bool(signed) + 1 * uri.rstrip("/").endswith("/debian")
        scores[uri] = score
    if not scores:
        raise SetupError("no entry for Debian's main archive in /etc/apt/sources.list or "
                         "/etc/apt/sources.list.d: add one, or set BOTHY_MIRROR to a mirror")
    return max(scores, key=lambda uri: scores[uri])


def inherited_settings():
    """Proxy and date settings of the machine, as apt.conf lines."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    return [line for line in dump.stdout.splitlines() if INHERITED.match(line)]


class PrivateApt:
    """One private apt root: an architecture and the suites that it sees."""

    def __init__(self, arch, suites, kind="deb"):
        self.arch = arch
        self.suites = suites
        self.kind = kind
        self.dir = os.path.join(paths.cache(), "apt", "-".join([kind, arch] + suites))
        self.conf = os.path.join(self.dir, "apt.conf")
        self.updated = False

    def write_conf(self):
        for sub in ("etc/none.d", "state/lists/partial", "cache/archives/partial", "log"):
            os.makedirs(os.path.join(self.dir, sub), exist_ok=True)
        lines = inherited_settings() + [
            f'Dir "{self.dir}/";',
            'Dir::Etc "etc/";', 'Dir::Etc::main "none.conf";', 'Dir::Etc::parts "none.d";',
            'Dir::Etc::sourcelist "sources.list";', 'Dir::Etc::sourceparts "none.d";',
            'Dir::Etc::preferences "none";', 'Dir::Etc::preferencesparts "none.d";',
            'Dir::State "state/";', f'Dir::State::status "{self.dir}/status";',
            'Dir::Cache "cache/";', 'Dir::Cache::pkgcache "";', 'Dir::Cache::srcpkgcache "";',
            'Dir::Log "log/";',
            f'APT::Architecture "{self.arch}";', f'APT::Architectures {{ "{self.arch}"; }};',
            'APT::Install-Recommends "false";', 'APT::Sandbox::User "root";',
            'Acquire::Languages "none";', 'Acquire::Retries "3";',
        ]
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write("#clear DPkg::Post-Invoke;\n" + "\n".join(lines) + "\n")
        open(os.path.join(self.dir, "status"), "w", encoding="utf-8").close()
        with open(os.path.join(self.dir, "etc/sources.list"), "w", encoding="utf-8") as file:
            for suite in self.suites:
                file.write(f"{self.kind} [signed-by={keyring()}] {mirror()} {suite} main\n")

    def run(self, *command, cwd=None):
        env = dict(os.environ, APT_CONFIG=self.conf, LC_ALL="C.UTF-8")
        done = subprocess.run(command, cwd=cwd, env=env, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        bad = [line for line in done.stdout.splitlines() if re.match(r"(E|Err|W: Failed)", line)]
        if done.returncode or (command[1] == "update" and bad):
            reason = (bad or done.stdout.splitlines() or ["no output"])[-1]
            raise SetupError(f"`{' '.join(command[:2])}` for {self.arch} {'/'.join(self.suites)} "
                             f"from {mirror()} failed (the first run needs the network): {reason}")
        return done.stdout

    def update(self):
        if not self.updated:
            say(f"reading Debian's package lists ({self.kind} {self.arch}, "
                f"{' + '.join(self.suites)}; about 10 MB)")
            self.write_conf()
            self.run("apt-get", "update", "-q")
            self.updated = True

    def depends(self, package):
        """Names on which the newest version of `package` depends, alternatives dropped."""
        text = self.run("apt-cache", "show", "--no-all-versions", package)
        match = re.search(r"^Depends: (.*)$", text, re.M)
        return [re.split(r"[ (|]", item.strip())[0]
                for item in (match.group(1) if match else "").split(",")]

    def download(self, package, into):
        """Downloads exactly one package, NAME or NAME=VERSION; returns the .deb's path."""
        self.update()
        say(f"downloading {package} ({self.arch})")
        os.makedirs(into, exist_ok=True)
        self.run("apt-get", "download", "-q", package, cwd=into)
        found = [n for n in os.listdir(into) if n.startswith(package.split("=")[0] + "_")]
        return os.path.join(into, found[0])

    def download_closure(self, package, release):
        """Downloads a package and all that it depends on; returns the .debs' paths."""
        self.update()
        say(f"downloading {package} ({release}) with the libraries that it needs")
        self.run("apt-get", "install", "-q", "-y", "--download-only", "-t", release, package)
        archives = os.path.join(self.dir, "cache/archives")
        return [os.path.join(archives, n) for n in sorted(os.listdir(archives))
                if n.endswith(".deb")]

    def download_tar(self, package, into):
        """Downloads the upstream archive of a source package; returns its path."""
        self.update()
        say(f"downloading the source of {package} ({'/'.join(self.suites)})")
        os.makedirs(into, exist_ok=True)
        self.run("apt-get", "source", "-q", "--tar-only", "--download-only", package, cwd=into)
        found = [n for n in os.listdir(into) if re.search(r"\.tar\.(gz|xz|bz2)$", n)]
        return os.path.join(into, found[0])

    def clean(self):
        """Gives back what only the download needed."""
        shutil.rmtree(self.dir, ignore_errors=True)
        self.updated = False


def unpack(deb, root):
    os.makedirs(root, exist_ok=True)
    subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
