"""An SPI flash as seen at its pins, one call a cycle; it begins in deep power-down."""


class Flash:
    """Answers 0xAB, 0x03 and 0x0B; anything else, or a read while it sleeps, is an error."""

    def __init__(self, contents: dict[int, int], *, wake_cycles: int):
        self.contents = contents
        self.wake_cycles = wake_cycles
        self.cycle = 0
        self.woken = None  # cycle
        self.ended = None  # cycle in which it was deselected after a read
        self.reads = []  # (command, address)
        self._selected = self._clk = 0
        self._bits = []
        self._out = 1

    def cipo(self, cs: int, clk: int, copi: int) -> int:
        """The line in this cycle, with the other three as they are in it."""
        self.cycle += 1
        if cs and not self._selected:
            assert not clk and not self._clk, "selected with the clock high"
            self._bits = []
        elif cs and clk and not self._clk:
            self._bits.append(copi)
            self._command()
        elif cs and self._clk and not clk:
            self._out = self._next()
        elif not cs:
            assert not clk, "clocked without being selected"
            if self._selected and len(self._bits) == 8:
                assert self._byte(0) == 0xAB
                self.woken = self.cycle
            elif self._selected and self.reads:
                self.ended = self.cycle
        self._selected, self._clk = cs, clk
        return self._out

    def _byte(self, n: int) -> int:
        return int("".join(map(str, self._bits[8 * n : 8 * n + 8])), 2)

    def _command(self):
        if len(self._bits) == 8 and self._byte(0) != 0xAB:
            assert self._byte(0) in (0x03, 0x0B), f"unknown command {self._byte(0):02x}"
            assert self.woken is not None, "read while asleep"
            assert self.cycle - self.woken >= self.wake_cycles, "read while it wakes"
        if len(self._bits) == 32:
            address = self._byte(1) << 16 | self._byte(2) << 8 | self._byte(3)
            self.reads.append((self._byte(0), address))

    def _next(self) -> int:
        if not self.reads:
            return 1
        command, address = self.reads[-1]
        at = len(self._bits) - (40 if command == 0x0B else 32)
        if at < 0:
            return 1
        return self.contents.get(address + at // 8, 0xFF) >> 7 - at % 8 & 1
