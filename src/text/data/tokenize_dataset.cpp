#include "titan/text/data/tokenize_dataset.h"

#include <atomic>
#include <exception>
#include <filesystem>
#include <future>
#include <limits>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "text/data/data_parts.h"
#include "text/data/megatron_writer.h"
#include "text/data/token_part.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/sha256.h"
#include "titan/protocols/encode_text.h"
#include "titan/protocols/tokenizer.h"
#include "titan/tools/logging.h"

namespace titan::text {
namespace {

/// Text that is read at once, for each thread.
constexpr std::size_t kChunkBytes = 1 << 20;

/// Documents, or pieces of long ones, and the position behind them.
struct Chunk {
  std::vector<Document> documents;
  std::vector<std::vector<std::int64_t>> ids;
  protocols::StreamPosition position;
  double fraction = 0;  // of the data, up to here
};

Chunk read_chunk(DocumentStream& stream, std::size_t bytes) {
  Chunk chunk;
  for (std::size_t held = 0; held < bytes;) {
    Document document;
    if (!stream.next(document)) break;
    if (document.is_tokens) {
      throw ConfigError(concat(stream.options().name, " holds token ids already"));
    }
    held += document.text.size() + 1;
    chunk.documents.push_back(std::move(document));
  }
  chunk.position = stream.position();
  chunk.fraction = stream.fraction_read();
  return chunk;
}

void encode(Chunk& chunk, const protocols::Tokenizer& tokenizer, int threads) {
  chunk.ids.resize(chunk.documents.size());
  std::atomic<std::size_t> next = 0;
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    try {
      for (std::size_t i = next++; i < chunk.documents.size(); i = next++) {
        const Document& document = chunk.documents[i];
        chunk.ids[i] =
            protocols::encode_text(tokenizer, document.text, document.begins, document.ends);
      }
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      error = std::current_exception();
      next = chunk.documents.size();
    }
  };
  std::vector<std::jthread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  helpers.clear();  // joins
  if (error) std::rethrow_exception(error);
}

class Tokenization {
 public:
  Tokenization(const TokenizeOptions& options, const protocols::Tokenizer& tokenizer,
               base::FileSystem& files)
      : options_(options), tokenizer_(tokenizer), files_(files) {}

  TokenizeProgress run() {
    refuse_existing_output();
    TextDataOptions data = options_.data;
    data.infinite = false;
    data.data.shuffle = false;  // the order of tokens is for training to choose
    DocumentStream stream = open_stream(find_parts(data, files_).front(), 0, data, files_);
    header_.bytes_per_token = tokenizer_.vocab_size() <= 65536 ? 2 : 4;
    header_.identity = identity_of(stream);
    take_up_parts(stream);
    if (!is_complete()) write_or_say_what_was_too_large(stream);
    if (header_.progress.documents == 0) {
      files_.remove_file(part_path(0));
      throw RunError(concat("no data: there is no document in ", stream.options().name));
    }
    assemble_megatron(files_, options_.output, parts_);
    return header_.progress;
  }

 private:
  bool is_complete() const { return !parts_.empty() && parts_.back().header().is_last; }

  void refuse_existing_output() {
    if (options_.output.empty() || options_.output.ends_with('/')) {
      throw ConfigError("--output must end in a name: it writes NAME.bin and NAME.idx");
    }
    // Where there are parts, it is what an interruption left while they were put together.
    const bool is_ours = files_.exists(part_path(0));
    for (const char* ending : {".bin", ".idx"}) {
      const std::string path = options_.output + ending;
      if (files_.exists(path) && !is_ours) {
        throw RunError(concat("'", path, "' is there already: remove it or choose another name"));
      }
    }
    const std::string folder = std::filesystem::path(options_.output).parent_path();
    if (!folder.empty()) files_.create_directories(folder);
  }

  std::string identity_of(const DocumentStream& stream) const {
    const config::Data& data = options_.data.data;
    return base::sha256_hex(concat(stream.position().data, "\n", data.text_field, "\n",
                                   config::to_string(data.on_bad_row), "\n", options_.tokenizer_id,
                                   "\n", header_.bytes_per_token));
  }

  std::string part_path(std::size_t index) const { return TokenPart::path(options_.output, index); }

  /// Goes on behind the parts that an interrupted run left.
  void take_up_parts(DocumentStream& stream) {
    while (auto part = TokenPart::find(files_, options_.output, parts_.size())) {
      if (part->header().identity != header_.identity) {
        throw RunError(concat("'", part_path(parts_.size()),
                              "' was made from other data or with another tokenizer: remove it and "
                              "its like, or choose another name"));
      }
      parts_.push_back(*std::move(part));
    }
    if (parts_.empty()) return;
    const TokenPartHeader& last = parts_.back().header();
    header_.progress = last.progress;
    stream.restore({last.position});
    tools::log_info("Continuing behind ", last.progress.documents, " documents, ",
                    last.progress.tokens, " tokens");
  }

  void write_or_say_what_was_too_large(DocumentStream& stream) try {
    write_parts(stream);
  } catch (const std::bad_alloc&) {
    throw RunError(concat("out of memory at documents of ", stream.options().name,
                          ": each is held whole, with its tokens, and several for every thread. "
                          "Divide long ones into several, or lower --threads (",
                          options_.threads, ")"));
  }

  void write_parts(DocumentStream& stream) {
    const std::size_t bytes = kChunkBytes * static_cast<std::size_t>(options_.threads);
    const auto read = [&] { return read_chunk(stream, bytes); };
    for (Chunk chunk = read(); !chunk.documents.empty();) {
      // The next documents are read while these become tokens.
      std::future<Chunk> next = std::async(std::launch::async, read);
      encode(chunk, tokenizer_, options_.threads);
      for (std::size_t i = 0; i < chunk.documents.size(); ++i) {
        add(chunk.documents[i], chunk.ids[i]);
      }
      header_.position = std::move(chunk.position);
      header_.progress.fraction = chunk.fraction;
      const bool is_whole = open_document_ == 0;
      if (is_whole && std::ssize(tokens_) >= options_.part_bytes) finish_part(/*is_last=*/false);
      if (options_.on_progress) options_.on_progress(header_.progress);
      chunk = next.get();
    }
    header_.position = stream.position();
    finish_part(/*is_last=*/true);
  }

  void add(const Document& document, const std::vector<std::int64_t>& ids) {
    for (const std::int64_t id : ids) {
      tokens_.append(reinterpret_cast<const char*>(&id),  // little-endian
                     static_cast<std::size_t>(header_.bytes_per_token));
    }
    open_document_ += std::ssize(ids);
    header_.progress.tokens += std::ssize(ids);
    header_.progress.text_bytes += std::ssize(document.text);
    if (!document.ends) return;
    if (open_document_ > std::numeric_limits<std::int32_t>::max()) {
      throw RunError("a document has more than 2^31 tokens, which the format cannot say");
    }
    lengths_.push_back(static_cast<std::int32_t>(open_document_));
    open_document_ = 0;
    ++header_.progress.documents;
  }

  void finish_part(bool is_last) {
    header_.is_last = is_last;
    header_.documents = std::ssize(lengths_);
    header_.tokens = std::ssize(tokens_) / header_.bytes_per_token;
    TokenPart::write(files_, options_.output, parts_.size(), header_, lengths_, tokens_);
    parts_.push_back(*TokenPart::find(files_, options_.output, parts_.size()));
    lengths_.clear();
    tokens_.clear();
  }

  const TokenizeOptions& options_;
  const protocols::Tokenizer& tokenizer_;
  base::FileSystem& files_;
  TokenPartHeader header_;  // of the part in the making
  std::vector<std::int32_t> lengths_;
  std::string tokens_;
  std::int64_t open_document_ = 0;  // tokens of a document of which more is to come
  std::vector<TokenPart> parts_;
};

}  // namespace

TokenizeProgress tokenize_dataset(const TokenizeOptions& options,
                                  const protocols::Tokenizer& tokenizer, base::FileSystem& files) {
  TITAN_CHECK(options.threads > 0 && options.part_bytes > 0, "somebody does something");
  if (!options.data.data.mixture.empty() || options.data.data.prompt_field) {
    throw ConfigError(
        "tokenize writes one source of plain text: take away data.mixture and data.prompt_field");
  }
  return Tokenization(options, tokenizer, files).run();
}

}  // namespace titan::text
