#include "titan/nn/attention_masks.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "titan/nn/attention.h"

namespace titan::nn {
namespace {

const at::Tensor kTokens = at::tensor({5, 0, 6, 7, 0, 8, 0, 1, 2, 3, 4, 0}, at::kLong).view({2, 6});

template <class Value>
std::vector<Value> values(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.const_data_ptr<Value>(), flat.const_data_ptr<Value>() + flat.numel()};
}

TEST(AttentionMasks, AnEndTokenBelongsToTheDocumentItEnds) {
  EXPECT_EQ(values<std::int64_t>(documents_by_eos(kTokens, 0)),
            (std::vector<std::int64_t>{0, 0, 1, 1, 1, 2, 0, 1, 1, 1, 1, 1}));
}

TEST(AttentionMasks, DocumentsMayBeToldByTheirStarts) {
  const at::Tensor starts = at::tensor({1, 0, 1, 1, 0, 0, 0, 1}, at::kByte).view({2, 4});
  EXPECT_EQ(values<std::int64_t>(documents_by_starts(starts)),
            (std::vector<std::int64_t>{1, 1, 2, 3, 0, 0, 0, 1}));
  EXPECT_EQ(values<int>(packed_documents(documents_by_starts(starts)).offsets),
            (std::vector<int>{0, 2, 3, 4, 7, 8}));
}

TEST(AttentionMasks, PackedDocumentsGiveTheReferencesOffsets) {
  const PackedDocuments packed = packed_documents(documents_by_eos(kTokens, 0));
  EXPECT_EQ(values<int>(packed.offsets), (std::vector<int>{0, 2, 5, 6, 7, 12}));
  EXPECT_EQ(packed.longest, 5);
}

TEST(AttentionMasks, BlockCausalAllowsEarlierTokensOfTheSameDocumentOnly) {
  const at::Tensor allowed = block_causal_mask(documents_by_eos(kTokens, 0)).allowed;
  ASSERT_EQ(allowed.sizes(), (std::vector<std::int64_t>{2, 1, 6, 6}));
  const auto sees = [&](int row, int query, int key) {
    return allowed[row][0][query][key].item<bool>();
  };
  EXPECT_TRUE(sees(0, 3, 2));
  EXPECT_FALSE(sees(0, 2, 3)) << "later";
  EXPECT_FALSE(sees(0, 2, 1)) << "another document";
  EXPECT_TRUE(sees(0, 1, 0)) << "the end token sees its document";
  EXPECT_FALSE(sees(1, 1, 0));
}

TEST(AttentionMasks, MaskedAttentionEqualsAttentionWithinEachDocument) {
  // One row of two documents of 4 and 3 tokens against each document by itself.
  const at::Tensor tokens = at::tensor({1, 2, 3, 0, 4, 5, 6}, at::kLong).view({1, 7});
  const at::Tensor q = at::rand({1, 2, 7, 8});
  const at::Tensor k = at::rand({1, 2, 7, 8});
  const at::Tensor v = at::rand({1, 2, 7, 8});
  InnerAttention attention;
  const auto sequence = std::make_shared<const SequenceInfo>(
      SequenceInfo{block_causal_mask(documents_by_eos(tokens, 0)), {}, nullptr, {}});
  const at::Tensor masked = attention({{q, k, v}, sequence}).at(0);
  for (const auto& [begin, end] : {std::pair{0, 4}, std::pair{4, 7}}) {
    const at::Tensor alone =
        attention({{q.slice(2, begin, end), k.slice(2, begin, end), v.slice(2, begin, end)}}).at(0);
    EXPECT_TRUE(at::allclose(masked.slice(1, begin, end), alone, 1e-5, 1e-6));
  }
}

TEST(Attention, GroupedQueryHeadsShareKeyHeads) {
  const at::Tensor q = at::rand({1, 4, 5, 8});
  const at::Tensor k = at::rand({1, 2, 5, 8});
  const at::Tensor v = at::rand({1, 2, 5, 8});
  InnerAttention attention;
  const at::Tensor repeated =
      attention({{q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)}}).at(0);
  EXPECT_TRUE(at::allclose(attention({{q, k, v}}).at(0), repeated, 1e-5, 1e-6));
}

}  // namespace
}  // namespace titan::nn
