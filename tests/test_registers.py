# amaranth: UnusedElaboratable=no
import pytest
from amaranth.sim import Simulator

from prunus.hw.embed.register_file import RegisterFile, field_name
from prunus.hw.embed.registers import ADDRESS_BITS, REGISTERS, WIDTH, Access, find

FIELDS = [(register, field) for register in REGISTERS for field in register.fields]


def test_the_map_has_no_collision():
    addresses = [register.address for register in REGISTERS]
    assert addresses == sorted(set(addresses)) and max(addresses) < 1 << ADDRESS_BITS
    assert all(address % 4 == 0 for address in addresses)
    for register in REGISTERS:
        taken = 0
        for field in register.fields:
            assert not taken & field.mask and field.mask < 1 << WIDTH
            taken |= field.mask
    names = [field_name(register, field) for register, field in FIELDS]
    assert len(names) == len(set(names))


def test_names_are_known():
    assert find("STATUS").address == 0x10
    for look in (lambda: find("NONE"), lambda: find("STATUS")["none"]):
        with pytest.raises(KeyError):
            look()


def simulate(testbench):
    dut = RegisterFile()
    sim = Simulator(dut)
    sim.add_clock(1e-8)

    async def wrapped(ctx):
        async def access(name, *, write=None, strobe=0xF):
            ctx.set(dut.access.valid, 1)
            ctx.set(dut.access.address, find(name).address)
            ctx.set(dut.access.write, write is not None)
            ctx.set(dut.access.w_data, write or 0)
            ctx.set(dut.access.w_strobe, strobe)
            await ctx.tick()
            ctx.set(dut.access.valid, 0)
            assert ctx.get(dut.access.error) == (write is not None and not find(name).writable)
            return ctx.get(dut.access.r_data)

        await testbench(ctx, dut, access)

    sim.add_testbench(wrapped)
    sim.run()


def test_every_field_is_read_where_it_is():
    async def testbench(ctx, dut, access):
        for register, field in FIELDS:
            if field.access is Access.READ:
                ctx.set(dut.i[field_name(register, field)], (1 << field.width) - 1)
                assert await access(register.name) == field.mask
                ctx.set(dut.i[field_name(register, field)], 0)
            if field.access is Access.WRITE:
                await access(register.name, write=field.mask)
                assert await access(register.name) == field.mask
                assert ctx.get(dut.o[field_name(register, field)]) == (1 << field.width) - 1
                await access(register.name, write=0)
            assert await access(register.name) == 0

    simulate(testbench)


def test_pulses_last_a_cycle():
    async def testbench(ctx, dut, access):
        for name in ("start", "clear", "restart"):
            await access("CONTROL", write=find("CONTROL")[name].mask, strobe=0b1110)
            assert not ctx.get(dut.o[f"control_{name}"])
            await access("CONTROL", write=find("CONTROL")[name].mask)
            pulses = {n: ctx.get(dut.o[f"control_{n}"]) for n in ("start", "clear", "restart")}
            assert pulses == {"start": 0, "clear": 0, "restart": 0, name: 1}
            await ctx.tick()
            assert not ctx.get(dut.o[f"control_{name}"])

    simulate(testbench)


def test_an_event_is_not_lost_while_it_is_cleared():
    async def testbench(ctx, dut, access):
        mask = find("IRQ_STATUS")["done"].mask
        for event_while_clearing in (0, 1):
            ctx.set(dut.i.irq_status_done, 1)
            await ctx.tick()
            ctx.set(dut.i.irq_status_done, event_while_clearing)
            assert ctx.get(dut.o.irq_status_done)
            await access("IRQ_STATUS", write=~mask & 0xF)  # the others' bits
            assert ctx.get(dut.o.irq_status_done)
            await access("IRQ_STATUS", write=mask)
            ctx.set(dut.i.irq_status_done, 0)
            assert ctx.get(dut.o.irq_status_done) == event_while_clearing

    simulate(testbench)


def test_irq_is_what_is_enabled():
    async def testbench(ctx, dut, access):
        ctx.set(dut.i.irq_status_failed, 1)
        await ctx.tick()
        ctx.set(dut.i.irq_status_failed, 0)
        for enable in range(16):
            await access("IRQ_ENABLE", write=enable)
            await ctx.tick()
            expected = bool(enable & find("IRQ_STATUS")["failed"].mask)
            assert ctx.get(dut.access.irq) == expected

    simulate(testbench)
