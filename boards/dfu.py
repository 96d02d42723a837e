"""The suffix of a file for a DFU boot loader.

Source: USB Device Class Specification for Device Firmware Upgrade 1.1, appendix B.
"""

import struct
import zlib

__all__ = ["with_suffix"]

ANY_RELEASE = 0xFFFF
SPECIFICATION = 0x0100
LENGTH = 16


def with_suffix(content: bytes, vendor: int, product: int) -> bytes:
    """``content`` for the device ``vendor``:``product``, which refuses files for others.

    >>> with_suffix(b"", 0x1209, 0x5AF0)[:12].hex()
    'fffff05a0912000155464410'
    """
    numbers = struct.pack("<HHHH", ANY_RELEASE, product, vendor, SPECIFICATION)
    checked = content + numbers + b"UFD" + bytes([LENGTH])
    return checked + struct.pack("<I", zlib.crc32(checked) ^ 0xFFFF_FFFF)
