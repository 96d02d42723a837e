// What cocotb's main program uses of a Verilated model, without the model: the program is compiled
// once and linked with every design. model.cpp, compiled with each design, is the other half.

#ifndef PRUNUS_VTOP_H
#define PRUNUS_VTOP_H

#include "verilated.h"

class Vtop final {
    void* const m_model;

  public:
    explicit Vtop(const char* name);
    ~Vtop();
    void eval_step();
    void eval_end_step();
    void final();
    bool eventsPending();
    uint64_t nextTimeSlot();
#if VM_TRACE
    void trace(VerilatedTraceBaseC* file, int levels);
#endif
};

#endif
