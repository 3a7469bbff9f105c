#include "cpu/thread_start.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "core/error.h"

namespace permafrost::cpu {

namespace {

// A new thread inherits the mask of its maker.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

std::thread start_thread(const std::string& name, int nice, std::function<void()> body) {
  const AllSignalsBlocked blocked;
  try {
    return std::thread([name, nice, body = std::move(body)] {
      pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
      const auto id = static_cast<id_t>(syscall(SYS_gettid));
      if (nice != 0) setpriority(PRIO_PROCESS, id, nice);
      body();
    });
  } catch (const std::system_error& error) {
    throw core::Error("ERR_DEVICE", "could not start thread " + name + ": " + error.what());
  }
}

}  // namespace permafrost::cpu
