# SPDX-License-Identifier: Apache-2.0
"""The guests' disk images, looked at from outside. That they boot is seen where they are booted.

The first of these tests may have to make them, which takes minutes.
"""

import gzip
import hashlib
import os
import re
import subprocess
import tempfile

from bothylab import bootdisk, ext4, fetch, rootfs

TIMEOUT = 4000


def debugfs(image, command):
    """What debugfs prints for one command, which changes nothing."""
    done = subprocess.run([ext4.tool("debugfs"), "-R", command, image], capture_output=True,
                          check=True)
    return done.stdout.decode("utf-8", "replace")


def test_debian_is_clean():
    trouble = ext4.check(rootfs.debian())
    assert trouble is None, trouble


def test_debian_is_configured():
    status = debugfs(rootfs.debian(), "cat /var/lib/dpkg/status")
    states = {}
    for stanza in status.strip().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status): (.*)$", stanza, re.M))
        states[fields["Package"]] = fields["Status"]
    bad = {name: state for name, state in states.items() if state != "install ok installed"}
    assert not bad, bad
    for package in rootfs.REQUIRED + rootfs.BASE:
        assert package in states, f"{package} is missing"


def test_debian_has_owners_and_rights():
    image = rootfs.debian()
    for path, mode, user, group in (("/usr/bin/su", "04755", 0, 0), ("/tmp", "01777", 0, 0),
                                    ("/etc/shadow", "0640", 0, 42), ("/root", "0700", 0, 0)):
        text = debugfs(image, f"stat {path}")
        found = re.search(r"Mode: +(\d+) .*User: +(\d+) +Group: +(\d+)", text, re.S).groups()
        assert (found[0].lstrip("0"), int(found[1]), int(found[2])) == (
            mode.lstrip("0"), user, group), f"{path}: {found}"


def test_debian_is_nobodys_yet():
    image = rootfs.debian()
    assert debugfs(image, "cat /etc/machine-id") == ""
    assert re.search(r"^root::", debugfs(image, "cat /etc/shadow"), re.M)
    assert "File not found" not in debugfs(image, "stat /usr/lib/systemd/systemd")


def test_root_initrds_begin_with_the_disk():
    for kernel in ("linux-6.1-cloud", "linux-6.12-cloud"):
        with gzip.open(rootfs.initrd(kernel)) as file:
            archive = file.read()
        order = archive[archive.index(b"modules/root/order\0"):]
        for module in (b"virtio_mmio.ko\n", b"virtio_blk.ko\n"):
            assert module in order[:400], f"{kernel}: {module}"


def test_mirror_is_what_its_release_says():
    with tempfile.TemporaryDirectory() as folder:
        rootfs.mirror(folder)
        files = {}
        for name in ("Release", "Packages"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                files[name] = file.read()
        entries = re.findall(r"^ (\w{64}) (\d+) (\S+)$", files["Release"], re.M)
        names = re.findall(r"^Filename: (\S+)\nSize: (\d+)\n(?:.*\n)*?SHA256: (\w+)$",
                           files["Packages"], re.M)
        assert len(names) == len(rootfs.MIRRORED)
        for digest, size, name in entries + [(c, b, a) for a, b, c in names]:
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (int(size), digest), name


def test_uboot_disk_has_a_bootable_partition():
    disk = fetch.uboot_disk()
    with open(disk, "rb") as file:
        table = file.read(512)
    assert table[510:] == b"\x55\xaa" and table[446] == 0x80
    partition = f"{disk}?offset={bootdisk.START_MIB * bootdisk.MIB}"
    trouble = ext4.check(partition)
    assert trouble is None, trouble
    config = debugfs(partition, "cat /extlinux/extlinux.conf")
    assert "KERNEL /vmlinuz" in config and bootdisk.BOOTARGS in config, config
