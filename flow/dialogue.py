"""What the host says and hears when samples are simulated."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunus.hw.config import Config
from prunus.hw.host.frames import Deframer
from prunus.hw.host.protocol import (
    CYCLES_BYTES,
    Hello,
    Op,
    Reply,
    Request,
    State,
    Status,
    input_requests,
    load_requests,
    output_requests,
)

__all__ = ["SimulationError", "answers", "script"]

Array = NDArray[Any]


class SimulationError(RuntimeError):
    """The simulated accelerator did not do what the protocol promises."""


def script(image: bytes, config: Config, flat: Array, size: int) -> bytes:
    """The host's requests: load the image, then input, run and output of ``size`` bytes for each of
    the samples ``flat``."""
    requests: list[tuple[Op, bytes]] = [
        (Op.LOAD, payload) for payload in load_requests(image, config.frame_bytes)
    ]
    requests.append((Op.HELLO, b""))
    for vector in flat:
        for payload in input_requests(
            vector.tobytes(), frame_bytes=config.frame_bytes, lanes=config.lanes
        ):
            requests.append((Op.INPUT, payload))
        requests.append((Op.RUN, b""))
        requests.extend((Op.OUTPUT, p) for p in output_requests(size, config.frame_bytes))
    return b"".join(
        Request(op, tag & 0xFF, payload).frame() for tag, (op, payload) in enumerate(requests)
    )


def answers(replies: bytes, samples: int, size: int) -> tuple[Array, tuple[int, ...], int]:
    """Bytes (samples, size) int8, cycles, and the cycles of loading, from the reply bytes."""
    cycles: list[int] = []
    data = bytearray()
    load_cycles = 0
    for contents in Deframer().push(replies):
        reply = Reply.parse(contents)
        if reply.status != Status.OK:
            raise SimulationError(
                f"{Op(reply.op).name} was answered with {Status(reply.status).name}"
            )
        if reply.op == Op.HELLO:
            hello = Hello.unpack(reply.payload)
            if hello.state != State.READY:
                raise SimulationError(
                    f"the image was refused: state {State(hello.state).name}, "
                    f"load error {hello.load_error}"
                )
            load_cycles = hello.load_cycles
        elif reply.op == Op.RUN:
            cycles.append(int.from_bytes(reply.payload[:CYCLES_BYTES], "big"))
        elif reply.op == Op.OUTPUT:
            data += reply.payload
    if len(cycles) != samples or len(data) != samples * size:
        raise SimulationError(
            f"{len(cycles)} runs and {len(data)} bytes were answered, "
            f"of {samples} and {samples * size}"
        )
    return np.frombuffer(bytes(data), np.int8).reshape(samples, size), tuple(cycles), load_cycles
