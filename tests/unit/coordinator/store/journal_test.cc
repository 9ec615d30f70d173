#include "coordinator/store/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "coordinator/store/crc32c.h"

namespace todd::store {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "todd_journal_XXXXXX";
    dir = mkdtemp(pattern.data());
    open();
  }
  void TearDown() override {
    journal.reset();
    std::filesystem::remove_all(dir);
  }
  void open() {
    journal.reset();
    journal = std::move(*Journal::open(loop, dir));
  }
  // The entries of a run that was left open.
  std::vector<std::string> recover(const std::string& run) {
    std::vector<std::string> entries;
    EXPECT_TRUE(journal->recover(run, [&](std::string_view entry) {
      entries.emplace_back(entry);
      return true;
    }));
    return entries;
  }
  std::string path(const std::string& run) const { return dir + "/" + run + ".journal"; }

  io::Loop loop;
  std::string dir;
  std::unique_ptr<Journal> journal;
};

TEST(Crc32cTest, KnownValue) { EXPECT_EQ(crc32c("123456789"), 0xE3069283u); }

TEST_F(JournalTest, CallsBackInOrderWhenDurable) {
  ASSERT_TRUE(journal->begin("r1", "plan"));
  std::string order;
  journal->append("r1", "a", [&](const Status& s) { order += s ? "a" : "!"; });
  journal->append("r1", "b", [&](const Status& s) { order += s ? "b" : "!"; });
  EXPECT_EQ(order, "");
  for (int i = 0; i < 100 && order.size() < 2; ++i) loop.turn(50'000'000);
  EXPECT_EQ(order, "ab");
}

TEST_F(JournalTest, RecoversWhatWasAppended) {
  ASSERT_TRUE(journal->begin("r1", "plan"));
  journal->append("r1", "a");
  ASSERT_TRUE(journal->begin("r2", "other"));
  EXPECT_FALSE(journal->begin("r2", "other"));
  open();
  EXPECT_EQ(journal->left_open(), (std::vector<std::string>{"r1", "r2"}));
  EXPECT_EQ(recover("r1"), (std::vector<std::string>{"plan", "a"}));
  EXPECT_EQ(journal->left_open(), std::vector<std::string>{"r2"});
  journal->append("r1", "b");
  open();
  EXPECT_EQ(recover("r1"), (std::vector<std::string>{"plan", "a", "b"}));
}

// A crash may leave any prefix of the last write, and a disk may flip a bit: what is whole before it counts,
// and what is appended afterwards is found again.
TEST_F(JournalTest, EveryTornEndIsCutOff) {
  ASSERT_TRUE(journal->begin("r1", "plan"));
  journal->append("r1", "first");
  journal->commit();
  const auto whole = std::filesystem::file_size(path("r1"));
  journal->append("r1", "second");
  journal->commit();
  const auto full = std::filesystem::file_size(path("r1"));
  for (auto size = whole; size < full; ++size) {
    ASSERT_EQ(::truncate(path("r1").c_str(), static_cast<off_t>(size)), 0);
    open();
    ASSERT_EQ(recover("r1").size(), 2u) << size;
    EXPECT_EQ(std::filesystem::file_size(path("r1")), whole);
    journal->append("r1", "second");
    journal->commit();
  }
  std::fstream file(path("r1"), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(full) - 1);
  file.put('X');
  file.close();
  open();
  EXPECT_EQ(recover("r1").size(), 2u);
}

TEST_F(JournalTest, ARunThatIsNotWantedIsLeftAsItIsUntilItEnds) {
  ASSERT_TRUE(journal->begin("r1", "plan"));
  journal->append("r1", "a");
  open();
  int calls = 0;
  EXPECT_TRUE(journal->recover("r1", [&](std::string_view) { return ++calls > 1; }));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(journal->left_open(), std::vector<std::string>{"r1"});
  journal->end("r1");
  EXPECT_FALSE(std::filesystem::exists(path("r1")));
  EXPECT_EQ(journal->recover("r1", [](std::string_view) { return true; }).error().code, Errc::not_found);
}

// The length comes from what users ask for, so it must not end the process; what follows is written all the
// same.
TEST_F(JournalTest, AnEntryThatIsTooLongIsAnErrorOfItsOwn) {
  ASSERT_TRUE(journal->begin("r1", "plan"));
  std::vector<Errc> failed;
  int written = 0;
  const auto done = [&](const Status& s) { s ? void(++written) : failed.push_back(s.error().code); };
  journal->append("r1", std::string(Journal::kMaxEntry + 1, 'x'), done);
  journal->append("r1", "a", done);
  journal->commit();
  EXPECT_EQ(failed, std::vector<Errc>{Errc::exhausted});
  EXPECT_EQ(written, 1);
  open();
  EXPECT_EQ(recover("r1"), (std::vector<std::string>{"plan", "a"}));
}

TEST_F(JournalTest, EndedRunsLeaveNothing) {
  ASSERT_TRUE(journal->begin("r1", "plan"));
  int called = 0;
  journal->append("r1", "a", [&](const Status& s) { called += s.has_value(); });
  journal->end("r1");
  EXPECT_EQ(called, 1);
  EXPECT_FALSE(std::filesystem::exists(path("r1")));
  journal->commit();
  EXPECT_EQ(called, 1);
}

}  // namespace
}  // namespace todd::store
