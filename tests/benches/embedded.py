"""The embedded accelerator, over its streams and its registers, against the golden outputs.

The case, a network with its image, inputs and outputs, is the file named by ``$CASE``.
"""

import itertools
import os
import random

import cocotb
import numpy as np
from benches.embedded_bus import Board
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiStreamFrame

from prunus.hw.embed.registers import IDENTIFICATION, MAP_VERSION, REGISTERS
from prunus.hw.host.protocol import State
from prunus.hw.image import VERSION, LoadError

CASE = dict(np.load(os.environ["CASE"]))
IMAGE = CASE["image"].tobytes()
INPUTS = [row.tobytes() for row in CASE["inputs"]]
OUTPUTS = [row.tobytes() for row in CASE["outputs"]]
ROM = bool(CASE["rom"])
BYTES = int(CASE["stream_bytes"])

test = cocotb.test(timeout_time=2, timeout_unit="ms")


async def loaded(dut, *, pauses=0.0):
    """A board with its image."""
    board = Board(dut, pauses=pauses)
    await board.reset()
    if not ROM:
        await board.source.send(IMAGE)
    await board.until("STATUS", "state", State.READY)
    return board


async def answers(board, n):
    """One good input is answered rightly."""
    await board.source.send(INPUTS[n])
    assert (await board.sink.recv()).tdata == OUTPUTS[n]


async def settled(board, error):
    """A packet had this error and no other; it is cleared."""
    await board.until("ERRORS", error, 1)
    assert await board.field("IRQ_STATUS", "packet") == 1
    register = await board.read("ERRORS")
    assert register == board.mask("ERRORS", error), f"{register:#x}"
    await board.write("ERRORS", register)
    await board.write("IRQ_STATUS", board.mask("IRQ_STATUS", "packet"))
    assert await board.read("ERRORS") == 0


@test
async def identifies_itself(dut):
    board = Board(dut, pauses=0.3)
    await board.reset()
    assert await board.read("ID") == IDENTIFICATION
    assert await board.field("VERSION", "map") == MAP_VERSION
    assert await board.field("VERSION", "image") == VERSION
    assert await board.field("VERSION", "lanes") == CASE["lanes"]
    assert await board.field("VERSION", "stream") == BYTES
    assert await board.read("CONFIG") == CASE["hash"]
    assert await board.field("STATUS", "state") == (State.LOADING if ROM else State.EMPTY)


@test
async def registers_behave(dut):
    board = await loaded(dut, pauses=0.3)
    for register in REGISTERS:
        before = await board.read(register.name)
        error = await board.write(register.name, 0 if register.writable else 0xFFFFFFFF)
        assert error == (not register.writable), register.name
        if not register.writable:
            assert await board.read(register.name) == before
    for address in (REGISTERS[-1].address + 4, 0x3C):
        assert await board.bus.write(address, 1, 0xF)
        assert await board.bus.read(address) == (0, True)
    # Bytes without a strobe keep what they had; bits of no field stay zero.
    await board.write("CONTROL", 0xFFFFFF00)
    assert await board.read("CONTROL") == 0x100
    await board.bus.write(0x0C, 0, 0b1101)
    assert await board.read("CONTROL") == 0x100
    await board.bus.write(0x0C, 0, 0b0010)
    assert await board.read("CONTROL") == 0
    await board.write("IRQ_ENABLE", 0xFFFFFFFF)
    assert await board.read("IRQ_ENABLE") == 0xF


@test
@cocotb.parametrize(pauses=[0.0, 0.4])
async def runs_a_batch(dut, pauses):
    board = await loaded(dut, pauses=pauses)
    assert await board.field("IRQ_STATUS", "ready") == 1
    assert board.irq.value == 0
    await board.write("IRQ_STATUS", 0xF)
    await board.write("IRQ_ENABLE", board.mask("IRQ_STATUS", "done"))
    assert await board.read("INPUT_BYTES") == len(INPUTS[0])
    assert await board.read("OUTPUT_BYTES") == len(OUTPUTS[0])
    assert await board.read("IMAGE_ID") == CASE["image_id"]
    assert await board.read("LOAD_CYCLES") >= len(IMAGE)
    for packet in INPUTS:  # all of them wait in the stream
        await board.source.send(packet)
    for n, expected in enumerate(OUTPUTS):
        frame = await board.sink.recv()
        assert frame.tdata == expected, n
    await ClockCycles(board.clk, 20)
    assert board.irq.value == 1
    cycles = await board.read("CYCLES")
    assert cycles == CASE["cycles"][-1] if len(CASE["cycles"]) else cycles > 0
    await board.write("IRQ_STATUS", board.mask("IRQ_STATUS", "done"))
    await ClockCycles(board.clk, 2)
    assert board.irq.value == 0
    assert await board.read("IRQ_STATUS") == 0 and await board.read("ERRORS") == 0
    assert await board.read("STATUS") == State.READY
    assert board.sink.empty()


@test
async def damaged_images(dut):
    board = await loaded(dut)
    await board.write("IRQ_ENABLE", board.mask("IRQ_STATUS", "failed"))
    other = bytearray(IMAGE)
    other[9] ^= 1
    last = bytearray(IMAGE)
    last[-1] ^= 1
    cases = (
        (b"abcd" + IMAGE[4:], LoadError.MAGIC),
        (CASE["foreign"].tobytes(), LoadError.CONFIG),
        (bytes(other), LoadError.HEADER_CRC),
        (bytes(last), LoadError.SECTION_CRC),
        (IMAGE[:-1], None),
        (IMAGE[: len(IMAGE) // 2], None),
        (IMAGE[:3], None),
    )
    if not CASE["thorough"]:
        cases = cases[3:5]
    for way, (image, error) in zip(itertools.cycle(("clear", "restart")), cases, strict=False):
        await board.write("CONTROL", board.mask("CONTROL", "restart"))
        await board.until("STATUS", "state", State.EMPTY)
        await board.write("IRQ_STATUS", 0xF)
        await ClockCycles(board.clk, 2)
        assert board.irq.value == 0
        await board.source.send(image)
        await board.until("STATUS", "state", State.FAILED)
        assert await board.field("STATUS", "load_error") == (error or 0)
        assert board.irq.value == 1
        if error is None:
            await settled(board, "cut")
        # What comes then is dropped, whatever it is.
        await board.source.send(INPUTS[0])
        await settled(board, "unloaded")
        await board.write("CONTROL", board.mask("CONTROL", way))
        await board.until("STATUS", "state", State.EMPTY)
        await board.source.send(IMAGE + bytes(BYTES))  # what is behind the image does no harm
        await board.until("STATUS", "state", State.READY)
        await answers(board, 0)
    assert await board.read("ERRORS") == 0


@test
async def wrong_packets(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    board = await loaded(dut, pauses=0.2)
    good = INPUTS[1]
    cases = [("short", good[:n]) for n in {1, len(good) // 2, len(good) - 1}]
    cases += [("long", good + rng.randbytes(n)) for n in (1, 3, 100)]
    if BYTES > 1:
        for hole in (0, 5, len(good) - 2):
            keep = [1] * (len(good) + 1)
            keep[hole] = 0
            frame = AxiStreamFrame(good[:hole] + b"?" + good[hole:], tkeep=keep)
            cases.append(("keep", frame))
    rng.shuffle(cases)
    for n, (error, packet) in enumerate(cases):
        await board.source.send(packet)
        await settled(board, error)
        await answers(board, n % len(INPUTS))
    # Without waiting between them: what is wrong never gets between the answers.
    for n, (_, packet) in enumerate(cases):
        await board.source.send(packet)
        await board.source.send(INPUTS[n % len(INPUTS)])
    for n in range(len(cases)):
        assert (await board.sink.recv()).tdata == OUTPUTS[n % len(INPUTS)]
    assert board.sink.empty()


@test
async def waits_for_start(dut):
    board = await loaded(dut)
    await board.write("CONTROL", board.mask("CONTROL", "hold", "start"))  # start: without effect
    await board.source.send(INPUTS[0])
    await board.until("STATUS", "waiting", 1)
    await ClockCycles(board.clk, 200)
    assert board.sink.empty() and await board.field("STATUS", "state") == State.READY
    await board.write("CONTROL", board.mask("CONTROL", "hold", "start"))
    assert (await board.sink.recv()).tdata == OUTPUTS[0]
    await board.source.send(INPUTS[1])
    await board.until("STATUS", "waiting", 1)
    await board.write("CONTROL", board.mask("CONTROL", "hold", "clear"))  # an input is forgotten
    await board.until("STATUS", "waiting", 0)
    await board.source.send(INPUTS[2])
    await board.until("STATUS", "waiting", 1)
    await board.write("CONTROL", 0)
    assert (await board.sink.recv()).tdata == OUTPUTS[2]


@test
async def packets_that_do_not_end(dut):
    board = await loaded(dut)
    control = {name: board.mask("CONTROL", name) for name in ("clear", "restart")}

    async def begin(packet):
        """Send all beats but the last."""
        await board.begin(packet[: (len(packet) - 1) // BYTES * BYTES])
        await ClockCycles(board.clk, 5)

    await begin(INPUTS[0])
    assert await board.field("STATUS", "receiving") == 1
    await board.write("CONTROL", control["clear"])
    await board.until("STATUS", "receiving", 0)
    await answers(board, 1)

    await begin(INPUTS[0] + INPUTS[0])  # too long already
    await settled(board, "long")
    await board.write("CONTROL", control["clear"])
    await answers(board, 2)

    await board.write("CONTROL", control["restart"])
    await board.until("STATUS", "state", State.EMPTY)
    for way in control:
        await begin(IMAGE[:100])
        await board.until("STATUS", "state", State.LOADING)
        await board.write("CONTROL", control[way])
        await board.until("STATUS", "state", State.EMPTY)
    await board.source.send(IMAGE)
    await board.until("STATUS", "state", State.READY)
    await answers(board, 0)


@test
async def restart_and_reset_while_it_runs(dut):
    board = await loaded(dut)
    board.sink.pause = True
    await board.source.send(INPUTS[0])
    await board.until("STATUS", "state", State.RUNNING)
    await board.write("CONTROL", board.mask("CONTROL", "restart"))
    if len(OUTPUTS[0]) > CASE["act_word"] and BYTES <= CASE["act_word"]:
        await board.until("STATUS", "sending", 1)
        assert await board.field("STATUS", "pending") == 1
    board.sink.pause = False
    assert (await board.sink.recv()).tdata == OUTPUTS[0]  # the run and its output go to their end
    await board.until("STATUS", "state", State.EMPTY)
    await board.source.send(IMAGE)
    await board.until("STATUS", "state", State.READY)
    await answers(board, 1)

    await board.source.send(INPUTS[2])
    await board.until("STATUS", "state", State.RUNNING)
    await board.reset()
    if not ROM:
        assert await board.field("STATUS", "state") == State.EMPTY
        await board.source.send(IMAGE)
    await board.until("STATUS", "state", State.READY)
    await answers(board, 0)
    assert board.sink.empty()
