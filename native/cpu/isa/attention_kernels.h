#pragma once
// Attention of several queries over one KV head of one slot: softmax(q · K) · V.
//
// Positions are taken in blocks of kScoreBlock that start at multiples of kScoreBlock from position
// 0. For each block: its scores, the running maximum, e^(score - maximum), and the weighted sum of
// its values on top of what earlier blocks left, rescaled when the maximum grew (online softmax).
// That needs no memory that grows with the context, and it reads each key and value once for all
// queries of the task: the heads of a group, and in prefill several rows.
//
// Order of the sums: a score is one accumulator over the head's dimensions and a fixed tree over
// its lanes; the softmax's denominator is a fixed tree per block; each output element takes its
// values position by position. All of it follows from the query's own first and last position, so a
// row's result depends on neither its neighbours, nor the chunk it came in, nor the cache's block
// size. Keys and values outside a query's range may be uninitialised; they are never multiplied,
// not even by zero.

#include <cstdint>

#include "cpu/isa/exp.h"
#include "cpu/isa/kernels.h"

namespace permafrost::cpu::isa {

template <class V>
struct Attention {
  using Reg = typename V::Reg;
  static constexpr int64_t kLanes = V::kLanes;

  static void run(const AttentionTask& task, float* scratch) {
    State state(task, scratch);
    const int64_t first = task.queries[0].first;
    const int64_t last = task.queries[task.num_queries - 1].last;
    int64_t low = 0;  // queries before it are done
    Block block(task, first / kScoreBlock * kScoreBlock, first, last);
    for (int64_t i = block.begin; i <= block.end; ++i) prefetch(block.keys[i], task.head_dim);
    while (true) {
      while (task.queries[low].last < block.start) ++low;
      int64_t high = task.num_queries;  // queries from here on begin later
      while (task.queries[high - 1].first >= block.start + kScoreBlock) --high;

      const Block next(task, block.start + kScoreBlock, first, last);
      score(state, block, next, low, high);
      for (int64_t q = low; q < high; ++q) soften(state, block, q);
      sum_values(state, block, low, high);
      if (next.begin > next.end) break;
      block = next;
    }
    for (int64_t q = 0; q < task.num_queries; ++q) state.finish(q);
  }

 private:
  // Queries scaled and padded with zeros to whole vectors, and the sums in progress.
  struct State {
    const AttentionTask& task;
    int64_t padded;
    float* queries;  // [num_queries, padded]
    float* sums;     // [num_queries, padded]
    float* scores;   // [num_queries, kScoreBlock], then weights
    float maximum[kMaxQueries];
    float denominator[kMaxQueries];
    // Of the current block: the offsets of the positions that a query sees.
    int32_t begin[kMaxQueries];
    int32_t end[kMaxQueries];

    State(const AttentionTask& t, float* scratch) : task(t) {
      padded = (task.head_dim + kLanes - 1) / kLanes * kLanes;
      queries = scratch;
      sums = queries + task.num_queries * padded;
      scores = sums + task.num_queries * padded;
      for (int64_t q = 0; q < task.num_queries; ++q) {
        for (int64_t i = 0; i < padded; ++i) {
          queries[q * padded + i] = i < task.head_dim ? task.queries[q].query[i] * task.scale : 0;
          sums[q * padded + i] = 0;
        }
        maximum[q] = -__builtin_inff();
        denominator[q] = 0;
      }
    }

    void finish(int64_t q) const {
      const float scale = 1.0f / denominator[q];
      float* out = task.queries[q].out;
      for (int64_t i = 0; i < task.head_dim; ++i) out[i] = sums[q * padded + i] * scale;
    }
  };

  // Where the keys and values of positions [first, last] are, as far as they lie in the block that
  // starts at `at`: offsets [begin, end], none if begin > end.
  struct Block {
    int64_t start;
    int64_t begin;
    int64_t end;
    const float* keys[kScoreBlock];
    const float* values[kScoreBlock];

    Block(const AttentionTask& task, int64_t at, int64_t first, int64_t last)
        : start(at),
          begin(first > at ? first - at : 0),
          end(last - at < kScoreBlock ? last - at : kScoreBlock - 1) {
      if (begin > end) return;
      int64_t column = (start + begin) / task.block_size;
      int64_t inside = (start + begin) % task.block_size;
      for (int64_t i = begin; i <= end; ++i) {
        const int64_t offset =
            task.block_table[column] * task.block_stride + inside * task.head_dim;
        keys[i] = task.keys + offset;
        values[i] = task.values + offset;
        if (++inside == task.block_size) {
          inside = 0;
          ++column;
        }
      }
    }
    const float* key(int64_t i) const { return keys[i < begin ? begin : i > end ? end : i]; }
  };

  // Meanwhile what is needed next is on its way from memory: this block's values, then the keys of
  // the next block.
  static void score(State& state, const Block& block, const Block& next, int64_t low,
                    int64_t high) {
    for (int64_t i = block.begin / 4 * 4; i <= block.end; i += 4) {
      for (int64_t j = i; j < i + 4; ++j) {
        if (j >= block.begin && j <= block.end) prefetch(block.values[j], state.task.head_dim);
        if (j >= next.begin && j <= next.end) prefetch(next.keys[j], state.task.head_dim);
      }
      const float* keys[4] = {block.key(i), block.key(i + 1), block.key(i + 2), block.key(i + 3)};
      int64_t q = low;
      for (; q + 2 <= high; q += 2) score_tile<2>(state, keys, q, i);
      if (q < high) score_tile<1>(state, keys, q, i);
    }
  }

  static void prefetch(const float* row, int64_t dim) {
    for (int64_t i = 0; i < dim; i += 16) V::prefetch(row + i, 0);
  }

  // Scores of Q queries with 4 positions.
  template <int Q>
  static void score_tile(State& state, const float* const (&keys)[4], int64_t q, int64_t i) {
    const int64_t dim = state.task.head_dim;
    const float* queries = state.queries + q * state.padded;
    Reg sums[Q][4];
#pragma GCC unroll 4
    for (int r = 0; r < Q; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sums[r][j] = V::zero();
    }
    int64_t d = 0;
    for (; d + kLanes <= dim; d += kLanes) {
      Reg key[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) key[j] = V::load(keys[j] + d);
#pragma GCC unroll 4
      for (int r = 0; r < Q; ++r) {
        const Reg query = V::load(queries + r * state.padded + d);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) sums[r][j] = V::fma(query, key[j], sums[r][j]);
      }
    }
    if (d < dim) {
#pragma GCC unroll 4
      for (int r = 0; r < Q; ++r) {
        const Reg query = V::load(queries + r * state.padded + d);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          sums[r][j] = V::fma(query, V::load_part(keys[j] + d, dim - d), sums[r][j]);
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < Q; ++r) {
      V::sum4(sums[r][0], sums[r][1], sums[r][2], sums[r][3],
              state.scores + (q + r) * kScoreBlock + i);
    }
  }

  // Scores to weights, and the sums so far to the new maximum.
  static void soften(State& state, const Block& block, int64_t q) {
    const AttentionQuery& query = state.task.queries[q];
    float* scores = state.scores + q * kScoreBlock;
    const int64_t begin = query.first > block.start ? query.first - block.start : 0;
    const int64_t end =
        query.last - block.start < kScoreBlock ? query.last - block.start + 1 : kScoreBlock;
    state.begin[q] = static_cast<int32_t>(begin);
    state.end[q] = static_cast<int32_t>(end);
    for (int64_t i = 0; i < begin; ++i) scores[i] = -__builtin_inff();
    for (int64_t i = end; i < kScoreBlock; ++i) scores[i] = -__builtin_inff();

    Reg most = V::set1(state.maximum[q]);
    for (int64_t i = 0; i < kScoreBlock; i += kLanes) most = V::max(V::load(scores + i), most);
    const float maximum = V::max_lane(most);
    Reg total = V::zero();
    for (int64_t i = 0; i < kScoreBlock; i += kLanes) {
      const Reg weight = exp<V>(V::sub(V::load(scores + i), V::set1(maximum)));
      V::store(scores + i, weight);
    }
    for (int64_t i = 0; i < begin; ++i) scores[i] = 0;
    for (int64_t i = end; i < kScoreBlock; ++i) scores[i] = 0;
    for (int64_t i = 0; i < kScoreBlock; i += kLanes) total = V::add(total, V::load(scores + i));

    if (maximum != state.maximum[q]) {
      const Reg factor = exp<V>(V::set1(state.maximum[q] - maximum));
      float* sums = state.sums + q * state.padded;
      for (int64_t d = 0; d < state.padded; d += kLanes) {
        V::store(sums + d, V::mul(V::load(sums + d), factor));
      }
      state.denominator[q] *= V::first_lane(factor);
      state.maximum[q] = maximum;
    }
    state.denominator[q] += V::sum(total);
  }

  static void sum_values(State& state, const Block& block, int64_t low, int64_t high) {
    int64_t q = low;
    while (q < high) {
      const bool pair =
          q + 1 < high && state.begin[q] == state.begin[q + 1] && state.end[q] == state.end[q + 1];
      if (pair) {
        sum_queries<2>(state, block, q);
      } else {
        sum_queries<1>(state, block, q);
      }
      q += pair ? 2 : 1;
    }
  }

  template <int Q>
  static void sum_queries(State& state, const Block& block, int64_t q) {
    const int64_t dim = state.task.head_dim;
    int64_t d = 0;
    for (; d + 4 * kLanes <= dim; d += 4 * kLanes) value_tile<Q, 4, false>(state, block, q, d);
    for (; d + kLanes <= dim; d += kLanes) value_tile<Q, 1, false>(state, block, q, d);
    if (d < dim) value_tile<Q, 1, true>(state, block, q, d);
  }

  // N vectors of dimensions from d on, of Q queries that see the same positions.
  template <int Q, int N, bool kPart>
  static void value_tile(State& state, const Block& block, int64_t q, int64_t d) {
    float* out = state.sums + q * state.padded + d;
    const float* weights = state.scores + q * kScoreBlock;
    Reg sums[Q][N];
#pragma GCC unroll 4
    for (int r = 0; r < Q; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sums[r][j] = V::load(out + r * state.padded + j * kLanes);
    }
    for (int64_t i = state.begin[q]; i < state.end[q]; ++i) {
      const float* values = block.values[i] + d;
      Reg value[N];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) {
        value[j] =
            kPart ? V::load_part(values, state.task.head_dim - d) : V::load(values + j * kLanes);
      }
#pragma GCC unroll 4
      for (int r = 0; r < Q; ++r) {
        const Reg weight = V::set1(weights[r * kScoreBlock + i]);
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) sums[r][j] = V::fma(weight, value[j], sums[r][j]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < Q; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) V::store(out + r * state.padded + j * kLanes, sums[r][j]);
    }
  }
};

}  // namespace permafrost::cpu::isa
