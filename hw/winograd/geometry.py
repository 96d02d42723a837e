"""The sizes of a Winograd unit. No HDL is imported here."""

from dataclasses import dataclass

from ..config import Config
from .scheme import SCHEMES, Range, Scheme, bits_of

__all__ = ["Geometry"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """What a Winograd unit is built of.

    Parameters
    ----------
    outputs : int
        4 for F(4x4, 3x3), 2 for F(2x2, 3x3).
    filters : int
        Output channels at a time.
    passes : int
        Cycles in which the products of one input channel are made: 1, or fewer multipliers make a
        few rows of the transform domain at a time. Divides ``outputs + 2``.
    channels : int
        Input channels that the memory of a tile holds, a power of two.
    weight_depth : int
        Words of the weight memory: of the kernels of ``filters`` output channels.
    width : int
        Bits that hold all results; so many channels may need fewer.
    shares : bool
        A systolic array makes the products, but for some of each filter, and sums them up.
    blocks : int
        Of the products that no systolic array makes, so many have a multiplier block; the others
        are made in logic. Counts only beside one.
    """

    outputs: int = 4
    filters: int = 4
    passes: int = 1
    channels: int = 64
    weight_depth: int = 2
    width: int = 32
    shares: bool = False
    blocks: int = 0

    def __post_init__(self) -> None:
        if self.outputs not in SCHEMES:
            allowed = " or ".join(str(n) for n in SCHEMES)
            raise ValueError(f"outputs must be {allowed}, not {self.outputs!r}")
        if not 1 <= self.filters <= 16:
            raise ValueError(f"filters must be 1 to 16, not {self.filters!r}")
        if self.passes < 1 or self.size % self.passes:
            raise ValueError(f"passes must divide {self.size}, not {self.passes!r}")
        if not 2 <= self.channels <= 1024 or self.channels & (self.channels - 1):
            raise ValueError(f"channels must be a power of two, 2 to 1024, not {self.channels!r}")
        if not 2 <= self.weight_depth <= 1 << 22:
            raise ValueError(f"weight_depth must be 2 to {1 << 22}, not {self.weight_depth!r}")
        if self.shares and self.passes > 1:
            raise ValueError(f"passes must be 1 where products are shared, not {self.passes!r}")
        if not 8 <= self.width <= 32:
            raise ValueError(f"width must be 8 to 32, not {self.width!r}")
        if not 0 <= self.blocks <= self.multipliers:
            raise ValueError(f"blocks must be 0 to {self.multipliers}, not {self.blocks!r}")

    @classmethod
    def of(cls, config: Config) -> "Geometry":
        """That of an accelerator's unit."""
        geometry = cls(
            outputs=config.winograd,
            filters=config.winograd_filters,
            passes=config.winograd_passes,
            channels=config.winograd_channels,
            weight_depth=config.winograd_depth,
            width=config.winograd_width,
            shares=config.winograd_passes == 1,
            blocks=config.winograd_blocks,
        )
        geometry.check(config)
        return geometry

    def check(self, config: Config) -> None:
        """Refuse a configuration that the unit does not go with."""
        if config.lanes % self.filters:
            raise ValueError(f"filters must divide lanes ({config.lanes}), not {self.filters!r}")
        if self.channels < config.act_word:
            raise ValueError(
                f"channels must be at least act_word ({config.act_word}), not {self.channels!r}"
            )

    @property
    def scheme(self) -> Scheme:
        return SCHEMES[self.outputs]

    @property
    def size(self) -> int:
        """Side of a tile's inputs, and of its products."""
        return self.outputs + 2

    @property
    def rows(self) -> int:
        """Rows of products that are made in a cycle."""
        return self.size // self.passes

    @property
    def copies(self) -> int:
        """Registers of an :class:`.channel.OutputChannel` that tell its sums the same."""
        return max(1, self.rows // 2)

    @property
    def multipliers(self) -> int:
        return self.rows * self.size * self.filters

    @property
    def points(self) -> tuple[tuple[int, int], ...]:
        """Row and column of each product of a filter, those with the narrowest kernels last."""
        every = [(a, b) for a in range(self.rows) for b in range(self.size)]
        return tuple(sorted(every, key=lambda at: self.kernel_bits(*at), reverse=True))

    def shared(self, config: Config) -> tuple[tuple[int, int, int], ...]:
        """The products (filter, row, column) that an accelerator's systolic array makes, in the
        order of its PEs: as many of each filter, so that they are neighbours."""
        if not self.shares:
            return ()
        rows = config.act_word // self.filters
        order = self._neighbours(rows * config.columns)
        # Where that many blocks are, they lie in three rows across the part, and the array's
        # columns are dealt to these (boards.floorplan).
        lines = [config.columns // 3 + (n < config.columns % 3) for n in range(3)]
        places = [
            row * config.columns + column
            for n, width in enumerate(lines)
            for row in range(rows)
            for column in range(sum(lines[:n]), sum(lines[:n]) + width)
        ]
        if len(order) == len(places):
            at = dict(zip(places, order, strict=True))
            order = [at[place] for place in range(len(places))]
        return tuple((k, *point) for k in range(self.filters) for point in order)

    def _neighbours(self, count: int) -> list[tuple[int, int]]:
        """The first ``count`` points, so that those that work together are side by side.

        In the transform domain a row's kernels come from one transform; and of its sums, the
        inverse transform takes turns with the first columns of all pairs, and with the second.
        """
        chosen = set(self.points[:count])
        pairs = [(0, self.size - 1), *((first, first + 1) for first, _ in self.scheme.pairs)]
        columns = [pair[side] for side in range(2) for pair in pairs]
        rows = [[(a, b) for b in columns if (a, b) in chosen] for a in range(self.rows)]
        return sum(sorted(rows, key=len, reverse=True), [])

    @property
    def columns(self) -> int:
        """Columns of a tile's inputs that are transformed at a time."""
        return 2 if self.passes == 1 else 1

    @property
    def serial(self) -> bool:
        """Of the transform domain a row at a time is made, and transformed back."""
        return self.passes == self.size

    @property
    def held(self) -> int:
        """Passes whose sums are held for the inverse transform."""
        return 1 if self.serial else self.passes

    @property
    def pace(self) -> int:
        """Cycles from a result to the next."""
        return 1 if self.passes == 1 or self.serial else 2

    @property
    def turn(self) -> int:
        """Cycles that the results of a group take, and each row that is transformed back."""
        return self.pace * self.outputs**2

    @property
    def result_bits(self) -> int:
        return min(self.width, self.scheme.result_bits(self.channels))

    def _widest(self, row: int, column: int, name: str) -> int:
        """Bits for the elements of all rows that take turns in that place."""
        ranges: list[Range] = [
            getattr(self.scheme, name)(row + first, column)
            for first in range(0, self.size, self.rows)
        ]
        return max(bits_of(bounds) for bounds in ranges)

    def input_bits(self, row: int, column: int) -> int:
        """Bits of the transformed input that a multiplier is given."""
        return self._widest(row, column, "input_range")

    def kernel_bits(self, row: int, column: int) -> int:
        """Bits of the transformed kernel that a multiplier is given."""
        return self._widest(row, column, "kernel_range")

    def product_bits(self, row: int, column: int) -> int:
        return self._widest(row, column, "product_range")

    def sum_bits(self, row: int, column: int) -> int:
        """Bits of an accumulator."""
        return max(self.point_bits(row + first, column) for first in range(0, self.size, self.rows))

    def point_bits(self, a: int, b: int) -> int:
        """Bits of the sum of the point in row a of the transform domain, column b."""
        return self.scheme.sum_bits(a, b, self.channels, self.width)

    def cycles(
        self,
        *,
        act_word: int,
        read_latency: int,
        channels: int,
        outputs: int,
        height: int,
        width: int,
    ) -> int:
        """From a layer's ``start`` to its ``done``, exactly, where groups never wait for room.

        ``channels`` go in, ``outputs`` channels of ``height`` x ``width`` pixels come out.
        ``act_word`` and ``read_latency`` are those of a :class:`..config.Config`.
        """
        m = self.outputs
        tiles = -(-height // m) * -(-width // m)
        blocks = -(-outputs // self.filters)
        pause = max(0, self.turn - channels)
        group = self.passes * channels + (self.passes if self.serial else 1) * pause
        parts = -(-channels // act_word) * (self.size // self.columns)
        reading = parts * self.period(act_word)
        # From the claim of a tile's memory until it may be walked through.
        filling = reading - self.period(act_word) + self.columns * self.size + 7 + read_latency
        if self.passes > 1:
            filling += act_word * self.passes - (2 if self.serial else 1)
        claim, free, ends = 1, [0, 0], -1
        for _ in range(tiles):
            begin = max(claim + filling, ends + 1)
            ends = begin + blocks * group - 1
            free = [free[1], ends - pause]
            claim = max(claim + reading + 1, free[0] + 1)
        return free[1] + self.latency + self.turn + 1

    def period(self, act_word: int) -> int:
        """Cycles from the first word of some columns to that of the next: they have to be read, and
        every channel of a word has to be written once for each pass."""
        return max(self.columns * self.size, act_word * self.passes)

    @property
    def powers(self) -> tuple[int, ...]:
        """Exponents of the factors of ``1 / odd``; the first has the minus sign."""
        powers = []
        power = self.scheme.odd.bit_length() - 1
        while self.scheme.odd > 1 and power < self.result_bits:
            powers.append(power)
            power *= 2
        return tuple(powers)

    @property
    def product_latency(self) -> int:
        return 5 if self.passes == 1 else 2

    @property
    def inverse_latency(self) -> int:
        """From the cycle behind the last products of a group to the first of its results."""
        if self.serial:
            return self.outputs + self.turn + 1 + len(self.powers)
        joined = 1 if self.shares else 0  # the two parts of a sum
        line = self.pace * len(self.scheme.pairs)
        return 6 + joined + self.pace + line + len(self.powers)

    @property
    def latency(self) -> int:
        """From the cycle in which a group's last products are asked for to its first result."""
        return 4 + self.product_latency + 1 + self.inverse_latency
