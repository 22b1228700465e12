# SPDX-License-Identifier: Apache-2.0
"""What the tools tell the user while they work."""

import sys


def say(text):
    """One progress line, on stderr."""
    print(f"bothy: {text}", file=sys.stderr, flush=True)
