"""Cycles of the compact engine, descriptor after descriptor."""

from prunus.hw.isa import Descriptor

__all__ = ["Timeline"]

FETCH = 18  # cycles until a descriptor is there
GAP = 3  # between two tiles of weights
DRAIN = 8  # cycles that a pixel's outputs take
LATENCY = 20  # from the first pixel of a block's last tile to the first word, beside that
TURN = 9  # cycles of a tile in which a word is written without taking a cycle from reading


class Timeline:
    """When each descriptor's last output is written, of those that :meth:`add` has been given.

    A tile of weights takes a cycle for each pixel and :data:`GAP`; a word that is written takes one
    more where no cycle is left over, as at windows that reach beyond the image. The last tile of a
    block waits for the drain of the block before, :data:`DRAIN` cycles a pixel.
    """

    def __init__(self) -> None:
        self._free = 0.0  # nothing is read any longer
        self._drained = 0.0

    def add(self, fields: Descriptor, *, early: bool = False) -> int:
        """Cycles from the end of the descriptor before to the end of this one.

        With ``early`` it may begin while the outputs before it are written: only its last segments
        read these, or its last block.
        """
        pixels, blocks, segments = fields["out_pixels"], fields["blocks"], fields["segments"]
        count = fields["taps_y"] * fields["taps_x"] * segments
        before = self._drained
        start = self._free + FETCH
        if not early:
            start = max(start, before + FETCH // 2)
        stolen = _stolen(fields) / count
        tile = pixels + GAP + stolen
        late = blocks - 1 if fields.get("group", 0) else 0
        for block in range(blocks):
            last = start + (count - 1) * tile
            if early and block == late:
                wait = start if fields.get("group", 0) else start + (segments - 1) * tile
                last += max(0.0, before - wait)
            last = max(last, self._drained) + (0 if block else FETCH)
            self._drained = last + DRAIN * pixels + LATENCY
            start = last + tile
        self._free = start
        return round(self._drained - before)


def _stolen(fields: Descriptor) -> float:
    """Cycles that the words of a block take from reading, while the next block is computed."""
    pixels, width, taps = fields["out_pixels"], fields["out_width"], fields["taps_x"]
    words = fields["rows"]
    beyond = 0
    for tap in range(taps):
        first = tap * fields["tap_x"] - fields.get("pad_x", 0)
        last = first + (width - 1) * fields["step_x"] + fields["segments"] * words
        beyond += first < 0 or last > fields["line_bytes"]
    inside = (taps - beyond * min(1.0, DRAIN / width)) / taps
    return inside * pixels * max(0.0, 1 - TURN / (pixels + GAP))
