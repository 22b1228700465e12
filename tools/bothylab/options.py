# SPDX-License-Identifier: Apache-2.0
"""What the command lines of ./run, ./build and ./test have in common."""

import argparse

from . import guestspec
from .errors import UsageError


class Parser(argparse.ArgumentParser):
    """Names the nearest option when one is unknown."""

    def error(self, message):
        raise UsageError(message)

    def parse(self, arguments):
        options, rest = self.parse_known_args(arguments)
        if rest:
            known = [name for name in self._option_string_actions if name.startswith("--")]
            word = rest[0].split("=")[0]
            hint = guestspec.nearest(word, known) if word.startswith("-") else ""
            raise UsageError(f"unknown argument {rest[0]!r}{hint}; {self.prog} --help lists all")
        return options


def count(low, high):
    """A type for argparse: a whole number from low to high."""
    def convert(text):
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)
    return convert


JOBS = count(1, 1024)
