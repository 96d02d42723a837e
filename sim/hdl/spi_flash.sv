// An SPI flash memory with one data line, mode 0: 0x03 read, 0x0B fast read, 0xAB wake, 0xB9 sleep,
// 0x9F identify. It holds the file flash.bin from OFFSET on and is erased elsewhere. What a host
// does against the data sheet is kept in `problem`: 1 an unknown command, 2 a command while it
// sleeps or wakes, 3 a clock too fast, 4 selected or deselected too near to an edge of the clock.
//
// Times are those of a W25Q128JV but for the longer wake of an MX25R.

module spi_flash #(
    parameter int OFFSET = 0,
    parameter int BYTES  = 65536,  // that can be held
    parameter bit ASLEEP = 0       // at first, as configuration leaves it on an iCE40
) (
    input  logic       cs_n,
    input  logic       sck,
    input  logic       copi,
    output logic       cipo,
    output logic [2:0] problem,
    output logic       reading   // a read is under way
);
  localparam realtime ClockHalf = 9ns, SelectSetup = 5ns, ClockToData = 7ns, Wake = 35us;
  localparam logic [23:0] Identity = 24'hEF4018;
  typedef enum {
    COMMAND,
    ADDRESS,
    DUMMY,
    DATA,
    IDENTITY,
    NOTHING
  } state_t;

  logic [7:0] memory[BYTES];
  state_t state;
  logic asleep, fast;
  logic [23:0] shift, address;
  int bits;
  realtime woken, rise, fall, selected;

  initial begin
    int file, read;
    for (int n = 0; n < BYTES; n++) memory[n] = '1;
    file = $fopen("flash.bin", "rb");
    if (file != 0) begin
      read = $fread(memory, file);
      $fclose(file);
      if (read > BYTES) $fatal(1, "flash.bin is too large");
    end
    asleep = ASLEEP;
    woken = 0;
    rise = 0;
    fall = 0;
    selected = 0;
    problem = 0;
    reading = 0;
    cipo = 1;
    state = NOTHING;
  end

  function automatic logic [7:0] byte_at(logic [23:0] place);
    int index;
    index = int'(place) - OFFSET;
    return index >= 0 && index < BYTES ? memory[index] : 8'hFF;
  endfunction

  // Blocking assignments: this is a program, and all of its inputs are strobes of one host.
  /* verilator lint_off BLKSEQ */
  task automatic complain(logic [2:0] what);
    if (problem == 0) problem = what;
  endtask

  task automatic command();
    if (asleep && shift[7:0] != 8'hAB || !asleep && woken != 0 && $realtime - woken < Wake)
      complain(2);
    case (shift[7:0])
      8'h03, 8'h0B: begin
        fast  = shift[7:0] == 8'h0B;
        state = ADDRESS;
      end
      8'h9F: state = IDENTITY;
      8'hAB, 8'hB9: state = NOTHING;
      default: complain(1);
    endcase
  endtask

  always @(negedge cs_n) begin
    if (sck || $realtime - fall < SelectSetup && fall != 0) complain(4);
    selected = $realtime;
    state = COMMAND;
    bits = 0;
  end

  always @(posedge cs_n) begin
    if (selected != 0 && $realtime - rise < SelectSetup) complain(4);
    // Sleep and wake take effect here, if the clock stopped after the eighth bit.
    if (bits == 8 && state == NOTHING) begin
      asleep = shift[7:0] == 8'hB9;
      woken  = $realtime;
    end
    reading = 0;
    state = NOTHING;
  end

  always @(posedge sck)
    if (!cs_n) begin
      if ($realtime - selected < SelectSetup) complain(4);
      if ($realtime - fall < ClockHalf && fall > selected) complain(3);
      rise = $realtime;
      shift = {shift[22:0], copi};
      bits = bits + 1;
      if (state == COMMAND && bits == 8) command();
      else if (state == ADDRESS && bits == 32) begin
        address = shift;
        state   = fast ? DUMMY : DATA;
        reading = 1;
      end else if (state == DUMMY && bits == 40) state = DATA;
    end

  // The old bit is gone at once, the new one comes after a while.
  logic next;
  always @(negedge sck)
    if (!cs_n) begin
      if ($realtime - rise < ClockHalf) complain(3);
      fall = $realtime;
      next = 1;
      if (state == DATA) begin
        int done;
        done = bits - (fast ? 40 : 32);
        next = 1'(byte_at(address + 24'(done / 8)) >> (7 - done % 8));
      end else if (state == IDENTITY && bits < 32) next = Identity[31-bits];
      cipo = !next;
      #(ClockToData) cipo = next;
    end
  /* verilator lint_on BLKSEQ */
endmodule
