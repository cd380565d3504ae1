"""System calls that Python has no name for, and the one way down into a tree that others may write to.

openat2(2) is used where the kernel has it (5.6) and lets us (some container sandboxes do not). Elsewhere the
same promise is kept by opening one component after the other, which costs a call per directory.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

# The same number on every architecture but alpha (include/uapi/asm-generic/unistd.h).
_NR_OPENAT2 = 437
# include/uapi/linux/openat2.h
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
# include/uapi/linux/fcntl.h and fs.h
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1

# include/uapi/linux/inotify.h: modified, moved from and to, created, deleted; deleted and moved itself; only a directory
_IN_ANY_CHANGE = 0x002 | 0x040 | 0x080 | 0x100 | 0x200 | 0x400 | 0x800
_IN_ONLYDIR = 0x01000000

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# Nothing a hostile name can stand for may block us, become our terminal or lead elsewhere.
READ_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW
READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    how = _OpenHow(flags, 0, resolve)
    while True:
        descriptor = _libc.syscall(
            ctypes.c_long(_NR_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return int(descriptor)
        code = ctypes.get_errno()
        if code != errno.EINTR:  # PEP 475 does this for os.open
            raise OSError(code, os.strerror(code))


@functools.cache
def have_openat2() -> bool:
    """Whether this kernel and this sandbox answer openat2; found out once by opening '/'."""
    try:
        os.close(_openat2(_AT_FDCWD, b"/", _DIRECTORY, 0))
    except OSError:
        return False
    return True


def told_of_changes(directory: str) -> int:
    """A descriptor that can be read from when a file in the directory was written to, made, renamed or removed, or the directory
    itself (inotify(7)). Reading does not block. Raises OSError.
    """
    descriptor = _checked(_libc.inotify_init1(ctypes.c_int(os.O_NONBLOCK | os.O_CLOEXEC)))
    try:
        path = ctypes.c_char_p(os.fsencode(directory))
        _checked(_libc.inotify_add_watch(ctypes.c_int(descriptor), path, ctypes.c_uint32(_IN_ANY_CHANGE | _IN_ONLYDIR)))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def components(path: str) -> list[str]:
    """The names on the way from a root to `path`; none for '', the root itself.

    Raises OSError: EXDEV for a path that would lead out ('..', an absolute one), EINVAL for one no file can have.
    """
    if not path:
        return []
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise OSError(errno.EXDEV, "a path that does not stay below its root")
    try:
        if b"\0" in os.fsencode(path):
            raise OSError(errno.EINVAL, "a name that no file can have")
    except UnicodeEncodeError as error:
        raise OSError(errno.EINVAL, "a name that no file can have") from error
    return parts


def open_below(root: int, path: str, flags: int) -> int:
    """A descriptor of `path` below the directory `root`, reached without following any link on the way.

    The caller closes it. Raises OSError: ELOOP where a link is on the way, EXDEV where the path would lead out.
    """
    parts = components(path)
    if have_openat2():
        # RESOLVE_NO_SYMLINKS covers the last name as well, and unlike O_NOFOLLOW says ELOOP for directories too.
        return _openat2(root, os.fsencode(path) or b".", flags & ~os.O_NOFOLLOW, _RESOLVE)
    return _open_stepwise(root, parts, flags)


def _open_stepwise(root: int, parts: list[str], flags: int) -> int:
    here = os.open(".", _DIRECTORY, dir_fd=root)
    try:
        for name in parts[:-1]:
            deeper = _open_one(here, name, _DIRECTORY)
            os.close(here)
            here = deeper
        return _open_one(here, parts[-1] if parts else ".", flags)
    finally:
        os.close(here)


def _open_one(directory: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=directory)
    except NotADirectoryError:
        # O_DIRECTORY hides that it is a link: openat2 would have said ELOOP.
        if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


@contextmanager
def parent_of(root_path: str, path: str) -> Iterator[tuple[int, str]]:
    """The directory in which `path` lies, as a descriptor for lookups only, and the last name; (root, '.') for ''.

    The root itself may be a link. Raises OSError.
    """
    parts = components(path)
    with opened(open_root(root_path)) as root:
        if len(parts) < 2:
            yield root, parts[0] if parts else "."
            return
        with opened(open_below(root, "/".join(parts[:-1]), _DIRECTORY)) as parent:
            yield parent, parts[-1]


@contextmanager
def opened(descriptor: int) -> Iterator[int]:
    """Closes the descriptor in the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_root(root_path: str) -> int:
    """The root's directory for lookups; the root itself may be a link. Raises OSError."""
    return os.open(root_path, _DIRECTORY)


def rename_without_replacing(source_directory: int, source: str, target_directory: int, target: str) -> None:
    """Moves a name to a name that was free, in one step: renameat2(2) with RENAME_NOREPLACE.

    Raises OSError: EEXIST when the target is taken, EXDEV for another file system, EINVAL or ENOSYS where it is unknown.
    """
    if not hasattr(_libc, "renameat2"):  # glibc before 2.28
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    result = _libc.renameat2(
        ctypes.c_int(source_directory),
        ctypes.c_char_p(os.fsencode(source)),
        ctypes.c_int(target_directory),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_RENAME_NOREPLACE),
    )
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


# Magic numbers: include/uapi/linux/magic.h, for those outside the kernel the list of coreutils' stat(1).
_LOCAL = {
    0xEF53: "ext2/ext3/ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x794C7630: "overlayfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x3153464A: "jfs",
    0x3434: "nilfs2",
    0x52654973: "reiserfs",
    0x4D44: "vfat",
    0x2011BAB0: "exfat",
    0x5346544E: "ntfs",
    0x7366746E: "ntfs3",
    0xF15F: "ecryptfs",
    0x73717368: "squashfs",
    0x9660: "iso9660",
}
# Other machines, a hypervisor or a program may change these without this kernel noticing.
_REMOTE = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFF534D42: "cifs",
    0xFE534D42: "cifs",
    0x65735546: "fuse",  # virtiofs shows the same number
    0x01021997: "9p",
    0x00C36400: "ceph",
    0x5346414F: "afs",
    0x6B414653: "afs",
    0x73757245: "coda",
    0x564C: "ncpfs",
    0x01161970: "gfs2",
    0x7461636F: "ocfs2",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x19830326: "beegfs",
    0x20030528: "orangefs",
    0xAAD7AAEA: "panfs",
    0x786F4256: "vboxsf",
    0xBACBACBC: "vmhgfs",
    0x7C7C6673: "prl_fs",
    0x00C0FFEE: "hostfs",
}


def file_system_of(descriptor: int) -> tuple[str, bool]:
    """The name of the file system and whether others may change it unseen, by fstatfs(2): /proc/mounts may be hidden.

    An unknown one is named by its number and taken for local. Raises OSError.
    """
    # statfs(2): the structure is 120 bytes where long has 64 bits, and f_type is its first word.
    buffer = ctypes.create_string_buffer(512)
    if _libc.fstatfs(ctypes.c_int(descriptor), buffer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return name_of_magic(ctypes.c_long.from_buffer(buffer).value)


def name_of_magic(magic: int) -> tuple[str, bool]:
    """(name, remote) for statfs's f_type."""
    number = magic & 0xFFFFFFFF  # a signed word where long has 32 bits
    if number in _REMOTE:
        return _REMOTE[number], True
    return _LOCAL.get(number, f"file system {number:#x}"), False
