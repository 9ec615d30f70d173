#include "plugins/http/decode.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <stdexcept>

namespace todd::http {
namespace {

constexpr int kGzip = 16 + MAX_WBITS, kZlib = MAX_WBITS, kBare = -MAX_WBITS;

std::string packed(std::string_view text, int bits) {
  z_stream z{};
  if (deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("deflate");
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  if (deflate(&z, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

// Text that compresses, but not to nothing: several pieces of output for each of input.
std::string prose(size_t size) {
  std::string text;
  for (uint32_t n = 1; text.size() < size; n = n * 1664525 + 1013904223)
    text += "word " + std::to_string(n >> 20);
  text.resize(size);
  return text;
}

struct Sink : BodySink {
  int begun = 0, finished = 0;
  std::string text;
  const char* refuses = nullptr;

  void begin(Coding coding) override {
    ++begun;
    EXPECT_EQ(coding, Coding::kIdentity);  // what it gets is not coded any more
    text.clear();
  }
  const char* put(std::string_view bytes) override {
    text += bytes;
    return refuses;
  }
  const char* finish() override {
    ++finished;
    return nullptr;
  }
  std::string detail() const override { return "the sink does not want it"; }
};

// nullptr, or the reason of the first refusal.
const char* run(Decoder& decoder, Coding coding, std::string_view bytes, size_t piece) {
  decoder.begin(coding);
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    if (const char* why = decoder.put(bytes.substr(0, piece))) return why;
  return decoder.finish();
}

struct DecoderTest : testing::Test {
  Sink sink;
  Decoder decoder{sink, 1'000'000};
};

TEST_F(DecoderTest, DecodesInPiecesOfAnySize) {
  const std::string text = prose(200'000);
  for (const auto& [coding, bits] :
       {std::pair{Coding::kGzip, kGzip}, {Coding::kDeflate, kZlib}, {Coding::kDeflate, kBare}}) {
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}, SIZE_MAX}) {
      sink.finished = 0;
      EXPECT_STREQ(run(decoder, coding, packed(text, bits), piece), nullptr) << bits << " in " << piece;
      EXPECT_EQ(sink.text, text);
      EXPECT_EQ(sink.finished, 1);
    }
  }
  EXPECT_STREQ(run(decoder, Coding::kIdentity, text, 1000), nullptr);
  EXPECT_EQ(sink.text, text);
}

TEST_F(DecoderTest, GzipMayHaveMembers) {
  const std::string a = packed("first ", kGzip), none = packed("", kGzip), b = packed("second", kGzip);
  for (const size_t piece : {size_t{1}, a.size(), SIZE_MAX}) {
    EXPECT_STREQ(run(decoder, Coding::kGzip, a + none + b, piece), nullptr) << piece;
    EXPECT_EQ(sink.text, "first second");
  }
  EXPECT_STREQ(run(decoder, Coding::kGzip, a + b.substr(0, b.size() - 1), SIZE_MAX), "truncated");
  EXPECT_STREQ(run(decoder, Coding::kGzip, a + "and so on", SIZE_MAX), "protocol");
}

TEST_F(DecoderTest, TheAnswerToAHeadHasACodingAndNoBody) {
  for (const Coding coding : {Coding::kIdentity, Coding::kGzip, Coding::kDeflate, Coding::kOther})
    EXPECT_STREQ(run(decoder, coding, "", 1), nullptr);
  EXPECT_EQ(sink.begun, 4);
  EXPECT_EQ(sink.finished, 4);
}

TEST_F(DecoderTest, EveryTruncationIsSeen) {
  for (const auto& [coding, bits] :
       {std::pair{Coding::kGzip, kGzip}, {Coding::kDeflate, kZlib}, {Coding::kDeflate, kBare}}) {
    const std::string whole = packed("a body of some words, words, words", bits);
    for (size_t n = 1; n < whole.size(); ++n)
      EXPECT_STREQ(run(decoder, coding, whole.substr(0, n), SIZE_MAX), "truncated") << bits << " at " << n;
  }
  EXPECT_EQ(decoder.detail(), "the body ends inside its coded data");
  EXPECT_EQ(sink.finished, 0);
}

TEST_F(DecoderTest, DamageIsSeen) {
  std::string gzip = packed(prose(1000), kGzip), zlib = packed(prose(1000), kZlib);
  EXPECT_STREQ(run(decoder, Coding::kGzip, "plain text", 3), "protocol");
  EXPECT_EQ(decoder.detail(), "the coded body is damaged: incorrect header check");
  EXPECT_STREQ(run(decoder, Coding::kGzip, zlib, SIZE_MAX), "protocol");
  EXPECT_STREQ(run(decoder, Coding::kDeflate, zlib + "x", SIZE_MAX), "protocol");
  EXPECT_STREQ(run(decoder, Coding::kDeflate, zlib + "x", zlib.size()), "protocol");
  EXPECT_EQ(decoder.detail(), "the body goes on past the end of its deflate data");
  gzip[gzip.size() - 6] ^= 1;  // its check sum
  EXPECT_STREQ(run(decoder, Coding::kGzip, gzip, SIZE_MAX), "protocol");
  zlib[1] = static_cast<char>(zlib[1] | 0x20);  // wants a dictionary; and the sum over the header
  zlib[1] = static_cast<char>((zlib[1] & 0xe0) | (31 - ((zlib[0] << 8) + (zlib[1] & 0xe0)) % 31) % 31);
  EXPECT_STREQ(run(decoder, Coding::kDeflate, zlib, SIZE_MAX), "protocol");
  EXPECT_EQ(decoder.detail(), "the coded body is damaged: needs a dictionary");
}

TEST_F(DecoderTest, ACodingThatWeDidNotAskForIsRefused) {
  EXPECT_STREQ(run(decoder, Coding::kOther, "x", 1), "protocol");
  EXPECT_EQ(decoder.detail(), "a Content-Encoding that is neither gzip nor deflate");
  EXPECT_EQ(sink.text, "");
}

// A kilobyte can decode to a megabyte: what comes of it is bounded while it is decoded, not after.
TEST_F(DecoderTest, ABombIsTooLarge) {
  const std::string exact(1'000'000, 'x');
  EXPECT_STREQ(run(decoder, Coding::kGzip, packed(exact, kGzip), SIZE_MAX), nullptr);
  EXPECT_EQ(sink.text.size(), 1'000'000u);
  EXPECT_STREQ(run(decoder, Coding::kGzip, packed(exact + "x", kGzip), SIZE_MAX), "too_large");
  EXPECT_LE(sink.text.size(), 1'000'000u);
  EXPECT_EQ(decoder.detail(), "the body decodes to more than 1000000 bytes");
  EXPECT_STREQ(run(decoder, Coding::kIdentity, exact + "x", SIZE_MAX), "too_large");
  std::string members;
  for (int i = 0; i < 11; ++i) members += packed(std::string(100'000, 'x'), kGzip);
  EXPECT_STREQ(run(decoder, Coding::kGzip, members, SIZE_MAX), "too_large");
}

TEST_F(DecoderTest, TheOtherSinksRefusalIsPassedOn) {
  sink.refuses = "check";
  EXPECT_STREQ(run(decoder, Coding::kGzip, packed(prose(100'000), kGzip), SIZE_MAX), "check");
  EXPECT_EQ(decoder.detail(), "the sink does not want it");
  EXPECT_LE(sink.text.size(), 16'384u);  // and it was not asked twice
}

// One decoder serves one answer after another, whatever became of the last one.
TEST_F(DecoderTest, BeginsAnewAtAnyTime) {
  const std::string gzip = packed(prose(100'000), kGzip), zlib = packed("fine", kZlib);
  decoder.begin(Coding::kGzip);
  EXPECT_STREQ(decoder.put(std::string_view(gzip).substr(0, 1000)), nullptr);
  EXPECT_STREQ(run(decoder, Coding::kDeflate, zlib, 1), nullptr);
  EXPECT_EQ(sink.text, "fine");
  EXPECT_STREQ(run(decoder, Coding::kGzip, "damaged", SIZE_MAX), "protocol");
  EXPECT_STREQ(run(decoder, Coding::kGzip, packed("fine again", kGzip), 3), nullptr);
  EXPECT_EQ(sink.text, "fine again");
  EXPECT_EQ(decoder.detail(), "the sink does not want it");  // nothing is left of the refusal
}

}  // namespace
}  // namespace todd::http
