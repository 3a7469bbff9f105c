// What this machine's cores and memory give, for bench/cpu: a child process that answers each line
// on stdin with one number on stdout, so that it can be interleaved with an engine. Between
// questions its threads don't exist.
//
//   probe THREADS     "bandwidth" → bytes per second of reading 1 GB again and again
//                     "fma"       → FLOP per second of independent float32 FMAs
//
// Both are means over half a second, as an engine's speed is: on a shared machine the best of a few
// milliseconds is a speed that nothing keeps up.

#include <sys/mman.h>

#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
typedef float Floats __attribute__((vector_size(kVectorBytes)));
typedef uint64_t Words __attribute__((vector_size(kVectorBytes)));

constexpr size_t kBytes = size_t{1} << 30;
constexpr double kSeconds = 0.5;
// Enough chains to hide the latency of an FMA on two units, few enough for 16 registers.
constexpr int kChains = 12;
constexpr int64_t kFmaRounds = 4'000'000;

// Runs body(thread) on all threads at once, again and again; the mean seconds of a pass.
static double mean_seconds(int threads, const std::function<void(int)>& body) {
  using Clock = std::chrono::steady_clock;
  int passes = 0;
  double seconds = 0;
  std::barrier gate(threads);
  std::vector<std::thread> helpers;
  const auto work = [&](int thread) {
    gate.arrive_and_wait();
    const Clock::time_point start = Clock::now();
    do {
      body(thread);
      gate.arrive_and_wait();
      if (thread == 0) {
        ++passes;
        seconds = std::chrono::duration<double>(Clock::now() - start).count();
      }
      gate.arrive_and_wait();
    } while (seconds < kSeconds);
  };
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work, i);
  work(0);
  for (std::thread& helper : helpers) helper.join();
  return seconds / passes;
}

// Stops the compiler from dropping a loop whose result nobody needs. The total is a copy: with its
// address taken, `sums` itself would live in memory instead of registers.
template <typename T, int N>
static void keep(const T (&sums)[N]) {
  T total = {};
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) total += sums[i];
  asm volatile("" : : "m"(total) : "memory");
}

static double bandwidth(int threads, const char* memory) {
  const size_t share = kBytes / threads / 4096 * 4096;
  const double seconds = mean_seconds(threads, [&](int thread) {
    const Words* words = reinterpret_cast<const Words*>(memory + share * thread);
    const size_t count = share / sizeof(Words);
    Words sums[8] = {};
    for (size_t i = 0; i + 8 <= count; i += 8) {
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) sums[j] += words[i + j];
    }
    keep(sums);
  });
  return static_cast<double>(share * threads) / seconds;
}

static double fma_peak(int threads) {
  const double seconds = mean_seconds(threads, [&](int) {
    Floats sums[kChains] = {};
    const Floats factor = Floats{} + 0.5f;
    for (int64_t round = 0; round < kFmaRounds; ++round) {
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) {
        sums[i] = sums[i] * factor + factor;  // contracted to one FMA
        asm volatile("" : "+x"(sums[i]));     // in a register, one FMA per round
      }
    }
    keep(sums);
  });
  const double flops = 2.0 * kChains * (kVectorBytes / 4) * kFmaRounds * threads;
  return flops / seconds;
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  void* memory =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("probe: 1 GB of memory");
    return 1;
  }
  madvise(memory, kBytes, MADV_HUGEPAGE);  // as far as the system gives large pages
  std::memset(memory, 1, kBytes);
  std::string question;
  while (std::getline(std::cin, question)) {
    const double answer = question == "fma" ? fma_peak(threads)
                                            : bandwidth(threads, static_cast<char*>(memory));
    std::cout << answer << std::endl;
  }
}
