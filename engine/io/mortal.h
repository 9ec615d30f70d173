#pragma once
// A sink may destroy the very object that is calling it. An object that calls sinks in a loop is Mortal; the
// loop holds a Watch and stops, touching nothing, once the watch says that the object is gone.

namespace todd::io {

class Mortal {
 public:
  Mortal() = default;
  Mortal(const Mortal&) = delete;
  Mortal& operator=(const Mortal&) = delete;

  class Watch {
   public:
    explicit Watch(Mortal& object);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    bool gone() const { return gone_; }

   private:
    friend class Mortal;
    Mortal& object_;
    Watch* outer_;
    bool gone_ = false;
  };

 protected:
  ~Mortal();

 private:
  Watch* innermost_ = nullptr;
};

}  // namespace todd::io
