# SPDX-License-Identifier: Apache-2.0
"""Where things are: the checkout, its build output, and the download cache."""

import os

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.environ.get("BOTHY_OUT", os.path.join(TOP, "out"))


def cache():
    """Downloads, shared by all checkouts of this user: $BOTHY_CACHE, or ~/.cache/bothy."""
    chosen = os.environ.get("BOTHY_CACHE")
    if not chosen:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        chosen = os.path.join(base, "bothy")
    return os.path.abspath(chosen)


def out(*parts):
    return os.path.join(OUT, *parts)
