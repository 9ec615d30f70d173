#include "coordinator/run/events.h"

#include "coordinator/model/json.h"
#include "engine/base/check.h"

namespace todd::run {

const char* event_name(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::run_started: return "run.started";
    case Event::Kind::run_progress: return "run.progress";
    case Event::Kind::run_waiting: return "run.waiting";
    case Event::Kind::test_finished: return "test.finished";
    case Event::Kind::run_finished: return "run.finished";
  }
  TODD_CHECK(!"a kind of event");
  __builtin_unreachable();
}

std::string event_json(const Event& event) {
  std::string out;
  model::JsonWriter json(out);
  json.begin_object();
  json.field("event", event_name(event.kind)).field("run", event.run).field("suite", event.suite);
  json.key("at").time(event.at_ns);
  if (!event.waiting.empty()) json.field("waiting", event.waiting);
  if (event.kind == Event::Kind::run_finished) json.field("state", model::name_of(event.state));
  if (event.kind == Event::Kind::run_finished || event.kind == Event::Kind::test_finished) {
    json.field("verdict", model::verdict_name(event.verdict));
  }
  json.key("tests").begin_array();
  for (const TestProgress& test : event.tests) {
    json.begin_object();
    json.field("name", test.name).field("edges", test.edges).field("edges_done", test.edges_done);
    json.field("sent", test.sent).field("received", test.received);
    json.end_object();
  }
  json.end_array().end_object();
  return out;
}

}  // namespace todd::run
