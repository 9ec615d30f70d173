#pragma once
// Flat rows as they travel: metric by metric, because most columns of a large sweep are all alike.

#include <cstdint>
#include <limits>
#include <span>

#include "engine/stats/cells.h"
#include "todd/v1/task.pb.h"

namespace todd::wire {

// Adds the column of a metric, one value per row; nothing if no row has any. Precondition: rows is not empty.
void put_column(stats::Kind kind, uint32_t metric, std::span<const stats::CellReader::Flat> rows,
                v1::Block& out);

// The most bytes that a row of one metric takes in a block.
size_t column_bytes(stats::Kind kind);

// A column as it came. A field of a wrong length reads as absent.
class ColumnView {
 public:
  ColumnView(const v1::Column& column, uint32_t rows)
      : count_(column.count(), rows),
        least_(column.least(), rows),
        spread_(column.spread(), rows),
        excess_(column.excess(), rows),
        gauge_(column.gauge(), rows) {}

  uint64_t count(uint32_t row) const { return count_.at(row, 0); }
  uint64_t least(uint32_t row) const { return least_.at(row, 0); }
  uint64_t most(uint32_t row) const { return least(row) + spread_.at(row, 0); }
  uint64_t sum(uint32_t row) const { return count(row) * least(row) + excess_.at(row, 0); }
  // NaN: not set.
  double gauge(uint32_t row) const { return gauge_.at(row, std::numeric_limits<double>::quiet_NaN()); }

 private:
  template <class T>
  struct Field {
    template <class Repeated>
    Field(const Repeated& field, uint32_t rows)
        : values(field.data()),
          step(field.size() == 1 ? 0 : 1),
          there(field.size() == 1 || static_cast<uint32_t>(field.size()) == rows) {}
    T at(uint32_t row, T none) const { return there ? values[size_t{row} * step] : none; }
    const T* values;
    size_t step;
    bool there;
  };
  Field<uint64_t> count_, least_, spread_, excess_;
  Field<double> gauge_;
};

}  // namespace todd::wire
