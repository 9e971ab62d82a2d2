"""DTLS 1.2 on the wire, as far as it can be read and built without keys (RFC 6347, RFC 5246)."""

import dataclasses
import os

CHANGE_CIPHER, ALERT, HANDSHAKE, APPLICATION, CID, RESUMED_CID, MOVED = 20, 21, 22, 23, 25, 253, 254
CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY, CERTIFICATE, SERVER_KEY_EXCHANGE = 1, 2, 3, 11, 12
CERTIFICATE_REQUEST, SERVER_HELLO_DONE, CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, FINISHED = 13, 14, 15, 16, 20
CID_BYTES = 8


@dataclasses.dataclass
class Record:
    type: int
    version: bytes
    epoch: int
    seq: int
    cid: bytes
    body: bytes


@dataclasses.dataclass
class Message:
    """A handshake message that came in one piece."""
    type: int
    seq: int
    body: bytes


def records(datagram):
    """All records of a datagram; raises ValueError when it is not made of whole records."""
    found, at = [], 0
    while at < len(datagram):
        kind = datagram[at]
        cid_len = CID_BYTES if kind in (CID, RESUMED_CID) else 0
        header_end = at + 13 + cid_len
        if header_end > len(datagram):
            raise ValueError("cut inside a record header")
        length = int.from_bytes(datagram[header_end - 2:header_end], "big")
        if header_end + length > len(datagram):
            raise ValueError("cut inside a record")
        found.append(Record(kind, datagram[at + 1:at + 3], int.from_bytes(datagram[at + 3:at + 5], "big"),
                            int.from_bytes(datagram[at + 5:at + 11], "big"), datagram[at + 11:at + 11 + cid_len],
                            datagram[header_end:header_end + length]))
        at = header_end + length
    return found


def messages(record):
    """The handshake messages of one plain record of epoch 0."""
    found, at = [], 0
    while at < len(record.body):
        kind = record.body[at]
        length = int.from_bytes(record.body[at + 1:at + 4], "big")
        seq = int.from_bytes(record.body[at + 4:at + 6], "big")
        offset = int.from_bytes(record.body[at + 6:at + 9], "big")
        fragment = int.from_bytes(record.body[at + 9:at + 12], "big")
        if offset != 0 or fragment != length:
            raise ValueError("a fragmented message")
        found.append(Message(kind, seq, record.body[at + 12:at + 12 + length]))
        at += 12 + length
    return found


def extensions(block):
    """{number: body} of an extensions block with its two-byte length."""
    found, at = {}, 2
    if int.from_bytes(block[:2], "big") != len(block) - 2:
        raise ValueError("extensions of another length than stated")
    while at < len(block):
        number, length = int.from_bytes(block[at:at + 2], "big"), int.from_bytes(block[at + 2:at + 4], "big")
        found[number] = block[at + 4:at + 4 + length]
        at += 4 + length
    return found


def server_hello(body):
    """(version, random, session id, suite, compression, extensions) of a ServerHello body."""
    session_len = body[34]
    at = 35 + session_len
    return (body[:2], body[2:34], body[35:at], body[at:at + 2], body[at + 2], extensions(body[at + 3:]))


def handshake_record(message_type, body, message_seq=0, record_seq=0, fragment=None):
    """One plain record with one message, or with the given (offset, length) of it."""
    offset, length = fragment or (0, len(body))
    message = (bytes([message_type]) + len(body).to_bytes(3, "big") + message_seq.to_bytes(2, "big")
               + offset.to_bytes(3, "big") + length.to_bytes(3, "big") + body[offset:offset + length])
    return record(HANDSHAKE, 0, record_seq, message)


def record(record_type, epoch, seq, body, cid=b""):
    return (bytes([record_type]) + b"\xfe\xfd" + epoch.to_bytes(2, "big") + seq.to_bytes(6, "big") + cid
            + len(body).to_bytes(2, "big") + body)


DEVICE_OS_EXTENSIONS = bytes.fromhex("002d" "000d000a00080403040103030301" "000a000400020017" "000b00020100"
                                     "00fe000100" "001300020102" "001400020102")


def client_hello_body(random=None, cookie=b"", suites=b"\xc0\xae\x00\xff", extension_block=DEVICE_OS_EXTENSIONS,
                      version=b"\xfe\xfd"):
    """By default what Device OS 6.2.0 sends."""
    return (version + (random or os.urandom(32)) + b"\x00" + bytes([len(cookie)]) + cookie
            + len(suites).to_bytes(2, "big") + suites + b"\x01\x00" + extension_block)


def client_hello(random=None, cookie=b"", message_seq=0, record_seq=0, **options):
    return handshake_record(CLIENT_HELLO, client_hello_body(random, cookie, **options), message_seq, record_seq)


def cookie_of(datagram):
    """The cookie of a HelloVerifyRequest."""
    (only,) = messages(records(datagram)[0])
    assert only.type == HELLO_VERIFY, f"message {only.type} instead of HelloVerifyRequest"
    length = only.body[2]
    assert len(only.body) == 3 + length
    return only.body[3:]
