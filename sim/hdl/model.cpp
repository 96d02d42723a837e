// The design behind Vtop.h: every call goes on to the model that Verilator generated, class Vdut.

#include "Vdut.h"
#include "Vtop.h"

static inline Vdut* dut(void* model) { return static_cast<Vdut*>(model); }

Vtop::Vtop(const char* name) : m_model{new Vdut{name}} {}
Vtop::~Vtop() { delete dut(m_model); }
void Vtop::eval_step() { dut(m_model)->eval_step(); }
void Vtop::eval_end_step() { dut(m_model)->eval_end_step(); }
void Vtop::final() { dut(m_model)->final(); }
bool Vtop::eventsPending() { return dut(m_model)->eventsPending(); }
uint64_t Vtop::nextTimeSlot() { return dut(m_model)->nextTimeSlot(); }
#if VM_TRACE
void Vtop::trace(VerilatedTraceBaseC* file, int levels) { dut(m_model)->trace(file, levels); }
#endif
