"""Standard input, output and error as whoever starts the program leaves them: closed, full, of any encoding."""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from typing import Any, TextIO

import click

_ASCII = codecs.lookup("ascii")
_PLAIN = "plain_ascii"  # click takes a stream that calls itself ASCII for a mistake, and writes UTF-8 to it
_CLOSED = {"stdin": os.O_RDONLY, "stdout": os.O_RDONLY, "stderr": os.O_WRONLY}  # writing to stdout fails, as it should


@codecs.register
def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != _PLAIN:
        return None
    parts = (_ASCII.incrementalencoder, _ASCII.incrementaldecoder)
    return codecs.CodecInfo(*_ASCII[:4], *parts, name=_PLAIN)  # type: ignore[arg-type]


def start_again_in_utf8() -> None:
    """Start the program anew where Python would take the names of files for something else than UTF-8.

    So an image is found under the name that a gallery has for it, whatever the locale is. What is shown keeps the
    locale's encoding.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    shown = sys.stdout or sys.stderr
    if shown is not None:
        os.environ.setdefault("PYTHONIOENCODING", shown.encoding)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class _Sink(io.FileIO):
    """A file that can be written without end: its first failure is kept, and all that follows is dropped."""

    failure: OSError | None = None

    def write(self, block: Any) -> int:
        while self.failure is None:
            try:
                written = super().write(block)
            except OSError as error:
                self.failure = error
            else:
                if written is not None:
                    return written
                select.select([], [self], [])  # somebody made it non-blocking, and it is full for now
        return len(block)


class Streams:
    """The standard streams for the time of a command: nothing that is shown can end it.

    What an encoding lacks is escaped. A stream that was closed is /dev/null, so that no file that is opened can get
    its number, and be written to by mistake. `end` says what could not be shown.
    """

    def __init__(self) -> None:
        self._before = {name: getattr(sys, name) for name in _CLOSED}
        self._sinks: dict[str, _Sink] = {}

    def __enter__(self) -> Streams:
        for name, stream in self._before.items():
            if stream is None:
                number = os.open(os.devnull, _CLOSED[name])
                os.set_inheritable(number, True)
                opened = self._guard(name, number) if name != "stdin" else os.fdopen(number)
                setattr(sys, name, opened)
            elif name != "stdin":
                setattr(sys, name, self._take_over(name, stream))
        return self

    def __exit__(self, *_: object) -> None:
        for name, stream in self._before.items():
            setattr(sys, name, stream)

    def end(self, code: int) -> int:
        """Write what is left, say what failed, and return the exit code: at least 1 where something was not shown.

        A pipe whose reader has gone needs no word, and an error that is not shown cannot be told.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        failure = self._sinks["stdout"].failure if "stdout" in self._sinks else None
        if failure is not None and not isinstance(failure, BrokenPipeError):
            reason = "it is closed" if failure.errno == errno.EBADF else failure.strerror
            click.echo(
                f"Error: standard output cannot be written ({reason}), so what was to be shown is lost; files that the "
                "command has written are whole. Free some space or send it elsewhere, as by > out.txt",
                err=True,
            )
        return code or int(any(sink.failure is not None for sink in self._sinks.values()))

    def _take_over(self, name: str, stream: TextIO) -> TextIO:
        try:
            number = stream.fileno()
        except (OSError, ValueError):  # nothing of the operating system's: a test's or a notebook's
            number = None
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        if number is None:
            stream.reconfigure(errors="backslashreplace")
            return stream
        stream.flush()
        return self._guard(name, number, stream)

    def _guard(self, name: str, number: int, like: io.TextIOWrapper | None = None) -> TextIO:
        sink = self._sinks[name] = _Sink(number, "wb", closefd=False)
        encoding = like.encoding if like is not None else "utf-8"
        return io.TextIOWrapper(
            io.BufferedWriter(sink),
            encoding=_PLAIN if codecs.lookup(encoding).name == "ascii" else encoding,
            errors="backslashreplace",
            line_buffering=like is not None and like.line_buffering,
            write_through=like is not None and like.write_through,
        )
