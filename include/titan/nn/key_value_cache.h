#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace titan::nn {

class Attention;
class Module;

/// The rotated keys and the values that one attention layer has made of a text so far, so that the
/// tokens behind it need not run the text again. Not for training: nothing here has gradients.
class KeyValueCache {
 public:
  /// Room for `capacity` tokens is taken when the first come.
  explicit KeyValueCache(std::int64_t capacity) : capacity_(capacity) {}

  /// Tokens kept so far: the position of the next one.
  std::int64_t length() const { return length_; }

  /// Takes over keys and values `[B, Hk, S, d]` of the next S tokens; returns those of all tokens so
  /// far, as views that stay valid. Throws InternalError when there is no room.
  std::pair<at::Tensor, at::Tensor> append(const at::Tensor& key, const at::Tensor& value);

 private:
  std::int64_t capacity_;
  std::int64_t length_ = 0;
  at::Tensor keys_;  // [B, Hk, capacity, d]
  at::Tensor values_;
};

/// While it lives, every attention layer of a model has a cache: the model is then called with the
/// tokens that are new, and answers as if it had been called with the whole text. Such a text is one
/// document; masks that the model is called with are not looked at.
class CachedText {
 public:
  /// `model` outlives the object and has no other. Throws InternalError when it has no attention
  /// layer.
  CachedText(Module& model, std::int64_t capacity);
  ~CachedText();
  CachedText(const CachedText&) = delete;
  CachedText& operator=(const CachedText&) = delete;

 private:
  std::vector<Attention*> layers_;
  std::deque<KeyValueCache> caches_;  // of the layers, in order
};

}  // namespace titan::nn
