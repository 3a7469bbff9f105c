// Memory, copies, events: what the backend does besides operations.

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "conformance.h"
#include "core/error.h"

namespace conformance {
namespace {

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const core::Error& error) {
    return error.code();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

void uploads(Device& device, Random& random) {
  for (const size_t words : {1, 2, 63, 1024, 1025, 262'145, 1'500'003}) {
    set_context(device->device() + ", upload of " + std::to_string(words) + " words");
    Words values(words);
    for (int32_t& value : values) value = static_cast<int32_t>(random.bits());
    const Array<int32_t> array = {device->allocate(words * 4), words};
    std::atomic<size_t> handed_out = 0;
    std::atomic<bool> aligned = true;
    device->upload(array.data(), words * 4, [&](void* out, size_t offset, size_t bytes) {
      handed_out += bytes;
      if (offset % 4 != 0 || bytes % 4 != 0) aligned = false;
      std::memcpy(out, reinterpret_cast<const char*>(values.data()) + offset, bytes);
    });
    CHECK(handed_out == words * 4 && aligned);
    CHECK(same_bits(device.download(array), values));
    const std::string error = error_of([&] {
      device->upload(array.data(), words * 4, [](void*, size_t, size_t) {
        throw core::Error("ERR_MODEL_WEIGHTS", "the file ends early");
      });
    });
    CHECK(error == "ERR_MODEL_WEIGHTS");
    device.write(array.data(), values);
    CHECK(same_bits(device.download(array), values));
  }
}

void copies(Device& device, Random& random) {
  for (const int64_t words : {1, 3, 4, 31, 257, 5000, 100'001}) {
    set_context(device->device() + ", copies of " + std::to_string(words) + " words");
    const auto count = static_cast<size_t>(words);
    const Array<int32_t> array = device.upload(Words(count + 4, 5));
    const core::Buffer in = device->allocate_pinned(count * 4);
    const core::Buffer out = device->allocate_pinned((count + 4) * 4);
    const core::Buffer filled = device->allocate_pinned((count + 4) * 4);
    auto* source = static_cast<int32_t*>(in.data());
    for (size_t i = 0; i < count; ++i) source[i] = static_cast<int32_t>(random.bits());
    const Words values(source, source + count);
    const auto copied = device->make_event();
    const auto done = device->make_event();
    device->copy_to_device(array.data() + 1, source, count * 4);
    device->record(*copied);
    device->copy_to_host(out.data(), array.data(), (count + 4) * 4);
    device->fill_words(array.data() + 2, -9, words);
    device->copy_to_host(filled.data(), array.data(), (count + 4) * 4);
    device->record(*done);
    device->wait(*copied);
    std::fill_n(source, count, 0);  // may be reused from here on
    device->wait(*done);
    const auto* got = static_cast<const int32_t*>(out.data());
    CHECK(got[0] == 5 && std::equal(values.begin(), values.end(), got + 1));
    CHECK(std::all_of(got + 1 + count, got + count + 4, [](int32_t v) { return v == 5; }));
    const auto* full = static_cast<const int32_t*>(filled.data());
    CHECK(full[0] == 5 && full[1] == values[0] && full[count + 2] == 5 && full[count + 3] == 5);
    CHECK(std::all_of(full + 2, full + 2 + count, [](int32_t v) { return v == -9; }));
    const double milliseconds = device->elapsed_ms(*copied, *done);
    CHECK(milliseconds >= 0 && milliseconds < 60'000);
  }
}

// One thread enqueues, another waits.
void waits(Device& device) {
  constexpr int kSteps = 50;
  constexpr size_t kWords = 1000;
  const Array<int32_t> array = device.upload(Words(kWords, -1));
  const core::Buffer host = device->allocate_pinned(kSteps * kWords * 4);
  std::vector<std::unique_ptr<core::Event>> events;
  for (int i = 0; i < kSteps; ++i) events.push_back(device->make_event());
  std::atomic<int> recorded = 0;
  std::atomic<int> right = 0;
  std::thread waiter([&] {
    for (int i = 0; i < kSteps; ++i) {
      while (recorded.load() <= i) std::this_thread::yield();
      device->wait(*events[static_cast<size_t>(i)]);
      const auto* words =
          static_cast<const int32_t*>(host.data()) + static_cast<size_t>(i) * kWords;
      right += std::all_of(words, words + kWords, [i](int32_t word) { return word == i; });
    }
  });
  for (int i = 0; i < kSteps; ++i) {
    device->fill_words(array.data(), i, kWords);
    device->copy_to_host(static_cast<int32_t*>(host.data()) + static_cast<size_t>(i) * kWords,
                         array.data(), kWords * 4);
    device->record(*events[static_cast<size_t>(i)]);
    recorded = i + 1;
  }
  waiter.join();
  CHECK(right == kSteps);
}

void accounting(Device& device) {
  const std::shared_ptr<core::DeviceContext> context = device->context();
  const core::AllocationCount before = context->live();
  {
    core::Buffer memory = device->allocate(12'345);
    const core::Buffer pinned = device->allocate_pinned(777);
    CHECK(reinterpret_cast<uintptr_t>(memory.data()) % 256 == 0);
    CHECK(context->live().bytes == before.bytes + 12'345 + 777);
    context->raise_guard();
    memory.reset();
    CHECK(context->deferred() == 1);
    CHECK(context->live().bytes == before.bytes + 12'345 + 777);
    const core::GuardReport report = context->lower_guard();
    CHECK(report.deferred == 1 && report.drained == 1);
    CHECK(context->live().bytes == before.bytes + 777);
  }
  CHECK(context->live().allocations == before.allocations);
  const core::MemoryInfo memory = device->memory();
  CHECK(memory.free_bytes > 0 && memory.free_bytes <= memory.total_bytes);
  const core::CacheBudget little = device->cache_budget(0.5, 1000);
  const core::CacheBudget much = device->cache_budget(0.9, 1000);
  const auto others = static_cast<int64_t>(memory.total_bytes / 4);  // may come or go meanwhile
  CHECK(little.bytes >= 0 && little.bytes <= much.bytes + others && much.graph_bytes >= 0);
  CHECK(much.bytes <= static_cast<int64_t>(memory.total_bytes));
  CHECK(error_of([&] { device->allocate(size_t{1} << 46); }) == "ERR_OUT_OF_MEMORY");
  CHECK(context->live().allocations == before.allocations);
  bool rising = true;
  for (int32_t rows = 1; rows < 600; ++rows) {
    rising = rising && device->kernel_bucket(rows) <= device->kernel_bucket(rows + 1);
  }
  CHECK(rising);
}

}  // namespace

void test_order(const std::string& name) {
  Device device(name, small_shapes());
  Random random(800);
  run_case(name + ", identity", [&] {
    CHECK(device->device() == name && name.starts_with(device->kind()) && !device->name().empty());
  });
  run_case(name + ", uploads", [&] { uploads(device, random); });
  run_case(name + ", copies", [&] { copies(device, random); });
  run_case(name + ", waits", [&] { waits(device); });
  run_case(name + ", accounting", [&] { accounting(device); });
}

}  // namespace conformance
