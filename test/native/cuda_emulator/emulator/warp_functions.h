#pragma once
// CUDA's built-in device functions: barriers, and exchanges within a warp.

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "emulator/block.h"

// --- barriers ----------------------------------------------------------------------------------

inline void __syncthreads(cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::block_barrier(cuda_emulator::BarrierKind::kPlain, false, site);
}
inline int __syncthreads_or(int value, cuda_emulator::Site site = cuda_emulator::Site::current()) {
  return cuda_emulator::block_barrier(cuda_emulator::BarrierKind::kOr, value != 0, site);
}
inline int __syncthreads_and(int value, cuda_emulator::Site site = cuda_emulator::Site::current()) {
  return cuda_emulator::block_barrier(cuda_emulator::BarrierKind::kAnd, value != 0, site);
}
inline int __syncthreads_count(int value,
                               cuda_emulator::Site site = cuda_emulator::Site::current()) {
  return cuda_emulator::block_barrier(cuda_emulator::BarrierKind::kCount, value != 0, site);
}
inline void __syncwarp(unsigned mask = ~0u,
                       cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::meet(mask, [](void* const(&)[32]) {}, nullptr, false, site);
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// --- exchanges within a warp -------------------------------------------------------------------

namespace cuda_emulator {

template <typename T>
struct Shuffle {
  T value;
  int source;  // lane, -1 = own value
  T result;
};

template <typename T>
T shuffle(unsigned mask, T value, int source, Site site) {
  static_assert(std::is_trivially_copyable_v<T>);
  Shuffle<T> request = {value, source, value};
  meet(
      mask,
      [](void* const(&requests)[32]) {
        for (void* one : requests) {
          if (one == nullptr) continue;
          auto& to = *static_cast<Shuffle<T>*>(one);
          if (to.source < 0) continue;
          const auto* from = static_cast<const Shuffle<T>*>(requests[to.source]);
          if (from != nullptr) {
            to.result = from->value;
          } else {  // undefined: that lane takes no part
            std::memset(static_cast<void*>(&to.result), 0x7F, sizeof(T));
          }
        }
      },
      &request, false, site);
  return request.result;
}

struct Vote {
  uint64_t value;
  uint64_t result;
};

template <typename Reduce>
uint64_t vote(unsigned mask, uint64_t value, Reduce, Site site) {
  Vote request = {value, 0};
  meet(
      mask,
      [](void* const(&requests)[32]) {
        for (int lane = 0; lane < 32; ++lane) {
          if (requests[lane] != nullptr) {
            static_cast<Vote*>(requests[lane])->result = Reduce()(requests, lane);
          }
        }
      },
      &request, false, site);
  return request.result;
}

inline const Vote* vote_of(void* one) { return static_cast<const Vote*>(one); }

struct Ballot {
  uint64_t operator()(void* const (&requests)[32], int) const {
    uint64_t set = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if (requests[lane] != nullptr && vote_of(requests[lane])->value != 0) set |= 1u << lane;
    }
    return set;
  }
};

struct MatchAny {
  uint64_t operator()(void* const (&requests)[32], int own) const {
    uint64_t set = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if (requests[lane] != nullptr &&
          vote_of(requests[lane])->value == vote_of(requests[own])->value) {
        set |= 1u << lane;
      }
    }
    return set;
  }
};

template <typename T, typename Combine>
struct Fold {
  uint64_t operator()(void* const (&requests)[32], int own) const {
    T result = static_cast<T>(vote_of(requests[own])->value);
    for (int lane = 0; lane < 32; ++lane) {
      if (requests[lane] != nullptr && lane != own) {
        result = Combine()(result, static_cast<T>(vote_of(requests[lane])->value));
      }
    }
    return static_cast<uint64_t>(result);
  }
};

inline bool is_power_of_two(int width) {
  return width > 0 && width <= 32 && (width & (width - 1)) == 0;
}

inline void check_width(int width, Site site) {
  if (!is_power_of_two(width)) fail("a shuffle of width " + std::to_string(width), site);
}

}  // namespace cuda_emulator

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::check_width(width, site);
  const int own = cuda_emulator::current_lane();
  return cuda_emulator::shuffle(mask, value, (own & ~(width - 1)) | (lane & (width - 1)), site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::check_width(width, site);
  const int own = cuda_emulator::current_lane();
  const int source = own ^ bits;
  const bool inside = source < (own | (width - 1)) + 1;
  return cuda_emulator::shuffle(mask, value, inside ? source : -1, site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::check_width(width, site);
  const int own = cuda_emulator::current_lane();
  const int source = own - static_cast<int>(delta);
  return cuda_emulator::shuffle(mask, value, source >= (own & ~(width - 1)) ? source : -1, site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::check_width(width, site);
  const int own = cuda_emulator::current_lane();
  const int source = own + static_cast<int>(delta);
  return cuda_emulator::shuffle(mask, value, source <= (own | (width - 1)) ? source : -1, site);
}

inline unsigned __ballot_sync(unsigned mask, int value,
                              cuda_emulator::Site site = cuda_emulator::Site::current()) {
  return static_cast<unsigned>(
      cuda_emulator::vote(mask, value != 0, cuda_emulator::Ballot(), site));
}
inline int __any_sync(unsigned mask, int value,
                      cuda_emulator::Site site = cuda_emulator::Site::current()) {
  return cuda_emulator::vote(mask, value != 0, cuda_emulator::Ballot(), site) != 0;
}
inline int __all_sync(unsigned mask, int value,
                      cuda_emulator::Site site = cuda_emulator::Site::current()) {
  return cuda_emulator::vote(mask, value == 0, cuda_emulator::Ballot(), site) == 0;
}
template <typename T>
unsigned __match_any_sync(unsigned mask, T value,
                          cuda_emulator::Site site = cuda_emulator::Site::current()) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return static_cast<unsigned>(cuda_emulator::vote(mask, bits, cuda_emulator::MatchAny(), site));
}

#define CUDA_EMULATOR_REDUCE(name, type, combine)                                                 \
  inline type name(unsigned mask, type value,                                                     \
                   cuda_emulator::Site site = cuda_emulator::Site::current()) {                   \
    constexpr auto kCombine = [](type a, type b) -> type { return combine; };                     \
    return static_cast<type>(cuda_emulator::vote(mask, static_cast<uint64_t>(value),              \
                                                 cuda_emulator::Fold<type, decltype(kCombine)>(), \
                                                 site));                                          \
  }
CUDA_EMULATOR_REDUCE(__reduce_add_sync, unsigned, a + b)
CUDA_EMULATOR_REDUCE(__reduce_add_sync, int, a + b)
CUDA_EMULATOR_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
CUDA_EMULATOR_REDUCE(__reduce_min_sync, int, a < b ? a : b)
CUDA_EMULATOR_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
CUDA_EMULATOR_REDUCE(__reduce_max_sync, int, a > b ? a : b)
CUDA_EMULATOR_REDUCE(__reduce_and_sync, unsigned, a& b)
CUDA_EMULATOR_REDUCE(__reduce_or_sync, unsigned, a | b)
CUDA_EMULATOR_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
#undef CUDA_EMULATOR_REDUCE
