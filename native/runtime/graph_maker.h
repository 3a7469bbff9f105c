#pragma once
// Makes graphs of what was captured, on threads of its own, while the next ones are captured.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/backend.h"

namespace permafrost::runtime {

// Milliseconds as they passed where the work was done: those of one graph overlap others'.
struct GraphInfo {
  int32_t batch_size = 0;
  double capture_ms = 0;
  double instantiate_ms = 0;
  double upload_ms = 0;
  int64_t nodes = 0;
  int64_t bytes = 0;
};

struct MadeGraph {
  GraphInfo info;
  std::unique_ptr<core::Graph> graph;
};

class GraphMaker {
 public:
  // num_nodes: of all graphs that will be made, for which memory is taken from the system now.
  GraphMaker(core::Backend& backend, int64_t num_nodes);
  ~GraphMaker();  // drops what has not been begun
  GraphMaker(const GraphMaker&) = delete;
  GraphMaker& operator=(const GraphMaker&) = delete;

  void make(int32_t batch_size, double capture_ms, std::unique_ptr<core::Recording> recording);

  // The graphs that are ready, or all of them, in the order of make(). Throw what the first of them
  // failed with; the maker is of no use then.
  std::vector<MadeGraph> take_ready();
  std::vector<MadeGraph> take_all();

 private:
  struct Job {
    MadeGraph made;
    std::unique_ptr<core::Recording> recording;
    std::exception_ptr error;
    bool is_done = false;
  };

  void run(size_t heap_bytes);
  void make(Job& job);
  std::vector<MadeGraph> take_done();

  core::Backend& backend_;
  std::mutex mutex_;  // guards what follows; not the job that a thread is making
  std::condition_variable work_;
  std::condition_variable progress_;
  std::deque<std::unique_ptr<Job>> jobs_;  // oldest first
  size_t next_ = 0;                        // index of the first that nobody has begun
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace permafrost::runtime
