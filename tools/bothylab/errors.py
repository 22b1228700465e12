# SPDX-License-Identifier: Apache-2.0
"""The errors the tools report, each with one sentence for the user, and the exit codes."""

EXIT_OK = 0
EXIT_GUEST_CRASHED = 1
EXIT_USAGE = 2
EXIT_SETUP = 3
EXIT_TIMEOUT = 4
EXIT_MACHINE = 5
EXIT_INTERRUPTED = 130


class UsageError(Exception):
    """What the user asked for can't be done; the text says what is allowed."""


class SetupError(Exception):
    """Something that has to be there is missing; the text says what to do."""


class Skipped(Exception):
    """Raised by a test that can't be run here; the text says what it lacks."""
