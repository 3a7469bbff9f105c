#pragma once
// A block's shared memory. Static `__shared__` variables are thread-local, so they are the
// program's whole thread-local storage; dynamic shared memory ends at an inaccessible page.

#include <cstddef>
#include <cstdint>

namespace cuda_emulator {

// As f32 and as two bf16 not a number, as an integer far out of every range.
constexpr uint32_t kPoison = 0x7FC07FC0;

void poison(void* memory, size_t bytes);
// Whether bytes `from` to `to` of poisoned memory still are poison.
bool is_poison(const void* memory, size_t from, size_t to);

class SharedMemory {
 public:
  static constexpr size_t kDefaultBytes = size_t{48} << 10;
  static constexpr size_t kMaxBytes = size_t{227} << 10;  // with allow_shared_bytes()

  SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  // For the next launch, on this OS thread.
  void resize(size_t dynamic_bytes);
  // Before each block.
  void poison_all();
  // Whether nothing was written between the end of the dynamic part and the inaccessible page.
  bool end_intact() const;
  // Of the static part, since poison_all(): what the block has written to.
  size_t static_bytes_used() const;

  void* dynamic() const { return dynamic_; }
  bool contains(const void* address, size_t bytes) const;
  bool in_guard(const void* address) const;

 private:
  char* base_;
  char* dynamic_;
  size_t dynamic_bytes_ = 0;
  char* static_ = nullptr;
  size_t static_bytes_ = 0;
};

}  // namespace cuda_emulator
