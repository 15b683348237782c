"""A disk that takes nothing any more, for one process: the kernel itself answers its writes with an error.

A seccomp filter, which needs no rights and ends with the process. It meets what an audit hook does not see: the
writing itself, and libraries in other languages. Terminal and pipes below 3 go on; so does changing names.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform

# write, pwrite64, writev, pwritev, pwritev2, sendfile, fallocate; then mkdir where there is such, mkdirat; fsync and
# fdatasync
_CALLS: dict[str, tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "x86_64": (317, (1, 18, 20, 296, 328, 40, 285), (83, 258), (74, 75)),
    "aarch64": (277, (64, 68, 66, 70, 287, 71, 47), (34,), (82, 83)),
}
_NO_NEW_PRIVILEGES, _SET_FILTER, _ALL_THREADS = 38, 1, 1
_LOAD, _EQUAL, _GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_ERROR, _ALLOW = 0x00050000, 0x7FFF0000
_NUMBER, _FIRST_ARGUMENT = 0, 16  # places in what a filter is given


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def can_refuse() -> bool:
    """Whether this machine has such filters, as far as its kind tells."""
    return platform.system() == "Linux" and platform.machine() in _CALLS


def refuse_writes(error: int) -> None:
    """From now on writing to any file that is open, or making a folder, fails with ``error`` in this process and its
    children; with EIO bringing it to the disk fails too. There is no way back.

    Raises:
        OSError: the kernel takes no filter.
    """
    enter, writing, folders, syncing = _CALLS[platform.machine()]
    refused = (*writing, *folders, *(syncing if error == errno.EIO else ()))
    program = [_Instruction(_LOAD, 0, 0, _NUMBER)]
    # to the check of the descriptor, which stands behind the list and behind "allowed"
    program += [_Instruction(_EQUAL, len(refused) - place, 0, number) for place, number in enumerate(refused)]
    program += [_Instruction(_RETURN, 0, 0, _ALLOW), _Instruction(_LOAD, 0, 0, _FIRST_ARGUMENT)]
    program += [_Instruction(_GREATER, 0, 1, 2), _Instruction(_RETURN, 0, 0, _ERROR | error)]
    program += [_Instruction(_RETURN, 0, 0, _ALLOW)]
    array = (_Instruction * len(program))(*program)
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if kernel.syscall(enter, _SET_FILTER, _ALL_THREADS, ctypes.byref(_Program(len(program), array))):
        raise OSError(ctypes.get_errno(), f"no filter: {os.strerror(ctypes.get_errno())}")
