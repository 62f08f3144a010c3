"""`tbps …` in a process of its own, in surroundings that users have: encodings, streams, folders, rights.

Processes are forked from a server that has torch loaded; starting one takes a tenth of a second.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doubles.two_processes import CONTEXT, DEADLINE

_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS: programs that are started do not get the rights back
_CAPABILITIES = 0x20080522  # the version of the kernel's interface that has 64 of them
STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}


@dataclass(frozen=True)
class Surroundings:
    """Where a command runs; without arguments as CI has it.

    name: what it is called in a report. closed: streams that are closed, as by `>&-`. full: streams that are /dev/full.
    encoding: of all three streams. environment: variables to set, or to remove where the value is None. folder: the
    working folder; one that is removed before the command starts where `is_gone`. has_rights: False for a user whom
    permission bits bind.
    """

    name: str = "ordinary"
    closed: Sequence[str] = ()
    full: Sequence[str] = ()
    encoding: str = "utf-8"
    environment: Mapping[str, str | None] = field(default_factory=dict)
    folder: Path | None = None
    is_gone: bool = False
    has_rights: bool = True


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (-9 when a signal 9 ended it), and what it wrote to its streams."""

    code: int | None
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Both streams, for a search in them."""
        return (self.stdout + self.stderr).decode("utf-8", "backslashreplace")


def drop_rights() -> None:
    """From here on, this process and those that it starts are refused what permission bits refuse, even as root.

    Root stays the owner of its files, so the interpreter and its libraries may lie where only root can read. Also for
    `subprocess.run(…, preexec_fn=drop_rights)`.
    """
    if os.geteuid() != 0:
        return
    library = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "this process cannot drop its rights")


def run_in(surroundings: Surroundings, folder: Path, *arguments: object) -> Ended:
    """`tbps …` in these surroundings; what it writes to its streams is kept in `folder` for a moment."""
    out, err = folder / "stdout", folder / "stderr"
    child = CONTEXT.Process(target=_enter, args=(surroundings, out, err, [str(argument) for argument in arguments]))
    child.start()
    child.join(DEADLINE)
    try:
        return Ended(child.exitcode, *(path.read_bytes() if path.exists() else b"" for path in (out, err)))
    finally:
        child.kill()
        for path in (out, err):
            path.unlink(missing_ok=True)


def run_without_rights(folder: Path, *arguments: object) -> Ended:
    """`tbps …` as a user whom permission bits bind; what it writes to its streams is kept in `folder` for a moment."""
    return run_in(Surroundings(has_rights=False), folder, *arguments)


def _enter(surroundings: Surroundings, out: Path, err: Path, arguments: list[str]) -> None:
    """The child's side: arrange everything as it would be when a shell had started the program."""
    code = 70  # of a bug in here
    try:
        import torch

        torch.set_num_threads(1)
        for name, value in surroundings.environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _open_streams(surroundings, out, err)
        if surroundings.folder is not None:
            os.chdir(surroundings.folder)
            if surroundings.is_gone:
                surroundings.folder.rmdir()
        if not surroundings.has_rights:
            drop_rights()
        from tbps_cli.cli.main import tbps

        sys.argv = ["tbps", *arguments]
        code = _run(tbps)
    finally:
        os._exit(code)


def _run(program: Any) -> int:
    """What the interpreter does with a program: its exit code, a traceback, the flushing of streams at the end."""
    code = 0
    try:
        program()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            os.write(2, f"Exception ignored while flushing: {error!r}".encode())
            code = 120  # as the interpreter's
    return code


def _open_streams(surroundings: Surroundings, out: Path, err: Path) -> None:
    for name, number in STREAMS.items():
        place = {"stdin": os.devnull, "stdout": str(out), "stderr": str(err)}[name]
        if name in surroundings.full:
            place = "/dev/full"
        flags = os.O_RDONLY if name == "stdin" else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(place, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
        errors = "backslashreplace" if name == "stderr" else "strict"  # as the interpreter opens them
        mode = "r" if name == "stdin" else "w"
        stream = os.fdopen(number, mode, encoding=surroundings.encoding, errors=errors, closefd=False)
        if name in surroundings.closed:
            os.close(number)
        for attribute in (name, f"__{name}__"):
            setattr(sys, attribute, None if name in surroundings.closed else stream)
