#pragma once
// The jobs of connections: bytes, in order.

#include <memory>

#include "engine/base/result.h"
#include "engine/lane/bulk_buffers.h"
#include "engine/lane/bulk_mover.h"

namespace todd::lane {

// The job outlives it. Errors: system, of what it would send from.
Result<std::unique_ptr<BulkRun>> make_stream_run(BulkJob& job, io::Reactor& reactor, BulkBuffers& buffers);

}  // namespace todd::lane
