#include "titan/formats/pickle/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::formats {
namespace {

using testing::HasSubstr;
using Value = PickleValue;

std::string bytes(std::initializer_list<const char*> parts) {
  std::string all;
  for (const char* part : parts) all += part;
  return all;
}

std::string error_of(const std::string& pickle, const PickleLimits& limits = {}) {
  return test::message_of<RunError>([&] { read_pickle(pickle, limits); });
}

Value everything() {
  const Value size = Value::object({.type = Value::global("torch", "Size"),
                                    .args = Value::tuple({Value::tuple({Value::integer(3)})})});
  const Value object = Value::object({.made = PickleObject::Made::kNew,
                                      .type = Value::global("a.b", "C"),
                                      .args = Value::tuple({}),
                                      .has_state = true,
                                      .state = Value::dict({{Value::text("s"), size}}),
                                      .list_items = {Value::integer(1), Value::integer(2)},
                                      .dict_items = {{Value::text("k"), Value()}}});
  std::vector<Value> many(2500, Value::integer(7));
  return Value::list(
      {Value(), Value::boolean(true), Value::boolean(false), Value::integer(-1),
       Value::integer(std::numeric_limits<std::int64_t>::min()),
       Value::integer(std::numeric_limits<std::int64_t>::max()), Value::integer(65535),
       Value::integer(65536), Value::integer(1LL << 31), Value::real(-0.5), Value::text("\xc3\xa9"),
       Value::text(std::string(300, 'x')), Value::bytes(std::string("\0\xff", 2)), Value::bytes(""),
       Value::bytes(std::string(300, '\xfe')), object, Value::persistent_id(Value::text("there")),
       Value::tuple(many), Value::list(many)});
}

TEST(Pickle, EveryKindOfValueComesBack) {
  for (const int protocol : {2, 3, 4, 5}) {
    const std::string pickle = write_pickle(everything(), protocol);
    EXPECT_TRUE(read_pickle(pickle) == everything()) << protocol;
    EXPECT_EQ(write_pickle(read_pickle(pickle), protocol), pickle);
  }
}

TEST(Pickle, DifferentValuesAreNotEqual) {
  EXPECT_FALSE(Value::integer(1) == Value::boolean(true));
  EXPECT_FALSE(Value::real(0.0) == Value::real(-0.0));
  EXPECT_FALSE(Value::list({}) == Value::tuple({}));
  EXPECT_FALSE(Value::text("a") == Value::bytes("a"));
  EXPECT_FALSE(Value::dict({{Value::text("a"), Value()}}) == Value::dict({}));
}

TEST(Pickle, OfEqualKeysTheLastCounts) {
  const Value dict =
      Value::dict({{Value::text("a"), Value::integer(1)}, {Value::text("a"), Value::integer(2)}});
  EXPECT_TRUE(*dict.find("a") == Value::integer(2));
  EXPECT_EQ(dict.find("b"), nullptr);
  EXPECT_EQ(Value().find("a"), nullptr);
}

TEST(Pickle, ErrorsNameByteOpcodeAndReason) {
  EXPECT_EQ(error_of(bytes({"\x80\x02", "K\x01", "R", "."})),
            "bad pickle: byte 4 (REDUCE): needs 2 values, but 1 are left");
  EXPECT_THAT(error_of("abc"), HasSubstr("byte 0 (APPEND): not a pickle of protocol 2 to 5"));
  EXPECT_THAT(error_of("\x80\x06N."), HasSubstr("protocol 6"));
  EXPECT_THAT(error_of("\x80\x02N"), HasSubstr("byte 3 (its end)"));
  EXPECT_THAT(error_of("\x80\x02N.N"), HasSubstr("1 bytes follow"));
  EXPECT_THAT(error_of("\x80\x02NN."), HasSubstr("with 2 values"));
  EXPECT_THAT(error_of("\x80\x02I1\n."), HasSubstr("byte 2 (INT): this opcode is not read"));
  EXPECT_THAT(error_of("\x80\x02\xfe."), HasSubstr("opcode 0xfe"));
  EXPECT_THAT(error_of("\x80\x02h\x05."), HasSubstr("asks for number 5 of 0"));
  EXPECT_THAT(error_of("\x80\x02Nq\x05."), HasSubstr("remembers as 5"));
  EXPECT_THAT(error_of("\x80\x02(N0."), HasSubstr("POP"));
  EXPECT_THAT(error_of("\x80\x02N(q0."), HasSubstr("nothing on the stack"));
  EXPECT_THAT(error_of("\x80\x02}(Nu."), HasSubstr("a key without a value"));
  EXPECT_THAT(error_of("\x80\x02]N}b."), HasSubstr("no object"));
  EXPECT_THAT(error_of("\x80\x02NNa."), HasSubstr("no list"));
  EXPECT_THAT(error_of("\x80\x02NNNs."), HasSubstr("no dict"));
  EXPECT_THAT(error_of("\x80\x02N)R."), HasSubstr("made by something else"));
  EXPECT_THAT(error_of("\x80\x02u."), HasSubstr("no mark"));
  EXPECT_THAT(error_of("\x80\x02"
                       "c\na\n."),
              HasSubstr("without a proper name"));
  EXPECT_THAT(error_of("\x80\x04\x8c\x01"
                       "a\x8c\x02"
                       "b\n\x93."),
              HasSubstr("without a proper name"));
  EXPECT_THAT(error_of("\x80\x04\x8c\x01\xff."), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_of("\x80\x02X\xff\xff\xff\xff."), HasSubstr("needs 4294967295 bytes"));
  EXPECT_THAT(error_of("\x80\x02\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01."),
              HasSubstr("an integer of 9 bytes"));
  EXPECT_THAT(error_of(std::string("\x80\x04\x95\xff\0\0\0\0\0\0\0N.", 13)),
              HasSubstr("a frame of 255 bytes"));
}

TEST(Pickle, WhatHoldsItselfIsRefused) {
  EXPECT_THAT(error_of(std::string("\x80\x04]\x94h\0a.", 8)),
              HasSubstr("byte 2 (EMPTY_LIST): a value that holds itself"));
  EXPECT_THAT(error_of(std::string("\x80\x04}\x94Nh\0s.", 9)), HasSubstr("holds itself"));
  EXPECT_THAT(error_of(std::string("\x80\x04]\x94h\0\x85\x61.", 9)), HasSubstr("holds itself"));
  EXPECT_THAT(error_of(std::string("\x80\x04"
                                   "ca\nb\n)\x81\x94h\0b.",
                                   14)),
              HasSubstr("byte 8 (NEWOBJ): a value that holds itself"));
}

TEST(Pickle, DepthAndUnfoldingAreBounded) {
  std::string deep = "\x80\x02N";
  deep.append(100000, '\x85');
  EXPECT_THAT(error_of(deep + "."), HasSubstr("more than 100 containers within each other"));

  // Each list is put into the one before while it is empty, and filled afterwards: no value is
  // deep when it is made. Once the outermost is met first, once the innermost.
  const auto get = [](int i) { return std::string("h") + static_cast<char>(i); };
  std::string late = "\x80\x04]\x94(]\x94";
  std::string from_within = get(0) + "(";
  for (int i = 2; i < 200; ++i) {
    late +=
        "]\x94"
        "a" +
        get(i);
    from_within += get(201 - i);
  }
  EXPECT_THAT(error_of(late + "t\x86."), HasSubstr("more than 100 containers"));
  EXPECT_THAT(error_of(late + "t" + from_within + get(1) + "e\x87."),
              HasSubstr("more than 100 containers"));

  // Each tuple holds the one before twice: 2^40 parts in 200 bytes.
  std::string wide = "\x80\x04N";
  for (int i = 0; i < 40; ++i) {
    wide += std::string("\x94h") + static_cast<char>(i) + "\x86";
  }
  EXPECT_THAT(error_of(wide + "."), HasSubstr("unfolds to more than"));

  // One long text, again and again.
  std::string text = "\x80\x02(X";
  text += std::string("\0\0\x01\0", 4) + std::string(65536, 'x') + std::string("q\0", 2);
  for (int i = 0; i < 2000; ++i) text += std::string("h\0", 2);
  EXPECT_THAT(error_of(text + "t.", {.max_parts = 1000000}), HasSubstr("unfolds to more than"));
}

TEST(Pickle, MemoryIsBoundedByTheLength) {
  for (const char opcode : {'}', ']'}) {
    const std::string containers = "\x80\x04(" + std::string(2'000'000, opcode) + "t.";
    EXPECT_THAT(error_of(containers),
                HasSubstr("takes more memory than anything real of 2000005 bytes"));
  }
  const Value nones = read_pickle("\x80\x04(" + std::string(2'000'000, 'N') + "t.");
  EXPECT_EQ(nones.get_if<PickleTuple>()->items.size(), 2'000'000u);
  const Value tuples = read_pickle("\x80\x04(" + std::string(2'000'000, ')') + "t.");
  EXPECT_EQ(tuples.get_if<PickleTuple>()->items.at(1'999'999), Value::tuple({}));
}

TEST(Pickle, CutOrDamagedIsAnErrorOrAValue) {
  for (const int protocol : {2, 4}) {
    const std::string pickle =
        write_pickle(Value::list({everything().get_if<PickleList>()->items[15],
                                  Value::bytes("\xff"), Value::real(1)}),
                     protocol);
    for (std::size_t size = 0; size < pickle.size(); ++size) {
      EXPECT_THROW(read_pickle(pickle.substr(0, size)), RunError) << size;
    }
    int refused = 0;
    for (std::size_t bit = 0; bit < 8 * pickle.size(); ++bit) {
      std::string damaged = pickle;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      try {
        const Value value = read_pickle(damaged);
        EXPECT_TRUE(read_pickle(write_pickle(value, protocol)) == value);
      } catch (const RunError& error) {
        EXPECT_THAT(error.what(), HasSubstr("bad pickle: byte "));
        ++refused;
      }
    }
    EXPECT_GT(refused, 100);
  }
}

TEST(Pickle, TextThatIsNoUtf8IsNotWritten) {
  for (const char* text : {"\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xf5\x80\x80\x80"}) {
    EXPECT_THROW(write_pickle(Value::text(text), 4), InternalError) << text;
  }
}

}  // namespace
}  // namespace titan::formats
