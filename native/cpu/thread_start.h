#pragma once

#include <functional>
#include <string>
#include <thread>

namespace permafrost::cpu {

// Starts a thread of ours: named, at `nice` (the kernel's niceness, per thread on Linux), with
// every signal blocked so that the process's own threads go on receiving them. Throws ERR_DEVICE.
std::thread start_thread(const std::string& name, int nice, std::function<void()> body);

}  // namespace permafrost::cpu
