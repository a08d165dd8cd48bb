#include "titan/comm/ring_attention.h"

#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_sigmoid_forward.h>
#include <ATen/ops/sigmoid.h>
#include <c10/util/accumulate.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "comm/attention_kernels.h"
#include "comm/operators.h"
#include "titan/base/errors.h"
#include "titan/comm/gathered_parts.h"

namespace titan::comm {

using at::Tensor;

namespace {

using Direction = Message::Direction;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// The rank that is `steps` places further in the ring.
std::int64_t around(const ProcessGroup& group, std::int64_t steps) {
  return (group.rank() + steps + group.size()) % group.size();
}

/// Which of a rank's queries see which of the keys of `owner`, both of whom have `length` tokens.
struct Sight {
  std::int64_t first_query = 0;  // it, and those behind it
  std::int64_t keys = 0;         // as many, from the first on
  bool causal = false;
};
Sight sight_of(std::int64_t rank, std::int64_t owner, std::int64_t length, bool head_tail) {
  if (rank == owner) return {0, length, true};
  if (!head_tail) return {0, owner < rank ? length : 0, false};
  // The first piece of an earlier rank is before both of this rank's, its second behind both; of a later rank
  // both pieces are between this rank's two.
  return owner < rank ? Sight{0, length / 2, false} : Sight{length / 2, length, false};
}

/// Keys and values, or their gradients: `[B, Hk, S, d]` and `[B, Hk, S, dv]`.
struct KeysAndValues {
  Tensor keys;
  Tensor values;
};

/// In which order both lie in memory, on the way too: as who makes them does.
enum class Order {
  kTokens,  ///< token by token, as projections
  kHeads,   ///< head by head, as our kernels' gradients
};

/// Both in one piece of memory, one behind the other.
class Packing {
 public:
  /// For the first `length` tokens of such.
  Packing(const KeysAndValues& like, std::int64_t length, Order order)
      : order_(order), keys_(sizes(like.keys, length)), values_(sizes(like.values, length)) {}
  explicit Packing(const KeysAndValues& like) : Packing(like, like.keys.size(2), Order::kTokens) {}

  std::int64_t size() const {
    return c10::multiply_integers(keys_) + c10::multiply_integers(values_);
  }
  KeysAndValues unpacked(const Tensor& both) const {
    const std::int64_t of_keys = c10::multiply_integers(keys_);
    return {by_heads(both.narrow(0, 0, of_keys).view(keys_)),
            by_heads(both.narrow(0, of_keys, size() - of_keys).view(values_))};
  }
  void pack(const KeysAndValues& both, const Tensor& into) const {
    const KeysAndValues in_place = unpacked(into);
    in_place.keys.copy_(both.keys);
    in_place.values.copy_(both.values);
  }

 private:
  std::vector<std::int64_t> sizes(const Tensor& like, std::int64_t length) const {
    if (order_ == Order::kHeads) return {like.size(0), like.size(1), length, like.size(3)};
    return {like.size(0), length, like.size(1), like.size(3)};
  }
  Tensor by_heads(const Tensor& packed) const {
    return order_ == Order::kHeads ? packed : packed.transpose(1, 2);
  }

  Order order_;
  std::vector<std::int64_t> keys_;
  std::vector<std::int64_t> values_;
};

/// Every rank's keys and values that this rank has a use for, or has to pass on.
class PassingKeys {
 public:
  PassingKeys(KeysAndValues own, const RingOptions& options, ProcessGroup& group)
      : options_(options), group_(group), here_(std::move(own)), packing_(here_) {}

  /// Those of the rank that is `step` places before; asked for from 0 on, one step after the other. While they are
  /// used, the next are on their way.
  KeysAndValues of(std::int64_t step) {
    if (step == 0) {
      if (group_.size() > 1) start();
      return here_;
    }
    under_way_.wait();
    if (all_) return packing_.unpacked(all_->of(around(group_, -step)));
    sent_ = std::exchange(arriving_, Tensor());
    if (step + 1 < group_.size()) pass_on(step);
    return sent_.defined() ? packing_.unpacked(sent_) : KeysAndValues();
  }

 private:
  void start() {
    const at::TensorOptions options = here_.keys.options();
    if (options_.rotation == Rotation::kAllToAll) {
      sent_ = group_.outgoing(packing_.size(), options);
      packing_.pack(here_, sent_);
      return pass_on(0);
    }
    all_.emplace(group_, packing_.size(), options,
                 [&](std::int64_t elements) { return at::empty({elements}, options); });
    packing_.pack(here_, all_->own());
    under_way_ = all_->start();
  }

  /// To the next rank what came with this step, and from the one before what is wanted for the next step. In texts
  /// that are cut in one piece nobody wants what is behind him.
  void pass_on(std::int64_t step) {
    const bool is_wanted = options_.head_tail || group_.rank() + 1 < group_.size();
    const bool is_offered = options_.head_tail || step < group_.rank();
    std::vector<Message> messages;
    if (is_wanted && sent_.defined()) {
      messages.push_back({sent_, around(group_, 1), Direction::kSend});
    }
    if (is_offered) {
      arriving_ = group_.incoming(packing_.size(), here_.keys.options());
      messages.push_back({arriving_, around(group_, -1), Direction::kReceive});
    }
    under_way_ = group_.exchange(messages);
  }

  RingOptions options_;
  ProcessGroup& group_;
  KeysAndValues here_;
  Packing packing_;
  Tensor sent_;                       // packed, of this step
  Tensor arriving_;                   // packed, of the next
  std::optional<GatheredParts> all_;  // packed, by rank
  Work under_way_;
};

/// The gradients of this rank's keys and values, of which every rank has a term.
class KeyGradients {
 public:
  KeyGradients(const BlockGradients& own, const RingOptions& options, ProcessGroup& group)
      : options_(options),
        group_(group),
        order_(options.fast ? Order::kHeads : Order::kTokens),
        type_(own.key.scalar_type()) {
    const at::ScalarType sums = at::toOpMathType(type_);
    sum_ = {own.key.to(sums), own.value.to(sums)};
  }

  /// Sends the term for the rank that is `step` places before (undefined: there is none), and gets this rank's from
  /// the one that is as far behind. It arrives while the next block is computed.
  void exchange(std::int64_t step, const KeysAndValues& term) {
    add_arrived();
    std::vector<Message> messages;
    if (term.keys.defined()) {
      const Packing packing(term, term.keys.size(2), order_);
      const Tensor packed = group_.outgoing(packing.size(), term.keys.options());
      packing.pack(term, packed);
      messages.push_back({packed, around(group_, -step), Direction::kSend});
    }
    const std::int64_t source = around(group_, step);
    const Sight theirs = sight_of(source, group_.rank(), sum_.keys.size(2), options_.head_tail);
    if (theirs.keys > 0) {
      arriving_length_ = theirs.keys;
      arriving_ = group_.incoming(Packing(sum_, theirs.keys, order_).size(),
                                  sum_.keys.options().dtype(type_));
      messages.push_back({arriving_, source, Direction::kReceive});
    }
    under_way_ = group_.exchange(messages);
  }

  KeysAndValues total() {
    add_arrived();
    return {sum_.keys.to(type_), sum_.values.to(type_)};
  }

 private:
  void add_arrived() {
    under_way_.wait();
    if (!arriving_.defined()) return;
    const auto [keys, values] =
        Packing(sum_, arriving_length_, order_).unpacked(std::exchange(arriving_, Tensor()));
    sum_.keys.narrow(2, 0, keys.size(2)).add_(keys);
    sum_.values.narrow(2, 0, values.size(2)).add_(values);
  }

  RingOptions options_;
  ProcessGroup& group_;
  Order order_;
  at::ScalarType type_;
  KeysAndValues sum_;
  Tensor arriving_;
  std::int64_t arriving_length_ = 0;  // in tokens
  Work under_way_;
};

/// This rank's queries from the first that see something on.
Tensor seeing(const Tensor& of_queries, const Sight& sight) {
  return of_queries.narrow(2, sight.first_query, of_queries.size(2) - sight.first_query);
}

AttentionBlock block_of(const Tensor& query, const KeysAndValues& theirs, const Sight& sight,
                        const Tensor& allowed, std::int64_t owner, const RingOptions& options) {
  AttentionBlock block{seeing(query, sight),
                       theirs.keys.narrow(2, 0, sight.keys),
                       theirs.values.narrow(2, 0, sight.keys),
                       sight.causal,
                       {},
                       options.scale,
                       options.fast};
  if (allowed.defined()) {
    const std::int64_t length = query.size(2);
    block.causal = false;
    block.allowed = seeing(allowed.narrow(3, owner * length, sight.keys), sight);
  }
  return block;
}

/// Adds what was found in another block of keys, with PyTorch's roundings.
void merge(const Tensor& output, const Tensor& log_sum_exp, const BlockOutput& block) {
  const Tensor weight = at::sigmoid(block.log_sum_exp - log_sum_exp).unsqueeze(-1);
  output.sub_((output - block.output).mul_(weight));
  log_sum_exp.sub_(std::get<0>(at::log_sigmoid_forward(log_sum_exp - block.log_sum_exp)));
}

using Outputs = std::tuple<Tensor, Tensor>;

/// The kernel: output, and the log-sum-exp of each query.
Outputs attend_around(const Tensor& query, const Tensor& key, const Tensor& value,
                      const std::optional<Tensor>& allowed, bool all_gather, bool head_tail,
                      std::optional<double> scale, bool fast, const Group& handle) {
  ProcessGroup& group = handle->group;
  const RingOptions options{all_gather ? Rotation::kAllGather : Rotation::kAllToAll, head_tail,
                            scale, fast};
  PassingKeys passing({key, value}, options, group);
  Tensor output;
  Tensor log_sum_exp;
  for (std::int64_t step = 0; step < group.size(); ++step) {
    const std::int64_t owner = around(group, -step);
    const KeysAndValues theirs = passing.of(step);
    const Sight sight = sight_of(group.rank(), owner, query.size(2), head_tail);
    if (sight.keys == 0) continue;
    const BlockOutput block =
        attend(block_of(query, theirs, sight, allowed.value_or(Tensor()), owner, options));
    if (step == 0) {
      output = block.output.to(at::toOpMathType(query.scalar_type()));
      log_sum_exp = block.log_sum_exp;
    } else {
      merge(seeing(output, sight), seeing(log_sum_exp, sight), block);
    }
  }
  return {output.to(query.scalar_type()), log_sum_exp};
}

BlockGradients attend_around_backward(const Tensor& gradient, const AttentionBlock& own,
                                      const BlockOutput& whole, const RingOptions& options,
                                      ProcessGroup& group) {
  const Tensor& query = own.query;
  PassingKeys passing({own.key, own.value}, options, group);
  Tensor of_query;
  std::optional<KeyGradients> of_keys;
  for (std::int64_t step = 0; step < group.size(); ++step) {
    const std::int64_t owner = around(group, -step);
    const KeysAndValues theirs = passing.of(step);
    const Sight sight = sight_of(group.rank(), owner, query.size(2), options.head_tail);
    KeysAndValues term;
    if (sight.keys > 0) {
      const BlockGradients block = attend_backward(
          seeing(gradient, sight), block_of(query, theirs, sight, own.allowed, owner, options),
          {seeing(whole.output, sight), seeing(whole.log_sum_exp, sight)});
      if (step == 0) {
        of_query = block.query.to(at::toOpMathType(query.scalar_type()));
        of_keys.emplace(block, options, group);
      } else {
        seeing(of_query, sight).add_(block.query);
        term = {block.key, block.value};
      }
    }
    if (step > 0) of_keys->exchange(step, term);
  }
  auto [keys, values] = of_keys->total();
  return {of_query.to(query.scalar_type()), keys, values};
}

const auto& ring_attention_operator() {
  static const auto op = find_operator<Outputs(
      const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&, bool, bool,
      std::optional<double>, bool, const Group&)>("titan::ring_attention");
  return op;
}

struct RingAttention : public Function<RingAttention> {
  static variable_list forward(AutogradContext* context, c10::DispatchKeySet keys,
                               const Tensor& query, const Tensor& key, const Tensor& value,
                               const std::optional<Tensor>& allowed, bool all_gather,
                               bool head_tail, std::optional<double> scale, bool fast,
                               const Group& group) {
    auto [output, log_sum_exp] = ring_attention_operator().redispatch(
        keys & c10::after_ADInplaceOrView_keyset, query, key, value, allowed, all_gather, head_tail,
        scale, fast, group);
    context->saved_data["group"] = group;
    context->saved_data["all_gather"] = all_gather;
    context->saved_data["head_tail"] = head_tail;
    context->saved_data["scale"] = scale;
    context->saved_data["fast"] = fast;
    context->save_for_backward(
        {query, key, value, allowed.value_or(Tensor()), output, log_sum_exp});
    context->mark_non_differentiable({log_sum_exp});
    return {output, log_sum_exp};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Group handle = context->saved_data["group"].toCustomClass<GroupHandle>();
    const RingOptions options{
        context->saved_data["all_gather"].toBool() ? Rotation::kAllGather : Rotation::kAllToAll,
        context->saved_data["head_tail"].toBool(),
        context->saved_data["scale"].toOptional<double>(), context->saved_data["fast"].toBool()};
    const variable_list saved = context->get_saved_variables();
    const BlockGradients result = attend_around_backward(
        gradients[0], {saved[0], saved[1], saved[2], /*causal=*/true, saved[3], options.scale},
        {saved[4], saved[5]}, options, handle->group);
    return {{}, result.query, result.key, result.value, {}, {}, {}, {}, {}, {}};
  }
};

Outputs differentiated(c10::DispatchKeySet keys, const Tensor& query, const Tensor& key,
                       const Tensor& value, const std::optional<Tensor>& allowed, bool all_gather,
                       bool head_tail, std::optional<double> scale, bool fast, const Group& group) {
  const variable_list results = RingAttention::apply(keys, query, key, value, allowed, all_gather,
                                                     head_tail, scale, fast, group);
  return {results[0], results[1]};
}

}  // namespace

void define_ring_attention(torch::Library& library) {
  library.def(with_group("ring_attention(Tensor query, Tensor key, Tensor value, Tensor? allowed, "
                         "bool all_gather, bool head_tail, float? scale, bool fast",
                         "(Tensor, Tensor)")
                  .c_str(),
              torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, attend_around));
  library.impl("ring_attention", torch::dispatch(c10::DispatchKey::Autograd, differentiated));
}

Tensor ring_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                      const std::optional<Tensor>& allowed, const RingOptions& options,
                      ProcessGroup& group) {
  TITAN_CHECK(key.size(2) == query.size(2) && value.size(2) == query.size(2),
              "ring attention needs as many keys and values as queries");
  TITAN_CHECK(value.size(3) <= query.size(3), "values that are wider than queries");
  TITAN_CHECK(!options.head_tail || query.size(2) % 2 == 0, "two pieces of ", query.size(2),
              " tokens");
  return std::get<0>(ring_attention_operator().call(
      query, key, value, allowed, options.rotation == Rotation::kAllGather, options.head_tail,
      options.scale, options.fast, handle_of(group)));
}

}  // namespace titan::comm
