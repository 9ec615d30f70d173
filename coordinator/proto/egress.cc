#include "coordinator/proto/egress.h"

#include "todd/v1/task.pb.h"

namespace todd::wire {

void put_egress(const Egress& egress, v1::Egress& out) {
  out.set_source(egress.source);
  out.set_interface(egress.interface);
  out.set_df(static_cast<uint32_t>(egress.df));
}

Egress egress_of(const v1::Egress& in) {
  const bool known = in.df() <= static_cast<uint32_t>(DontFragment::clear);
  return {in.source(), in.interface(), known ? static_cast<DontFragment>(in.df()) : DontFragment::system};
}

}  // namespace todd::wire
