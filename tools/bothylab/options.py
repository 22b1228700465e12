# SPDX-License-Identifier: Apache-2.0
"""What the command lines of ./run, ./build and ./test have in common."""

import argparse


def count(low, high):
    """A type for argparse: a whole number from low to high."""
    def convert(text):
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)
    return convert


JOBS = count(1, 1024)
