// Java 17's `new String(bytes, UTF_8)` gave the values that are expected here.
#include "protocol/utf8.h"

#include <gtest/gtest.h>

namespace crossover::protocol {
namespace {

const std::string replacement = "\xef\xbf\xbd";

std::string replaced(std::size_t times) {
  std::string text;
  while (times-- > 0) text += replacement;
  return text;
}

TEST(Utf8, TextStaysAsItIs) {
  for (const BytesView text : {BytesView(), BytesView("plain"), BytesView("a\0b", 3), BytesView("Grüße €, 𝄞"),
                               BytesView("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"),
                               BytesView("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")})
    EXPECT_EQ(valid_utf8(text), text);
}

TEST(Utf8, MalformedSequencesBecomeWhatJavaMakesOfThem) {
  EXPECT_EQ(valid_utf8("a\xff"
                       "b"),
            "a" + replacement + "b");
  EXPECT_EQ(valid_utf8("\x80\xbf"), replaced(2));  // nothing that they continue
  EXPECT_EQ(valid_utf8("\xc0\xaf"), replaced(2));  // overlong
  EXPECT_EQ(valid_utf8("\xe0\x80\x80"), replaced(3));
  EXPECT_EQ(valid_utf8("\xf0\x80\x80\x80"), replaced(4));
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80"), replaced(4));  // above U+10FFFF
  EXPECT_EQ(valid_utf8("\xf8\x88\x80\x80\x80"), replaced(5));
  EXPECT_EQ(valid_utf8("\xed\xa0\x80\xed\xb0\x80"), replaced(2));  // two surrogates
  EXPECT_EQ(valid_utf8("\xc3"), replaced(1));                      // cut short
  EXPECT_EQ(valid_utf8("\xe2\x82"), replaced(1));
  EXPECT_EQ(valid_utf8("\xf0\x9d\x84"), replaced(1));
  EXPECT_EQ(valid_utf8("\xe2\x82!"), replaced(1) + "!");
  EXPECT_EQ(valid_utf8("\xf0\x9d\xc3\xa9"), replaced(1) + "é");
}

}  // namespace
}  // namespace crossover::protocol
