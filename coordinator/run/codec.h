#pragma once
// Between plans and the wire. Internal to this folder.

#include <map>
#include <memory>

#include "coordinator/run/state.h"
#include "engine/base/result.h"

namespace todd::v1 {
class JournalOpened;
class Task;
}  // namespace todd::v1

namespace todd::run {

// The task for a source: target i is edge task.edges[i]. answerers has every edge.
v1::Task source_task(const Run& run, const Task& task, const std::map<uint32_t, Answerer>& answerers,
                     int64_t deadline_ns);
// The task for a responder: peer i is edge task.edges[i].
v1::Task responder_task(const Run& run, const Task& task, const std::map<uint32_t, Answerer>& answerers,
                        int64_t deadline_ns);

// The request with all that decode_opened needs to make the run again: plans are checked again when read,
// tokens and tasks are not part of it.
v1::JournalOpened encode_opened(const Run& run);
// Errors: corrupt, or what checking a plan says (a journal of another version).
Result<std::unique_ptr<Run>> decode_opened(const v1::JournalOpened& opened);

}  // namespace todd::run
