// Fills the memories of an EIE array, runs passes and writes down every accumulator, with no Python
// in the cycle path. prunus.sim.eie_core writes the files and reads the results.
//
// Files, in the current directory
//   bus.bin          in   writes, one a cycle: target 8 | unit 8 | address 32 | data 48
//   layer.hex        in   the layer, as the array's port takes it
//   activations.hex  in   words of the activation memory, from 0
//   locate.bin       in   beats of the drain, each in whole bytes
//   sums.hex         out  what came back: LANES int32, the last lane first
//   cycles.txt       out  for each pass "run drain": from start to done, from the first beat in to
//                         the last one out
//
// Plusargs: +beats= beats in locate.bin, +passes= trips through the layer, +watchdog= cycles that a
// pass may take.

module eie_bench #(
    parameter int LANES = 8,
    parameter int WORD_BITS = 128,    // of the activation memory
    parameter int WORD_ADDRESS = 8,   // its address, in bits
    parameter int WORD_DEPTH = 256,   // its words
    parameter int BUS_ADDRESS = 12,   // width of bus__address
    parameter int BUS_DATA = 36,      // width of bus__data
    parameter int LAYER_BITS = 80,    // width of layer
    parameter int PLACE_BITS = 56     // width of locate__payload
) (
    input  logic clk,
    input  logic rst,
    output logic done,    // every pass has ended, or there is a problem
    output logic problem  // a pass took too long
);
  localparam int BeatBytes = (PLACE_BITS + 7) / 8;
  localparam int Settle = 8;  // cycles for the last write to arrive

  typedef enum logic [2:0] {
    LOAD,
    WAIT,
    START,
    RUN,
    DRAIN,
    END
  } state_t;

  logic bus_valid, start, array_done, r_en, locate_valid, locate_ready, sums_valid;
  logic [95:0] record;
  logic [LAYER_BITS-1:0] layer[1];
  logic [WORD_BITS-1:0] activations[WORD_DEPTH];
  logic [WORD_ADDRESS-1:0] r_addr;
  logic [WORD_BITS-1:0] r_data;
  logic [8*BeatBytes-1:0] beat;
  logic [32*LANES-1:0] sums;

  eie_array dut (
      .clk(clk),
      .rst(rst),
      .bus__valid(bus_valid),
      .bus__target(record[90:88]),
      .bus__unit(record[87:80]),
      .bus__address(record[48+:BUS_ADDRESS]),
      .bus__data(record[0+:BUS_DATA]),
      .start(start),
      .layer(layer[0]),
      .r_addr(r_addr),
      .r_en(r_en),
      .r_data(r_data),
      .done(array_done),
      .locate__payload(beat[PLACE_BITS-1:0]),
      .locate__valid(locate_valid),
      .locate__ready(locate_ready),
      .sums__payload(sums),
      .sums__valid(sums_valid),
      .sums__ready(1'b1)
  );

  always_ff @(posedge clk) if (r_en) r_data <= activations[r_addr];

  int f_bus, f_locate, f_sums, f_cycles;
  int beats, passes, watchdog;

  initial begin
    if (!$value$plusargs("beats=%d", beats)) beats = 0;
    if (!$value$plusargs("passes=%d", passes)) passes = 1;
    if (!$value$plusargs("watchdog=%d", watchdog)) watchdog = 1000000;
    $readmemh("layer.hex", layer);
    $readmemh("activations.hex", activations);
    f_bus = $fopen("bus.bin", "rb");
    f_locate = $fopen("locate.bin", "rb");
    f_sums = $fopen("sums.hex", "w");
    f_cycles = $fopen("cycles.txt", "w");
  end

  // Files are read and written in program order; the design sees only what is assigned with "<=".
  /* verilator lint_off BLKSEQ */
  state_t state;
  int count, run, drain, sent, received, pass, status;
  logic [95:0] next_record;
  logic [8*BeatBytes-1:0] next_beat;

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= LOAD;
      bus_valid <= 0;
      start <= 0;
      locate_valid <= 0;
      done <= 0;
      problem <= 0;
      pass = 0;
    end else begin
      case (state)
        LOAD: begin
          status = $fread(next_record, f_bus);
          bus_valid <= status == 12;
          record <= next_record;
          count = 0;
          if (status != 12) state <= WAIT;
        end
        WAIT: begin
          count = count + 1;
          if (count >= Settle && array_done) begin  // after a reset it clears its sums
            start <= 1;
            state <= START;
          end
        end
        START: begin
          start <= 0;
          run = 1;
          drain = 0;
          sent = 0;
          received = 0;
          status = $fseek(f_locate, 0, 0);
          state <= RUN;
        end
        RUN: begin
          if (array_done) state <= DRAIN;
          else run = run + 1;
          if (run > watchdog) begin
            problem <= 1;
            done <= 1;
            state <= END;
          end
        end
        DRAIN: begin
          if (!locate_valid || locate_ready) begin
            locate_valid <= sent < beats;
            if (sent < beats) status = $fread(next_beat, f_locate);
            beat <= next_beat;
            sent = sent + 1;
          end
          if (locate_valid || drain > 0) drain = drain + 1;
          if (sums_valid) begin
            $fwrite(f_sums, "%h\n", sums);
            received = received + 1;
          end
          if (received == beats) begin
            $fwrite(f_cycles, "%0d %0d\n", run, drain);
            pass = pass + 1;
            count = 0;
            state <= WAIT;
            if (pass == passes) begin
              $fclose(f_sums);
              $fclose(f_cycles);
              done  <= 1;
              state <= END;
            end
          end
        end
        default: ;
      endcase
    end
  end
  /* verilator lint_on BLKSEQ */
endmodule

// A memory of the array: read at once, written at the clock edge, zeros to start with.
module eie_memory #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 2,
    parameter int ADDRESS = 1
) (
    input  logic               clk,
    input  logic [ADDRESS-1:0] r_addr,
    output logic [  WIDTH-1:0] r_data,
    input  logic               w_en,
    input  logic [ADDRESS-1:0] w_addr,
    input  logic [  WIDTH-1:0] w_data
);
  logic [WIDTH-1:0] rows[DEPTH];

  initial for (int n = 0; n < DEPTH; n++) rows[n] = '0;

  assign r_data = rows[r_addr];
  always_ff @(posedge clk) if (w_en) rows[w_addr] <= w_data;
endmodule
