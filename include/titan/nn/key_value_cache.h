#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <unordered_map>
#include <utility>

namespace titan::nn {

class Module;

/// The rotated keys and the values that one attention layer has made of a text so far, or what it makes both of, so that the
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
  /// The same for a layer whose values can be made of the keys.
  at::Tensor append(const at::Tensor& key);

  /// Drops the last `count` tokens.
  void forget_last(std::int64_t count) { length_ -= count; }

  /// Memory that is taken, for tokens to come as well.
  std::int64_t bytes() const;

 private:
  std::int64_t capacity_;
  std::int64_t length_ = 0;
  at::Tensor keys_;    // [B, Hk, capacity, d]
  at::Tensor values_;  // undefined where keys are all that is kept
};

/// The caches of all attention layers for one text. A model that is called with them (`SequenceInfo`) is
/// given the tokens that are new, and answers as if it had been called with the whole text, which is one
/// document. One thread.
class KeyValueCaches {
 public:
  explicit KeyValueCaches(std::int64_t capacity) : capacity_(capacity) {}

  /// The one of an attention layer; made when it is first asked for.
  KeyValueCache& of(const Module& layer) {
    return by_layer_.try_emplace(&layer, capacity_).first->second;
  }

  /// Tokens kept so far.
  std::int64_t length() const { return by_layer_.empty() ? 0 : by_layer_.begin()->second.length(); }
  /// Memory that is taken, of all layers.
  std::int64_t bytes() const;
  /// Room for tokens that are appended and forgotten again; before the first call.
  void add_room(std::int64_t tokens) {
    if (by_layer_.empty()) capacity_ += tokens;
  }
  /// Drops the last `count` tokens of all layers.
  void forget_last(std::int64_t count) {
    for (auto& [layer, cache] : by_layer_) cache.forget_last(count);
  }

 private:
  std::int64_t capacity_;
  std::unordered_map<const Module*, KeyValueCache> by_layer_;
};

}  // namespace titan::nn
