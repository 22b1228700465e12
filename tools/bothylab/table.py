# SPDX-License-Identifier: Apache-2.0
"""The closing table of ./run, from the console's lines."""

import re

from . import stream

FIXED = {"guest", "state", "memory_kib", "populated_kib", "vcpus", "restarts", "stolen_us",
         "first_us", "first_ticks", "exits_total"}  # the others are exits by reason
LINUX = re.compile(r"Linux version (\S+)")
INIT = re.compile(r"BOTHY-INIT-REACHED uptime=([\d.]+)")


def banner(lines):
    """What the guest says that it is: its kernel's version, or its first line."""
    for line in lines:
        match = LINUX.search(line.body)
        if match:
            return "Linux " + match.group(1)
    first = next((line.body for line in lines if line.body.strip()), "(no output)")
    return first if len(first) <= 34 else first[:31] + "..."


def init_time(lines):
    """Host seconds from the guest's first line to its init, and its own clock at that moment."""
    for line in lines:
        match = INIT.search(line.body)
        if match:
            return f"{line.time - lines[0].time:.2f} s ({match.group(1)} s)"
    return "-"


def memory(values):
    total, touched = values.get("memory_kib", 0), values.get("populated_kib")
    text = f"{total / 1024:g} MiB"
    return text if touched is None else f"{text} ({touched / 1024:g})"


def columns(rows):
    """Rows of strings as aligned text: the first column to the left, numbers to the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) if re.fullmatch(r"[\d,]+", cell) else cell.ljust(width)
                 for cell, width in zip(row, widths)]
        yield "  ".join(cells).rstrip()


def render(lines):
    """The table as a list of lines; empty if Bothy gave no statistics."""
    stats = stream.stats(lines)
    if not stats:
        return []
    guests = [["guest", "kernel", "vCPUs", "memory (touched)", "init after (own clock)", "end"]]
    for name, values in stats.items():
        own = [line for line in lines if line.guest == name]
        end = str(values.get("state", "?"))
        if values.get("restarts"):
            end += f", {values['restarts']} restarts"
        guests.append([name, banner(own), str(values.get("vcpus", "?")), memory(values),
                       init_time(own), end])
    reasons = []
    for values in stats.values():
        reasons += [key for key in values if key not in FIXED and key not in reasons]
    reasons = [key for key in reasons if any(
        isinstance(values.get(key), int) and values[key] for values in stats.values())]
    exits = [["guest", "exits"] + reasons]
    for name, values in stats.items():
        exits.append([name] + [f"{values[key]:,}" if isinstance(values.get(key), int) else "-"
                               for key in ["exits_total"] + reasons])
    return (list(columns(guests)) + [""] + list(columns(exits)) + [
        "", "init after: host seconds from a guest's first line to its init"])
