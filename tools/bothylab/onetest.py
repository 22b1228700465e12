# SPDX-License-Identifier: Apache-2.0
"""Runs one function of a system test file, in a process of its own: onetest FILE FUNCTION."""

import importlib.util
import os
import sys
import traceback

from .errors import Skipped

SKIPPED = 77  # the exit code of a test that can't be run here


def load(path):
    """The module; its folder is importable, for what several tests share."""
    sys.path.insert(0, os.path.dirname(path))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def functions(module):
    """Names of its tests, in the order of definition; made at run time counts too."""
    return [name for name, value in vars(module).items()
            if name.startswith("test_") and callable(value)]


def main(path, function):
    try:
        getattr(load(path), function)()
    except Skipped as reason:
        print(f"{function}: {reason}")
        return SKIPPED
    except Exception:  # an assertion, or a test that breaks
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
