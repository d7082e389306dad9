"""A clamd that is strict about its protocol and knows one virus: the EICAR test file.

https://docs.clamav.net/manual/Usage/Scanning.html#clamd, `INSTREAM` and `PING` with the prefix z.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# In two parts, or a scanner on the developer's machine would take this file away.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
STREAM_MAX_BYTES = 25 * 1024 * 1024


@dataclass(slots=True)
class ClamdEmulator:
    """Listens on a free port of this machine, or on a socket in the file system."""

    path: Path | None = None
    says: bytes | None = None
    """Instead of a verdict; empty hangs up without a word."""
    is_mute: bool = False
    """Whether it takes everything and never answers."""
    scanned: list[int] = field(default_factory=list)
    """How many bytes each stream had."""
    address: str = ""
    _listening: socket.socket | None = None
    _threads: list[threading.Thread] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)

    def start(self) -> None:
        if self.path is not None:
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(str(self.path))
            self.address = str(self.path)
        else:
            host, _colon, port = self.address.rpartition(":")
            self._listening = socket.create_server((host or "127.0.0.1", int(port or 0)))
            self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._listening.listen(8)
        accepting = threading.Thread(target=self._accept, args=(self._listening,))
        accepting.start()
        self._threads.append(accepting)

    def stop(self) -> None:
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        for line in self._open:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        for thread in self._threads:
            thread.join(5)
        self._threads.clear()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                line, _address = listening.accept()
            except OSError:
                return
            self._open.append(line)
            serving = threading.Thread(target=self._serve, args=(line,))
            serving.start()
            self._threads.append(serving)

    def _serve(self, line: socket.socket) -> None:
        with suppress(OSError, EOFError), line, line.makefile("rb") as coming:
            command = b""
            while not command.endswith(b"\0"):
                command += self._exactly(coming, 1)
                if len(command) > 20:
                    line.sendall(b"COMMAND READ TIMED OUT\0")
                    return
            answer = self._answer(command, coming)
            if self.is_mute:
                coming.read()
            else:
                line.sendall(answer)

    def _answer(self, command: bytes, coming) -> bytes:
        if command == b"zPING\0":
            return b"PONG\0" if self.says is None else self.says
        if command != b"zINSTREAM\0":
            return b"UNKNOWN COMMAND\0"
        content = b""
        while size_bytes := struct.unpack("!I", self._exactly(coming, 4))[0]:
            content += self._exactly(coming, size_bytes)
            if len(content) > STREAM_MAX_BYTES:
                return b"INSTREAM size limit exceeded. ERROR\0"
        self.scanned.append(len(content))
        if self.says is not None:
            return self.says
        return b"stream: Eicar-Signature FOUND\0" if EICAR in content else b"stream: OK\0"

    @staticmethod
    def _exactly(coming, size_bytes: int) -> bytes:
        found = coming.read(size_bytes)
        if len(found) < size_bytes:
            raise EOFError
        return found


@contextmanager
def clamd(path: Path | None = None) -> Iterator[ClamdEmulator]:
    """One that runs as long as the block lasts."""
    emulator = ClamdEmulator(path)
    emulator.start()
    try:
        yield emulator
    finally:
        emulator.stop()
