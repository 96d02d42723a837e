"""Frames on the wire: flags, escapes and the check sequence, for the software side of the link.

Source: RFC 1662, PPP in HDLC-like Framing: flag sequence 0x7E, control escape 0x7D with an
exclusive or of 0x20, FCS-16 (CRC-16/IBM-SDLC, also called X-25) sent low byte first.
No HDL is imported here.
"""

import binascii

__all__ = ["ESCAPE", "ESCAPE_XOR", "FCS_BYTES", "FLAG", "Deframer", "encode", "fcs16"]

FLAG = 0x7E
ESCAPE = 0x7D
ESCAPE_XOR = 0x20
FCS_BYTES = 2

# crc_hqx is the same polynomial, most significant bit first; FCS-16 is its mirror image.
_MIRROR = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ESCAPES = {byte: bytes((ESCAPE, byte ^ ESCAPE_XOR)) for byte in (ESCAPE, FLAG)}


def fcs16(contents: bytes) -> int:
    """FCS-16 of a frame's contents.

    >>> hex(fcs16(b"123456789"))
    '0x906e'
    """
    crc = binascii.crc_hqx(contents.translate(_MIRROR), 0xFFFF)
    return (_MIRROR[crc & 0xFF] << 8 | _MIRROR[crc >> 8]) ^ 0xFFFF


def encode(contents: bytes) -> bytes:
    """Bytes on the wire of one frame, both of its flags included.

    >>> encode(bytes.fromhex("7e01")).hex()
    '7e7d5e011a747e'
    """
    body = contents + fcs16(contents).to_bytes(FCS_BYTES, "little")
    # The escape first: an escaped flag contains an escape of its own.
    for byte, escaped in _ESCAPES.items():
        body = body.replace(bytes((byte,)), escaped)
    return bytes((FLAG,)) + body + bytes((FLAG,))


class Deframer:
    """Finds frames in bytes that come piece by piece, and drops the damaged ones.

    A frame is dropped and counted in ``dropped`` when its FCS is wrong, when it is shorter than
    `shortest` or longer than `longest` bytes (without the FCS), or when a flag follows an escape.
    Nothing between two flags is not a frame, and not counted.
    """

    def __init__(self, *, shortest: int = 2, longest: int = 1 << 16):
        if shortest < 0:
            raise ValueError(f"shortest must be at least 0, not {shortest!r}")
        if longest < shortest:
            raise ValueError(f"longest must be at least shortest ({shortest}), not {longest!r}")
        self.dropped = 0
        self._shortest = shortest
        self._longest = longest
        self._body = bytearray()
        self._escaped = False
        self._overlong = False

    def push(self, raw: bytes) -> list[bytes]:
        """The contents, without FCS, of the good frames that `raw` completes."""
        frames = []
        for byte in raw:
            if byte == FLAG:
                contents = self._close()
                if contents is not None:
                    frames.append(contents)
            elif byte == ESCAPE and not self._escaped:
                self._escaped = True
            elif len(self._body) == self._longest + FCS_BYTES:
                self._overlong = True
                self._escaped = False
            else:
                self._body.append(byte ^ ESCAPE_XOR if self._escaped else byte)
                self._escaped = False
        return frames

    def _close(self) -> bytes | None:
        body, escaped, overlong = bytes(self._body), self._escaped, self._overlong
        self._body.clear()
        self._escaped = self._overlong = False
        if not body and not escaped:
            return None
        contents, fcs = body[:-FCS_BYTES], body[-FCS_BYTES:]
        if (
            escaped
            or overlong
            or len(body) < self._shortest + FCS_BYTES
            or fcs16(contents) != int.from_bytes(fcs, "little")
        ):
            self.dropped += 1
            return None
        return contents
