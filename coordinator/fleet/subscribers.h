#pragma once
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "coordinator/fleet/link_server.h"
#include "engine/io/loop.h"

namespace todd::fleet {

// Who wants to hear of changes. Callbacks may add and drop subscriptions.
class Subscribers {
 public:
  using Callback = std::function<void(const FleetEvent&)>;
  // The handle may outlive this object.
  io::HandlePtr add(Callback callback);
  void notify(const FleetEvent& event) const;

 private:
  // Shared by this object and the handles, which must be able to find that it is gone.
  using List = std::map<uint64_t, Callback>;
  struct Subscription;

  std::shared_ptr<List> list_ = std::make_shared<List>();
  uint64_t next_ = 0;
};

}  // namespace todd::fleet
