#pragma once
#include <memory>
#include <string>

#include "coordinator/api/http_server.h"
#include "coordinator/run/runs.h"
#include "engine/io/loop.h"

namespace todd::api {

// Server-Sent Events of one run on a stream: first `snapshot` (how far every test is), then `progress` for
// everything that happens, at last `finished`, with which the stream ends; of a run that has ended `finished`
// alone. Edges are not in it: a client that reads slowly is cut, and a run of any size must fit. A comment
// every 15 s keeps proxies and the client sure of us. Lives until then or until the client goes. runs must
// outlive the stream's connection.
Status send_run_events(io::Loop& loop, run::Runs& runs, const std::string& id, Reply& reply);

// "event: NAME\ndata: ...\n\n"; the data may have several lines.
std::string sse_event(std::string_view name, std::string_view data);

}  // namespace todd::api
