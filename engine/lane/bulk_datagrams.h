#pragma once
// The jobs of connected UDP sockets: numbered datagrams, many to a system call.

#include <memory>

#include "engine/base/result.h"
#include "engine/lane/bulk_buffers.h"
#include "engine/lane/bulk_mover.h"

namespace todd::lane {

// The job outlives it. Errors: system, of what it would send from.
Result<std::unique_ptr<BulkRun>> make_datagram_run(BulkJob& job, io::Reactor& reactor, BulkBuffers& buffers);

}  // namespace todd::lane
