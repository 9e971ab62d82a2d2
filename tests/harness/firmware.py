"""Makes module binaries as a compiler for a device would (device-protocol 5.1), with any part of them wrong on request.

    module(ARGON, "s", 1, version=6200, needs=[("b", 0, 3100)], size=600_000)     one file
    combined(module(ARGON, "a", ...), module(ARGON, "s", ...))                    two modules in one file
    compressed(module(BORON, "u", 1, version=7))                                  as raw deflate

Real ones, where the machine has them, are found by real_firmware().
"""

import hashlib
import os
import pathlib
import random
import struct
import zlib

from .paths import ROOT

CORE, PHOTON, P1, ELECTRON, ARGON, BORON, XENON, B5_SOM, TRACKER, P2 = 0, 6, 8, 10, 12, 13, 14, 25, 26, 32

FUNCTIONS = {"n": 0, "r": 1, "b": 2, "m": 3, "s": 4, "u": 5, "_": 6, "c": 7, "a": 8, "t": 9}
DROP_HEADER, COMPRESSED, COMBINED, ENCRYPTED, PREFIX_EXTENSIONS = 0x01, 0x02, 0x04, 0x08, 0x10
EXTENSION_END, EXTENSION_PRODUCT, EXTENSION_DEPENDENCY, EXTENSION_NAME, EXTENSION_ASSET = 0, 1, 3, 0x11, 0x12
NCP_ESP32 = 0x21

HEADER_BYTES = 24
CRC_BYTES = 4
SHA_AND_SIZE_BYTES = 34
NO_PRODUCT = (0xFFFF, 0xFFFF)

# Where the code of a module begins: a header behind the vector table of its processor, or at offset 0.
_VECTORS = {  # (platform, function): offset of the header
    (CORE, "m"): 0x10C,
    (PHOTON, "s"): 0x184, (P1, "s"): 0x184, (ELECTRON, "s"): 0x184,
    (P2, "b"): 0x20,
}
_NRF52 = (ARGON, BORON, XENON, 15, 22, 23, 24, B5_SOM, TRACKER)
_START = {"b": 0xF4000, "s": 0x30000, "u": 0xD4000, "c": 0, "a": 0x1000, "m": 0x8005000, "t": 0}


def function_number(function):
    return FUNCTIONS[function] if isinstance(function, str) else function


def header_offset(platform, function):
    """Where a module of this kind has its header."""
    if platform in _NRF52 and function in ("b", "s"):
        return 0x200
    return _VECTORS.get((platform, function), 0)


def vector_table(length, seed=0):
    """The first bytes of code that begins with vectors: a stack in RAM, handlers in flash."""
    chosen = random.Random(seed)
    words = [0x20005000] + [0x08005000 | chosen.randrange(0x10000) | 1 for _ in range(length // 4)]
    return struct.pack(f"<{len(words)}I", *words)[:length]


def extension(kind, data=b""):
    """One type-length-value record; its length counts its own head."""
    return struct.pack("<HH", kind, 4 + len(data)) + data


def header(platform, function, index, version, needs=(), flags=0, mcu=0, start=0, length=0):
    """The 24 bytes; length is of the whole module with its CRC."""
    out = struct.pack("<IIBBHHBB", start, start + length - CRC_BYTES, mcu, flags, version, platform,
                      function_number(function), index)
    needs = list(needs) + [("n", 0, 0)] * (2 - len(needs))
    for needed, needed_index, needed_version in needs:
        out += struct.pack("<BBH", function_number(needed), needed_index, needed_version)
    return out


def suffix(sha256, product=NO_PRODUCT, extensions=(), with_product=True):
    """Everything between the code and the CRC."""
    out = b"".join(extensions)
    if with_product and not any(struct.unpack_from("<H", e)[0] == EXTENSION_PRODUCT for e in extensions):
        out += struct.pack("<HH", *product)
    out += struct.pack("<H", 0) + sha256
    return out + struct.pack("<H", len(out) + 2)


def seal(body, hashed_from=0, **suffix_options):
    """body with suffix and CRC behind it; the hash is over what comes before it, as most compilers do, or, for a
    co-processor, over its own image alone (hashed_from, which also ends before the suffix)."""
    if hashed_from:
        sha256 = hashlib.sha256(body[hashed_from:]).digest()
    else:
        before = suffix(bytes(32), **suffix_options)[:-SHA_AND_SIZE_BYTES]
        sha256 = hashlib.sha256(body + before).digest()
    return with_crc(body + suffix(sha256, **suffix_options))


def with_crc(data):
    return data + struct.pack(">I", zlib.crc32(data))


def code(length, seed):
    """Bytes that look like code to a compressor: neither noise nor zeros."""
    chosen = random.Random(seed)
    words = [chosen.randbytes(4) for _ in range(64)]
    out = b"".join(chosen.choice(words) for _ in range(length // 4 + 1))
    return out[:length]


def module(platform, function, index=None, version=1, *, needs=(), size=4096, flags=0, mcu=None, product=NO_PRODUCT,
           extensions=(), with_product=True, prefix_extensions=(), seed=None, start=None, at=None):
    """A whole, valid module binary of exactly size bytes. needs: up to two of (function, index, version). seed: other bytes
    for the same version. at: where the header is, if not where modules of this kind have it."""
    letter = function if isinstance(function, str) else next(k for k, v in FUNCTIONS.items() if v == function)
    if index is None:
        index = 1 if letter in "su" else 0
    if mcu is None:
        mcu = NCP_ESP32 if letter == "c" else 0
    if at is None:
        at = header_offset(platform, letter)
    if start is None:
        start = _START.get(letter, 0)
    if prefix_extensions:
        flags |= PREFIX_EXTENSIONS
        prefix_extensions = [*prefix_extensions, extension(EXTENSION_END)]
    head = vector_table(at, version)
    head += header(platform, letter, index, version, needs, flags, mcu, start, size) + b"".join(prefix_extensions)
    options = {"product": product, "extensions": extensions, "with_product": with_product and letter not in "ca"}
    tail = len(suffix(bytes(32), **options)) + CRC_BYTES
    assert size >= len(head) + tail, f"{size} bytes are too few: {len(head)} + {tail}"
    body = head + code(size - len(head) - tail, f"{platform}{letter}{index}{version}{seed}")
    return seal(body, hashed_from=at + HEADER_BYTES if letter == "c" else 0, **options)


def core_image(size=88_000, seed=0):
    """Firmware of a Core from before there were modules: code, no header, no checksum."""
    return vector_table(0x10C, seed) + code(size - 0x10C, seed)


def _fields(data, at):
    keys = ("start", "end", "mcu", "flags", "version", "platform", "function", "index")
    return dict(zip(keys, struct.unpack_from("<IIBBHHBB", data, at)))


def header_of(data):
    """Where the header of a single module made here is, and what it says."""
    for at in (0, 0x20, 0x10C, 0x184, 0x200):
        if len(data) >= at + HEADER_BYTES:
            fields = _fields(data, at)
            if fields["end"] == fields["start"] + len(data) - CRC_BYTES and fields["function"] < 10:
                return at, fields
    raise ValueError("no header")


def resealed(data, changes=()):
    """A copy with bytes changed, (offset, bytes) each, and hash and CRC made right again."""
    changed = bytearray(data)
    for offset, value in changes:
        changed[offset:offset + len(value)] = value
    at, fields = header_of(data)
    if fields["function"] == FUNCTIONS["c"]:
        suffix_bytes = struct.unpack_from("<H", changed, len(changed) - CRC_BYTES - 2)[0]
        hashed = changed[at + HEADER_BYTES:len(changed) - CRC_BYTES - suffix_bytes]
    else:
        hashed = changed[:-CRC_BYTES - SHA_AND_SIZE_BYTES]
    changed[-CRC_BYTES - SHA_AND_SIZE_BYTES:-CRC_BYTES - 2] = hashlib.sha256(hashed).digest()
    return with_crc(bytes(changed[:-CRC_BYTES]))


def combined(first, *others):
    """Modules one behind the other in one file, each but the last marked so."""
    parts = [first, *others]
    for i, part in enumerate(parts[:-1]):
        at, fields = header_of(part)
        parts[i] = resealed(part, [(at + 9, bytes([fields["flags"] | COMBINED]))])
    return b"".join(parts)


def compressed(data, window_bits=0, original_bytes=None, method=0, header_bytes=8):
    """The module again, its bytes as raw deflate. The last three can be given wrong."""
    at, fields = header_of(data)
    suffix_bytes = struct.unpack_from("<H", data, len(data) - CRC_BYTES - 2)[0]
    packed = data
    if fields["flags"] & DROP_HEADER:
        packed = data[HEADER_BYTES:len(data) - CRC_BYTES - suffix_bytes]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -(window_bits or 15))
    stream = deflate.compress(packed) + deflate.flush()
    head = bytearray(data[at:at + HEADER_BYTES])
    length = len(head) + 8 + len(stream) + suffix_bytes + CRC_BYTES
    struct.pack_into("<I", head, 4, fields["start"] + length - CRC_BYTES)
    head[9] |= COMPRESSED
    said = struct.pack("<HBBI", header_bytes, method, window_bits, len(packed) if original_bytes is None else original_bytes)
    body = bytes(head) + said + stream
    before = data[len(data) - CRC_BYTES - suffix_bytes:len(data) - CRC_BYTES - SHA_AND_SIZE_BYTES]
    sha256 = hashlib.sha256(body + before).digest()
    return with_crc(body + before + sha256 + struct.pack("<H", suffix_bytes))


def real_firmware():
    """The folder of images of real devices, or None: CYAN_FIRMWARE, else beside the sources."""
    folder = pathlib.Path(os.environ.get("CYAN_FIRMWARE", ROOT.parent / "shared" / "firmware"))
    return folder if folder.is_dir() else None
