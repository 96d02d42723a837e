"""The stream of a depthwise layer: how many lines, how many pixels each. No HDL is imported here.

Lines follow each other without a gap (DEPTHWISE in :mod:`.isa`), so a window that reaches over the
end of its line sees the first pixels of the next. That is right as long as both are padding: pixels
that are the right padding of one line and the left padding of the next are streamed once.
"""

__all__ = ["stream_lines", "stream_pitch"]


def stream_pitch(
    in_width: int, out_width: int, kernel_width: int, stride: int, pad_left: int
) -> int:
    """Pixels of a line of the stream: the fewest with which every window sees what it should.

    The windows of a line cover ``(out_width - 1) * stride + kernel_width`` pixels, the first of
    them ``pad_left`` in front of the image. Those behind the image can be shared with as many in
    front of the next line. Every window still begins in its own line, hence never more than
    ``kernel_width - 1``; behind the last line the stream goes on with that much padding.

    3x3 on a line of 5, padded on both sides; the same with stride 2, where TFLite pads a line of
    even length on the right only; and without padding, where the stride skips the last pixel.

    >>> stream_pitch(5, 5, 3, 1, 1), stream_pitch(6, 3, 3, 2, 0), stream_pitch(6, 2, 3, 2, 0)
    (6, 7, 5)
    """
    covered = (out_width - 1) * stride + kernel_width
    right = max(0, covered - pad_left - in_width)
    return covered - min(pad_left, right, kernel_width - 1)


def stream_lines(out_height: int, kernel_height: int, stride: int) -> int:
    """Lines of the stream: those that the windows cover, padding included.

    >>> stream_lines(5, 3, 1), stream_lines(3, 3, 2)
    (7, 7)
    """
    return (out_height - 1) * stride + kernel_height
