#pragma once
// One testlet instance on a lane: its state, its schedule, its batches, its flows and its cells.
//
// States: created -> started -> PREPARED (the testlet said ready) -> RUNNING (START's time came) -> DRAINING
// (schedule done, or told to stop) -> ended. Responders are stepped from PREPARED on, and whoever
// has not said ready until it has. CANCELLED is the last
// step's state when it did not end by itself. RUNNING begins with the warm-up, if there is one: told as
// WARMING_UP, with muted cells; what counts then has a start of its own.

#include <todd/testlet.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/base/clock.h"
#include "engine/io/reactor.h"
#include "engine/io/softnet.h"
#include "engine/io/stream_tls.h"
#include "engine/lane/bulk_jobs.h"
#include "engine/lane/digests.h"
#include "engine/lane/flow.h"
#include "engine/lane/setup.h"
#include "engine/lane/wall_offset.h"
#include "engine/stats/buckets.h"

namespace todd::lane {

class DatagramFlow;
class StreamBase;

// What an instance tells the worker. Called on the lane's thread; id is the task's.
struct InstanceEvents {
  std::function<void(const std::string& id, uint16_t port)> ready;
  std::function<void(const std::string& id, const std::string& reason, const std::string& detail)>
      failed;  // before start
  std::function<void(const std::string& id, const Closed&)> closed;
  // A RESOLVE of this target's name; answered by Instance::resolved with the same token.
  std::function<void(const std::string& id, uint64_t token, const std::string& name)> resolve;
  // Before ready, where there are such: edges of the shard that the testlet will not test, and why.
  using Refused = std::map<uint32_t, std::string>;
  std::function<void(const std::string& id, const Refused&)> refused{};
  BulkJobs::Place move{};  // null: no lane of this host moves jobs of todd.bulk/1
};

class Instance {
 public:
  // setup.instance is created; the setup outlives the instance.
  Instance(TaskSetup& setup, io::Reactor& reactor, const InstanceEvents& events, const todd_host& host);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  void begin();  // calls the testlet's start(); ready or failed follows
  void start_at(int64_t start_wall_ns);
  void stop(bool cancel);
  void period_copied();  // the reader has the closed bank
  void resolved(uint64_t token, const std::vector<std::string>& addresses,
                int error);  // error: 0 or an errno

  // One round of work: expiries, tickets, step, operations, periods. Called before every wait of the reactor.
  void work(int64_t now_ns);
  int64_t next_wake() const { return wake_ns_; }         // after work(): when to call again at the latest
  bool ended() const { return phase_ == Phase::ended; }  // its last period was closed and copied

  // ---- for the flows and the tables the testlet calls (engine/lane/host_tables.cc)
  TaskSetup& setup() { return setup_; }
  io::Reactor& reactor() { return reactor_; }
  stats::CellWriter& cells() { return cells_; }
  const todd_lane& lane() const { return lane_; }
  // Fresh: sinks run after the reactor has waited, and batches may be stepped in between.
  int64_t now() const { return monotonic_ns(); }
  const WallOffset& clock() const { return clock_; }
  // Before stamps of something received are used: the reactor has waited since work(), and the clock may have
  // been set.
  void receiving() {
    if (std::exchange(clock_read_, true)) return;
    clock_.refresh();
  }
  uint32_t metric_base() const { return metric_base_; }
  uint32_t edges() const { return setup_.layout->edges(); }
  uint32_t edge_of(uint32_t target) const;  // TODD_NONE for an unknown target or peer
  void host_count(HostMetric metric, uint32_t target, uint64_t n = 1);
  // Appends a completion; steps first when the batch is full, unless called from within a step or a walk over
  // a flow's table.
  void complete(const todd_done& done);
  // Makes room for len received bytes on the flow, and for the completion that tells of them, by stepping if
  // it must: to be called before they are stored.
  void make_room(Flow& flow, uint32_t len);
  void add_timer(int64_t at_ns, std::function<void()> task);
  void sent_late(int64_t late_ns);
  void add_drops(uint64_t n) {
    local_drops_ += n;
    last_drop_ns_ = now();
  }
  int64_t last_drop_ns() const { return last_drop_ns_; }
  // Asks what this host's CPUs dropped before any socket, unless it was asked within the last within_ns.
  void check_host_drops(int64_t within_ns);
  void unmatched() { ++unmatched_; }
  void sample(const Target& target, uint64_t seq, int64_t at_ns, int64_t rtt_ns, const char* outcome,
              uint8_t ttl, uint8_t tx_src, uint8_t rx_src);
  static constexpr int kExamples = 5;  // notes of one outcome that are kept
  void note(uint32_t target, std::string_view outcome, std::string_view text);
  void stamps(uint8_t tx_src, uint8_t rx_src);  // of one answer, TODD_TS_*
  void testlet_ready();
  void refuse_target(uint32_t target, std::string why);  // in the testlet's start()
  void finish_target(uint32_t target);                   // in its step(): no more tickets for it
  void publish(uint16_t port) { port_ = port; }
  todd_status open_flow(todd_flow& wanted, uint32_t* flow, todd_error* error);
  todd_status describe_target(uint32_t index, todd_target& out);
  todd_status describe_local(uint32_t flow, uint32_t target, todd_target& out);
  StreamBase* stream_flow_of(uint64_t stream);
  // Of the run, or found on the way. Null: there is no such.
  Target* target_at(uint32_t index) {
    const size_t own = setup_.targets.size();
    return index < own ? &setup_.targets[index] : further_target(index - own);
  }
  const Target* target_at(uint32_t index) const { return const_cast<Instance*>(this)->target_at(index); }
  todd_status add_target(uint32_t from, std::string_view host, uint16_t port, uint32_t& index);
  void drop_target(uint32_t index);
  todd_status add_tls(const todd_tls& wanted, uint32_t& context, todd_error* error);
  // Null: no such context of that side.
  std::shared_ptr<io::StreamTlsContext> tls_context(uint64_t number, bool server) const;
  todd_status describe_tls(uint64_t stream, todd_tls_info& out);
  BulkJobs& bulk() { return bulk_; }
  todd_status begin_bulk(uint32_t flow, uint64_t stream, const todd_bulk_job& wanted, uint64_t& number);
  void bury(std::unique_ptr<io::Stream> stream) { graveyard_.push_back(std::move(stream)); }

 private:
  enum class Phase { created, started, prepared, running, draining, ending, closing, ended };
  struct Timer {
    int64_t at_ns;
    uint64_t order;
    bool operator>(const Timer& o) const { return at_ns != o.at_ns ? at_ns > o.at_ns : order > o.order; }
  };

  bool stepping_allowed() const;
  void leave_out_refused();
  void tell_ready();
  void plan_tickets();
  void begin_periods();
  void read_cpu();
  int64_t warm_up_end_ns() const;  // INT64_MAX: none is under way
  void begin_counting();
  void forget_counts();  // of the period
  void take_tickets();
  bool draw_tickets(size_t most);
  void drop_finished();
  bool is_finished(uint32_t target) const { return finished_targets_ != 0 && target_finished_[target]; }
  bool schedule_over() const;
  void skip(uint32_t target, uint64_t times);  // tickets that the schedule gives up
  bool keep_tickets();
  void settle_tickets(uint32_t served, int64_t stepped_ns);
  int64_t pacer_end_ns() const;  // of a plan as fast as served; INT64_MAX: its count ends it
  void step();
  void call_step(todd_batch& batch);
  void run_op(const todd_op& op);
  void run_send(const todd_op& op);
  void run_stream(const todd_op& op);
  void reject(const todd_op& op, int error);
  void run_timers();
  void advance();  // phase changes that time brings
  void finish(const char* state, std::string reason, std::string detail);
  void cancel_everything();
  void cancel_flows();
  void close_flows();
  void tend_flows();  // what was blocked, and what has expired
  void close_period(bool last);
  void tend_bulk();
  void resolve(const todd_op& op);
  Target* further_target(size_t index);
  int judge(uint32_t target, const io::Address& address) const;

  TaskSetup& setup_;
  io::Reactor& reactor_;
  const InstanceEvents& events_;
  const todd_host& host_;
  todd_lane lane_{};
  stats::CellWriter cells_;
  std::vector<stats::GaugeMerge> merges_;
  uint32_t metric_base_ = 0;

  Phase phase_ = Phase::created;
  bool starting_ = false, said_ready_ = false, busy_ = false, stop_wanted_ = false, cancel_wanted_ = false,
       finished_ = false, warming_up_ = false;
  uint16_t port_ = 0;
  uint32_t told_state_ = 0;  // of the last batch
  int64_t now_ns_ = 0, wake_ns_ = 0, plugin_wake_ns_ = 0;
  int64_t start_ns_ = INT64_MAX, end_ns_ = INT64_MAX, drain_by_ns_ = INT64_MAX, period_from_ns_ = 0,
          period_end_ns_ = INT64_MAX;
  std::string state_, reason_, detail_;

  std::map<uint32_t, std::string> refused_;  // targets
  std::vector<uint32_t> scheduled_;  // the others, where there are such: what the schedule's numbers mean
  schedule::Schedule schedule_;
  std::optional<schedule::Pacer> pacer_;  // of schedule_, which it refers to
  std::vector<bool> target_finished_;     // none where the testlet takes no tickets
  uint32_t finished_targets_ = 0;
  std::vector<todd_ticket> tickets_;
  bool kept_ = false;  // the tickets were offered before
  // What last kept the lane from taking all that was due.
  enum class HeldBack { nothing, answers, sends } held_back_ = HeldBack::nothing;
  std::vector<todd_done> done_, stepping_;  // those to come, those being told
  std::vector<todd_op> ops_;
  std::vector<std::unique_ptr<Flow>> flows_;
  std::vector<DatagramFlow*> datagram_flows_;
  std::vector<StreamBase*> stream_flows_;
  std::vector<todd_slots*> slot_views_;
  std::vector<std::unique_ptr<io::Stream>> graveyard_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::unordered_map<uint64_t, std::function<void()>> timer_tasks_;
  uint64_t timer_order_ = 0;
  std::unordered_map<uint64_t, todd_op> resolving_;
  struct FurtherTarget {
    Target target;
    std::string host;
    int nearest = 0;  // to this host that it may be
    bool used = false;
  };
  std::deque<FurtherTarget> further_targets_;  // numbered behind the run's
  std::vector<uint32_t> free_further_;         // those among them that are not used
  struct Tls {
    std::shared_ptr<io::StreamTlsContext> context;
    bool server;
  };
  std::vector<Tls> tls_contexts_;  // numbered from 1 on
  io::TlsFacts tls_facts_;         // behind describe_tls's
  std::string local_text_;         // behind describe_local's
  Digests digests_;
  BulkJobs bulk_;
  std::deque<std::string> strings_;  // behind todd_target's pointers
  std::unordered_map<uint32_t, todd_target> described_;
  std::unordered_map<uint64_t, uint32_t> peers_;
  std::map<std::string, int, std::less<>> noted_;

  std::array<uint32_t, stats::kBuckets> lateness_{};
  uint64_t lateness_count_ = 0, lateness_sum_ = 0, lateness_max_ = 0, lateness_min_ = UINT64_MAX;
  uint64_t local_drops_ = 0, unmatched_ = 0, received_ = 0, samples_taken_ = 0;
  int64_t last_drop_ns_ = INT64_MIN;
  io::SoftnetDrops softnet_;
  int64_t softnet_asked_ns_ = INT64_MIN;
  uint8_t worst_tx_src_ = TODD_TS_NIC, worst_rx_src_ = TODD_TS_NIC;  // of the period's answers
  bool answered_ = false;
  int64_t lane_cpu_from_ns_ = 0, worker_cpu_from_ns_ = 0;  // when the period began
  WallOffset clock_;
  bool clock_read_ = false;

  friend struct HostTables;
};

// The tables behind host->query for instances: record, samples and net (host_tables.cc).
const void* query_interface(const todd_host* host, const char* id);

}  // namespace todd::lane
