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

std::thread start_thread(const std::string& name, int nice, std::function<void()> body) {
  // A new thread inherits the mask of its maker.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  std::string failure;
  try {
    thread = std::thread([name, nice, body = std::move(body)] {
      pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
      const auto id = static_cast<id_t>(syscall(SYS_gettid));
      if (nice != 0) setpriority(PRIO_PROCESS, id, nice);
      body();
    });
  } catch (const std::system_error& error) {
    failure = error.what();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!thread.joinable()) {
    throw core::Error("ERR_DEVICE", "could not start thread " + name + ": " + failure);
  }
  return thread;
}

}  // namespace permafrost::cpu
