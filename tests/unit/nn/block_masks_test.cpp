#include "titan/nn/block_masks.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "titan/nn/attention_masks.h"

namespace titan::nn {
namespace {

SharedSequence with_mask(AttentionMask mask) {
  auto sequence = std::make_shared<SequenceInfo>();
  sequence->mask = std::move(mask);
  return sequence;
}

const at::Tensor& allowed(const SharedSequence& sequence) {
  return std::get<AllowedMask>(sequence->mask).allowed;
}

bool sees(const at::Tensor& allowed, std::int64_t row, std::int64_t query, std::int64_t key) {
  return allowed[row][0][query][key].item<bool>();
}

/// Places 0..9 in blocks of 4: 0..3, 4..7, 8..9.
TEST(BlockMasks, AQuerySeesItsBlockUpToItself) {
  BlockMasks masks(4);
  for (const SharedSequence& sequence : {SharedSequence(), with_mask(CausalMask{})}) {
    const at::Tensor mask = allowed(masks.confine(sequence, 2, 10, 10, at::kCPU));
    ASSERT_EQ(mask.sizes().vec(), (std::vector<std::int64_t>{1, 1, 10, 10}));
    for (std::int64_t query = 0; query < 10; ++query) {
      for (std::int64_t key = 0; key < 10; ++key) {
        EXPECT_EQ(sees(mask, 0, query, key), key <= query && key / 4 == query / 4);
      }
    }
  }
}

TEST(BlockMasks, DocumentsEndWithinBlocksAndBlocksWithinDocuments) {
  const at::Tensor documents =
      documents_by_starts(at::tensor({0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, at::kLong).view({1, 10}));
  const SharedSequence sequence = with_mask(block_causal_mask(documents));
  BlockMasks masks(4);
  const at::Tensor mask = allowed(masks.confine(sequence, 1, 10, 10, at::kCPU));
  const auto document = [](std::int64_t place) { return place < 3 ? 0 : 1; };
  for (std::int64_t query = 0; query < 10; ++query) {
    for (std::int64_t key = 0; key < 10; ++key) {
      EXPECT_EQ(sees(mask, 0, query, key),
                key <= query && key / 4 == query / 4 && document(key) == document(query));
    }
  }
}

/// Two rows of 10; the documents of the first begin at 0 and 3, the second is one.
TEST(BlockMasks, PackedDocumentsAreCutWhereBlocksBegin) {
  PackedDocuments documents;
  documents.offsets = at::tensor({0, 3, 10, 20}, at::kInt);
  documents.longest = 10;
  BlockMasks masks(4);
  const auto confined = masks.confine(with_mask(documents), 2, 10, 10, at::kCPU);
  const auto& cut = std::get<PackedDocuments>(confined->mask);
  EXPECT_EQ(cut.longest, 4);
  EXPECT_EQ(cut.offsets.scalar_type(), at::kInt);
  EXPECT_TRUE(cut.offsets.equal(at::tensor({0, 0, 3, 4, 8, 10, 10, 14, 18, 20}, at::kInt)));
}

TEST(BlockMasks, NewTokensSeeWhatTheCacheHoldsOfTheirBlock) {
  BlockMasks masks(4);
  const at::Tensor mask = allowed(masks.confine(nullptr, 1, 3, 10, at::kCPU));
  ASSERT_EQ(mask.sizes().vec(), (std::vector<std::int64_t>{1, 1, 3, 10}));
  for (std::int64_t query = 0; query < 3; ++query) {
    for (std::int64_t key = 0; key < 10; ++key) {
      EXPECT_EQ(sees(mask, 0, query, key), key <= query + 7 && key / 4 == (query + 7) / 4);
    }
  }
}

/// Two ranks have 12 tokens in blocks of 4, this one 3, 4, 5 and 6, 7, 8.
TEST(BlockMasks, APartOfATextIsConfinedByTheTokensThatItHas) {
  const auto sequence = std::make_shared<SequenceInfo>();
  sequence->positions = at::arange(3, 9);
  sequence->key_positions = at::cat({at::arange(0, 3), at::arange(9, 12), sequence->positions});
  BlockMasks masks(4);
  const at::Tensor mask = allowed(masks.confine(sequence, 2, 6, 6, at::kCPU));
  ASSERT_EQ(mask.sizes().vec(), (std::vector<std::int64_t>{1, 1, 6, 12}));
  for (std::int64_t query = 0; query < 6; ++query) {
    for (std::int64_t key = 0; key < 12; ++key) {
      const std::int64_t of_query = query + 3;
      const std::int64_t of_key = sequence->key_positions[key].item<std::int64_t>();
      EXPECT_EQ(sees(mask, 0, query, key), of_key <= of_query && of_key / 4 == of_query / 4);
    }
  }
  BlockMasks wide(12);
  EXPECT_EQ(wide.confine(sequence, 2, 6, 6, at::kCPU), sequence);
}

TEST(BlockMasks, OneBlockChangesNothing) {
  const SharedSequence sequence = with_mask(CausalMask{});
  BlockMasks masks(8);
  EXPECT_EQ(masks.confine(sequence, 1, 8, 8, at::kCPU), sequence);
  EXPECT_EQ(masks.confine(nullptr, 1, 8, 8, at::kCPU), nullptr);
}

TEST(BlockMasks, LayersShareWhatIsMadeForASequence) {
  BlockMasks masks(4);
  const SharedSequence first = with_mask(CausalMask{});
  const auto made = masks.confine(first, 1, 10, 10, at::kCPU);
  EXPECT_EQ(masks.confine(first, 1, 10, 10, at::kCPU), made);
  EXPECT_NE(masks.confine(first, 1, 1, 10, at::kCPU), made);
  EXPECT_NE(masks.confine(with_mask(CausalMask{}), 1, 10, 10, at::kCPU), made);
}

}  // namespace
}  // namespace titan::nn
