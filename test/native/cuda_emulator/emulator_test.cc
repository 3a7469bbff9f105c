// The emulated device itself: it computes what a GPU does, and it notices what it is there to
// notice. Prints failures and "N passed, M failed".

#include <cuda_bf16.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"

namespace permafrost::cuda {

void check(int status, const char* doing) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(doing) + " was refused");
}

namespace {

int passed = 0;
int failed = 0;

void expect(bool holds, const char* what, int line) {
  ++(holds ? passed : failed);
  if (!holds) std::printf("FAILED line %d: %s\n", line, what);
}

#define EXPECT(condition) expect((condition), #condition, __LINE__)

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

bool says(const std::string& text, const char* what) {
  return text.find(what) != std::string::npos;
}

// Device memory, which on this device the host can read too.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) { check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc"); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }
  T* data() { return data_; }
  T& operator[](size_t i) { return data_[i]; }

 private:
  T* data_ = nullptr;
};

// How many of 30 launches on 4 blocks give a wrong result.
template <typename Kernel>
int count_wrong(Kernel kernel, unsigned threads) {
  DeviceArray<int> wrong(1);
  int launches = 0;
  for (int i = 0; i < 30; ++i) {
    wrong[0] = 0;
    launch(kernel, 4, threads, 0, nullptr, wrong.data());
    launches += wrong[0] != 0;
  }
  return launches;
}

// --- barriers ----------------------------------------------------------------------------------

template <bool kBarrier>
__global__ void neighbours_in_block(int* wrong) {
  __shared__ int values[128];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kBarrier) __syncthreads();
  if (values[(threadIdx.x + 33) % 128] != static_cast<int>((threadIdx.x + 33) % 128)) *wrong = 1;
}

template <bool kBarrier>
__global__ void neighbours_in_warp(int* wrong) {
  __shared__ int values[64];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kBarrier) __syncwarp();
  if (values[threadIdx.x ^ 1] != static_cast<int>(threadIdx.x ^ 1)) *wrong = 1;
}

__global__ void barrier_votes(int* wrong) {
  const bool low = threadIdx.x < 10;
  if (threadIdx.x == 95) return;  // who returned is not waited for
  if (__syncthreads_count(low) != 10) *wrong = 1;
  if (__syncthreads_or(low) == 0 || __syncthreads_or(0) != 0) *wrong = 1;
  if (__syncthreads_and(low) != 0 || __syncthreads_and(1) == 0) *wrong = 1;
}

__global__ void half_a_barrier() {
  if (threadIdx.x < 40) {
    __syncthreads();
  } else {
    __syncwarp();  // lanes 0 to 7 of the warp are at the barrier
  }
}

__global__ void two_barriers() {
  if (threadIdx.x < 8) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void missing_lane() {
  if (threadIdx.x % 32 != 3) __shfl_sync(~0u, 1, 0);
  if (threadIdx.x % 32 == 3) __syncthreads();
}

__global__ void different_operations() {
  if (threadIdx.x < 16) {
    __shfl_sync(~0u, 1, 0);
  } else {
    __shfl_sync(~0u, 1.0f, 0);
  }
}

__global__ void not_in_mask() { __ballot_sync(0xFF, 1); }

void barriers() {
  EXPECT(count_wrong(neighbours_in_block<true>, 128) == 0);
  EXPECT(count_wrong(neighbours_in_block<false>, 128) > 0);
  EXPECT(count_wrong(neighbours_in_warp<true>, 64) == 0);
  EXPECT(count_wrong(neighbours_in_warp<false>, 64) > 0);
  EXPECT(count_wrong(barrier_votes, 96) == 0);
  const auto error = [](void (*kernel)()) {
    return error_of([&] { launch(kernel, 1, 64, 0, nullptr); });
  };
  const std::string stuck = error(half_a_barrier);
  EXPECT(says(stuck, "never come") && says(stuck, "half_a_barrier") &&
         says(stuck, "emulator_test.cc"));
  EXPECT(says(error(two_barriers), "different barriers"));
  EXPECT(says(error(missing_lane), "never come"));
  EXPECT(says(error(different_operations), "different operations"));
  EXPECT(says(error(not_in_mask), "not in its own mask"));
}

// --- exchanges ---------------------------------------------------------------------------------

__global__ void exchanges(int* wrong) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const auto check = [&](auto value, auto expected) {
    if (value != expected) *wrong = 1;
  };
  check(__shfl_sync(~0u, lane * 1.5f, 5), 7.5f);
  check(__shfl_sync(~0u, lane, 3, 8), lane / 8 * 8 + 3);
  check(__shfl_xor_sync(~0u, int64_t{lane} << 40, 16), int64_t{lane ^ 16} << 40);
  check(__shfl_up_sync(~0u, lane, 4), lane < 4 ? lane : lane - 4);
  check(__shfl_down_sync(~0u, lane, 3, 16), lane % 16 < 13 ? lane + 3 : lane);
  check(__ballot_sync(~0u, lane % 3 == 0), 0x49249249u);
  check(__any_sync(~0u, lane == 31), 1);
  check(__all_sync(~0u, lane != 31), 0);
  check(__reduce_add_sync(~0u, lane), 496);
  check(__reduce_max_sync(~0u, static_cast<unsigned>(lane)), 31u);
  check(__match_any_sync(~0u, lane / 16), lane < 16 ? 0xFFFFu : 0xFFFF0000u);
  if (lane < 8) check(__shfl_sync(0xFFu, lane, 7), 7);
}

// Fragments by the coordinates that the PTX ISA gives for m16n8k16 and m8n8.
__global__ void multiply_tiles(const uint16_t* a, const uint16_t* b, float* out) {
  auto* tile = reinterpret_cast<uint16_t*>(dynamic_shared());  // a: [16, 16], b: [8, 16]
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) tile[i] = a[i];
  for (int i = lane; i < 128; i += 32) tile[256 + i] = b[i];
  __syncwarp();
  uint32_t left[4];
  load_matrices(left, tile + (lane % 16) * 16 + lane / 16 * 8);
  uint32_t right[4];
  load_matrices(right, tile + 256 + (lane % 8) * 16 + lane / 8 % 2 * 8);
  float d[4] = {100, 200, 300, 400};
  multiply_add(d, left, right[0], right[1]);
  const int row = lane / 4;
  const int column = lane % 4 * 2;
  out[row * 8 + column] = d[0] - 100;
  out[row * 8 + column + 1] = d[1] - 200;
  out[(row + 8) * 8 + column] = d[2] - 300;
  out[(row + 8) * 8 + column + 1] = d[3] - 400;
}

__global__ void transpose_tile(int* wrong) {
  auto* tile = reinterpret_cast<uint16_t*>(dynamic_shared());  // four of [8, 8]
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) tile[i] = static_cast<uint16_t>(i);
  __syncwarp();
  uint32_t r[4];
  load_matrices_transposed(r, tile + lane * 8);
  for (int m = 0; m < 4; ++m) {
    const int first = 64 * m + (lane % 4 * 2) * 8 + lane / 4;
    if (r[m] != static_cast<uint32_t>(first | (first + 8) << 16)) *wrong = 1;
  }
}

__global__ void matrix_in_half_a_warp() {
  float d[4] = {};
  const uint32_t a[4] = {};
  if (threadIdx.x >= 16) return;
  multiply_add(d, a, 0, 0);
}

void warps() {
  EXPECT(count_wrong(exchanges, 64) == 0);
  DeviceArray<uint16_t> a(256), b(128);
  DeviceArray<float> out(128);
  const auto value = [](int i) { return static_cast<float>((i * 37 + 11) % 17 - 8); };
  for (int i = 0; i < 256; ++i) a[i] = __bfloat16_as_ushort(value(i));
  for (int i = 0; i < 128; ++i) b[i] = __bfloat16_as_ushort(value(3 * i + 1));
  launch(multiply_tiles, 1, 32, 1024, nullptr, a.data(), b.data(), out.data());
  bool right = true;
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 8; ++n) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += value(m * 16 + k) * value(3 * (n * 16 + k) + 1);
      right = right && out[m * 8 + n] == sum;
    }
  }
  EXPECT(right);
  DeviceArray<int> wrong(1);
  wrong[0] = 0;
  launch(transpose_tile, 1, 32, 512, nullptr, wrong.data());
  EXPECT(wrong[0] == 0);
  EXPECT(says(error_of([] { launch(matrix_in_half_a_warp, 1, 32, 0, nullptr); }), "whole warp"));
}

// --- memory ------------------------------------------------------------------------------------

__global__ void read_at(const float* from, int64_t index, float* to) { *to = from[index]; }

__global__ void write_dynamic(int index) { dynamic_shared()[index] = 1; }

__global__ void read_unwritten_shared(float* to) {
  __shared__ float fixed[4];
  to[0] = fixed[threadIdx.x];
  to[1] = reinterpret_cast<float*>(dynamic_shared())[threadIdx.x];
  fixed[threadIdx.x] = 1;  // gone before the next block
}

template <bool kWait>
__global__ void copy_later(const uint4* from, float* to) {
  auto* shared = reinterpret_cast<float*>(dynamic_shared());
  copy_async(shared, from, true);
  commit_copies();
  copy_async(shared + 4, from, false);
  commit_copies();
  if (kWait) {
    wait_for_copies<0>();
  } else {
    wait_for_copies<1>();
  }
  to[0] = shared[0];
  to[1] = shared[4];
}

void memory() {
  DeviceArray<float> values(64), out(2);
  EXPECT(std::isnan(values[0]));
  values[63] = 5;
  const auto read = [&](int64_t index) {
    return error_of([&] { launch(read_at, 1, 1, 0, nullptr, values.data(), index, out.data()); });
  };
  EXPECT(read(63).empty() && out[0] == 5);
  EXPECT(says(read(64), "0 bytes behind 256 bytes"));
  EXPECT(says(read(-1000), "before 256 bytes"));
  EXPECT(read(63).empty());  // nothing is left of the failure
  const auto write = [&](int index, size_t bytes) {
    return error_of([&] { launch(write_dynamic, 1, 1, bytes, nullptr, index); });
  };
  EXPECT(write(99, 100).empty());
  EXPECT(says(write(100, 100), "past the end of 100 bytes"));
  EXPECT(says(write(128, 100), "dynamic shared memory"));
  EXPECT(write(0, 48 << 10).empty());
  EXPECT(says(write(0, (48 << 10) + 1), "refused"));
  allow_shared_bytes(write_dynamic, 100 << 10);
  EXPECT(write(0, 100 << 10).empty());
  EXPECT(says(error_of([] { allow_shared_bytes(write_dynamic, 228 << 10); }), "refused"));
  launch(read_unwritten_shared, 3, 1, 16, nullptr, out.data());
  EXPECT(std::isnan(out[0]) && std::isnan(out[1]));
  for (int i = 0; i < 4; ++i) values[i] = 7;
  const auto* source = reinterpret_cast<const uint4*>(values.data());
  launch(copy_later<true>, 1, 1, 32, nullptr, source, out.data());
  EXPECT(out[0] == 7 && out[1] == 0);
  launch(copy_later<false>, 1, 1, 32, nullptr, source, out.data());
  EXPECT(out[0] == 7 && std::isnan(out[1]));
}

// --- streams -----------------------------------------------------------------------------------

__global__ void add(int* value, int amount) {
  take_turn();
  *value += amount;
}

__global__ void use_static_shared(int* value) {
  __shared__ int shared[256];
  take_turn();
  for (int i = 0; i < 256; ++i) shared[i] = i;
  *value = shared[255];
}

__global__ void add_out_of_turn(int* value) { *value += 1; }

void streams() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  int* pinned = nullptr;
  check(cudaMallocHost(&pinned, sizeof(int)), "cudaMallocHost");
  DeviceArray<int> value(1);
  value[0] = 0;
  *pinned = 1;
  launch(add, 1, 1, 0, stream, value.data(), 10);
  EXPECT(value[0] == 0);  // not waited for
  check(cudaMemcpyAsync(value.data(), pinned, 4, cudaMemcpyHostToDevice, stream), "copying");
  launch(add, 1, 1, 0, stream, value.data(), 100);
  *pinned = 2;  // too early: the copy has not been waited for
  check(cudaStreamSynchronize(stream), "waiting");
  EXPECT(value[0] == 102);

  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
  launch(add, 1, 1, 0, stream, value.data(), 1);
  launch(add, 1, 1, 0, stream, value.data(), 2);
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "ending a capture");
  size_t nodes = 0;
  check(cudaGraphGetNodes(graph, nullptr, &nodes), "counting nodes");
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph), "instantiating");
  for (int i = 0; i < 5; ++i) check(cudaGraphLaunch(executable, stream), "launching a graph");
  check(cudaStreamSynchronize(stream), "waiting");
  EXPECT(nodes == 2 && value[0] == 117);
  cudaGraphDestroy(graph);
  cudaGraphExecDestroy(executable);

  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
  void* memory = nullptr;
  EXPECT(cudaMalloc(&memory, 4) == cudaErrorStreamCaptureUnsupported);
  EXPECT(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);

  launch(add_out_of_turn, 1, 1, 0, stream, value.data());
  EXPECT(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);

  allow_shared_bytes(use_static_shared, 226 << 10);
  launch(use_static_shared, 1, 1, 0, stream, value.data());
  EXPECT(cudaStreamSynchronize(stream) == cudaSuccess);
  allow_shared_bytes(use_static_shared, 227 << 10);
  launch(use_static_shared, 1, 1, 0, stream, value.data());
  EXPECT(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);

  check(cudaSetDevice(1), "choosing a device");
  EXPECT(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
  check(cudaSetDevice(0), "choosing a device");
  EXPECT(error_of([&] { launch(add, 1, 1025, 0, stream, value.data(), 1); }) != "");
  cudaFreeHost(pinned);
  cudaStreamDestroy(stream);
}

// --- numbers -----------------------------------------------------------------------------------

void numbers() {
  const auto rounded = [](float x) { return __bfloat162float(__float2bfloat16_rn(x)); };
  EXPECT(rounded(1.00390625f) == 1.0f);        // a tie, to even
  EXPECT(rounded(1.01171875f) == 1.015625f);   // likewise
  EXPECT(rounded(1.00390637f) == 1.0078125f);  // just above a tie
  EXPECT(rounded(-3.4e38f) == -INFINITY || rounded(-3.4e38f) < -3.38e38f);
  EXPECT(std::isinf(rounded(3.4028e38f)) && std::isnan(rounded(NAN)));
  EXPECT(rounded(1e-40f) > 0);
  EXPECT(__ffs(0) == 0 && __ffs(8) == 4 && __clz(1) == 31 && __popc(0xF0F0u) == 8);
  EXPECT(__brev(1) == 0x80000000u && __byte_perm(0x33221100, 0x77665544, 0x7531) == 0x77553311);
  EXPECT(__float2int_rn(2.5f) == 2 && __float2int_rz(-2.9f) == -2 && __float2int_rn(NAN) == 0);
  EXPECT(__float2uint_rz(-5.0f) == 0 && __float2int_rz(1e20f) == INT32_MAX);
  EXPECT(min(3, -2) == -2 && max(2.0f, NAN) == 2.0f && __umulhi(1u << 31, 6) == 3);
}

}  // namespace
}  // namespace permafrost::cuda

int main() {
  using namespace permafrost::cuda;
  barriers();
  warps();
  memory();
  streams();
  numbers();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
