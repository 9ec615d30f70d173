#include "coordinator/sink/sink_set.h"

#include <set>
#include <utility>

#include "coordinator/model/objects.h"
#include "coordinator/sink/lane.h"

namespace todd::sink {

struct SinkSet::Impl {
  void settle(const std::string& run);
  std::vector<model::Delivery> delivery(const std::string& run) const;

  std::vector<std::unique_ptr<Lane>> lanes;
  std::function<void(const std::string&, const std::vector<model::Delivery>&)> settled;
  // One line per format and point, however many sinks take it.
  std::string influx, jsonl;
};

namespace {
// Whether a URL names a user, as in http://user:password@host.
bool has_user(const std::string& url) {
  const size_t scheme = url.find("://");
  const size_t host = scheme == std::string::npos ? 0 : scheme + 3;
  return url.substr(host, url.find_first_of("/?#", host) - host).find('@') != std::string::npos;
}

Status check(const SinkConfig& config, std::set<std::string>& names) {
  const std::string what = "sink \"" + config.name + "\": ";
  if (!model::is_valid_name(config.name)) {
    return fail(
        Errc::invalid,
        what + "a name has small letters, digits, '.', '_' and '-' and begins with a letter or digit");
  }
  if (!names.insert(config.name).second) return fail(Errc::invalid, what + "there are two of that name");
  if (config.type == "influx") {
    if (config.url.rfind("http://", 0) != 0 && config.url.rfind("https://", 0) != 0) {
      return fail(Errc::invalid,
                  what + "url must begin with http:// or https://, as in http://127.0.0.1:8086");
    }
    // Errors name the URL, in the log and in the API's health.
    if (has_user(config.url)) {
      return fail(Errc::invalid,
                  what + "url must not hold a user or a password: give them as user= and password_file=");
    }
    if (config.url.find_first_of("?#") != std::string::npos) {
      return fail(Errc::invalid, what + "url must not have a query: the database is given as `db`");
    }
    if (config.database.empty()) return fail(Errc::invalid, what + "db is empty");
  } else if (config.type == "jsonl") {
    if (config.path.empty()) return fail(Errc::invalid, what + "path of the file is missing");
  } else {
    return fail(Errc::invalid, what + "type \"" + config.type + "\" is unknown; there are influx and jsonl");
  }
  return {};
}
}  // namespace

SinkSet::SinkSet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SinkSet::~SinkSet() = default;

Result<std::unique_ptr<SinkSet>> SinkSet::open(io::Loop& loop, std::vector<SinkConfig> sinks,
                                               std::string spool_dir, SinkOptions options) {
  auto impl = std::make_unique<Impl>();
  std::set<std::string> names;
  for (SinkConfig& config : sinks) {
    if (Status ok = check(config, names); !ok) return tl::unexpected(ok.error());
    auto writer =
        config.type == "influx" ? make_influx_writer(loop, config, options) : make_jsonl_writer(loop, config);
    const std::string folder = spool_dir.empty() ? "" : spool_dir + "/" + config.name;
    auto lane = Lane::open(loop, config, options, folder, std::move(writer),
                           [self = impl.get()](const std::string& run) { self->settle(run); });
    if (!lane) return tl::unexpected(lane.error());
    impl->lanes.push_back(std::move(*lane));
  }
  return std::unique_ptr<SinkSet>(new SinkSet(std::move(impl)));
}

void SinkSet::Impl::settle(const std::string& run) {
  bool known = false;
  for (const auto& lane : lanes) {
    if (!lane->settled(run)) return;
    known = known || lane->has_run(run);
  }
  if (!known) return;
  const auto result = delivery(run);
  for (const auto& lane : lanes) lane->forget_run(run);
  if (settled) settled(run, result);
}

std::vector<model::Delivery> SinkSet::Impl::delivery(const std::string& run) const {
  std::vector<model::Delivery> all;
  for (const auto& lane : lanes) {
    if (lane->has_run(run)) all.push_back(lane->delivery(run));
  }
  return all;
}

void SinkSet::open_run(const std::string& run) {
  for (const auto& lane : impl_->lanes) lane->open_run(run);
}

void SinkSet::write(const Point& point) {
  impl_->influx.clear();
  impl_->jsonl.clear();
  for (const auto& lane : impl_->lanes) {
    const bool influx = lane->config().type == "influx";
    std::string& line = influx ? impl_->influx : impl_->jsonl;
    if (line.empty()) influx ? append_influx(line, point) : append_jsonl(line, point);
    if (!line.empty()) lane->add(point.run, line);
  }
}

void SinkSet::close_run(const std::string& run) {
  for (const auto& lane : impl_->lanes) lane->close_run(run);
}

std::vector<model::Delivery> SinkSet::delivery(const std::string& run) const { return impl_->delivery(run); }

void SinkSet::on_settled(
    std::function<void(const std::string&, const std::vector<model::Delivery>&)> callback) {
  impl_->settled = std::move(callback);
}

std::vector<SinkHealth> SinkSet::health() const {
  std::vector<SinkHealth> all;
  for (const auto& lane : impl_->lanes) all.push_back(lane->health());
  return all;
}

}  // namespace todd::sink
