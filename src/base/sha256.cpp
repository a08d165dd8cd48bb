#include "titan/base/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "titan/base/errors.h"

namespace titan::base {

void Sha256::FreeContext::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  TITAN_CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1,
              "libcrypto has no SHA-256");
}

void Sha256::update(std::span<const std::byte> bytes) {
  TITAN_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1,
              "SHA-256 update failed");
}

void Sha256::update(std::string_view bytes) { update(std::as_bytes(std::span(bytes))); }

std::string Sha256::hex_digest() const {
  const Sha256 copy;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  TITAN_CHECK(EVP_MD_CTX_copy_ex(copy.context_.get(), context_.get()) == 1 &&
                  EVP_DigestFinal_ex(copy.context_.get(), digest.data(), &size) == 1,
              "SHA-256 digest failed");
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * std::size_t{size});
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 0xf];
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex_digest();
}

}  // namespace titan::base
