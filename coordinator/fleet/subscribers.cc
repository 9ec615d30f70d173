#include "coordinator/fleet/subscribers.h"

namespace todd::fleet {

struct Subscribers::Subscription final : io::Handle {
  Subscription(std::weak_ptr<List> l, uint64_t k) : list(std::move(l)), key(k) {}
  ~Subscription() override {
    if (const auto alive = list.lock()) alive->erase(key);
  }

  std::weak_ptr<List> list;
  uint64_t key;
};

io::HandlePtr Subscribers::add(Callback callback) {
  const uint64_t key = next_++;
  list_->emplace(key, std::move(callback));
  return std::make_unique<Subscription>(list_, key);
}

void Subscribers::notify(const FleetEvent& event) const {
  std::vector<uint64_t> keys;
  for (const auto& [key, callback] : *list_) keys.push_back(key);
  for (const uint64_t key : keys) {
    const auto it = list_->find(key);
    if (it == list_->end()) continue;
    const Callback callback = it->second;  // it may drop itself
    callback(event);
  }
}

}  // namespace todd::fleet
