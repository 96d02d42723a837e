// The design behind Vtop.h: every call goes on to the model that Verilator generated, class Vdut.

#include "Vdut.h"
#include "Vtop.h"

static inline Vdut* dut(void* model) { return static_cast<Vdut*>(model); }

Vtop::Vtop(const char* name) : m_model{new Vdut{name}} {}
Vtop::~Vtop() { delete dut(m_model); }

void Vtop::eval_step() {
    dut(m_model)->eval_step();
#ifdef PRUNUS_BURST
    // A top level that needs nobody until it raises `done` runs many cycles for each one of cocotb's
    // clock: the simulator's and cocotb's own work for an edge costs as much as a small design.
    static CData before = 0;
    const bool rose = dut(m_model)->clk && !before;
    before = dut(m_model)->clk;
    for (int n = 1; rose && n < PRUNUS_BURST && !dut(m_model)->done; n++) {
        dut(m_model)->clk = 0;
        dut(m_model)->eval_step();
        dut(m_model)->clk = 1;
        dut(m_model)->eval_step();
    }
#endif
}

void Vtop::eval_end_step() { dut(m_model)->eval_end_step(); }
void Vtop::final() { dut(m_model)->final(); }
bool Vtop::eventsPending() { return dut(m_model)->eventsPending(); }
uint64_t Vtop::nextTimeSlot() { return dut(m_model)->nextTimeSlot(); }
#if VM_TRACE
void Vtop::trace(VerilatedTraceBaseC* file, int levels) { dut(m_model)->trace(file, levels); }
#endif
