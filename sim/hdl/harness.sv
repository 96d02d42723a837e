// Runs an accelerator over a script of host bytes and checks every layer's outputs, with no Python
// in the cycle path. prunus.sim.network writes the files and reads the results.
//
// Files, in the current directory
//   script.bin     in   bytes for the host port
//   layers.bin     in   for each layer 20 bytes: number 32 | first word 32 | bytes of a pixel 32
//                       | pixels 32 | words from a pixel to the next 32, 0: as many as it fills
//   expected.bin   in   for each sample, for each layer of layers.bin: CRC-32 of its outputs, 32;
//                       pixel after pixel, without what is between them
//   replies.bin    out  bytes from the host port
//   layers.txt     out  "sample layer start end array drain", in cycles, for each layer that ended
//   mismatches.txt out  "sample layer stray hex", for each layer whose outputs differ; "xx" is a
//                       byte that was not written
//
// Plusargs: +samples= runs to wait for, +replies= frames to wait for, +rows= layers in layers.bin,
// +wait_ready=1 sends nothing before an image is loaded or refused, +stall= cycles in 256 in which a
// host stream pauses, +seed= of these, +watchdog= cycles without a sign of life that end the
// simulation, +dumps= most lines of mismatches.txt.

module harness #(
    parameter int LANES = 8,        // int8 in a lane group
    parameter int GROUPS = 2,       // lane groups in a word
    parameter int GROUP_BITS = 1,   // width of trace__group
    parameter int DEPTH = 256,      // words of the activation memory
    parameter int ADDRESS_BITS = 8  // width of trace__address
) (
    input  logic        clk,
    input  logic        rst,
    output logic        done,        // everything has come, or there is a problem
    output logic [ 7:0] problem,     // 0 none, 1 watchdog, 2 a run too many, 3 a file ends early
    output logic [31:0] samples,     // runs that have ended
    output logic [31:0] replies,     // frames that have come
    output logic [31:0] mismatches,  // layers that differ
    output logic [63:0] cycles       // since reset
);
  localparam byte unsigned Flag = 8'h7E;

  // The design
  logic [7:0] i_payload, o_payload;
  logic i_valid, i_ready, o_valid, o_ready, ready, failed;
  logic t_valid, t_layer_start, t_array_done, t_layer_done, t_run_done;
  logic [7:0] t_layer;
  logic [ADDRESS_BITS-1:0] t_address;
  logic [GROUP_BITS-1:0] t_group;
  logic [8*LANES-1:0] t_data;

  accelerator dut (
      .clk(clk),
      .rst(rst),
      .host_i__payload(i_payload),
      .host_i__valid(i_valid),
      .host_i__ready(i_ready),
      .host_o__payload(o_payload),
      .host_o__valid(o_valid),
      .host_o__ready(o_ready),
      .ready(ready),
      .failed(failed),
      .trace__valid(t_valid),
      .trace__layer(t_layer),
      .trace__address(t_address),
      .trace__group(t_group),
      .trace__data(t_data),
      .trace__layer_start(t_layer_start),
      .trace__array_done(t_array_done),
      .trace__layer_done(t_layer_done),
      .trace__run_done(t_run_done)
  );

  // What is to be done and checked
  /* verilator lint_off UNUSEDSIGNAL */  // int is wider than an index has to be
  int f_script, f_expected, f_replies, f_layers, f_mismatches;
  int wanted_samples, wanted_replies, wait_ready, stall, seed, watchdog, dumps;
  int rows;                    // layers that are checked
  int first_group[256];        // by layer: where its outputs begin, in lane groups
  int pixel_bytes[256];        // 0: not checked
  int pixel_groups[256];       // lane groups that hold them
  int pixels[256];
  int pitch[256];              // from a pixel to the next, in lane groups
  int row_of[256];             // position among the layers of the files
  logic [31:0] expected[256];  // by row, for this sample
  logic [31:0] crc_table[256];

  function automatic logic [31:0] next_crc(logic [31:0] crc, logic [7:0] data);
    return crc >> 8 ^ crc_table[crc[7:0]^data];
  endfunction

  function automatic int read_u32(int file);
    int value;
    value = 0;
    for (int n = 0; n < 4; n++) value = value << 8 | ($fgetc(file) & 255);
    return value;
  endfunction

  initial begin
    int file, layer_number;
    for (int n = 0; n < 256; n++) begin
      crc_table[n] = n;
      for (int k = 0; k < 8; k++)
        crc_table[n] = crc_table[n] >> 1 ^ (crc_table[n][0] ? 32'hEDB88320 : 0);
      pixel_bytes[n] = 0;
      pixel_groups[n] = 0;
      pixels[n] = 0;
      pitch[n] = 1;
    end
    if (!$value$plusargs("samples=%d", wanted_samples)) wanted_samples = 0;
    if (!$value$plusargs("replies=%d", wanted_replies)) wanted_replies = 0;
    if (!$value$plusargs("rows=%d", rows)) rows = 0;
    if (!$value$plusargs("wait_ready=%d", wait_ready)) wait_ready = 0;
    if (!$value$plusargs("stall=%d", stall)) stall = 0;
    if (!$value$plusargs("seed=%d", seed)) seed = 0;
    if (!$value$plusargs("watchdog=%d", watchdog)) watchdog = 1000000;
    if (!$value$plusargs("dumps=%d", dumps)) dumps = 64;
    file = $fopen("layers.bin", "rb");
    for (int row = 0; row < rows; row++) begin
      layer_number = read_u32(file);
      first_group[layer_number] = read_u32(file) * GROUPS;
      pixel_bytes[layer_number] = read_u32(file);
      pixel_groups[layer_number] = (pixel_bytes[layer_number] + LANES - 1) / LANES;
      pixels[layer_number] = read_u32(file);
      pitch[layer_number] = read_u32(file) * GROUPS;
      if (pitch[layer_number] == 0)
        pitch[layer_number] = (pixel_groups[layer_number] + GROUPS - 1) / GROUPS * GROUPS;
      row_of[layer_number] = row;
    end
    $fclose(file);
    f_script = $fopen("script.bin", "rb");
    f_expected = $fopen("expected.bin", "rb");
    f_replies = $fopen("replies.bin", "wb");
    f_layers = $fopen("layers.txt", "w");
    f_mismatches = $fopen("mismatches.txt", "w");
  end

  // What is going on. Events of one cycle are taken in the order of the program text, so these
  // variables are assigned at once, as in software; the design never sees them.
  /* verilator lint_off BLKSEQ */
  logic [8*LANES-1:0] memory[DEPTH*GROUPS];
  int written_by[DEPTH*GROUPS];  // which of the layers that have run, counted from 1
  int layers_run;
  logic in_layer;
  logic [7:0] layer;
  int stray;  // lane groups that it wrote outside of its outputs
  longint start_cycle, engine_cycle, array_cycle, end_cycle, array, drain;
  logic [31:0] random;
  logic script_ended;
  int next_byte, frame_bytes, idle;

  // Whether a lane group holds a channel of a layer.
  function automatic logic belongs(int group, logic [7:0] number);
    int from_first;
    from_first = group - first_group[number];
    return from_first >= 0 && from_first / pitch[number] < pixels[number] &&
        from_first % pitch[number] < pixel_groups[number];
  endfunction

  task automatic take_output();
    int group;
    group = int'(t_address) * GROUPS + int'(t_group);
    memory[group] = t_data;
    written_by[group] = layers_run;
    if (!belongs(group, t_layer)) stray = stray + 1;
  endtask

  task automatic dump_layer();
    int group;
    $fwrite(f_mismatches, "%0d %0d %0d ", samples, layer, stray);
    for (int p = 0; p < pixels[layer]; p++)
      for (int n = 0; n < pixel_bytes[layer]; n++) begin
        group = first_group[layer] + p * pitch[layer] + n / LANES;
        if (written_by[group] == layers_run)
          $fwrite(f_mismatches, "%02x", memory[group][8*(n%LANES)+:8]);
        else $fwrite(f_mismatches, "xx");
      end
    $fwrite(f_mismatches, "\n");
  endtask

  task automatic check_layer();
    int group;
    logic [31:0] crc;
    logic complete;
    crc = '1;
    complete = 1;
    for (int p = 0; p < pixels[layer]; p++)
      for (int n = 0; n < pixel_bytes[layer]; n++) begin
        group = first_group[layer] + p * pitch[layer] + n / LANES;
        crc = next_crc(crc, memory[group][8*(n%LANES)+:8]);
        if (written_by[group] != layers_run) complete = 0;
      end
    if (!complete || stray != 0 || ~crc != expected[row_of[layer]]) begin
      if (mismatches < dumps) dump_layer();
      mismatches = mismatches + 1;
    end
  endtask

  task automatic end_layer();
    if (pixel_bytes[layer] != 0) check_layer();
    $fwrite(f_layers, "%0d %0d %0d %0d %0d %0d\n", samples, layer, start_cycle, end_cycle, array,
            drain);
    in_layer = 0;
  endtask

  // The layer's number is that of the sequencer, which keeps it until the layer has ended.
  task automatic take_trace();
    if (t_valid) take_output();
    if (t_array_done) begin
      array = array + cycles - engine_cycle;
      array_cycle = cycles;
    end
    if (t_layer_done) begin
      drain = drain + cycles - array_cycle;
      end_cycle = cycles;
    end
    if (t_layer_start) begin
      if (in_layer && layer != t_layer) end_layer();
      if (!in_layer) begin
        layers_run = layers_run + 1;
        start_cycle = cycles;
        array = 0;
        drain = 0;
        stray = 0;
      end
      in_layer = 1;
      layer = t_layer;
      engine_cycle = cycles;
    end
    if (t_run_done) begin
      if (in_layer) end_layer();
      samples = samples + 1;
      read_expected();
    end
  endtask

  task automatic read_expected();
    if (samples > wanted_samples) problem = 2;
    else if (samples < wanted_samples)
      for (int row = 0; row < rows; row++) begin
        expected[row] = read_u32(f_expected);
        if ($feof(f_expected) != 0) problem = 3;
      end
  endtask

  task automatic take_reply();
    $fwrite(f_replies, "%c", o_payload);
    if (o_payload != Flag) frame_bytes = frame_bytes + 1;
    else begin
      if (frame_bytes != 0) replies = replies + 1;
      frame_bytes = 0;
    end
  endtask

  always @(posedge clk) begin
    if (rst) begin
      done = 0;
      problem = 0;
      samples = 0;
      replies = 0;
      mismatches = 0;
      cycles = 0;
      in_layer = 0;
      layers_run = 0;
      script_ended = 0;
      frame_bytes = 0;
      idle = 0;
      random = seed ^ 32'h9E3779B9;
      i_valid <= 0;
      o_ready <= 0;
    end else if (!done) begin
      cycles = cycles + 1;
      if (cycles == 1) read_expected();
      random = random ^ random << 13;  // xorshift32
      random = random ^ random >> 17;
      random = random ^ random << 5;
      idle = idle + 1;
      if (i_valid && i_ready || o_valid && o_ready || t_valid || t_layer_start) idle = 0;

      take_trace();
      if (o_valid && o_ready) take_reply();
      o_ready <= int'(random[15:8]) >= stall;
      if (!i_valid || i_ready) begin
        i_valid <= 0;
        if (!script_ended && int'(random[7:0]) >= stall && (wait_ready == 0 || ready || failed)) begin
          next_byte = $fgetc(f_script);
          script_ended = next_byte < 0;
          i_payload <= next_byte[7:0];
          i_valid <= !script_ended;
        end
      end

      if (idle > watchdog) problem = 1;
      done = problem != 0 || script_ended && samples >= wanted_samples && replies >= wanted_replies;
      if (done) begin
        $fclose(f_replies);
        $fclose(f_layers);
        $fclose(f_mismatches);
      end
    end
  end
  /* verilator lint_on BLKSEQ */
  /* verilator lint_on UNUSEDSIGNAL */
endmodule
