"""Freed memory is kept where the C library can keep it, and nothing fails where it cannot."""

import platform
import subprocess
import sys

import pytest

from augkit.running.machine.allocator import keep_freed_memory

COUNT = """
import resource
import numpy as np
from augkit.running.machine.allocator import keep_freed_memory

KEEP
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    np.ones(48 << 20, np.uint8)
before = faults()
for _ in range(5):
    np.ones(48 << 20, np.uint8)
print(faults() - before)
"""


def page_faults(keep):
    code = COUNT.replace("KEEP", "keep_freed_memory()" if keep else "")
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_arrays_use_memory_again_that_was_freed():
    assert page_faults(keep=True) < 0.1 * page_faults(keep=False)


def test_another_system_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory.__wrapped__() is False
