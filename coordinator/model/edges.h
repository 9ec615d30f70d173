#pragma once
// The edges of a test's report, which may be a million.

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <vector>

#include "coordinator/model/edge_report.h"

namespace todd::model {

// Makes the reports of edges one by one, from numbers that take far less room than reports do. Immutable.
class EdgeSource {
 public:
  virtual ~EdgeSource() = default;
  virtual size_t size() const = 0;
  // Precondition of all three: i < size().
  virtual EdgeReport at(size_t i) const = 0;
  virtual EdgeState state(size_t i) const = 0;  // as in at(i), at once
  virtual Verdict verdict(size_t i) const = 0;
  // Memory it takes, about.
  virtual size_t bytes() const = 0;
};

// The edges of a test in their order: kept as they are, or made by a source as they are asked for. Copies
// share the source. Value type.
class EdgeReports {
 public:
  EdgeReports() = default;
  EdgeReports(std::initializer_list<EdgeReport> edges) : kept_(edges) {}
  explicit EdgeReports(std::shared_ptr<const EdgeSource> source) : source_(std::move(source)) {}

  size_t size() const { return source_ ? source_->size() : kept_.size(); }
  bool empty() const { return size() == 0; }
  // Precondition: i < size().
  EdgeReport at(size_t i) const { return source_ ? source_->at(i) : kept_[i]; }
  EdgeReport operator[](size_t i) const { return at(i); }
  EdgeState state(size_t i) const { return source_ ? source_->state(i) : kept_[i].state; }
  Verdict verdict(size_t i) const { return source_ ? source_->verdict(i) : kept_[i].verdict; }
  bool is_ok(size_t i) const { return model::is_ok(state(i), verdict(i)); }

  // To change them. What a source made so far is made whole and kept.
  std::vector<EdgeReport>& kept();
  EdgeReport& operator[](size_t i) { return kept()[i]; }
  void push_back(EdgeReport edge) { kept().push_back(std::move(edge)); }

  size_t bytes() const;  // memory they take, about

  // What it points to lives until it is moved on.
  class Iterator {
   public:
    Iterator(const EdgeReports& edges, size_t at) : edges_(&edges), at_(at) {}
    const EdgeReport& operator*() const { return *operator->(); }
    const EdgeReport* operator->() const {
      if (!edges_->source_) return &edges_->kept_[at_];
      if (!made_) made_ = edges_->source_->at(at_);
      return &*made_;
    }
    Iterator& operator++() {
      ++at_;
      made_.reset();
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const EdgeReports* edges_;
    size_t at_;
    mutable std::optional<EdgeReport> made_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

 private:
  std::vector<EdgeReport> kept_;
  std::shared_ptr<const EdgeSource> source_;  // of every copy of the report; if set, kept_ is empty
};

}  // namespace todd::model
