import heapq

import numpy as np
import pytest

from prunus.compiler.huffman import code_lengths, encode, entropy, pack_bits
from prunus.sim.huffman import CodeError, Reader, canonical_codes, decode, lookup_table


def unlimited(counts):
    """Total bits of Huffman's own algorithm."""
    heap = [int(c) for c in counts if c]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def brute_force(counts, max_bits):
    """Fewest bits over all lengths that satisfy Kraft's inequality."""
    counts = sorted(counts, reverse=True)

    def best(index, space):
        if index == len(counts):
            return 0
        totals = [
            counts[index] * bits + best(index + 1, space - (1 << (max_bits - bits)))
            for bits in range(1, max_bits + 1)
            if space >= 1 << (max_bits - bits)
        ]
        return min(totals, default=1 << 60)

    return best(0, 1 << max_bits)


@pytest.mark.parametrize("seed", range(20))
def test_lengths_are_a_code_and_optimal(seed):
    rng = np.random.default_rng(seed)
    counts = np.floor(rng.pareto(0.7, rng.integers(2, 257)) * 3).astype(np.int64)
    lengths = code_lengths(counts, 15).astype(np.int64)
    used = counts > 0
    assert ((lengths > 0) == used).all()
    if used.sum() > 1:
        assert (2.0 ** -lengths[used]).sum() == 1
        assert entropy(counts) <= (counts * lengths).sum()
        if lengths.max() < 15:
            assert (counts * lengths).sum() == unlimited(counts)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("max_bits", [3, 4])
def test_limited_lengths_are_optimal(seed, max_bits):
    rng = np.random.default_rng(seed)
    counts = np.floor(rng.pareto(0.4, 7)).astype(np.int64) + 1
    lengths = code_lengths(counts, max_bits).astype(np.int64)
    assert lengths.max() <= max_bits
    assert (counts * lengths).sum() == brute_force(counts, max_bits)


def test_lengths_at_the_edges():
    assert code_lengths([0, 0, 0], 4).tolist() == [0, 0, 0]
    assert code_lengths([0, 7, 0], 4).tolist() == [0, 1, 0]
    assert code_lengths([1] * 16, 4).tolist() == [4] * 16
    assert code_lengths([1] * 256, 8).tolist() == [8] * 256
    assert code_lengths(2 ** np.arange(40), 15).max() == 15


def test_too_many_symbols_are_refused():
    with pytest.raises(ValueError, match=r"^symbols must be at most 2\*\*4, not 17$"):
        code_lengths([1] * 17, 4)
    with pytest.raises(ValueError, match=r"^counts must be at least 0, not -1$"):
        code_lengths([1, -1], 4)
    with pytest.raises(ValueError, match=r"^symbol 1 has no code word$"):
        encode([0, 1], [1, 0])


def test_canonical_codes_are_prefix_free():
    rng = np.random.default_rng(1)
    lengths = code_lengths(rng.integers(0, 50, 60), 10)
    codes = canonical_codes(lengths)
    words = [f"{code:0{n}b}" for code, n in zip(codes, lengths, strict=True) if n]
    words.sort()
    assert all(not b.startswith(a) for a, b in zip(words, words[1:], strict=False))


def test_lengths_that_are_no_code_are_refused():
    with pytest.raises(CodeError, match=r"^code lengths need 3 of 2 code words$"):
        canonical_codes([1, 1, 1])
    with pytest.raises(CodeError, match=r"^code length 5 is over 4$"):
        lookup_table([5], 4)


def test_pack_bits_equals_text():
    rng = np.random.default_rng(2)
    for count in (0, 1, 2, 31, 1000):
        lengths = rng.integers(0, 33, count)
        values = rng.integers(-(1 << 40), 1 << 40, count)
        text = "".join(
            f"{v & ((1 << n) - 1):0{n}b}" if n else ""
            for v, n in zip(values.tolist(), lengths.tolist(), strict=True)
        )
        text += "0" * (-len(text) % 8)
        expected = bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
        assert pack_bits(values, lengths) == expected
    with pytest.raises(ValueError, match=r"^lengths must be 0 to 32, not 33$"):
        pack_bits([1], [33])


@pytest.mark.parametrize("symbols", [1, 2, 3, 16, 256])
@pytest.mark.parametrize("count", [1, 7, 5000])
def test_round_trip(symbols, count):
    rng = np.random.default_rng(symbols * count)
    values = np.minimum(rng.geometric(0.2, count) - 1, symbols - 1)
    lengths = code_lengths(np.bincount(values, minlength=symbols), 12)
    assert decode(encode(values, lengths), lengths, count).tolist() == values.tolist()


def test_a_long_stream_crosses_chunks():
    rng = np.random.default_rng(3)
    values = np.minimum(rng.geometric(0.02, 300_000) - 1, 255)
    lengths = code_lengths(np.bincount(values, minlength=256), 15)
    assert (decode(encode(values, lengths), lengths, len(values)) == values).all()


def test_reader_stops_in_front_of_damage():
    with pytest.raises(CodeError, match=r"^stream holds 8 of 9 symbols$"):
        decode(b"\x00", [1], 9)
    with pytest.raises(CodeError, match=r"^stream holds 3 of 4 symbols$"):
        decode(b"\x10", [1], 4)  # the one that is set is no code word


def test_reader_of_runs():
    # Runs of 0 to 3, each of two bits; codes A 0, B 1.
    stream = pack_bits([0, 1, 3, 3, 2, 0, 3], [2, 1, 2, 2, 2, 1, 2])
    runs, symbols, ends = Reader(stream, [1, 1], [2, 2, 2, 2]).read(5)
    assert runs.tolist() == [0, 3, 3, 2, 3]
    assert symbols.tolist() == [1, -1, -1, 0, -1]
    assert ends.tolist() == [3, 5, 7, 10, 12]


def test_many_fields_are_packed_in_parts():
    rng = np.random.default_rng(5)
    lengths = rng.integers(0, 33, 200_000)
    values = rng.integers(0, 1 << 32, 200_000)
    half = 77_777  # the parts' borders differ, so the first bits and the rest are checked apart
    whole = np.unpackbits(np.frombuffer(pack_bits(values, lengths), np.uint8))
    first = np.unpackbits(np.frombuffer(pack_bits(values[:half], lengths[:half]), np.uint8))
    rest = np.unpackbits(np.frombuffer(pack_bits(values[half:], lengths[half:]), np.uint8))
    cut = int(lengths[:half].sum())
    assert np.array_equal(whole[:cut], first[:cut])
    assert np.array_equal(whole[cut : lengths.sum()], rest[: int(lengths[half:].sum())])
