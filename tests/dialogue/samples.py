"""Files that clients send."""

import struct
import zlib

PDF = b"%PDF-1.7\n1 0 obj <<>> endobj\n" + b"invoice " * 40
PDF_2 = b"%PDF-1.7\n2 0 obj <<>> endobj\n" + b"contract " * 40
PROGRAM = b"MZ" + bytes(1000)
VOICE = b"OggS\x00\x02" + bytes(100)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PHOTO = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\x00"))
    + _chunk(b"IEND", b"")
)


def _encrypted_zip() -> bytes:
    name, body = b"scan.pdf", bytes(12) + b"x" * 20
    local = (
        struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 1, 0, 0, 33, 0, len(body), 20, len(name), 0)
        + name
        + body
    )
    central = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        b"PK\x01\x02",
        20,
        20,
        1,
        0,
        0,
        33,
        0,
        len(body),
        20,
        len(name),
        0,
        0,
        0,
        0,
        0,
        0,
    )
    central += name
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


LOCKED_ZIP = _encrypted_zip()
