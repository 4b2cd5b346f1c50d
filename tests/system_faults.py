"""Faults of the system itself, below Python, by LD_PRELOAD: calls that fail in some folder, a clock that jumps."""

import os
import shutil
import subprocess
import sys

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Return the error that a variable asks for on files below FAULT_BELOW; 0 for none. */
static int fault(const char *variable, int file) {
    const char *number = getenv(variable), *below = getenv("FAULT_BELOW");
    char link[64], path[4096];
    if (!number || !below)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path);
    size_t wanted = strlen(below);
    return length >= (ssize_t) wanted && !strncmp(path, below, wanted) ? atoi(number) : 0;
}

int flock(int file, int operation) {
    errno = fault("FAULT_FLOCK", file);
    int (*real)(int, int) = (int (*)(int, int)) dlsym(RTLD_NEXT, "flock");
    return errno ? -1 : real(file, operation);
}

int fsync(int file) {
    errno = fault("FAULT_FSYNC", file);
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");
    return errno ? -1 : real(file);
}

/* Tell the time; FAULT_CLOCK seconds too late and too early by turns, 16 answers each. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    static long asked;
    const char *seconds = getenv("FAULT_CLOCK");
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && seconds && clock == CLOCK_REALTIME)
        now->tv_sec += (__sync_fetch_and_add(&asked, 1) / 16 % 2 ? -1 : 1) * atol(seconds);
    return failed;
}
"""


def failing(folder, below, **numbers):
    """Return the environment in which calls fail on files below a folder, as in ``flock=errno.ENOSYS``.

    `folder` is where the library is made that does it; who has no compiler for it skips the test.
    """
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler, cc")
    library = folder / "faults.so"
    source = folder / "faults.c"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    wanted = {f"FAULT_{name.upper()}": str(number) for name, number in numbers.items()}
    return {**wanted, "FAULT_BELOW": os.path.realpath(below), "LD_PRELOAD": str(library)}
