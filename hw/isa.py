"""The program: layer descriptors, declared once for the sequencer, the compiler and the models.

A descriptor is 512 bits, the fields of :data:`FIELDS` one after the other, the first in the most
significant bits, written big-endian; unused low bits are zero. An accelerator with nothing but the
EIE array reads the first 256 bits alone (:attr:`.config.Config.descriptor_words`).

``END`` ends the program, ``EIE`` is a fully-connected pass on the EIE array; dense columns hold
zeros where a PE has fewer outputs than ``rows``. The others:

``CONV``
    Convolution on the systolic array. Its input is bytes: pixel after pixel, each ``pitch`` bytes,
    a line ``line_bytes`` from the next, from activation word ``in_base`` on. R = ``act_word`` bytes
    from any address on are what the array's rows see. Output pixel (oy, ox) sees, for each tap
    (ky, kx) and segment s, the R bytes that begin in line ``oy * step_y + ky * tap_y - pad_y`` at
    its byte ``ox * step_x + kx * tap_x - pad_x + s * R``; a byte outside of the line, or of the
    image, is ``in_zero``. Outputs come in ``blocks`` of ``Config.tile_outputs``. Weights: from word
    ``weight_base`` on, for each block, ky, kx, s: ``rows`` words, word r the weights of byte r;
    bytes from ``rows`` on have none.
    On the compact engine all of that is whole words, ``rows`` is all rows, and all output pixels
    are one tile; block b sees what is ``b * group`` words behind; and with ``same`` one tile of
    weights is that of all. It finds its way by steps that the compiler has worked out, in fields
    that are of no use otherwise: ``in2_base`` is the word at which the first window would begin,
    less ``group``, ``slot`` and ``codebook`` are its place in the line, in words, and its line;
    ``pointer_base`` is from a tap's last segment to the next tap of its line, ``columns`` from a
    line's last to the next line of taps, ``in_width`` from a line's last pixel to the next line of
    outputs; all modulo their size. With ``early``, what the descriptor before writes last is read
    last: only the last segments are (where ``group`` is 0), or the last block.
``DEPTHWISE``
    Depthwise convolution on the systolic array, ``lanes`` channels (a block) at a time. The input
    is words: a pixel ``tap_x`` bytes from the next. For each block, ``columns`` lines of
    ``segments`` pixels are streamed: line j, pixel i is input line ``j - pad_y``, pixel
    ``i - pad_x``, the zero point where that is outside of ``in_height`` and ``in_width``. Lines
    follow each other without a gap, so what is behind the last pixel of a line is the first of the
    next. Output pixel (oy, ox) begins at line ``oy * step_y``, pixel ``ox * step_x`` of the stream
    and has ``taps_y`` lines, at most 3, of at most ``Config.line_taps``. Weights: for each block
    ``rows`` words, of which word ``line_taps * (taps_y - 1 - ky) + kx`` is tap (ky, kx).
``WINOGRAD``
    3x3 convolution of stride 1 on the Winograd unit. The input is words: a pixel is ``segments``
    words, ``tap_x`` from the next, a line ``line_bytes`` words from the next; ``in_base`` is,
    modulo 2**16, where the pixel ``pad_y`` lines above and ``pad_x`` in front of the first one
    would be. Output pixel (oy, ox) sees 3 x 3 pixels from line ``oy - pad_y``, pixel ``ox - pad_x``
    on, those outside of the image ``in_zero``. ``columns`` lines of ``out_width`` pixels come out,
    ``step_x`` words from one to the next. Outputs come in ``blocks`` of
    ``Config.winograd_filters``. Weights: from word ``weight_base`` of that unit's on, for each
    block a word for each of ``rows`` input channels; byte ``9 * k + 3 * ky + kx`` is that of output
    k.
``WINDOW``
    Pools, copies, tables, sums of tensors, a block of ``act_word`` channels at a time. As ``CONV``,
    but with words instead of bytes in ``line_bytes``, ``step_x``, ``tap_x`` and ``pad_x``; block b
    adds b to the address. ``mode`` says what is made of the taps. A tap outside of the image counts
    as ``in_zero``. ADD has two taps, at the same place from ``in_base`` and from ``in2_base`` on,
    each through its table.
``TABLE``
    Fill half ``half`` of the window engine's tables, while what follows runs: with slot ``slot``,
    or, where ``multiplier`` is not zero, with ``((x - in_zero) << 20) * multiplier * 2**-31``
    for every int8 x, then shifted right by ``shift``, as gemmlowp's double rounding has it.

Word w of output pixel p is written to activation word ``out_base + p * out_words + w``.
"""

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "DESCRIPTOR_BYTES",
    "FIELDS",
    "Descriptor",
    "Field",
    "Mode",
    "Op",
    "decode",
    "disassemble",
    "encode",
]

DESCRIPTOR_BYTES = 64
WORD_BITS = 32


class Op(IntEnum):
    """What a descriptor asks for."""

    END = 0
    EIE = 1
    CONV = 2
    DEPTHWISE = 3
    WINDOW = 4
    TABLE = 5
    WINOGRAD = 6


class Mode(IntEnum):
    """What the window engine makes of the taps of a window."""

    SUM = 0
    MAX = 1
    ADD = 2
    LUT = 3


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a descriptor."""

    name: str
    bits: int
    signed: bool
    doc: str

    @property
    def range(self) -> range:
        half = 1 << (self.bits - 1)
        return range(-half, half) if self.signed else range(1 << self.bits)


FIELDS = (
    Field("op", 4, False, "Op"),
    Field("layer", 8, False, "number of the layer, for the trace"),
    Field("dense", 1, False, "dense columns: every PE holds `rows` entries of every column"),
    Field("double_round", 1, False, "rounding rule: 1 gemmlowp double rounding, 0 single rounding"),
    Field("per_channel", 1, False, "a record for each channel, else one word for all"),
    Field("in_base", 16, False, "activation word of the first input"),
    Field("in_zero", 8, True, "zero point of the inputs"),
    Field("columns", 16, False, "EIE: inputs; DEPTHWISE: lines streamed; WINOGRAD: output lines"),
    Field("out_base", 16, False, "activation word of the first output of this pass"),
    Field("outputs", 16, False, "outputs of this pass, or channels of an output pixel"),
    Field("out_zero", 8, True, "zero point of the outputs"),
    Field("clamp_min", 8, True, "lowest output"),
    Field("clamp_max", 8, True, "highest output"),
    Field("rows", 11, False, "EIE: accumulators of a PE; WINOGRAD: channels; else words of a tile"),
    Field("weight_base", 24, False, "where the weights begin (EIE: entry of a PE's, if dense)"),
    Field("pointer_base", 24, False, "sparse: word of a PE's pointer memory for column 0"),
    Field("codebook", 8, False, "codebook slot"),
    Field("channel_base", 16, False, "channel-memory word of the first outputs"),
    Field("record_base", 16, False, "record-memory word of the first outputs"),
    Field("multiplier", 31, False, "TABLE: of the differences to the zero point; 0: copy a slot"),
    Field("shift", 6, False, "TABLE: right shift behind the multiplier"),
    Field("slot", 8, False, "TABLE: which of the tables"),
    Field("half", 1, False, "TABLE: half to fill; LUT: half to use"),
    # The second half.
    Field("line_bytes", 20, False, "from an input line to the next (WINDOW: words)"),
    Field("in_height", 16, False, "input lines"),
    Field("in_width", 16, False, "DEPTHWISE, WINOGRAD: input pixels of a line"),
    Field("in2_base", 16, False, "ADD: activation word of the second input"),
    Field("pad_x", 16, False, "padding at the left: bytes (WINDOW: words, DEPTHWISE: pixels)"),
    Field("pad_y", 8, False, "padding at the top, lines"),
    Field("step_x", 16, False, "stride: bytes (DEPTHWISE: pixels, WINDOW: words)"),
    Field("step_y", 8, False, "stride, lines"),
    Field("tap_x", 16, False, "from tap to tap: bytes (DEPTHWISE: a pixel, WINDOW: words)"),
    Field("tap_y", 8, False, "from tap to tap, lines"),
    Field("taps_x", 8, False, "taps of a line"),
    Field("taps_y", 8, False, "lines of taps"),
    Field("segments", 12, False, "words of a tap (DEPTHWISE: pixels of a line of the stream)"),
    Field("blocks", 12, False, "blocks of outputs"),
    Field("tile", 10, False, "CONV: output pixels at a time"),
    Field("out_width", 16, False, "output pixels of a line"),
    Field("out_pixels", 20, False, "output pixels"),
    Field("out_words", 12, False, "words from an output pixel to the next"),
    Field("small", 1, False, "the multipliers' top bit, otherwise always set, is zero"),
    Field("mode", 2, False, "WINDOW: Mode"),
    Field("group", 12, False, "compact CONV: words from a block's input to the next one's"),
    Field("same", 1, False, "compact CONV: one tile of weights for all taps and blocks"),
    Field("early", 1, False, "compact CONV: may begin while the outputs before it are written"),
)  # fmt: skip

Descriptor = dict[str, int]
_BY_NAME = {field.name: field for field in FIELDS}


def encode(descriptor: Descriptor, words: int = DESCRIPTOR_BYTES * 8 // WORD_BITS) -> bytes:
    """The first ``words`` 32-bit words of a descriptor; fields that are not named are zero.

    Raises
    ------
    ValueError
        A field is unknown, its value does not fit, or it lies behind those words.

    >>> encode({"op": Op.EIE, "in_zero": -1}, 8)[:6].hex()
    '10000001fe00'
    """
    for name, value in descriptor.items():
        if name not in _BY_NAME:
            raise ValueError(f"{name} is not a descriptor field")
        if value not in _BY_NAME[name].range:
            allowed = _BY_NAME[name].range
            raise ValueError(f"{name} must be {allowed[0]} to {allowed[-1]}, not {value!r}")
    word = 0
    for field in FIELDS:
        word = word << field.bits | int(descriptor.get(field.name, 0)) & ((1 << field.bits) - 1)
    raw = (word << (8 * DESCRIPTOR_BYTES - _USED)).to_bytes(DESCRIPTOR_BYTES, "big")
    size = words * WORD_BITS // 8
    if any(raw[size:]):
        raise ValueError(f"words must be {DESCRIPTOR_BYTES * 8 // WORD_BITS} for a descriptor of "
                         f"{Op(descriptor.get('op', 0)).name}, not {words!r}")  # fmt: skip
    return raw[:size]


def decode(raw: bytes) -> Descriptor:
    """The fields of one descriptor, whole or its first half; the inverse of :func:`encode`."""
    if len(raw) not in (DESCRIPTOR_BYTES, DESCRIPTOR_BYTES // 2):
        raise ValueError(
            f"raw must be {DESCRIPTOR_BYTES // 2} or {DESCRIPTOR_BYTES} bytes, not {len(raw)}"
        )
    word = int.from_bytes(raw.ljust(DESCRIPTOR_BYTES, b"\0"), "big")
    position = 8 * DESCRIPTOR_BYTES
    descriptor = {}
    for field in FIELDS:
        position -= field.bits
        value = word >> position & ((1 << field.bits) - 1)
        if field.signed and value >> (field.bits - 1):
            value -= 1 << field.bits
        descriptor[field.name] = value
    return descriptor


def disassemble(program: bytes, words: int = DESCRIPTOR_BYTES * 8 // WORD_BITS) -> str:
    """One line for each descriptor of ``words`` 32-bit words, zero fields left out."""
    lines = []
    size = words * WORD_BITS // 8
    for start in range(0, len(program), size):
        fields = decode(program[start : start + size])
        op = Op(fields.pop("op")).name
        shown = " ".join(f"{name}={value}" for name, value in fields.items() if value)
        lines.append(f"{start // size:3d} {op} {shown}".rstrip())
    return "\n".join(lines)


_USED = sum(field.bits for field in FIELDS)
assert _USED <= 8 * DESCRIPTOR_BYTES
