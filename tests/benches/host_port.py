"""cocotb bench of the host port: random requests, damaged frames, gaps and stalls."""

import os
import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from host_model import Device, small_config

from prunus.hw.host.frames import encode
from prunus.hw.host.protocol import Op, Request
from prunus.hw.load.loader import NETWORK
from prunus.sim.benches.streams import Sink, Source, pack, start

RUN_CYCLES = 25


def requests(rng: random.Random, config, image_bytes: int, number: int) -> bytes:
    """A session with every kind of request, right and wrong, and noise between them."""
    room = config.frame_bytes - 3
    image = rng.randbytes(image_bytes)
    raw = b""
    before = None
    for n in range(-(-image_bytes // room) + number):
        op = rng.choice([0, 9, *Op, Op.INPUT, Op.OUTPUT, Op.RUN])
        if n * room < image_bytes:
            op, offset = Op.LOAD, n * room
        else:
            offset = rng.randrange(24)
        if before == Op.RUN and op in (Op.HELLO, Op.STATUS):
            op = Op.OUTPUT  # waits for the end of the run, whose state is not in the model
        before = op
        payload = b""
        if op == Op.LOAD:
            payload = offset.to_bytes(3, "big") + image[offset : offset + room]
        elif op == Op.INPUT:
            payload = offset.to_bytes(3, "big") + rng.randbytes(rng.randrange(22))
        elif op == Op.OUTPUT:
            payload = offset.to_bytes(3, "big") + rng.randrange(14).to_bytes(2, "big")
        frame = Request(op, n & 0xFF if rng.random() < 0.7 else n - 1 & 0xFF, payload).frame()
        if rng.random() < 0.2 and op != Op.LOAD:
            bad = bytearray(frame)
            bad[rng.randrange(1, len(bad) - 1)] ^= 1 << rng.randrange(8)
            raw += bytes(bad)
        raw += frame
        if rng.random() < 0.1:
            raw += rng.choice([b"\x7e\x7e", b"\x7d\x7e", rng.randbytes(3), encode(bytes(200))])
    return raw


async def memory(dut, device):
    """The activation memory; `device` has the contents."""
    config = device.config
    while True:
        await RisingEdge(dut.clk)
        if dut.r_en.value == 1:
            first = int(dut.r_addr.value) * config.act_word
            word = device.memory[first : first + config.act_word]
            dut.r_data.value = int.from_bytes(word, "little")
        if dut.w_en.value == 1:
            first = int(dut.w_addr.value) * config.act_word
            first += int(dut.w_group.value) * config.lanes
            group = int(dut.w_data.value).to_bytes(config.lanes, "little")
            device.memory[first : first + config.lanes] = group


async def loader(dut, device, rng, stall):
    """Takes the image now and then."""
    while True:
        dut.image__ready.value = rng.random() >= stall
        dut.load_done.value = device.load_done
        dut.load_error.value = device.load_error
        await RisingEdge(dut.clk)
        if dut.restart.value == 1:
            device.image.clear()
        elif dut.image__valid.value == 1 and dut.image__ready.value == 1:
            device.image.append(int(dut.image__payload.value))


async def engine(dut, device):
    """Runs for a while after every start."""
    while True:
        await FallingEdge(dut.clk)
        if dut.start.value == 1:
            await RisingEdge(dut.clk)
            dut.busy.value = 1
            for _ in range(RUN_CYCLES):
                await RisingEdge(dut.clk)
                assert dut.w_en.value == 0 and dut.r_en.value == 0
            device.run()
            dut.cycles.value = device.cycles
            dut.busy.value = 0


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def answers_like_the_model(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    gap, stall = float(os.environ["GAP"]), float(os.environ["STALL"])
    config = small_config(lanes=int(os.environ["LANES"]), pes=8)
    device, model = Device(config), Device(config)
    network = {
        "input_base": device.input_base,
        "input_bytes": device.input_bytes,
        "output_base": device.output_base,
        "output_bytes": device.output_bytes,
    }
    dut.network.value = pack(NETWORK, network)
    dut.image_id.value = device.image_id
    dut.load_cycles.value = device.load_cycles
    dut.cycles.value = 0
    dut.busy.value = 0
    dut.r_data.value = 0
    dut.image__ready.value = 0
    dut.load_done.value = 0
    dut.load_error.value = 0

    raw = requests(rng, config, 50, 150)
    expected = model.receive(raw)
    source, sink = Source(dut, "i", rng=rng, gap=gap), Sink(dut, "o", rng=rng, stall=stall)
    await start(dut)
    for process in (memory(dut, device), loader(dut, device, rng, stall), engine(dut, device)):
        cocotb.start_soon(process)
    cocotb.start_soon(source.send(raw))
    actual = bytes(await sink.receive(len(expected)))
    assert actual == expected
    assert device.memory == model.memory
    assert device.image == model.image
    assert device.runs == model.runs
