#pragma once
#include <string>

#include "coordinator/sink/sink_set.h"
#include "engine/base/result.h"

namespace todd::api {

// "name=influx,url=http://127.0.0.1:8086,db=todd": what --sink takes. Keys: name, type (influx or jsonl; by
// default what url or path suggest), url, db, user, password_file (its first line; a password on a command
// line is everybody's), create, path. Errors: invalid, naming the key.
Result<sink::SinkConfig> parse_sink_option(const std::string& text);

}  // namespace todd::api
