#include "cpu/host_limits.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace permafrost::cpu {
namespace {

// The value after "name:" or "name " at the start of a line, 0 when there is none.
int64_t field(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, name.size(), name) != 0) continue;
    std::istringstream rest(line.substr(name.size()));
    int64_t value = 0;
    if (rest >> value) return value;
  }
  return 0;
}

// The first number of a file, or -1 when it can't be read or says "max".
int64_t number(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : -1;
}

// Folders of this process's control group and its parents under `root`, for a version 1 controller
// or for version 2 ("").
std::vector<std::string> control_groups(const std::string& root, const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    // Controllers of one hierarchy are separated by commas: "cpu,cpuacct".
    std::istringstream names(line.substr(first + 1, second - first - 1));
    bool found = controller.empty() && second == first + 1;
    for (std::string name; std::getline(names, name, ',');) found = found || name == controller;
    if (!found) continue;
    std::vector<std::string> folders;
    for (std::string path = line.substr(second + 1); !path.empty() && path != "/";
         path.resize(path.rfind('/'))) {
      folders.push_back(root + path);
    }
    folders.push_back(root);  // in a container the group itself is mounted here
    return folders;
  }
  return {};
}

int64_t free_in_group(const std::string& folder, int64_t limit, int64_t used) {
  // Cached files count as used but give way.
  const std::string stat = folder + "/memory.stat";
  const int64_t cached = field(stat, "inactive_file ") + field(stat, "active_file ");
  return std::max<int64_t>(limit - used + cached, 0);
}

}  // namespace

int usable_cores() {
  int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cores = std::max(1, CPU_COUNT(&set));

  const auto limit = [&](double quota, double period) {
    if (quota > 0 && period > 0) {
      cores = std::min(cores, std::max(1, static_cast<int>(quota / period + 0.999)));
    }
  };
  for (const std::string& folder : control_groups("/sys/fs/cgroup", "")) {
    std::ifstream file(folder + "/cpu.max");
    double quota = 0;
    double period = 0;
    if (file >> quota >> period) limit(quota, period);
  }
  for (const std::string& folder : control_groups("/sys/fs/cgroup/cpu", "cpu")) {
    limit(static_cast<double>(number(folder + "/cpu.cfs_quota_us")),
          static_cast<double>(number(folder + "/cpu.cfs_period_us")));
  }
  return cores;
}

core::MemoryInfo usable_memory() {
  int64_t total = field("/proc/meminfo", "MemTotal:") * 1024;
  int64_t free = field("/proc/meminfo", "MemAvailable:") * 1024;
  const auto apply = [&](const std::string& folder, const char* limit_file, const char* used_file) {
    const int64_t limit = number(folder + limit_file);
    const int64_t used = number(folder + used_file);
    if (limit <= 0 || used < 0) return;
    total = std::min(total, limit);
    free = std::min(free, free_in_group(folder, limit, used));
  };
  for (const std::string& folder : control_groups("/sys/fs/cgroup", "")) {
    apply(folder, "/memory.max", "/memory.current");
  }
  for (const std::string& folder : control_groups("/sys/fs/cgroup/memory", "memory")) {
    apply(folder, "/memory.limit_in_bytes", "/memory.usage_in_bytes");
  }
  return {static_cast<size_t>(free), static_cast<size_t>(total)};
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, 10, "model name") != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

}  // namespace permafrost::cpu
