#include "coordinator/proto/block.h"

#include <bit>
#include <cmath>

namespace todd::wire {
namespace {

constexpr size_t kVarint = 10;  // bytes of the longest

// None where all are `none`, one where all are alike. Compared bit by bit, for NaN is not equal to itself.
template <class T, class Field, class Get>
void put_field(size_t n, T none, Field& out, Get get) {
  const auto bits = [](T value) { return std::bit_cast<uint64_t>(value); };
  const T first = get(0);
  size_t alike = 1;
  while (alike < n && bits(get(alike)) == bits(first)) ++alike;
  if (alike == n) {
    if (bits(first) != bits(none)) out.Add(first);
    return;
  }
  out.Reserve(static_cast<int>(n));
  for (size_t i = 0; i < n; ++i) out.AddAlreadyReserved(get(i));
}

}  // namespace

size_t column_bytes(stats::Kind kind) {
  if (kind == stats::Kind::histogram) return 4 * kVarint;
  return kind == stats::Kind::counter ? kVarint : kind == stats::Kind::gauge ? sizeof(double) : 0;
}

void put_column(stats::Kind kind, uint32_t metric, std::span<const stats::CellReader::Flat> rows,
                v1::Block& out) {
  const size_t n = rows.size();
  bool something = false;
  for (size_t i = 0; i < n && !something; ++i) something = rows[i].something;
  if (!something) return;
  v1::Column& column = *out.add_columns();
  column.set_metric(metric);
  if (kind == stats::Kind::gauge) {
    const double none = std::numeric_limits<double>::quiet_NaN();
    put_field(n, none, *column.mutable_gauge(),
              [&](size_t i) { return rows[i].something ? rows[i].gauge : none; });
    return;
  }
  const auto put = [&](auto& field, auto get) {
    put_field(n, uint64_t{0}, field, [&](size_t i) { return get(rows[i]); });
  };
  using Flat = stats::CellReader::Flat;
  put(*column.mutable_count(), [](const Flat& f) { return f.count; });
  if (kind != stats::Kind::histogram) return;
  put(*column.mutable_least(), [](const Flat& f) { return f.min; });
  put(*column.mutable_spread(), [](const Flat& f) { return f.max - f.min; });
  put(*column.mutable_excess(), [](const Flat& f) { return f.sum - f.count * f.min; });
}

}  // namespace todd::wire
