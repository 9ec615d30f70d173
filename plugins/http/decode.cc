#include "plugins/http/decode.h"

#include <zlib.h>

#include <algorithm>
#include <new>
#include <utility>

namespace todd::http {

namespace {

constexpr size_t kStep = 16 * 1024;

// What zlib is told of the wrapper: windowBits of inflateInit2().
int window_bits(Coding coding, unsigned char first) {
  if (coding == Coding::kGzip) return 16 + MAX_WBITS;
  // zlib's header begins with the method, 8, in the low half of its first byte. Bare deflate that begins so
  // is a stored block with a padding bit that is set, which nobody writes.
  return (first & 0x0f) == Z_DEFLATED ? MAX_WBITS : -MAX_WBITS;
}

}  // namespace

struct Decoder::Stream {
  explicit Stream(int bits) {
    if (inflateInit2(&z, bits) != Z_OK) throw std::bad_alloc();
  }
  ~Stream() { inflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  z_stream z{};
  bool ended = false;  // at the end of a member
};

Decoder::Decoder(BodySink& to, uint64_t max) : to_(to), max_(max) {}
Decoder::~Decoder() = default;

void Decoder::begin(Coding coding) {
  coding_ = coding;
  given_ = 0;
  stream_.reset();
  detail_.clear();
  to_.begin(Coding::kIdentity);
}

const char* Decoder::put(std::string_view bytes) {
  if (bytes.empty()) return nullptr;
  if (coding_ == Coding::kIdentity) return give(bytes);
  if (coding_ == Coding::kOther)
    return fail("protocol", "a Content-Encoding that is neither gzip nor deflate");
  if (stream_ == nullptr)
    stream_ = std::make_unique<Stream>(window_bits(coding_, static_cast<unsigned char>(bytes[0])));
  return decode(bytes);
}

const char* Decoder::decode(std::string_view bytes) {
  z_stream& z = stream_->z;
  z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));  // zlib only reads it
  z.avail_in = static_cast<uInt>(bytes.size());
  char out[kStep];
  do {
    if (stream_->ended) {
      if (coding_ != Coding::kGzip)
        return fail("protocol", "the body goes on past the end of its deflate data");
      inflateReset(&z);
      stream_->ended = false;
    }
    z.next_out = reinterpret_cast<Bytef*>(out);
    z.avail_out = sizeof out;
    const int status = inflate(&z, Z_NO_FLUSH);
    if (const char* why = give({out, sizeof out - z.avail_out})) return why;
    stream_->ended = status == Z_STREAM_END;
    // Z_BUF_ERROR: it needs more input.
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      const char* const what = status == Z_NEED_DICT ? "needs a dictionary"
                               : z.msg != nullptr    ? z.msg
                                                     : zError(status);
      return fail("protocol", std::string("the coded body is damaged: ") + what);
    }
    // A full piece: there may be more that the input already given makes.
  } while (z.avail_in != 0 || (z.avail_out == 0 && !stream_->ended));
  return nullptr;
}

const char* Decoder::give(std::string_view decoded) {
  if (decoded.empty()) return nullptr;
  if (decoded.size() > max_ - given_)
    return fail("too_large", "the body decodes to more than " + std::to_string(max_) + " bytes");
  given_ += decoded.size();
  const char* const why = to_.put(decoded);
  if (why != nullptr) stream_.reset();
  return why;
}

const char* Decoder::finish() {
  const bool complete = stream_ == nullptr || stream_->ended;
  stream_.reset();
  return complete ? to_.finish() : fail("truncated", "the body ends inside its coded data");
}

const char* Decoder::fail(const char* why, std::string detail) {
  detail_ = std::move(detail);
  stream_.reset();
  return why;
}

std::string Decoder::detail() const { return !detail_.empty() ? detail_ : to_.detail(); }

}  // namespace todd::http
