// Operations on rows of activations: one pass over memory each, in pieces of 16 bytes. Widths and
// strides must be multiples of a piece.

#include "cuda/kernels/rows.h"

#include <algorithm>
#include <cstddef>

#include "cuda/checks.h"
#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {
namespace {

using Bf16 = __nv_bfloat16;

constexpr int kPieceBytes = 16;
constexpr int kPiece = 8;  // bf16 of a piece
constexpr int kThreads = 256;

void require_pieces(const core::Matrix& matrix, const char* what) {
  const int64_t piece = kPieceBytes / static_cast<int64_t>(core::size_of(matrix.dtype));
  require(matrix.cols % piece == 0 && matrix.stride % piece == 0 &&
              reinterpret_cast<uintptr_t>(matrix.data) % kPieceBytes == 0,
          what);
}

// Threads for a row of so many pieces: whole warps, at most `limit`.
int threads_for(int64_t pieces, int limit) {
  const int64_t whole = (pieces + kWarpSize - 1) / kWarpSize * kWarpSize;
  return static_cast<int>(std::min<int64_t>(whole, limit));
}

Bf16* bf16(const core::Matrix& matrix) { return static_cast<Bf16*>(matrix.data); }

// --- embed, gather_rows ------------------------------------------------------------------------
// One block copies a row.

// A piece times a number.
__device__ __forceinline__ uint4 scaled(const uint4& piece, float scale) {
  float x[kPiece];
  unpack(piece, x);
  return make_uint4(two_bf16(x[0] * scale, x[1] * scale), two_bf16(x[2] * scale, x[3] * scale),
                    two_bf16(x[4] * scale, x[5] * scale), two_bf16(x[6] * scale, x[7] * scale));
}

// table: [vocab, 8 pieces] bf16, out: [rows.count, 8 pieces]; padding rows become zeros.
__global__ void __launch_bounds__(kThreads)
    embed_kernel(core::Rows rows, const Bf16* table, int64_t table_stride, Bf16* out,
                 int64_t out_stride, int64_t pieces, float scale) {
  take_turn();
  const int64_t row = blockIdx.x;
  const bool padding = rows.slots[row] < 0;
  const auto* from =
      reinterpret_cast<const uint4*>(padding ? table : table + rows.token_ids[row] * table_stride);
  auto* to = reinterpret_cast<uint4*>(out + row * out_stride);
  for (int64_t i = threadIdx.x; i < pieces; i += blockDim.x) {
    const uint4 piece = padding ? make_uint4(0, 0, 0, 0) : from[i];
    to[i] = scale == 1.0f ? piece : scaled(piece, scale);
  }
}

// in: [.., pieces], out: [rows, pieces], strides in pieces; indices: [rows]
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const uint4* in, int64_t in_stride, const int32_t* indices, uint4* out,
                  int64_t out_stride, int64_t pieces) {
  take_turn();
  const int64_t row = blockIdx.x;
  const uint4* from = in + indices[row] * in_stride;
  uint4* to = out + row * out_stride;
  for (int64_t i = threadIdx.x; i < pieces; i += blockDim.x) to[i] = from[i];
}

// --- rms_norm ----------------------------------------------------------------------------------

constexpr int kMaxNormThreads = 1024;

struct NormArguments {
  Bf16* residual;       // [rows, cols]
  const Bf16* delta;    // [rows, cols] or null
  const uint4* weight;  // [pieces]
  Bf16* out;            // [rows, cols]
  int64_t residual_stride;
  int64_t delta_stride;
  int64_t out_stride;
  int32_t pieces;
  float eps;
  float offset;
};

__device__ __forceinline__ float sum_of_squares(const float (&x)[kPiece]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) sum = fmaf(x[i], x[i], sum);
  return sum;
}

// residual + delta of one piece, not rounded.
__device__ __forceinline__ void load_sum(const NormArguments& a, int64_t row, int piece,
                                         float (&x)[kPiece]) {
  load(a.residual + row * a.residual_stride + piece * kPiece, x);
  if (a.delta == nullptr) return;
  float delta[kPiece];
  load(a.delta + row * a.delta_stride + piece * kPiece, delta);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) x[i] += delta[i];
}

__device__ __forceinline__ void store_normed(const NormArguments& a, int64_t row, int piece,
                                             float scale, const float (&x)[kPiece],
                                             const uint4& packed_weight) {
  if (a.delta != nullptr) store(a.residual + row * a.residual_stride + piece * kPiece, x);
  float weight[kPiece];
  unpack(packed_weight, weight);
  float normed[kPiece];
#pragma unroll
  for (int i = 0; i < kPiece; ++i) normed[i] = x[i] * scale * (a.offset + weight[i]);
  store(a.out + row * a.out_stride + piece * kPiece, normed);
}

// One block per row. What is normalised is the sum before it is rounded to bf16 for the residual
// stream: it costs nothing here and is closer to f32. With kInRegisters a thread has at most one
// piece and keeps it between the sum of squares and the result; wider rows are read again.
template <int kBlockThreads, bool kInRegisters>
__global__ void __launch_bounds__(kBlockThreads) norm_kernel(NormArguments a) {
  take_turn();
  __shared__ float partial[kBlockThreads / kWarpSize];
  const int64_t row = blockIdx.x;
  const auto first = static_cast<int>(threadIdx.x);
  float x[kPiece] = {};
  uint4 weight = {};
  float squares = 0;
  for (int piece = first; piece < a.pieces; piece += kBlockThreads) {
    load_sum(a, row, piece, x);
    if constexpr (kInRegisters) weight = a.weight[piece];
    squares += sum_of_squares(x);
  }
  squares = block_reduce<kBlockThreads>(squares, partial, Add());
  const float scale = rsqrtf(squares / static_cast<float>(a.pieces * kPiece) + a.eps);
  for (int piece = first; piece < a.pieces; piece += kBlockThreads) {
    if constexpr (!kInRegisters) {
      load_sum(a, row, piece, x);
      weight = a.weight[piece];
    }
    store_normed(a, row, piece, scale, x, weight);
  }
}

template <int kBlockThreads>
void launch_norm(Stream stream, const NormArguments& arguments, unsigned rows) {
  if (arguments.pieces <= kBlockThreads) {
    launch(norm_kernel<kBlockThreads, true>, rows, kBlockThreads, 0, stream, arguments);
    return;
  }
  if constexpr (kBlockThreads < kMaxNormThreads) {
    launch_norm<2 * kBlockThreads>(stream, arguments, rows);
  } else {
    launch(norm_kernel<kBlockThreads, false>, rows, kBlockThreads, 0, stream, arguments);
  }
}

// --- gated -------------------------------------------------------------------------------------

// gate_up: [rows, 2 · 8 pieces], out: [rows, 8 pieces]. One thread per piece of a row.
__global__ void __launch_bounds__(kThreads)
    gated_kernel(const Bf16* gate_up, int64_t gate_up_stride, core::Activation activation,
                 Bf16* out, int64_t out_stride, int32_t pieces) {
  take_turn();
  const int64_t row = blockIdx.x;
  const int64_t piece = int64_t{blockIdx.y} * blockDim.x + threadIdx.x;
  if (piece >= pieces) return;
  float gate[kPiece];
  float up[kPiece];
  load(gate_up + row * gate_up_stride + piece * kPiece, gate);
  load(gate_up + row * gate_up_stride + (pieces + piece) * kPiece, up);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) up[i] *= activated(activation, gate[i]);
  store(out + row * out_stride + piece * kPiece, up);
}

}  // namespace

void embed(Stream stream, const core::Rows& rows, const core::Matrix& table, float scale,
           const core::Matrix& out) {
  if (rows.count == 0) return;
  require_pieces(table, "embed: the table's rows must be multiples of 16 bytes");
  require_pieces(out, "embed: the output's rows must be multiples of 16 bytes");
  const int64_t pieces = out.cols / kPiece;
  launch(embed_kernel, static_cast<unsigned>(rows.count), threads_for(pieces, kThreads), 0, stream,
         rows, bf16(table), table.stride, bf16(out), out.stride, pieces, scale);
}

void rms_norm(Stream stream, const core::Matrix& residual, const core::Matrix& delta,
              const core::RmsNorm& norm, const core::Matrix& out) {
  if (residual.rows == 0) return;
  require_pieces(residual, "rms_norm: the residual's rows must be multiples of 16 bytes");
  require_pieces(out, "rms_norm: the output's rows must be multiples of 16 bytes");
  if (delta.data) require_pieces(delta, "rms_norm: the delta's rows must be multiples of 16 bytes");
  const NormArguments arguments = {
      .residual = bf16(residual),
      .delta = bf16(delta),
      .weight = static_cast<const uint4*>(norm.weight),
      .out = bf16(out),
      .residual_stride = residual.stride,
      .delta_stride = delta.stride,
      .out_stride = out.stride,
      .pieces = static_cast<int32_t>(residual.cols / kPiece),
      .eps = norm.eps,
      .offset = norm.offset,
  };
  launch_norm<64>(stream, arguments, static_cast<unsigned>(residual.rows));
}

void gated(Stream stream, const core::Matrix& gate_up, core::Activation activation,
           const core::Matrix& out) {
  if (out.rows == 0) return;
  require_pieces(gate_up, "gated: the input's rows must be multiples of 16 bytes");
  require_pieces(out, "gated: the output's rows must be multiples of 16 bytes");
  const int64_t pieces = out.cols / kPiece;
  const int threads = threads_for(pieces, kThreads);
  const dim3 grid(static_cast<unsigned>(out.rows),
                  static_cast<unsigned>((pieces + threads - 1) / threads));
  launch(gated_kernel, grid, threads, 0, stream, bf16(gate_up), gate_up.stride, activation,
         bf16(out), out.stride, static_cast<int32_t>(pieces));
}

void gather_rows(Stream stream, const core::Matrix& in, const int32_t* indices,
                 const core::Matrix& out) {
  if (out.rows == 0) return;
  require_pieces(in, "gather_rows: the input's rows must be multiples of 16 bytes");
  require_pieces(out, "gather_rows: the output's rows must be multiples of 16 bytes");
  const int64_t piece = kPieceBytes / static_cast<int64_t>(core::size_of(out.dtype));
  const int64_t pieces = out.cols / piece;
  launch(gather_kernel, static_cast<unsigned>(out.rows), threads_for(pieces, kThreads), 0, stream,
         static_cast<const uint4*>(in.data), in.stride / piece, indices,
         static_cast<uint4*>(out.data), out.stride / piece, pieces);
}

}  // namespace permafrost::cuda
