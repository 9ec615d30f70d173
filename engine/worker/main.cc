// todd-worker: the engine and the testlets of one trust group. Started by a supervisor, never by hand.

#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine/base/log.h"
#include "engine/base/memory.h"
#include "engine/io/loop.h"
#include "engine/worker/control.h"

int main(int argc, char** argv) {
  using namespace todd;
  return_large_blocks();
  if (argc < 6) {
    fprintf(stderr,
            "todd-worker is started by todd-agent, todd try and todd serve; it has no use by itself\n");
    return 2;
  }
  // The supervisor decides when this process ends; if it dies, so does the worker.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);

  worker::Control::Options options;
  options.control = UniqueFd(atoi(argv[1]));
  options.descriptors = UniqueFd(atoi(argv[2]));
  auto engine = io::parse_engine(argv[3]);
  if (!engine) {
    log(LogLevel::error, "worker", engine.error().detail);
    return 2;
  }
  options.engine = *engine;
  options.lanes = static_cast<uint32_t>(std::max(1, atoi(argv[4])));
  set_log_level(static_cast<LogLevel>(std::clamp(atoi(argv[5]), 0, static_cast<int>(LogLevel::error))));
  for (int i = 6; i < argc; ++i) options.libraries.emplace_back(argv[i]);

  io::Loop loop;
  worker::Control control(loop, std::move(options));
  if (auto started = control.start(); !started) {
    log(LogLevel::error, "worker", started.error().detail);
    return 3;
  }
  loop.run();
  return 0;
}
