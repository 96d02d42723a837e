"""A device at the other end of the host link, in Python: what the gates and the Link are tested on.

It follows docs/host-link.md, one request after the other, and has neither time nor a wire.
"""

from prunus.hw.config import Config
from prunus.hw.host.frames import Deframer
from prunus.hw.host.protocol import (
    Health,
    Hello,
    Op,
    Reply,
    Request,
    State,
    Status,
    hello_constants,
)


def small_config(**changes) -> Config:
    """A configuration whose host port is quick to simulate."""
    sizes = {"pes": 4, "lanes": 2, "act_word": 8, "act_depth": 32, "frame_bytes": 32}
    return Config(**(sizes | changes))


class Device:
    """Loads an image of ``image_bytes``, then runs: byte i of the output is made in place.

    The first byte decides whether the image is good: 0xEE is error 5. The output overlaps the
    input, so that running twice is not the same as running once.
    """

    image_id = 0xCAFE0123
    load_cycles = 0x8899AABB

    def __init__(self, config: Config, *, image_bytes=50, inputs=(3, 21), outputs=(4, 13)):
        self.config = config
        self.image_bytes = image_bytes
        self.input_base, self.input_bytes = inputs
        self.output_base, self.output_bytes = outputs
        self.deframer = Deframer(longest=config.frame_bytes + 2)
        self.memory = bytearray(config.act_depth * config.act_word)
        self.image = bytearray()
        self.loading = False
        self.expected = 0
        self.runs = 0
        self.last = None  # (op, tag) of a request that must not be done twice
        self.same_host = False  # no HELLO came since
        self.fed = False  # an input was begun since the image came

    # What loader, engines and memory do.

    @property
    def load_done(self) -> bool:
        return len(self.image) >= self.image_bytes and self.image[0] != 0xEE

    @property
    def load_error(self) -> int:
        return 5 if len(self.image) >= self.image_bytes and self.image[0] == 0xEE else 0

    @property
    def cycles(self) -> int:
        return 0x01020300 + self.runs if self.runs else 0

    def run(self):
        self.runs += 1
        start = self.output_base * self.config.act_word
        for n in range(start, start + self.output_bytes):
            self.memory[n] = (3 * self.memory[n] + self.runs) & 0xFF

    # What the host port does.

    @property
    def health(self) -> dict[str, int]:
        state = State.LOADING if self.loading else State.EMPTY
        if self.load_error:
            state = State.FAILED
        elif self.load_done:
            state = State.READY
        return {
            "state": state,
            "load_error": self.load_error,
            "dropped": self.deframer.dropped & 0xFF,
        }

    def receive(self, raw: bytes) -> bytes:
        """The replies to what comes over the wire."""
        replies = []
        for byte in raw:  # `dropped` must not run ahead of the replies
            for contents in self.deframer.push(bytes((byte,))):
                replies.append(self.answer(Request.parse(contents)).frame())
        return b"".join(replies)

    def answer(self, request: Request) -> Reply:
        status, payload = self._carry_out(request)
        if status != Status.OK:
            payload = b""
        return Reply(request.op & 0x7F, request.tag, status, payload)

    def _carry_out(self, request: Request) -> tuple[Status, bytes]:
        match request.op:
            case Op.HELLO | Op.STATUS | Op.RUN:
                good = len(request.payload) == 0
            case Op.LOAD | Op.INPUT | Op.INFER:
                good = len(request.payload) > 3
            case Op.OUTPUT:
                good = len(request.payload) == 5
            case _:
                return Status.UNKNOWN_OP, b""
        if not good:
            return Status.LENGTH, b""
        if request.op in (Op.RUN, Op.INPUT, Op.INFER, Op.OUTPUT) and not self.load_done:
            return Status.STATE, b""
        ran = self.last is not None and self.last[0] == Op.RUN
        if (request.op == Op.RUN and not self.fed) or (request.op == Op.OUTPUT and not ran):
            return Status.STATE, b""
        offset = int.from_bytes(request.payload[:3], "big")
        data = request.payload[3:]
        match request.op:
            case Op.HELLO:
                self.same_host = False
                return Status.OK, self.hello().pack()
            case Op.STATUS:
                return Status.OK, Health(**self.health).pack()
            case Op.LOAD:
                return self._load(offset, data, (Op.LOAD, request.tag))
            case Op.INPUT:
                return self._input(offset, data), b""
            case Op.INFER:
                if not self.again(Op.RUN, request.tag):
                    status = self._input(offset, data)
                    if status == Status.OK and not self.fed:
                        status = Status.STATE
                    if status != Status.OK:
                        return status, b""
                return Status.OK, self._run(request.tag) + self.output(0, self.output_bytes)
            case Op.OUTPUT:
                count = int.from_bytes(data, "big")
                if not 0 < count <= self.config.frame_bytes or offset + count > self.output_bytes:
                    return Status.RANGE, b""
                return Status.OK, self.output(offset, count)
            case _:
                return Status.OK, self._run(request.tag)

    def output(self, offset: int, count: int) -> bytes:
        start = self.output_base * self.config.act_word + offset
        return bytes(self.memory[start : start + count])

    def again(self, op: Op, tag: int) -> bool:
        return self.same_host and self.last == (op, tag)

    def _run(self, tag: int) -> bytes:
        if not self.again(Op.RUN, tag):
            self.last = (Op.RUN, tag)
            self.same_host = True
            self.run()
        return self.cycles.to_bytes(4, "big")

    def hello(self) -> Hello:
        return Hello(
            **hello_constants(self.config),
            image_id=self.image_id,
            load_cycles=self.load_cycles,
            input_bytes=self.input_bytes,
            output_bytes=self.output_bytes,
            **self.health,
        )

    def _load(self, offset: int, data: bytes, request: tuple[Op, int]) -> tuple[Status, bytes]:
        if offset == 0:
            self.image.clear()
            self.expected = 0
            self.fed = False
        if offset == self.expected:
            self.loading = True
            self.last = request
            self.same_host = True
            self.expected += len(data)
            self.image += data
        elif not self.again(*request):
            return Status.ORDER, b""
        return Status.OK, Health(**self.health).pack()

    def _input(self, offset: int, data: bytes) -> Status:
        lanes = self.config.lanes
        end = offset + len(data)
        if end > self.input_bytes or offset % lanes:
            return Status.RANGE
        if len(data) % lanes and end != self.input_bytes:
            return Status.LENGTH
        if self.last and self.last[0] == Op.RUN:
            self.last = None
        self.fed |= offset == 0
        start = self.input_base * self.config.act_word + offset
        data += bytes(-len(data) % lanes)
        self.memory[start : start + len(data)] = data
        return Status.OK
