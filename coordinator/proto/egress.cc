#include "coordinator/proto/egress.h"

#include "todd/v1/task.pb.h"

namespace todd::wire {

void put_egress(const Egress& egress, v1::Egress& out) {
  out.set_source(egress.source);
  out.set_interface(egress.interface);
  out.set_df(static_cast<uint32_t>(egress.df));
  out.set_path(static_cast<uint32_t>(egress.path));
  out.set_mark(egress.mark);
  out.set_flow_label(egress.flow_label);
}

Egress egress_of(const v1::Egress& in) {
  Egress out{.source = in.source(), .interface = in.interface()};
  if (in.df() <= static_cast<uint32_t>(DontFragment::clear)) out.df = static_cast<DontFragment>(in.df());
  if (in.path() <= static_cast<uint32_t>(SendPath::packet)) out.path = static_cast<SendPath>(in.path());
  out.mark = in.mark();
  out.flow_label = in.flow_label() & 0xfffff;
  return out;
}

}  // namespace todd::wire
