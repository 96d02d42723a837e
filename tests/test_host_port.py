# amaranth: UnusedElaboratable=no
import random

import pytest
from amaranth.sim import Simulator
from host_model import Device, small_config

from prunus.hw.config import Config
from prunus.hw.host.frames import FLAG, encode
from prunus.hw.host.port import HostPort
from prunus.hw.host.protocol import Health, Op, Reply, Request, State, Status


class Bench:
    """A host port among a loader, engines and a memory, of which `device` has the contents."""

    def __init__(
        self, config, *, seed=0, gaps=0.0, stalls=0.0, run_cycles=20, busy_delay=1, **sizes
    ):
        self.dut = HostPort(config)
        self.config = config
        self.rng = random.Random(seed)
        self.gaps = gaps
        self.stalls = stalls
        self.run_cycles = run_cycles
        self.busy_delay = busy_delay
        self.device = Device(config, **sizes)
        self.model = Device(config, **sizes)
        self.restarts = 0
        self.replies = b""

    def exchange(self, raw: bytes, *, expected: bytes | None = None, limit=40000):
        """Send `raw`, and demand the replies of the model, or those given."""
        wanted = self.model.receive(raw) if expected is None else expected

        async def testbench(ctx):
            dut, device, config = self.dut, self.device, self.config
            network = {
                "input_base": device.input_base,
                "input_bytes": device.input_bytes,
                "output_base": device.output_base,
                "output_bytes": device.output_bytes,
            }
            ctx.set(dut.network, network)
            ctx.set(dut.image_id, device.image_id)
            ctx.set(dut.load_cycles, device.load_cycles)
            sending, sent, quiet, busy_left = False, 0, 0, 0
            received = bytearray()
            row = 0
            late = [row] * config.read_latency
            for _ in range(limit):
                sending = sending or (sent < len(raw) and self.rng.random() >= self.gaps)
                ctx.set(dut.i.valid, sending)
                ctx.set(dut.i.payload, raw[sent] if sending else self.rng.randrange(256))
                ctx.set(dut.o.ready, self.rng.random() >= self.stalls)
                ctx.set(dut.image.ready, self.rng.random() >= self.stalls)
                ctx.set(dut.load_done, device.load_done)
                ctx.set(dut.load_error, device.load_error)
                ctx.set(dut.r_data, late.pop(0))
                ctx.set(dut.busy, 0 < busy_left <= self.run_cycles)
                ctx.set(dut.cycles, device.cycles)
                ports = (
                    dut.i.ready, dut.o.valid & dut.o.ready, dut.o.payload,
                    dut.image.valid & dut.image.ready, dut.image.payload, dut.restart, dut.start,
                    dut.w_en, dut.w_addr, dut.w_group, dut.w_data, dut.r_en, dut.r_addr,
                )  # fmt: skip
                _, _, *values = await ctx.tick().sample(*ports)
                i_ready, o_taken, o_byte, taken, byte, restart, start, w_en, *access = values
                w_addr, w_group, w_data, r_en, r_addr = access
                if sending and i_ready:
                    sending, sent = False, sent + 1
                if o_taken:
                    received.append(o_byte)
                if restart:
                    assert not taken
                    device.image.clear()
                    self.restarts += 1
                if taken:
                    device.image.append(byte)
                if busy_left:
                    assert not w_en and not r_en and not start
                    busy_left -= 1
                    if busy_left == 0:
                        device.run()
                if start:
                    busy_left = self.run_cycles + self.busy_delay - 1
                if w_en:
                    first = w_addr * config.act_word + w_group * config.lanes
                    device.memory[first : first + config.lanes] = w_data.to_bytes(
                        config.lanes, "little"
                    )
                if r_en:
                    first = r_addr * config.act_word
                    row = int.from_bytes(device.memory[first : first + config.act_word], "little")
                late.append(row)
                # A while after the last reply, there is no further one.
                quiet = quiet + 1 if sent == len(raw) and len(received) >= len(wanted) else 0
                if quiet > 40 + self.run_cycles:
                    break
            else:
                raise TimeoutError(f"{len(received)} of {len(wanted)} bytes after {limit} cycles")
            self.replies = bytes(received)

        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(testbench)
        sim.run()
        assert self.replies == wanted
        if expected is None:
            assert self.device.memory == self.model.memory
            assert self.device.image == self.model.image
            assert self.device.runs == self.model.runs


def offset(value: int) -> bytes:
    return value.to_bytes(3, "big")


def span(value: int, count: int) -> bytes:
    return offset(value) + count.to_bytes(2, "big")


def script(*requests) -> bytes:
    """Frames of (op, payload) requests with rising tags, or of (op, payload, tag)."""
    return b"".join(
        Request(op, rest[0] if rest else number, payload).frame()
        for number, (op, payload, *rest) in enumerate(requests)
    )


def image_of(size: int, first: int = 0x7E) -> bytes:
    return bytes([first]) + random.Random(size).randbytes(size - 1)


def load(size: int = 50, chunk: int = 29, first: int = 0x7E):
    image = image_of(size, first)
    return [(Op.LOAD, offset(n) + image[n : n + chunk]) for n in range(0, size, chunk)]


SESSION = [
    (Op.HELLO, b""),
    *load(),
    (Op.STATUS, b""),
    (Op.HELLO, b""),
    (Op.INPUT, offset(0) + bytes(range(0x70, 0x80))),
    (Op.INPUT, offset(16) + b"\xff\x01\x7d\x7e\x80"),
    (Op.OUTPUT, span(0, 13)),
    (Op.RUN, b""),
    (Op.OUTPUT, span(0, 13)),
    (Op.OUTPUT, span(12, 1)),
    (Op.OUTPUT, span(3, 9)),
    (Op.INPUT, offset(0) + bytes(range(10))),
    (Op.INFER, offset(10) + bytes(range(0x74, 0x7F))),
    (Op.OUTPUT, span(0, 13)),
    (Op.INFER, offset(0) + bytes(range(21))),
]


@pytest.mark.parametrize("gaps, stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.3, 0.7)])
def test_session(gaps, stalls):
    Bench(small_config(), seed=1, gaps=gaps, stalls=stalls).exchange(script(*SESSION))


@pytest.mark.parametrize(
    "changes",
    [
        {"lanes": 1, "act_word": 1, "act_depth": 64},
        {"lanes": 1, "act_word": 4},
        {"lanes": 4, "act_word": 4},
        {"lanes": 8, "act_word": 16, "pes": 8, "act_depth": 17},
        {"frame_bytes": 2048},
        {"lanes": 2, "act_word": 4, "columns": 2},
    ],
)
def test_session_with_other_sizes(changes):
    config = small_config(**changes)
    step = config.lanes * (20 // config.lanes)
    vector = bytes(range(0x78, 0x78 + 21))
    session = [
        *load(),
        (Op.INPUT, offset(0) + vector[:step]),
        (Op.INPUT, offset(step) + vector[step:]),
        (Op.RUN, b""),
        *((Op.OUTPUT, span(n, 13 - n)) for n in range(13)),
        (Op.INPUT, offset(0) + vector[:step]),
        (Op.INFER, offset(step) + vector[step:]),
    ]
    Bench(config, stalls=0.2).exchange(script(*session))


def test_vectors_fill_the_memory():
    config = small_config(act_depth=4)
    everything = random.Random(3).randbytes(32)
    bench = Bench(config, inputs=(0, 32), outputs=(0, 32))
    session = [
        *load(),
        (Op.INPUT, offset(0) + everything[:24]),
        (Op.INPUT, offset(24) + everything[24:]),
        (Op.RUN, b""),
        (Op.OUTPUT, span(0, 32)),
        (Op.OUTPUT, span(31, 1)),
        (Op.OUTPUT, span(31, 2)),
    ]
    bench.exchange(script(*session))


@pytest.mark.parametrize(
    "request_, status",
    [
        ((0x00, b""), Status.UNKNOWN_OP),
        ((0x08, b""), Status.UNKNOWN_OP),
        ((0x81, b""), Status.UNKNOWN_OP),
        ((0x42, bytes(32)), Status.UNKNOWN_OP),
        ((Op.HELLO, b"x"), Status.LENGTH),
        ((Op.STATUS, b"x"), Status.LENGTH),
        ((Op.RUN, b"x"), Status.LENGTH),
        ((Op.LOAD, b""), Status.LENGTH),
        ((Op.LOAD, offset(0)), Status.LENGTH),
        ((Op.INPUT, offset(0)), Status.LENGTH),
        ((Op.INPUT, offset(0) + b"\1"), Status.LENGTH),
        ((Op.INPUT, offset(18) + b"\1"), Status.LENGTH),
        ((Op.INFER, offset(0)), Status.LENGTH),
        ((Op.INFER, offset(0) + b"\1"), Status.LENGTH),
        ((Op.INFER, offset(20) + b"\1\2"), Status.RANGE),
        ((Op.OUTPUT, bytes(4)), Status.LENGTH),
        ((Op.OUTPUT, bytes(6)), Status.LENGTH),
        ((Op.INPUT, offset(1) + b"\1\2"), Status.RANGE),
        ((Op.INPUT, offset(20) + b"\1\2"), Status.RANGE),
        ((Op.INPUT, offset(22) + b"\1\2"), Status.RANGE),
        ((Op.INPUT, offset(1 << 16) + b"\1\2"), Status.RANGE),
        ((Op.INPUT, offset(0xFFFFFE) + b"\1\2"), Status.RANGE),
        ((Op.OUTPUT, span(0, 0)), Status.RANGE),
        ((Op.OUTPUT, span(0, 14)), Status.RANGE),
        ((Op.OUTPUT, span(13, 1)), Status.RANGE),
        ((Op.OUTPUT, span(0, 0x0101)), Status.RANGE),
        ((Op.OUTPUT, span(0xFFFFFF, 1)), Status.RANGE),
        ((Op.LOAD, offset(1) + b"\1"), Status.ORDER),
        ((Op.LOAD, offset(51) + b"\1"), Status.ORDER),
        ((Op.LOAD, offset(50 + 0x10000) + b"\1"), Status.ORDER),
        ((Op.LOAD, offset(48) + b"\1"), Status.ORDER),
    ],
)
def test_refusals(request_, status):
    op, payload = request_
    bench = Bench(small_config(), seed=2, stalls=0.2)
    ran = (Op.INFER, offset(0) + bytes(21)), (Op.OUTPUT, span(0, 1))  # which waits for its end
    bench.exchange(script(*load(), *ran, (op, payload, 99), (Op.INPUT, offset(20) + b"\5")))
    assert Reply(op & 0x7F, 99, status).frame() in bench.replies
    # What was refused changed nothing.
    assert bench.replies.endswith(Reply(Op.INPUT, 5).frame())


def test_a_full_frame_of_output_and_one_byte_more():
    bench = Bench(small_config(), outputs=(0, 100))
    infer = (Op.INFER, offset(0) + bytes(21))  # the reply to which may be longer than a frame
    bench.exchange(script(*load(), infer, (Op.OUTPUT, span(60, 32)), (Op.OUTPUT, span(60, 33), 9)))
    assert bench.replies.endswith(Reply(Op.OUTPUT, 9, Status.RANGE).frame())


@pytest.mark.parametrize(
    "request_",
    [
        (Op.RUN, b""),
        (Op.INPUT, offset(0) + b"\1\2"),
        (Op.OUTPUT, span(0, 1)),
        (Op.INFER, offset(0) + b"\1\2"),
    ],
)
def test_needs_an_image(request_):
    op, payload = request_
    session = [
        (op, payload),
        *load()[:1],
        (op, payload),
        *load(first=0xEE),
        (Op.STATUS, b""),
        (op, payload),
    ]
    bench = Bench(small_config())
    bench.exchange(script(*session))
    for tag in (0, 2, 6):
        assert Reply(op, tag, Status.STATE).frame() in bench.replies
    failed = Reply(Op.STATUS, 5, 0, Health(state=State.FAILED, load_error=5, dropped=0).pack())
    assert failed.frame() in bench.replies


def test_runs_need_an_input_and_outputs_a_run():
    """What a reset, or another image, took away is not made up."""
    rest = (Op.INFER, offset(16) + bytes(5))
    session = [
        *load(),
        (Op.RUN, b"", 0x40),
        (Op.OUTPUT, span(0, 1), 0x41),
        (Op.INPUT, offset(16) + bytes(5)),
        (Op.RUN, b"", 0x42),
        (*rest, 0x43),
        (Op.INPUT, offset(0) + bytes(16)),
        (Op.OUTPUT, span(0, 1), 0x44),
        (*rest, 0x20),
        (Op.OUTPUT, span(0, 1), 0x21),
        (Op.INPUT, offset(0) + bytes(16)),
        (Op.OUTPUT, span(0, 1), 0x45),
        (Op.RUN, b"", 0x22),
        *load(),
        (Op.OUTPUT, span(0, 1), 0x46),
        (Op.RUN, b"", 0x47),
    ]
    bench = Bench(small_config(), stalls=0.1)
    bench.exchange(script(*session))
    for tag in range(0x40, 0x48):
        op = bench.replies[bench.replies.index(bytes((tag, Status.STATE))) - 1] & 0x7F
        assert Reply(op, tag, Status.STATE).frame() in bench.replies
    assert bench.device.runs == 2


def test_an_infer_is_not_repeated_for_the_same_tag():
    infer = (Op.INFER, offset(0) + bytes(range(21)))
    session = [*load(), (*infer, 7), (*infer, 7), (Op.RUN, b"", 7), (*infer, 8), (*infer, 7)]
    bench = Bench(small_config())
    bench.exchange(script(*session))
    assert bench.device.runs == 3


def test_another_host_has_tags_of_its_own():
    infer = (Op.INFER, offset(0) + bytes(range(21)))
    hello = [(Op.OUTPUT, span(0, 1)), (Op.HELLO, b"")]  # the one waits, the other does not
    run = (Op.RUN, b"", 7)
    session = [*load(), (*infer, 7), *hello, (*infer, 7), (*infer, 7), *hello, run]
    bench = Bench(small_config())
    bench.exchange(script(*session))
    assert bench.device.runs == 3


def test_the_next_request_is_received_while_one_is_answered():
    """As far as its end: a reply that nobody takes holds up nothing but what follows it."""
    dut = HostPort(small_config())
    first, second = (script((op, offset(0) + bytes(21))) for op in (Op.INFER, Op.INPUT))
    raw = first + second + second
    taken = 0

    async def testbench(ctx):
        nonlocal taken
        ctx.set(dut.load_done, 1)
        ctx.set(dut.network, {"input_base": 0, "input_bytes": 21, "output_bytes": 9})
        ctx.set(dut.i.valid, 1)
        for _ in range(300):
            ctx.set(dut.i.payload, raw[taken])
            _, _, ready = await ctx.tick().sample(dut.i.ready)
            taken += ready

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert taken == len(first + second)


def test_load_chunks_come_again():
    first, second = load()
    again = (*second, 7)
    session = [
        first,
        again,
        again,
        first,
        (*first, 6),
        (Op.RUN, b""),
        again,
        again,
        (Op.STATUS, b""),
    ]
    bench = Bench(small_config(), stalls=0.3)
    bench.exchange(script(*session))
    assert bench.restarts == 3
    assert bytes(bench.device.image) == image_of(50)


def test_a_chunk_comes_again_only_by_its_tag():
    first, second = load()
    bench = Bench(small_config())
    bench.exchange(
        script(
            *(first, (*second, 7), (*second, 8), (*second, 7)),
            *((Op.INPUT, offset(0) + bytes(21)), (Op.RUN, b"", 9), (*second, 9)),
        )
    )
    assert Reply(Op.LOAD, 9, Status.ORDER).frame() in bench.replies
    assert Reply(Op.LOAD, 8, Status.ORDER).frame() in bench.replies
    assert bench.device.runs == 1


def test_an_image_is_replaced():
    session = [*load(), *load(first=0xEE), (Op.STATUS, b""), *load(70), (Op.RUN, b"")]
    Bench(small_config()).exchange(script(*session))


def test_an_image_from_elsewhere():
    bench = Bench(small_config())
    for device in (bench.device, bench.model):
        device.image += image_of(50)
    bench.exchange(
        script((Op.HELLO, b""), (Op.LOAD, offset(29) + b"\1", 5), (Op.RUN, b""), *load())
    )
    assert Reply(Op.LOAD, 5, Status.ORDER).frame() in bench.replies


def test_a_run_is_not_repeated_for_the_same_tag():
    session = [
        *load(),
        (Op.INPUT, offset(0) + bytes(range(20))),
        (Op.RUN, b"", 7),
        (Op.OUTPUT, span(0, 13)),
        (Op.RUN, b"", 7),
        (Op.OUTPUT, span(0, 13)),
        (Op.RUN, b"", 8),
        (Op.OUTPUT, span(0, 13)),
        (Op.INPUT, offset(0) + bytes(range(20))),
        (Op.RUN, b"", 8),
        (Op.OUTPUT, span(0, 13)),
        *load(),
        (Op.INPUT, offset(0) + bytes(range(20))),
        (Op.RUN, b"", 8),
        load()[0],
        (*load()[1], 8),
        (Op.INPUT, offset(0) + bytes(range(20))),
        (Op.RUN, b"", 8),
    ]
    bench = Bench(small_config(), stalls=0.1)
    bench.exchange(script(*session))
    assert bench.device.runs == 5


@pytest.mark.parametrize("busy_delay", [1, 2, 3])
@pytest.mark.parametrize("run_cycles", [3, 200])
def test_busy_may_be_late_and_short(busy_delay, run_cycles):
    bench = Bench(small_config(), run_cycles=run_cycles, busy_delay=busy_delay)
    bench.exchange(script(*load(), (Op.RUN, b""), (Op.OUTPUT, span(0, 5))))


def test_status_while_it_runs():
    bench = Bench(small_config(), run_cycles=600)
    model = bench.model
    before = model.receive(script(*load(), (Op.INPUT, offset(0) + bytes(20))))
    during = Reply(
        Op.STATUS, 9, 0, Health(state=State.RUNNING, load_error=0, dropped=0).pack()
    ).frame()
    hello = model.hello().pack()[:-3] + Health(state=3, load_error=0, dropped=0).pack()
    during += Reply(Op.HELLO, 10, 0, hello).frame()
    run = model.receive(script((Op.RUN, b"", 8)))
    after = model.receive(script((Op.OUTPUT, span(0, 13), 11), (Op.RUN, b"", 12)))
    raw = script(*load(), (Op.INPUT, offset(0) + bytes(20)), (Op.RUN, b"", 8))
    raw += script((Op.STATUS, b"", 9), (Op.HELLO, b"", 10))
    raw += script((Op.OUTPUT, span(0, 13), 11), (Op.RUN, b"", 12))
    bench.exchange(raw, expected=before + during + run + after)


def test_damaged_frames_are_not_answered():
    rng = random.Random(4)
    good = script((Op.STATUS, b""))
    parts = []
    for _ in range(12):
        bad = bytearray(
            Request(Op.RUN, rng.randrange(256), rng.randbytes(rng.randrange(8))).frame()
        )
        position = rng.randrange(1, len(bad) - 1)
        bad[position] ^= 1 << rng.randrange(8)
        parts += [bytes(bad), rng.randbytes(rng.randrange(4)), good]
    parts += [encode(bytes(35)), good, encode(b"\1"), good, bytes((FLAG, FLAG)), good]
    bench = Bench(small_config(), gaps=0.2)
    bench.exchange(b"".join(parts))
    assert bench.model.deframer.dropped >= 12


def test_random_requests():
    rng = random.Random(5)
    requests = [*load()]
    for _ in range(60):
        op = rng.choice([0, *Op, Op.INPUT, Op.OUTPUT])
        if op in (Op.HELLO, Op.STATUS) and requests[-1][0] == Op.RUN:
            requests.append((Op.OUTPUT, span(0, 1)))  # which waits for the end of the run
        payload = {
            Op.LOAD: lambda: offset(rng.choice([0, 29, 50])) + rng.randbytes(rng.randrange(22)),
            Op.INPUT: lambda: offset(rng.randrange(23)) + rng.randbytes(rng.randrange(22)),
            Op.OUTPUT: lambda: span(rng.randrange(14), rng.randrange(14)),
        }.get(op, bytes)()
        requests.append((op, payload, rng.randrange(3)))
        if op == Op.LOAD:
            requests += load()
    Bench(small_config(), seed=6, gaps=0.1, stalls=0.1).exchange(script(*requests))


def test_frames_must_hold_a_group():
    message = r"^frame_bytes must be at least lanes \+ 3 \(35\), not 32$"
    with pytest.raises(ValueError, match=message):
        HostPort(Config(pes=32, lanes=32, act_word=32, frame_bytes=32))
