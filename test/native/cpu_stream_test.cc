// The stream's order, events and errors, captures, memory, the guard, the thread pool.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "cpu/thread_pool.h"
#include "cpu_test.h"

namespace cpu_test {
namespace {

void test_order() {
  context = "stream";
  const auto backend = make({"", 2});
  CHECK(backend->device() == "cpu:0" && backend->kind() == "cpu");
  CHECK(backend->name().find("2 threads") != std::string::npos);

  // Copies and fills keep their order; events complete in theirs.
  core::Buffer host = backend->allocate_pinned(4096 * 4);
  core::Buffer device = backend->allocate(4096 * 4);
  auto* words = static_cast<int32_t*>(host.data());
  auto before = backend->make_event();
  auto after = backend->make_event();
  backend->record(*before);
  for (int i = 0; i < 2000; ++i) {
    backend->fill_words(device.data(), i, 4096);
    backend->copy_to_host(words, device.data(), 4096 * 4);
    backend->copy_to_device(device.data(), words, 4096 * 4);
  }
  backend->record(*after);
  std::thread waiter([&] { backend->wait(*after); });
  waiter.join();
  CHECK(words[0] == 1999 && words[4095] == 1999);
  CHECK(backend->elapsed_ms(*before, *after) > 0);
  auto unused = backend->make_event();
  backend->wait(*unused);  // never recorded: nothing to wait for
  CHECK(error_of([&] { backend->elapsed_ms(*before, *unused); }) == "ERR_INTERNAL");

  // Handles may go while their work is still queued.
  backend->begin_capture();
  for (int i = 0; i < 100; ++i) backend->fill_words(device.data(), 1000 + i, 4096);
  core::CaptureTimings timings;
  auto graph = backend->make_graph(backend->end_capture(), timings);
  for (int i = 0; i < 50; ++i) {
    backend->launch(*graph);
    auto event = backend->make_event();
    backend->record(*event);
  }
  graph.reset();
  backend->copy_to_host(words, device.data(), 4);
  backend->synchronize();
  CHECK(words[0] == 1099);

  // upload() reads the whole source, in order, in pieces.
  const size_t bytes = (size_t{33} << 20) + 5;
  core::Buffer large = backend->allocate(bytes);
  CHECK(reinterpret_cast<uintptr_t>(large.data()) % (2 << 20) == 0);
  size_t next = 0;
  bool in_order = true;
  backend->upload(large.data(), bytes, [&](void* out, size_t offset, size_t size) {
    in_order = in_order && offset == next;
    next += size;
    std::memset(out, static_cast<int>(offset >> 20), size);
  });
  CHECK(in_order && next == bytes);
  CHECK(static_cast<char*>(large.data())[bytes - 1] == 32);
}

void test_errors() {
  context = "errors";
  const auto backend = make({"", 2});
  Floats x(64), out(64);
  Halves weight(64 * 64), table(10 * 8);
  Words slots = {0}, tokens = {10}, positions = {0};
  const Rows rows = {1, slots.data(), tokens.data(), positions.data()};

  // A bad index fails the work that follows it, and nothing after that.
  const auto bad = [&] { backend->embed(rows, linear(table, 10, 8), 1, matrix(out, 1, 8)); };
  bad();
  auto failed_step = backend->make_event();
  auto next_step = backend->make_event();
  backend->record(*failed_step);
  CHECK(error_of([&] { backend->wait(*failed_step); }) == "ERR_DEVICE");
  backend->record(*next_step);
  CHECK(error_of([&] { backend->wait(*next_step); }).empty());
  CHECK(error_of([&] { backend->wait(*failed_step); }) == "ERR_DEVICE");  // it stays failed
  backend->record(*failed_step);
  CHECK(error_of([&] { backend->wait(*failed_step); }).empty());
  bad();
  CHECK(error_of([&] { backend->synchronize(); }) == "ERR_DEVICE");
  CHECK(error_of([&] { backend->synchronize(); }).empty());

  // A second failure is not forgotten because the first was thrown: here it is thrown between the
  // second failure and the event that carries it.
  Words large(8 << 20);
  auto second_failure = backend->make_event();
  bad();
  backend->record(*failed_step);
  bad();
  backend->record(*second_failure);
  for (int i = 0; i < 4; ++i) backend->fill_words(large.data(), i, 8 << 20);
  backend->record(*next_step);
  while (!error_of([&] { backend->elapsed_ms(*failed_step, *second_failure); }).empty()) {
    std::this_thread::yield();
  }
  CHECK(error_of([&] { backend->wait(*failed_step); }) == "ERR_DEVICE");
  CHECK(error_of([&] { backend->wait(*next_step); }) == "ERR_DEVICE");
  CHECK(error_of([&] { backend->synchronize(); }).empty());

  // Indices in device memory are checked wherever they are used.
  Slots state(1, 1, 10);
  Floats cache(2 * 4 * 8), qkv(64);
  const KvCache kv = {cache.data(), cache.data(), 1, 2, 1, 4, 8};
  const AttentionShape shape = {1, 1, 8, 1, 0};
  const auto fails = [&](const std::function<void()>& enqueue) {
    enqueue();
    return error_of([&] { backend->synchronize(); }) == "ERR_DEVICE";
  };
  const auto rope = [&] {
    backend->rope_write_kv(rows, matrix(qkv, 1, 24), shape, {{}, {}, x.data()},
                           state.state(), kv, 0);
  };
  const auto attend = [&] {
    backend->attention_decode(rows, matrix(qkv, 1, 24), shape, state.state(), kv, 0,
                              matrix(out, 1, 8));
  };
  tokens[0] = 0;
  positions[0] = 4;  // one block of 4 positions
  CHECK(fails(rope) && fails(attend));
  positions[0] = 0;
  state.words[state.layout.block_table] = 2;  // the cache has 2 blocks
  CHECK(fails(rope) && fails(attend));
  state.words[state.layout.block_table] = 1;
  slots[0] = 1;
  CHECK(fails(rope) && fails(attend));
  CHECK(fails([&] { backend->count_tokens(state.state(), rows); }));
  Words pairs = {static_cast<int32_t>(state.layout.total_words), 1}, count = {1};
  CHECK(fails([&] { backend->scatter_slots(state.state(), pairs.data(), count.data(), 1); }));
  count[0] = 2;
  CHECK(fails([&] { backend->scatter_slots(state.state(), pairs.data(), count.data(), 1); }));
  Words index = {8};
  CHECK(fails([&] { backend->gather_rows(matrix(x, 8, 8), index.data(), matrix(out, 1, 8)); }));
  // Of a segment too, and what lies outside its rows stays as it is, also for padding.
  slots[0] = 0;
  std::fill(out.begin(), out.end(), 5.0f);
  const auto fails_for = [&](Segment second) {
    const Segment segments[2] = {{0, 0, 1, 0}, second};
    return fails([&] {
             backend->attention_prefill({2, slots.data(), tokens.data(), positions.data()},
                                        segments, segments, 2, matrix(qkv, 2, 24), shape,
                                        state.state(), kv, 0, matrix(out, 2, 8));
           }) &&
           out == Floats(64, 5.0f);
  };
  for (const int slot : {0, -1}) {
    CHECK(fails_for({slot, 2, 1, 0}) && fails_for({slot, -1, 1, 0}));
    CHECK(fails_for({slot, 1, 2, 0}) && fails_for({slot, 1, INT32_MAX, 0}));
    CHECK(fails_for({slot, 1, -1, 0}));
  }
  CHECK(fails_for({0, 0, 2, -1}) && fails_for({0, 0, 2, 3}) && fails_for({1, 1, 1, 0}));
  rope();
  attend();
  CHECK(error_of([&] { backend->synchronize(); }).empty());

  // Wrong shapes and orders are refused when they are enqueued.
  CHECK(error_of([&] {
          backend->gemm(matrix(x, 1, 32), linear(weight, 64, 64), matrix(out, 1, 64));
        }) == "ERR_INTERNAL");
  CHECK(error_of([&] {
          Matrix narrow = matrix(out, 1, 64);
          narrow.dtype = DType::kBF16;
          backend->gemm(matrix(x, 1, 64), linear(weight, 64, 64), narrow);
        }) == "ERR_INTERNAL");
  core::CaptureTimings timings;
  CHECK(error_of([&] { backend->end_capture(); }) == "ERR_INTERNAL");
  backend->begin_capture();
  CHECK(error_of([&] { backend->begin_capture(); }) == "ERR_INTERNAL");
  CHECK(error_of([&] { backend->record(*next_step); }) == "ERR_INTERNAL");
  backend->gemm(matrix(x, 1, 64), linear(weight, 64, 64), matrix(out, 1, 64));
  backend->abort_capture();
  backend->begin_capture();
  CHECK(backend->make_graph(backend->end_capture(), timings)->num_nodes() == 0);
  CHECK(error_of([] { cpu::make_cpu_backend("cpu:0", 1, 0, "mmx"); }) == "ERR_UNSUPPORTED");
}

void test_memory() {
  context = "memory";
  const auto backend = make({"", 1});
  const core::MemoryInfo info = backend->memory();
  CHECK(info.free_bytes > 0 && info.free_bytes <= info.total_bytes);
  CHECK(error_of([&] { backend->allocate(size_t{1} << 60); }) == "ERR_OUT_OF_MEMORY");
  CHECK(error_of([&] { backend->allocate(info.total_bytes + 1); }) == "ERR_OUT_OF_MEMORY");
  const core::AllocationCount before = backend->context()->live();
  {
    const core::Buffer none = backend->allocate(0);
    const core::Buffer small = backend->allocate(100);
    const core::Buffer large = backend->allocate(3 << 20);
    CHECK(none.data() && reinterpret_cast<uintptr_t>(small.data()) % 256 == 0);
    std::memset(large.data(), 1, large.bytes());
    CHECK(backend->context()->live().allocations == before.allocations + 3);
  }
  CHECK(backend->context()->live().allocations == before.allocations);
  CHECK(backend->context()->live().bytes == before.bytes);
}

void test_guard() {
  context = "guard";
  const auto backend = make({"", 2});
  const auto device = backend->context();
  const core::AllocationCount before = device->live();
  core::Buffer buffer = backend->allocate(5 << 20);
  auto event = backend->make_event();
  Floats x(16);
  backend->begin_capture();
  backend->fill_words(x.data(), 3, 16);
  core::CaptureTimings timings;
  auto graph = backend->make_graph(backend->end_capture(), timings);
  CHECK(device->live().allocations == before.allocations + 3);
  backend->launch(*graph);
  backend->record(*event);

  device->raise_guard();
  std::thread other([&] { buffer.reset(); });
  other.join();
  event.reset();
  graph.reset();
  backend->synchronize();  // makes and drops an event of its own
  CHECK(device->deferred() == 4);
  CHECK(device->live().allocations == before.allocations + 4);
  const core::GuardReport report = device->lower_guard();
  CHECK(report.deferred == 4 && report.drained == 4);
  CHECK(device->live().allocations == before.allocations);
  CHECK(std::bit_cast<int32_t>(x[15]) == 3);
}

void test_pool() {
  context = "pool";
  for (const int threads : {1, 2, 3, 5}) {
    cpu::ThreadPool pool(threads, 0, "test");
    bool once = true;
    for (int round = 0; round < 3000; ++round) {
      const int count = round % 40;
      std::vector<std::atomic<int>> visits(count);
      Words results(count, 0);
      pool.run(count, [&](int64_t chunk, int thread) {
        visits[chunk].fetch_add(1, std::memory_order_relaxed);
        results[chunk] = static_cast<int32_t>(chunk) * 3 + (thread >= 0 && thread < threads);
      });
      for (int i = 0; i < count; ++i) once = once && visits[i] == 1 && results[i] == i * 3 + 1;
    }
    CHECK(once);
  }
}

}  // namespace

void test_stream() {
  test_pool();
  test_order();
  test_errors();
  test_memory();
  test_guard();
}

}  // namespace cpu_test
